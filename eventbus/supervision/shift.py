"""One consumer's working time: its loops while it consumes, and the steps by which it ends."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.errors import BackendError
from eventbus.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventbus.consuming import Consumer
    from eventbus.delivery import Alive, Settings

_log = logging.getLogger("eventbus.supervision")

GRACE: Final = 5.0
"""Seconds for each step after the drain: cancelled handlers, the last acknowledgements, the leave."""


class Shift:
    """Starts a consumer that has joined its group, and brings it down in order.

    Guarantees:
        `end` returns within the drain and a few graces, whatever handlers and Redis do. What was not
        handled by then stays pending.
    """

    def __init__(self, consumer: Consumer, settings: Settings) -> None:
        self.consumer = consumer
        self._settings = settings
        self._about = str(consumer.subscription)
        self.supervisor = Supervisor(lease=settings.lease)

    async def begin(self) -> None:
        """Start the loops. Reading comes last: what it brings finds everything else ready."""
        await self.supervisor.open()
        consumer, start = self.consumer, self.supervisor.start
        start(f"handling {self._about}", consumer.executors.run)
        start(f"settling {self._about}", consumer.settler.run)
        start(f"heartbeat of {self._about}", self._heartbeat)
        start(f"fetching {self._about}", consumer.fetcher.run, consumer.fetcher.stopping)

    async def end(self, hurry: asyncio.Event) -> None:
        """Stop reading, let handlers finish, cancel the rest at the deadline, settle, leave the group.

        Args:
            hurry: Set when handlers are not to be waited for any longer.
        """
        consumer = self.consumer
        await self._step("stopping to read", consumer.fetcher.stop)
        if not await _first(consumer.in_hand.wait_until_empty, hurry.wait, self._settings.drain):
            _log.warning("%s: the drain ended with %d entries in hand; they stay pending", self._about, len(consumer.in_hand))
        consumer.executors.cut()
        await self._step("ending cancelled handlers", consumer.executors.wait_until_idle)
        await self._step("writing the last acknowledgements", consumer.settler.flush)
        await self.supervisor.close()
        await self._step("leaving the group", consumer.leave)
        _log.info("%s: %s", self._about, consumer.counts)

    async def _step(self, doing: str, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step of the way down; one that fails is said, and does not stop those that follow."""
        try:
            async with asyncio.timeout(GRACE):
                await step()
        except TimeoutError:
            _log.error("%s: %s did not end within %g s", self._about, doing, GRACE)
        except BackendError as error:
            _log.warning("%s: %s failed: %s", self._about, doing, error)

    async def _heartbeat(self, alive: Alive) -> None:
        while True:
            await self.consumer.announce()
            alive()
            await anyio.sleep(self._settings.lease / 3)


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
