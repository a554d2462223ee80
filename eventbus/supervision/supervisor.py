"""Owns every loop of a bus, and takes its consumers through start and shutdown."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.delivery import Alive, Backoff, Settings
from eventbus.errors import BackendError
from eventbus.supervision.home import Home
from eventbus.supervision.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from eventbus.consuming import Consumer

_log = logging.getLogger("eventbus.supervision")

GRACE: Final = 5.0
"""Seconds after the drain for cancelled handlers to end and for the last acknowledgements."""


class Supervisor:
    """Runs the loops of one bus in one task group.

    Guarantees:
        A loop that fails is started again; no loop's failure ends another.
    Stops:
        `close` cancels what still runs. Consumers are drained before, by `drain`.
    """

    def __init__(self, settings: Settings, backoff: Backoff | None = None) -> None:
        self._settings = settings
        self._backoff = backoff or Backoff(most=min(4.0, settings.lease / 6))
        self._home = Home()
        self.loops: list[Loop] = []

    async def open(self) -> None:
        """Make room for loops."""
        await self._home.open()

    async def close(self) -> None:
        """Cancel what still runs."""
        await self._home.close()

    def start(self, name: str, body: Callable[[Alive], Awaitable[None]], stopping: asyncio.Event | None = None) -> None:
        """Start a loop under supervision."""
        loop = Loop(name, body, stopping or asyncio.Event())
        self.loops.append(loop)

        async def supervised() -> None:
            await loop.supervise(self._backoff)

        self._home.start(supervised)

    def consume(self, consumer: Consumer) -> None:
        """Start the loops of a consumer that has joined its group."""
        about = str(consumer.subscription)
        self._home.start(consumer.executors.run)
        self.start(f"settling {about}", consumer.settler.run)
        self.start(f"heartbeat of {about}", self._heartbeat(consumer))
        self.start(f"fetching {about}", consumer.fetcher.run, consumer.fetcher.stopping)

    async def drain(self, consumers: Sequence[Consumer], hurry: asyncio.Event) -> None:
        """Take consumers through shutdown, all at once.

        Stop reading, let handlers finish what is in hand until the drain's deadline (or until `hurry` is
        set), cancel the rest, write the last acknowledgements, leave the groups.
        """
        async with anyio.create_task_group() as tasks:
            for consumer in consumers:
                tasks.start_soon(self._drain, consumer, hurry)

    async def _drain(self, consumer: Consumer, hurry: asyncio.Event) -> None:
        about = consumer.subscription
        await self._quietly(f"{about}: stopping to read", consumer.fetcher.stop, GRACE)
        if not await _first(consumer.in_hand.wait_until_empty, hurry.wait, self._settings.drain):
            _log.warning("%s: the drain ended with %d entries in hand; they stay pending", about, len(consumer.in_hand))
        consumer.executors.cut()
        await self._quietly(f"{about}: waiting for cancelled handlers", consumer.executors.wait_until_idle, GRACE)
        await self._quietly(f"{about}: the last acknowledgements", consumer.settler.flush, GRACE)
        await self._quietly(f"{about}: leaving the group", consumer.leave, GRACE)

    async def _quietly(self, doing: str, step: Callable[[], Awaitable[None]], seconds: float) -> None:
        """Take a step of the shutdown; one that fails is said and does not stop those that follow."""
        try:
            async with asyncio.timeout(seconds):
                await step()
        except TimeoutError:
            _log.error("%s did not end within %g s", doing, seconds)
        except BackendError as error:
            _log.warning("%s failed: %s", doing, error)

    def _heartbeat(self, consumer: Consumer) -> Callable[[Alive], Awaitable[None]]:
        async def beat(alive: Alive) -> None:
            while True:
                await consumer.announce()
                alive()
                await anyio.sleep(self._settings.lease / 3)

        return beat


async def _first(wanted: Callable[[], Awaitable[object]], other: Callable[[], Awaitable[object]], seconds: float) -> bool:
    """Wait until the first, the second, or the time is over; whether it was the first."""
    happened = False
    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                await other()
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await wanted()
            happened = True
            tasks.cancel_scope.cancel()
    return happened
