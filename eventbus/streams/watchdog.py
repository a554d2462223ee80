"""Run one server and end it with its owner. A script of its own: started by path, imports nothing of eventbus.

    python watchdog.py HOME LOCK SERVER [ARGUMENT…]

HOME    the private directory, removed at the end.
LOCK    a file descriptor the server inherits and nobody else keeps, or -1. It holds the data directory's
        lock, which therefore ends exactly when the server does, whoever else was killed.
stdin   a pipe whose other end only the owner holds: its end of file is the owner's end, however it came.
stdout  a pipe the owner reads: its end of file is the server's end.
stderr  the server's log.

Why a process: a killed owner runs no code of its own. Why the server is a child of it: until it is waited
for, its process id cannot pass on to a stranger.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import Final

GRACE: Final = 10.0
"""Seconds the server gets to write its append-only file after SIGTERM before it is killed."""

_STDIN: Final = 0
_STDOUT: Final = 1
_STDERR: Final = 2


def main(home: str, lock: int, command: list[str]) -> None:
    """Start the server, wait until it or its owner has ended, leave nothing behind."""
    inherited = [lock] if lock >= 0 else []
    server = subprocess.Popen(  # noqa: S603 - the command comes from our own process
        command, stdin=subprocess.DEVNULL, stdout=_STDERR, stderr=_STDERR, pass_fds=inherited
    )
    # Only after the start, since a child inherits what is ignored. Who signals a whole group or a terminal
    # means the owner, which may want to drain first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for descriptor in inherited:
        os.close(descriptor)
    keeper = threading.Thread(target=end_with_owner, args=(server,))
    keeper.start()
    server.wait()
    os.close(_STDOUT)
    keeper.join()  # the owner may still want to read the log
    shutil.rmtree(home, ignore_errors=True)


def end_with_owner(server: subprocess.Popen[bytes]) -> None:
    """Wait for the owner's end, then stop the server."""
    while os.read(_STDIN, 1):
        pass
    server.terminate()
    try:
        server.wait(GRACE)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
