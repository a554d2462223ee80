"""The demo's child processes: started, told to leave, waited for, never forgotten."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.demo.minder import Minder
from services.demo.plan import App

RUN = (sys.executable, "-m", "eventbus", "run")
"""How a service is started, as a user would."""

QUICK = {"EVENTBUS_LEASE": "3", "EVENTBUS_CLAIM_INTERVAL": "1"}
"""A lease of seconds: what a killed worker held is taken over while one watches. 30 s and 5 s are the defaults."""

TAIL = 25
"""Lines of a log that are shown."""


@dataclass(slots=True, eq=False)
class Worker:
    """One process of an app.

    Attributes:
        app: What it runs.
        process: The process.
        log: The file that takes its output.
        told: When it was told to leave or killed, on the monotonic clock; None while it is wanted.
        killed: It was killed in the middle of its work.
    """

    app: App
    process: asyncio.subprocess.Process
    log: Path
    told: float | None = None
    killed: bool = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    @property
    def ended_badly(self) -> bool:
        """Whether it was told to leave and ended with an error.

        SIGTERM itself ends a process that is still starting, which is in order: it holds nothing yet.
        """
        return self.told is not None and not self.killed and self.process.returncode not in (None, 0, -signal.SIGTERM)

    def stop(self) -> None:
        """Tell it to leave: SIGTERM, once."""
        if self.told is None:
            self.told = time.monotonic()
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does: kill -9."""
        self.killed = True
        self.told = self.told or time.monotonic()
        self._signal(signal.SIGKILL)

    def end_at_once(self) -> None:
        """It did not leave when it was told to."""
        self._signal(signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Generator[None, None, None]:
        """Hold it still, so that what it holds cannot change between a look and a signal."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-TAIL:])

    def __str__(self) -> str:
        """How it is called on the screen."""
        return f"{self.app.name} {self.pid}"

    def _signal(self, number: signal.Signals) -> None:
        if self.runs:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)


@dataclass(slots=True)
class Crew:
    """All processes there are and were.

    Attributes:
        environment: The variables of the children.
        logs: The directory of their logs.
        run: The command that is followed by an app's target, where the app has none of its own.
    """

    environment: Mapping[str, str]
    logs: Path
    run: Sequence[str] = RUN
    workers: list[Worker] = field(default_factory=list[Worker])
    _minder: Minder = field(default_factory=Minder)

    async def start(self, app: App) -> Worker:
        """Start one process of an app."""
        log = self.logs / f"{app.name}-{len(self.workers)}.log"
        with log.open("wb") as output:
            # A session of its own: Ctrl-C reaches the demo alone, which then stops all in order.
            process = await asyncio.create_subprocess_exec(
                *(app.run or self.run),
                app.target,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        worker = Worker(app, process, log)
        self.workers.append(worker)
        self._minder.watch(worker.pid)
        return worker

    def running(self) -> list[Worker]:
        """Those that have not ended."""
        return [worker for worker in self.workers if worker.runs]

    def ended(self) -> list[Worker]:
        """Those that have ended, for whatever reason."""
        ended = [worker for worker in self.workers if not worker.runs]
        for worker in ended:
            self._minder.forget(worker.pid)
        return ended

    async def end(self, within: float) -> None:
        """Stop all that still run, and kill those that have not left after so many seconds."""
        running = self.running()
        for worker in running:
            worker.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                for worker in running:
                    await worker.process.wait()
        for worker in self.running():
            worker.end_at_once()
            await worker.process.wait()
        self._minder.close()


def environment(url: str, ledger: Path) -> dict[str, str]:
    """The children's variables: this process's own, but of the bus's only the url."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")}
    return {**ours, **QUICK, "EVENTBUS_URL": url, "DEMO_LEDGER": str(ledger)}
