"""One consumer's working time: its loops while it consumes, and the steps by which it ends."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.errors import BackendError
from eventbus.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from eventbus.consuming import Consumer
    from eventbus.delivery import Alive, Settings

_log = logging.getLogger("eventbus.supervision")

GRACE: Final = 5.0
"""Seconds after the drain's deadline for everything that follows it: cancelled handlers, the last
acknowledgements, the leave."""

SHORTEST: Final = 0.5
"""Seconds that a step gets even when the time is over: enough for an answer from a Redis that is well."""

LATER_STEPS: Final = 3
"""Steps after settling that are to have their time as well: the rescue, the leave, the publisher's close."""


class Shift:
    """Starts a consumer that has joined its group, and brings it down in order.

    Guarantees:
        `end` returns within the drain and one grace, whatever handlers and Redis do. What never started, and
        what ended by its cancel, is released to other workers uncounted; what ignores its cancel, or sits in a
        thread, stays pending until its lease runs out.
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
        consumer.begin()
        start(f"handling {self._about}", consumer.executors.run)
        start(f"acknowledging {self._about}", consumer.settler.run)
        start(f"moving {self._about}", consumer.mover.run)
        start(f"leases of {self._about}", consumer.beat.run)
        start(f"heartbeat of {self._about}", self._heartbeat)
        start(f"promoting {self._about}", consumer.promoter.run, consumer.promoter.stopping)
        start(f"claiming {self._about}", consumer.claimer.run, consumer.claimer.stopping)
        start(f"fetching {self._about}", consumer.fetcher.run, consumer.fetcher.stopping)

    async def end(self, hurry: asyncio.Event) -> int:
        """Come down the ladder.

        Take no more and release what never started; let handlers finish; at the deadline cancel them and
        release what has ended by that; settle; end the beat; leave the group.

        Args:
            hurry: Set when handlers are not to be waited for any longer.

        Returns:
            How many handlers ignored their cancel, or sit in a thread that nothing can stop.
        """
        consumer, drain, ended = self.consumer, self._settings.drain, self.supervisor.ended
        deadline = anyio.current_time() + drain
        await _first(consumer.stop_taking, (ended.wait,), max(drain, GRACE / 2))
        left = max(0.0, deadline - anyio.current_time())
        drained = await _first(consumer.in_hand.wait_until_empty, (hurry.wait, ended.wait), left)
        if not drained:
            _log.warning("%s: the drain ended with %d entries in hand", self._about, len(consumer.in_hand))
        deadline = min(deadline, anyio.current_time()) + GRACE
        consumer.executors.cancel()
        if not ended.is_set():
            await self._settle(deadline)
        running = consumer.executors.running
        closed = await self.supervisor.close()
        consumer.end()
        await self._step("rescuing what only this process holds", consumer.rescue, deadline)
        await self._step("leaving the group", consumer.leave, deadline)
        _log.info("%s: %s", self._about, consumer.counts)
        return self._stuck(0 if closed else running)

    async def _settle(self, deadline: float) -> None:
        consumer = self.consumer
        await self._step("ending cancelled handlers", consumer.executors.wait_until_idle, deadline - GRACE / 2)
        await self._step("settling what ended", consumer.flush, deadline - LATER_STEPS * SHORTEST)

    async def _step(self, doing: str, step: Callable[[], Awaitable[None]], deadline: float) -> None:
        """Take a step of the way down; one that fails is said, and does not stop those that follow."""
        seconds = max(SHORTEST, deadline - anyio.current_time())
        try:
            async with asyncio.timeout(seconds):
                await step()
        except TimeoutError:
            _log.error("%s: %s did not end within %.1f s", self._about, doing, seconds)
        except BackendError as error:
            _log.warning("%s: %s failed: %s", self._about, doing, error)
        except Exception:  # noqa: BLE001 - a defect in one step must not keep the others from being taken
            _log.exception("%s: %s failed", self._about, doing)

    def _stuck(self, deaf: int) -> int:
        """Say which handlers nothing can end."""
        threads = self.consumer.threads
        for name, count in threads.items():
            _log.error("%s: %d threads of handler %s still run; the process ends when they do", self._about, count, name)
        if deaf:
            _log.error("%s: %d handlers ignore that they were cancelled", self._about, deaf)
        return deaf + sum(threads.values())

    async def _heartbeat(self, alive: Alive) -> None:
        while True:
            await self.consumer.membership.announce()
            alive()
            await anyio.sleep(self._settings.lease / 3)


async def _first(wanted: Callable[[], Awaitable[object]], others: Sequence[Callable[[], Awaitable[object]]], seconds: float) -> bool:
    """Wait until something wanted happens, or one of others, or the time is over; whether it was the wanted."""
    happened = False
    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:

            async def watch(other: Callable[[], Awaitable[object]]) -> None:
                await other()
                tasks.cancel_scope.cancel()

            for other in others:
                tasks.start_soon(watch, other)
            await wanted()
            happened = True
            tasks.cancel_scope.cancel()
    return happened
