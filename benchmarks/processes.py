"""The processes that are measured, seen from the one that measures."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

if TYPE_CHECKING:
    from benchmarks.peer import Task

ROOT: Final = Path(__file__).resolve().parent.parent
"""Where `benchmarks` and `eventbus` are imported from."""

PATIENCE: Final = 120.0
"""Seconds for a process to say its next word."""


# A benchmark that is killed cannot end what it started; Linux does it: PR_SET_PDEATHSIG of prctl(2), which outlives exec.
_ARMED: Final = f"import ctypes, os, sys; ctypes.CDLL(None).prctl(1, {int(signal.SIGTERM)}); os.execv(sys.argv[1], sys.argv[1:])"

ENDING_WITH_PARENT: Final = (sys.executable, "-ISc", _ARMED) if sys.platform == "linux" else ()
"""Put before a command, it ends the command's process when this one ends, however it ends."""


class Failed(Exception):
    """A process did not do its task; the message shows the end of what it printed."""


class Process:
    """A fresh process with one task.

    Args:
        python: The interpreter of the library's environment.
        task: What to do.
    """

    def __init__(self, python: str, task: Task) -> None:
        self._what = f"{task.module} ({task.role})"
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [*ENDING_WITH_PARENT, python, "-W", "ignore", "-m", "benchmarks.child", json.dumps(asdict(task))]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)
        self._heard = b""

    def __enter__(self) -> Self:
        """A process that ends with the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def say(self, word: str) -> None:
        """Tell it something.

        Raises:
            Failed: It ended before.
        """
        try:
            os.write(self._input, f"{word}\n".encode())
        except BrokenPipeError:
            raise self._failure("ended too early") from None

    def hear(self, word: str, *, within: float = PATIENCE) -> dict[str, Any]:
        """Wait until it says a word, and return the facts that come with it.

        Raises:
            Failed: It ended, said something else, or nothing in time.
        """
        until = time.monotonic() + within
        while b"\n" not in self._heard:
            if not select.select([self._output], [], [], max(0.0, until - time.monotonic()))[0]:
                raise self._failure(f"did not say {word!r} within {within:g} s")
            more = os.read(self._output, 1 << 20)
            if not more:
                raise self._failure(f"ended before it said {word!r}")
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        facts: dict[str, Any] = json.loads(line)
        if facts.pop("word") != word:
            raise self._failure(f"said {line[:80]!r}, not {word!r}")
        return facts

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.poll() is not None

    @property
    def _input(self) -> int:
        return cast("IO[bytes]", self._process.stdin).fileno()

    @property
    def _output(self) -> int:
        return cast("IO[bytes]", self._process.stdout).fileno()

    def _failure(self, what: str) -> Failed:
        self._errors.seek(0)
        printed = self._errors.read().decode(errors="replace").strip()[-1500:]
        return Failed(f"{self._what} {what}{':' if printed else ''}\n{printed}".rstrip())
