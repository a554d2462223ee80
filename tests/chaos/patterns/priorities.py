"""A topic with priorities: three streams a group, whose handlers are shared by weight, under every fault of the plain run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from eventbus import PublishIncomplete, Topic
from eventbus.events import NORMAL
from eventbus.streams import Destination, Moved, keys
from tests.chaos.load import STREAM, Times
from tests.chaos.patterns.pattern import Pattern
from tests.chaos.patterns.shares import Shares
from tests.chaos.planted import Plant, room, rooms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eventbus import EventBus, Published
    from tests.chaos.checkers import Checker
    from tests.chaos.load import Load
    from tests.chaos.rig import Setup
    from tests.chaos.run import Order
    from tests.chaos.scenarios import Scenarios
    from tests.chaos.troubles import Troubles
    from tests.chaos.verdicts import Terms

NAME: Final = "priorities"
WEIGHTS: Final = {"high": 4, NORMAL: 2, "low": 1}
TOPIC: Final = Topic(STREAM, priorities=tuple(WEIGHTS))

TURN: Final = [name for name, weight in WEIGHTS.items() for _ in range(weight)]
"""Events come in the proportion in which they are served, so that all priorities have a backlog where one has."""


def level(number: int) -> str:
    """The priority of an event."""
    return TURN[number % len(TURN)]


def _saturated(setup: Setup) -> Setup:
    return replace(setup, pattern=NAME, concurrency=4, prefetch=16, rate=250, times=Times(0.08, 0.16))


def _strict(base: Any) -> Any:
    class Strict(base):
        def __init__(self, slots, priority):
            super().__init__(slots, priority)
            slots._turns._weights = None

    return Strict


def _retry_at_normal(base: Any) -> Any:
    class AtNormal(base):
        async def move(self, copies, destination, *, private, token):
            if destination is Destination.DEAD or self.group.stream == STREAM:
                return await super().move(copies, destination, private=private, token=token)
            for copy in copies:
                await self._wire.one("XADD", keys.retry(STREAM, self.group.name), "*", *copy.fields)
                await self._wire.one("XACK", self.group.source(private=private), self.group.name, copy.entry_id)
            return [Moved.DONE] * len(copies)

    return AtNormal


class Priorities(Pattern):
    """Publishes each event at a priority of its own; its workers have more to do than handlers."""

    options: ClassVar[Mapping[str, Any]] = {"topic": TOPIC}
    streams: ClassVar[Sequence[str]] = tuple(keys.level(STREAM, name) for name in WEIGHTS)
    plants: ClassVar[Mapping[str, Plant]] = {
        "low starves": Plant(NAME, rooms_of("priorities", work=_strict)),
        "retry at another priority": Plant(NAME, room("entries", _retry_at_normal)),
    }
    scenarios: ClassVar[Mapping[str, Callable[[Scenarios], Order]]] = {
        "low starves": lambda made: made.order(_saturated(made.setup), 6, patience=60, allowance=30),
        "retry at another priority": lambda made: made.order(
            replace(_saturated(made.setup), odds={"once": 0.1}), 4, patience=60, allowance=30
        ),
    }

    def setup(self, setup: Setup) -> Setup:
        """Few handlers that take their time: there is always something waiting."""
        return replace(setup, concurrency=4, prefetch=16, lag=1_500, times=Times(0.01, 0.05))

    async def publish(self, bus: EventBus, batch: list[Load], *, timeout: float) -> list[Published]:
        """Publish each event at its priority; raises as `publish_many`."""
        parts = [(name, [event for event in batch if level(event.n) == name]) for name in WEIGHTS]
        found = await asyncio.gather(*(_publish(bus, name, part, timeout) for name, part in parts if part))
        written = [each for records, _ in found for each in records]
        failed = [error for _, error in found if error is not None]
        if failed:
            refused, unknown = ([each for error in failed for each in getattr(error, how)] for how in ("refused", "unknown"))
            raise PublishIncomplete(written=written, refused=refused, unknown=unknown)
        return written

    def checkers(self, troubles: Troubles, terms: Terms, plain: dict[str, Checker]) -> dict[str, Checker]:
        """The plain ones, and the shares."""
        return {**plain, NAME: Shares(WEIGHTS, level, terms.concurrency)}


async def _publish(bus: EventBus, name: str, part: list[Load], timeout: float) -> tuple[list[Published], PublishIncomplete | None]:
    failed = None
    try:
        records = await bus.publish_many(part, topic=TOPIC, priority=name, timeout=timeout)
    except PublishIncomplete as error:
        records, failed = list(error.written), error
    mark = "" if name == NORMAL else f"{name}:"
    return [replace(each, entry_id=mark + each.entry_id) for each in records], failed
