"""What a run is made of, as far as it differs from pattern to pattern. This one is the plain run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from tests.chaos.load import STREAM, Fresh, Step, make

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from redis.asyncio import Redis

    from eventbus import Context, EventBus, Published
    from tests.chaos.checkers import Checker
    from tests.chaos.load import Load
    from tests.chaos.planted import Plant
    from tests.chaos.rig import Rig, Setup
    from tests.chaos.run import Order
    from tests.chaos.scenarios import Scenarios
    from tests.chaos.troubles import Troubles
    from tests.chaos.verdicts import Terms


class Pattern:
    """A pattern is a subclass that says what differs. It has no state: every process of a run has its own.

    Attributes:
        options: Further arguments of `subscribe`.
        streams: Those that the groups read.
        known: The event types that the worker knows which knows fewer than the others, and those that the others know.
        plants: Bugs of this pattern by name, each with the checker that must catch it.
        scenarios: For each of them the schedule under which it does its harm.
    """

    options: ClassVar[Mapping[str, Any]] = {}
    streams: ClassVar[Sequence[str]] = (STREAM,)
    known: ClassVar[tuple[frozenset[bytes], frozenset[bytes]]] = (frozenset({b"Step"}), frozenset({b"Step", b"Fresh"}))
    plants: ClassVar[Mapping[str, Plant]] = {}
    scenarios: ClassVar[Mapping[str, Callable[[Scenarios], Order]]] = {}

    def setup(self, setup: Setup) -> Setup:
        """What a run of it is made of, given what a plain one would be."""
        return setup

    def events(self, *, newer: bool) -> Any:
        """What a worker subscribes to: an event class, or a union."""
        return Step | Fresh if newer else Step

    def make(self, number: int, script: str, *, size: int) -> Load:
        """An event with a checksummed payload of about so many bytes."""
        return make(number, script, size=size)

    def subscribe(self, bus: EventBus, events: Any, handle: Callable[[Load, Context], Awaitable[None]], **options: Any) -> None:
        """Subscribe a worker's handler, which notes what happens to each event."""

        @bus.subscribe(events, **{**options, **self.options})
        async def handler(event: events, ctx: Context) -> None:
            await handle(event, ctx)

    async def publish(self, bus: EventBus, batch: list[Load], *, timeout: float) -> list[Published]:
        """Publish events; raises as `publish_many`."""
        return await bus.publish_many(batch, timeout=timeout)

    async def accompany(self, rig: Rig) -> None:
        """Do something of its own while events are published and faults are made; cancelled when that ends."""
        await asyncio.Event().wait()

    async def settle(self, rig: Rig, client: Redis) -> None:
        """Wait for what only it knows of, after the groups were drained and before the workers end."""

    async def look(self, rig: Rig, client: Redis) -> None:
        """Note in `rig.history` what its checkers have to know of the end."""

    def checkers(self, troubles: Troubles, terms: Terms, plain: dict[str, Checker]) -> dict[str, Checker]:
        """The checkers of a run, by name: the plain ones, and its own."""
        return plain
