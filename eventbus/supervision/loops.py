"""Keeps a loop running: starts it again after a failure, with backoff, and knows how it is."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from eventbus.delivery import Health
from eventbus.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventbus.delivery import Alive, Backoff

_log = logging.getLogger("eventbus.supervision")


@dataclass(slots=True)
class Loop:
    """A loop under supervision.

    Attributes:
        name: What it does and for what: "fetching orders/charge".
        body: Runs until stopped; calls what it is given after each pass that went well; raises when it
            cannot go on.
        stopping: Set when the loop is to end; it is then not started again.
        health: How it is now.
        failures: Failures since the last pass that went well.
        last_error: What it failed of, in words.
    """

    name: str
    body: Callable[[Alive], Awaitable[None]]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    health: Health = Health.STARTING
    failures: int = 0
    last_error: str = ""
    _outage_said: bool = False

    async def supervise(self, backoff: Backoff) -> None:
        """Run the body until it ends by itself, and again after each failure.

        Survives:
            Every Exception of the body. The first of a row is logged with its reason; a foreign one (a
            defect) with its traceback.
        """
        while not self.stopping.is_set():
            try:
                await self.body(self._alive)
                break
            except Exception as error:  # noqa: BLE001 - one loop's failure must not end the others
                self._failed(error)
            except BaseExceptionGroup as errors:
                _, fatal = errors.split(Exception)
                if fatal is not None and fatal.subgroup((asyncio.CancelledError, KeyboardInterrupt, SystemExit)):
                    raise
                self._failed(errors)
            await self._wait(backoff.delay(self.failures))
        self.health = Health.STOPPED

    def _alive(self, health: Health = Health.RUNNING, /) -> None:
        if self.failures:
            _log.warning("%s goes on after %d failures", self.name, self.failures)
            self.failures = 0
            self._outage_said = False
        self.health = health

    def _failed(self, error: BaseException) -> None:
        self.health = Health.FAILING
        self.failures += 1
        self.last_error = f"{type(error).__name__}: {error}"
        if not isinstance(error, BackendError):
            _log.error("%s failed and starts again", self.name, exc_info=error)
        elif not self._outage_said:
            self._outage_said = True
            _log.warning("%s waits for Redis: %s", self.name, error)
        else:
            _log.debug("%s still waits for Redis (%d failures): %s", self.name, self.failures, error)

    async def _wait(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self.stopping.wait()
