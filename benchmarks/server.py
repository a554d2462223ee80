"""A Redis server of the benchmark's own: started for it on a free port of the loopback, ended with it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, cast

from benchmarks.control import Control
from benchmarks.processes import ENDING_WITH_PARENT

if TYPE_CHECKING:
    from collections.abc import Generator

PERSISTENCE: Final = {
    "none": ("--appendonly", "no"),
    "everysec": ("--appendonly", "yes", "--appendfsync", "everysec"),
}
"""How the server writes to its disk. "none" shows the clients; "everysec" is what production should have."""

PROGRAMS: Final = ("redis-server", "valkey-server")
READY: Final = "ready to accept connections"


class NoServer(Exception):
    """There is no Redis server to start."""


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        version: What it says its version is.
        control: A connection to it.
    """

    port: int
    version: str
    control: Control


@contextmanager
def running(persistence: str = "none", program: str | None = None) -> Generator[Server]:
    """Start a server, and end it afterwards.

    Args:
        persistence: A key of `PERSISTENCE`.
        program: The server to run. Default: the one on PATH.

    Raises:
        NoServer: None was found, or it did not start; the message says what to do.
    """
    path = find(program)
    folder = tempfile.mkdtemp(prefix="eventbus-bench-")
    port = free_port()
    settings = ("--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", *PERSISTENCE[persistence])
    process = start([path, *settings])
    control = Control(port)
    try:
        yield Server(port, version_of(control), control)
    finally:
        control.close()
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def find(program: str | None = None) -> str:
    """The server to run.

    Raises:
        NoServer: It was not found.
    """
    for name in [program] if program else PROGRAMS:
        if found := shutil.which(name):
            return found
    raise NoServer(
        f"{program or ' or '.join(PROGRAMS)} was not found on PATH. On Debian and Ubuntu: apt-get install redis-server; "
        "on macOS: brew install redis; or name one: --server PATH"
    )


def start(command: list[str]) -> subprocess.Popen[str]:
    """Start a server and wait until it accepts connections.

    Raises:
        NoServer: It ended instead; the message shows what it said.
    """
    process = subprocess.Popen([*ENDING_WITH_PARENT, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said: list[str] = []
    with cast("IO[str]", process.stdout) as lines:  # what it says later nobody reads, and it does not mind
        for line in lines:
            said.append(line)
            if READY in line.lower():
                return process
    raise NoServer(f"{command[0]} ended with {process.wait()}:\n{''.join(said)}")


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def version_of(control: Control) -> str:
    """What a server is: "Redis 7.0.15", "Valkey 8.1.1"."""
    rows = dict(row.split(":", 1) for row in control.do("INFO", "server").decode().splitlines() if ":" in row)
    return f"Valkey {rows['valkey_version']}" if "valkey_version" in rows else f"Redis {rows['redis_version']}"
