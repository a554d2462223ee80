"""Kills the demo's children when the demo itself was killed, which cannot clean up after itself then.

Run by path, it is the process that does so: it reads `+PID` and `-PID` lines until its input ends, which is
the end of the demo, however it came. Those not taken back by then are killed.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress


class Minder:
    """The process, as the demo sees it."""

    def __init__(self) -> None:
        # A session of its own: what ends the demo's terminal must not end its minder.
        command = [sys.executable, "-I", "-S", __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)  # noqa: S603 - this file
        self._watched: set[int] = set()

    def watch(self, pid: int) -> None:
        """Kill this process at the end."""
        self._watched.add(pid)
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """Leave this process alone: it has ended, and its id may soon be a stranger's."""
        if pid in self._watched:
            self._watched.remove(pid)
            self._tell(f"-{pid}\n")

    def close(self) -> None:
        """All is in order; forget everybody."""
        for pid in list(self._watched):
            self.forget(pid)
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.write(line.encode())


def mind(lines: Iterable[str]) -> set[int]:
    """The processes that are left at the end of these lines."""
    left: set[int] = set()
    for line in lines:
        sign, pid = line[0], int(line[1:])
        (left.add if sign == "+" else left.discard)(pid)
    return left


if __name__ == "__main__":
    for left_behind in mind(sys.stdin):
        with suppress(ProcessLookupError):
            os.kill(left_behind, signal.SIGKILL)
