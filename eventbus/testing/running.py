"""Run a bus inside a test, and know when it has nothing left to do."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from eventbus.errors import BackendUnavailable
from eventbus.events import Event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from eventbus.bus import EventBus
    from eventbus.delivery import Context, Published
    from eventbus.streams import Backlog

_E = TypeVar("_E", bound=Event)

LOOK_EVERY: Final = 0.005
"""Seconds between looks at Redis while waiting to be idle."""


class Running:
    """A bus that consumes, and what it did."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self._published: list[Event] = []
        self._handled: list[Event] = []

    def published(self, event_class: type[_E]) -> list[_E]:
        """The events of a class that this bus published and Redis confirmed, in order."""
        return [event for event in self._published if isinstance(event, event_class)]

    def handled(self, event_class: type[_E]) -> list[_E]:
        """The events of a class whose handlers returned, once for each handler, in the order they ended."""
        return [event for event in self._handled if isinstance(event, event_class)]

    async def idle(self, timeout: float = 5.0) -> None:
        """Wait until nothing is unread or pending in any group this bus consumes.

        Args:
            timeout: Seconds after which to give up.

        Raises:
            TimeoutError: Says which group still has what.
        """
        busy: dict[str, Backlog | str] = {"Redis": "no answer yet"}
        with anyio.move_on_after(timeout):
            while True:
                before = self._progress()
                with suppress(BackendUnavailable):
                    busy = await self._busy()
                # Nothing may have happened while we looked from group to group: a handler of the last
                # one could have published to the first.
                if not busy and before == self._progress():
                    return
                await anyio.sleep(LOOK_EVERY)
        left = "; ".join(f"{name}: {backlog}" for name, backlog in busy.items()) or "events kept coming"
        raise TimeoutError(f"the bus is not idle after {timeout:g} s: {left}")

    async def _busy(self) -> dict[str, Backlog | str]:
        found = {str(consumer.subscription): await consumer.backlog() for consumer in self.bus.consumers}
        return {name: backlog for name, backlog in found.items() if backlog.unread or backlog.pending}

    def _progress(self) -> tuple[int, int, int]:
        return len(self._published), len(self._handled), sum(len(consumer.in_hand) for consumer in self.bus.consumers)

    def saw_published(self, event: Event, _: Published) -> None:
        """Note a confirmed publish; the bus calls it."""
        self._published.append(event)

    async def saw_handled(self, event: Any, ctx: Context, call_next: Any) -> None:
        """Note a handled event; a middleware outside all others."""
        await call_next(event, ctx)
        self._handled.append(event)


@asynccontextmanager
async def running(bus: EventBus) -> AsyncGenerator[Running]:
    """Open a bus and let it consume while the block lasts, recording what it publishes and handles.

    Args:
        bus: A bus that is not open. In tests `embedded://` gives it a real server of its own.

    Raises:
        LifecycleError: The bus is open already.
    """
    run = Running(bus)
    bus.on_published.append(run.saw_published)
    bus.middleware.insert(0, run.saw_handled)
    try:
        async with bus, bus.consuming():
            yield run
    finally:
        bus.on_published.remove(run.saw_published)
        bus.middleware.remove(run.saw_handled)
