"""Run a bus inside a test, and know when it has nothing left to do."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from eventbus.delivery import BatchContext
from eventbus.errors import BackendError
from eventbus.events import Event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from eventbus.bus import EventBus
    from eventbus.consuming import Consumer
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

        A group that was lost in Redis is busy until it has been made anew.

        Args:
            timeout: Seconds after which to give up. Default 5.

        Raises:
            TimeoutError: Says which group still has what, and how much of it this process left pending.
        """
        busy = ["Redis has not answered yet"]
        with anyio.move_on_after(timeout):
            while True:
                before = self._progress()
                try:
                    busy = await self._busy()
                except BackendError as error:
                    busy = [str(error)]
                # Nothing may have happened while we looked from group to group: a handler of the last
                # one could have published to the first.
                if not busy and before == self._progress():
                    return
                await anyio.sleep(LOOK_EVERY)
        raise TimeoutError(f"the bus is not idle after {timeout:g} s: {'; '.join(busy) or 'events kept coming'}.")

    async def _busy(self) -> list[str]:
        found = [(consumer, await consumer.backlog()) for consumer in self.bus.consumers]
        return [_owed(consumer, backlog) for consumer, backlog in found if backlog.unread or backlog.pending or backlog.parked]

    def _progress(self) -> tuple[int, int, int]:
        return len(self._published), len(self._handled), sum(len(consumer.in_hand) for consumer in self.bus.consumers)

    def saw_published(self, event: Event, _: Published) -> None:
        """Note a confirmed publish; the bus calls it."""
        self._published.append(event)

    async def saw_handled(self, event: Any, ctx: Context | BatchContext, call_next: Any) -> None:
        """Note a handled event, or those of a batch that were not failed; a middleware outside all others."""
        await call_next(event, ctx)
        self._handled += ctx.remaining if isinstance(ctx, BatchContext) else [event]


def _owed(consumer: Consumer, backlog: Backlog) -> str:
    parts = ["entries that nobody has read"] if backlog.unread else []
    for number, state in ((backlog.pending, "pending"), (backlog.parked, "parked, waiting to be handled again")):
        if number:
            parts.append(f"{number} entr{'y' if number == 1 else 'ies'} {state}")
    return f"{consumer.subscription} has {' and '.join(parts)} ({consumer.counts})"


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
