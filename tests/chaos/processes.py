"""The processes of a run: started fresh from a warm one, watched, ended by their ids."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkServerProcess

    from tests.chaos.history import History

_CONTEXT: Final = multiprocessing.get_context("forkserver")
PRELOADED: Final = ("tests.chaos.worker", "tests.chaos.publisher")

HANGING: Final = 20.0
"""Seconds after which a process that was asked to end is killed, and the run has failed."""


def warm_up() -> None:
    """Have what every process imports imported once: a start then costs milliseconds, not a second."""
    _CONTEXT.set_forkserver_preload(list(PRELOADED))


@dataclass(eq=False)
class Place:
    """One process after the other.

    Attributes:
        name: As it stands in faults and histories: `w0`.
        target: What its processes run.
        spec: Makes what the next one is to be, from its name and how many were before it.
        again: A process that has ended is followed by another.
        started: Processes so far.
    """

    name: str
    history: History
    target: Callable[[Any], None]
    spec: Callable[[str, int], Any]
    again: bool = True
    pause: Callable[[], float] = lambda: 0.0
    started: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    on_end: Callable[[], None] = lambda: None
    _process: ForkServerProcess | None = None
    _timer: asyncio.TimerHandle | None = None

    @property
    def process(self) -> str:
        """The name of the present process."""
        return f"{self.name}.{self.started}"

    @property
    def alive(self) -> bool:
        """Whether there is one."""
        return self._process is not None

    def start(self) -> None:
        """Start the next process."""
        self._timer = None
        self.ended.clear()
        self.started += 1
        spec = self.spec(self.process, self.started - 1)
        process = _CONTEXT.Process(target=self.target, args=(spec,), daemon=True)
        process.start()
        self._process = process
        about = {name: getattr(spec, name) for name in ("newer", "point", "plant") if getattr(spec, name, "")}
        self.history.fault("start", "ok", of=self.process, pid=process.pid, **about)
        asyncio.get_running_loop().add_reader(process.sentinel, self._reap)

    def signal(self, number: int) -> bool:
        """Send a signal; whether there was somebody to get it."""
        if self._process is None or self._process.pid is None:
            return False
        os.kill(self._process.pid, number)  # not reaped yet, so that the id is still its own
        return True

    def kill(self) -> bool:
        """SIGKILL, noted first."""
        if self._process is None:
            return False
        self.history.fault("fault", "invoke", kind="kill", of=self.process)
        return self.signal(signal.SIGKILL)

    def terminate(self) -> bool:
        """SIGTERM, noted first."""
        if self._process is None:
            return False
        self.history.fault("fault", "invoke", kind="term", of=self.process)
        return self.signal(signal.SIGTERM)

    async def end(self) -> bool:
        """Ask it to end, and start no other; whether it did by itself in time."""
        self.again = False
        self._unschedule()
        if not self.terminate():
            return True
        try:
            async with asyncio.timeout(HANGING):
                await self.ended.wait()
        except TimeoutError:
            self.history.fault("exit", "fail", of=self.process, code=None, hangs=True)
            self.abandon()
            return False
        return True

    def abandon(self) -> None:
        """End it at once, whatever it does."""
        self.again = False
        self._unschedule()
        if self._process is not None:
            self._process.kill()

    def _unschedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reap(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        asyncio.get_running_loop().remove_reader(process.sentinel)
        process.join()
        done = {"done": True} if not self.again and process.exitcode == 0 else {}  # a publisher's work has an end
        self.history.fault("exit", "ok", of=self.process, code=process.exitcode, **done)
        process.close()
        self.on_end()
        self.ended.set()
        if self.again:
            self._timer = asyncio.get_running_loop().call_later(self.pause(), self.start)


if sys.platform == "win32":
    raise ImportError("the rig sends signals that Windows does not have")


def cool_down() -> None:
    """End the warm process, and the one that watches its resources: nothing of a run stays."""
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()
