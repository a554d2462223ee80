"""The parent of worker processes: starts them, replaces those that end, brings them down together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.delivery import Backoff

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator, Generator, Mapping, Sequence

    from eventbus.supervision.signals import StopRequest

_log = logging.getLogger("eventbus.supervision.processes")

PARENT: Final = "EVENTBUS_PARENT_FD"
"""The variable that tells a child which descriptor ends with its parent."""

STEADY: Final = 30.0
"""Seconds a child must have lived for its end to count as the first failure again."""

PATIENCE: Final = 10.0
"""Seconds between the second signal and SIGKILL: a child needs its shutdown's graces, not a whole drain."""


@dataclass(slots=True)
class Restarts:
    """Decide how long to wait before a child starts again. Pure: who asks brings the time.

    Attributes:
        backoff: The delays; at most half a minute, so that a repaired machine comes back by itself.
        failures: Ends in a row after less than `STEADY` seconds.
    """

    backoff: Backoff = field(default_factory=partial(Backoff, first=0.5, most=30.0))
    failures: int = 0

    def delay(self, *, started: float, now: float, chance: float | None = None) -> float:
        """Seconds to wait after a child that started then and ended now; `chance` replaces a random number."""
        self.failures = 1 if now - started >= STEADY else self.failures + 1
        return self.backoff.delay(self.failures, chance=chance)


def ending(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


@dataclass(frozen=True, slots=True)
class Command:
    """What a child runs.

    Attributes:
        arguments: Program and arguments.
        environment: All of its environment.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclass(slots=True)
class Child:
    """One child process.

    It gets a session of its own: Ctrl-C in a terminal reaches the parent only, which passes it on once. (A
    signal that arrived twice would cut the drain.) Its `PARENT` descriptor ends when the parent does,
    however that came; see `end_with_parent`.
    """

    process: Process
    name: str

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, command: Command, name: str, parent: int) -> AsyncGenerator[Child]:
        """Start it; what still runs at the end of the block is killed and waited for.

        Args:
            command: What to run.
            name: For the log.
            parent: The reading end of a pipe whose other end only this process has.
        """
        process = await asyncio.create_subprocess_exec(
            *command.arguments,
            env={**command.environment, PARENT: str(parent)},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[parent],
        )
        try:
            yield cls(process, name)
        finally:
            if process.returncode is None:
                process.kill()
                with anyio.CancelScope(shield=True):
                    await process.wait()

    async def wait(self, request: StopRequest) -> int:
        """Pass on the wishes to stop until it has ended; returns its exit status.

        The first wish is SIGTERM, the second SIGINT: of two equal signals that come in one moment, a process
        sees one only. `PATIENCE` seconds after the second comes SIGKILL.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._pass_on, request)
            await self.process.wait()
            tasks.cancel_scope.cancel()
        return self.process.returncode or 0

    async def _pass_on(self, request: StopRequest) -> None:
        await request.stop.wait()
        self._send(signal.SIGTERM)
        await request.hurry.wait()
        self._send(signal.SIGINT)
        await anyio.sleep(PATIENCE)
        _log.warning("%s (pid %d) did not end %g s after the second signal: killing it", self.name, self.pid, PATIENCE)
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            self.process.send_signal(number)


@dataclass(slots=True)
class Worker:
    """One place for a child: whatever ends there is replaced.

    Guarantees:
        A child that ended by itself is started again, with jittered backoff, until the stop is asked for.
    Stops:
        With its child, which was passed the signal, or at once while it waits to start one.
    Survives:
        Any end of the child but those whose exit code is `hopeless`.
    """

    name: str
    command: Command
    parent: int
    hopeless: int | None = None
    restarts: Restarts = field(default_factory=Restarts)

    async def run(self, request: StopRequest) -> int:
        """Keep a child running until the stop; returns the exit status of the last one."""
        status = 0
        while not request.stop.is_set():
            started = time.monotonic()
            status = await self.run_once(request)
            if request.stop.is_set():
                break
            now = time.monotonic()
            if status == self.hopeless:
                _log.error("%s %s: starting it again would not help", self.name, ending(status))
                break
            pause = self.restarts.delay(started=started, now=now)
            level = logging.WARNING if status else logging.INFO
            _log.log(level, "%s %s after %.1f s; starting again in %.1f s", self.name, ending(status), now - started, pause)
            with anyio.move_on_after(pause):
                await request.stop.wait()
        return status

    async def run_once(self, request: StopRequest) -> int:
        """Start one child and wait for its end; 1 where the machine cannot start one now."""
        try:
            async with Child.start(self.command, self.name, self.parent) as child:
                _log.info("%s started (pid %d)", self.name, child.pid)
                status = await child.wait(request)
        except OSError as error:  # no memory or no process to be had
            _log.error("%s cannot be started: %s", self.name, error.strerror)
            return 1
        if request.stop.is_set():
            _log.info("%s %s", self.name, ending(status))
        return status


async def run_workers(command: Command, count: int, request: StopRequest, *, hopeless: int | None = None) -> int:
    """Keep a number of children running until the stop is asked for, and wait for all of them.

    Args:
        command: What each of them runs.
        count: How many.
        request: Stops them; usually from `stop_on_signals`.
        hopeless: An exit code that would come again however often a child is started. A child that ends
            with it stops all.

    Returns:
        0 where all ended as asked, `hopeless` where one ended so, else 1. A child that the asked-for signal
        killed had not yet begun to read, and counts as ended as asked.
    """
    statuses: list[int] = []

    async def keep(worker: Worker) -> None:
        status = await worker.run(request)
        statuses.append(status)
        if status == hopeless:
            request.stop.set()

    with parent_pipe() as parent:
        async with anyio.create_task_group() as tasks:
            for number in range(1, count + 1):
                tasks.start_soon(keep, Worker(f"worker {number}", command, parent, hopeless))
    if hopeless is not None and hopeless in statuses:
        return hopeless
    return 0 if all(status in (0, -signal.SIGTERM) for status in statuses) else 1


@contextlib.contextmanager
def parent_pipe() -> Generator[int]:
    """Make the pipe whose end tells children that their parent is gone; yields the end for them."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def own_command(arguments: Sequence[str]) -> Command:
    """Make the command that runs `python -m eventbus` with these arguments, in this environment."""
    return Command((sys.executable, "-m", "eventbus", *arguments), dict(os.environ))
