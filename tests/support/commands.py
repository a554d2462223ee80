"""The command line as a user runs it: real processes, watched by what they print."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0  # seconds; reached only by a failure


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed that nobody had read before."""

    code: int
    out: str
    err: str


class Command:
    """A running `python -m eventbus …`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen = ""

    @classmethod
    async def start(cls, *arguments: str, cwd: Path, url: str | None = None, **environment: str) -> Command:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")}
        clean |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment} | ({"EVENTBUS_URL": url} if url else {})
        command = (sys.executable, "-m", "eventbus", *arguments)
        pipe = asyncio.subprocess.PIPE
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A shell's `pytest … &` ignores Ctrl-C, and so would what it starts.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # A session of its own, as in a terminal of its own: signals to its group reach nobody else.
        return cls(
            await asyncio.create_subprocess_exec(*command, cwd=cwd, env=clean, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        )

    async def line(self, containing: str = "") -> str:
        """Wait for a line of standard output."""
        return await self._line(self.process.stdout, containing)

    async def error(self, containing: str) -> str:
        """Wait for a line of standard error."""
        return await self._line(self.process.stderr, containing)

    async def ended(self, stdin: bytes | None = None) -> Ended:
        """Wait for its end."""
        async with asyncio.timeout(DEADLINE):
            out, err = await self.process.communicate(stdin)
        return Ended(self.process.returncode, out.decode(), err.decode())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        self.process.terminate()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        # Not read to its end: a child that outlives it, which is a failure of its own, would hold the pipe.
        self.process._transport.close()

    async def _line(self, stream: asyncio.StreamReader, containing: str) -> str:
        async with asyncio.timeout(DEADLINE):
            while raw := await stream.readline():
                self.seen += raw.decode()
                if containing in raw.decode():
                    return raw.decode().rstrip("\n")
        raise AssertionError(f"it ended without saying {containing!r}; it said:\n{self.seen}\n{await self.ended()}")


async def gone(pid: int) -> None:
    """Wait until a process that is nobody's child here has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(DEADLINE):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
