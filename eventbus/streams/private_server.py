"""One server process on a private unix socket: start it, find it, see whether its owner lives, end it."""

from __future__ import annotations

import fcntl
import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eventbus.errors import BackendUnavailable, ConfigurationError
from eventbus.streams import watchdog
from eventbus.streams.executables import FLOOR, Executable, Version, newest, parse_version

if TYPE_CHECKING:
    from typing import IO

START_TIMEOUT: Final = 15.0
"""Seconds without any answer after which a server counts as not starting. Loading data is an answer."""

PAUSE: Final = 0.01
"""Seconds between two looks at a server that does not answer yet."""

_NOTICE: Final = 2.0
"""Seconds a watchdog may take to notice that its server ended."""

_STOP_TIMEOUT: Final = watchdog.GRACE + 5.0  # the watchdog kills after its grace; what follows is milliseconds
_ANSWER_TIMEOUT: Final = 2.0
_SOCKET, _OWNER, _LOG = "redis.sock", "owner", "server.log"
_LONGEST_SOCKET: Final = 100  # bytes: the kernel allows 107 on Linux, 103 on macOS
_MULTIPART: Final = "appendonlydir"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a running server says about itself."""

    executable: str
    version: Version


class PrivateServer:
    """A server that was started by this process and ends with it.

    Guarantees:
        It ends when this process does, also after kill -9, and then has written its append-only file.
    """

    def __init__(self, directory: Path | None, lock: int) -> None:
        executable = newest(floor=_floor(directory))
        self.home: Final = _home()
        self.socket: Final = self.home / _SOCKET
        # Held as long as this process lives: others join the server only while it is.
        self._claim: Final = os.open(self.home / _OWNER, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            self._watchdog: Final = _launch(self.home, lock, _command(executable, self.socket, directory))
        except BaseException:
            os.close(self._claim)
            shutil.rmtree(self.home, ignore_errors=True)
            raise

    def wait_ready(self) -> Facts:
        """Wait until the server answers.

        Raises:
            ConfigurationError: It ended instead; the message shows the last lines of its log.
            BackendUnavailable: It did neither in time.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            ended = self._ended(PAUSE)
            facts = ask(self.socket)
            if facts is not None:
                return facts
            if ended:
                raise ConfigurationError(f"the embedded server ended while it started; its log ends with:\n{self._log()}")
        raise BackendUnavailable(
            f"the embedded server did not answer within {START_TIMEOUT:g} s; its log ends with:\n{self._log()}",
            maybe_executed=False,
        )

    def serves(self) -> bool:
        """Whether the server still runs; one that is too busy to answer does."""
        # One that was just killed refuses connections at once; its watchdog notices a moment later.
        return ask(self.socket) is not None or not self._ended(_NOTICE)

    def stop(self) -> None:
        """End the server and wait until its data is written and its private directory is gone."""
        os.close(self._claim)
        _pipe(self._watchdog.stdin).close()
        try:
            self._watchdog.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._watchdog.kill()
            self._watchdog.wait()
        _pipe(self._watchdog.stdout).close()
        shut_down(self.socket)  # does something only if somebody killed the watchdog

    def disown(self) -> None:
        """Let go of everything in a forked child, so that it cannot keep the server alive."""
        os.close(self._claim)
        _pipe(self._watchdog.stdin).close()
        _pipe(self._watchdog.stdout).close()
        self._watchdog.returncode = 0  # the parent's child, not ours to wait for

    def _ended(self, seconds: float) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(_pipe(self._watchdog.stdout), selectors.EVENT_READ)
            return bool(selector.select(seconds))

    def _log(self) -> str:
        lines = (self.home / _LOG).read_text(errors="replace").splitlines()
        return "\n".join(lines[-10:])


def owner_lives(path: Path) -> bool:
    """Whether the process that started the server behind a socket still runs.

    The kernel drops a lock at the moment a process dies, so that a server which is about to follow its
    killed owner, yet still answers, is told from one that stays.
    """
    try:
        descriptor = os.open(path.with_name(_OWNER), os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        raise ConfigurationError(f"the embedded server at {path} belongs to another user; use another directory") from error
    try:
        # Shared, so that two who look at the same time do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def ask(path: Path) -> Facts | None:
    """Ask a server what it is; waits while it loads its data. None: there is no answer (yet)."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_ANSWER_TIMEOUT)
            link.connect(str(path))
            with link.makefile("rb") as answers:
                return _greet(link, answers)
    except (OSError, ValueError):
        return None


def shut_down(path: Path) -> None:
    """End a server that outlived its owner and its watchdog, wait until it has ended, remove its directory.

    Nothing happens where no server and no directory are left.
    """
    with suppress(OSError), socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_STOP_TIMEOUT)
        link.connect(str(path))
        link.sendall(b"SHUTDOWN NOSAVE\r\n")  # NOSAVE is about snapshots; the append-only file is written
        while link.recv(1024):
            pass
    # File by file: the path may come out of a file, and nothing but a server's own directory may go.
    with suppress(OSError):
        for name in (_SOCKET, _LOG, _OWNER):
            path.with_name(name).unlink(missing_ok=True)
        path.parent.rmdir()


def _greet(link: socket.socket, answers: IO[bytes]) -> Facts:
    while _exchange(link, answers, b"PING").startswith(b"-LOADING"):
        time.sleep(PAUSE)
    size = int(_exchange(link, answers, b"INFO server")[1:])
    values = dict(line.split(":", 1) for line in answers.read(size).decode().splitlines() if ":" in line)
    number = values.get("valkey_version") or values["redis_version"]
    return Facts(values.get("executable", ""), parse_version(f"v={number}") or FLOOR)


def _exchange(link: socket.socket, answers: IO[bytes], command: bytes) -> bytes:
    link.sendall(command + b"\r\n")
    line = answers.readline()
    if not line:
        raise ConnectionResetError
    return line


def _floor(directory: Path | None) -> Version:
    # Redis 7 moved the append-only file into a directory of its own. An older server would not see it,
    # start empty, and the events would seem lost.
    return (7, 0, 0) if directory and (directory / _MULTIPART).exists() else FLOOR


def _home() -> Path:
    for folder in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108 - mkdtemp makes it private (0700)
        if len(os.fsencode(folder)) + len(f"/eventbus-12345678/{_SOCKET}") <= _LONGEST_SOCKET:
            return Path(tempfile.mkdtemp(prefix="eventbus-", dir=folder))
    raise ConfigurationError("no temporary directory has a path short enough for a unix socket; set TMPDIR to a shorter one")


def _command(executable: Executable, path: Path, directory: Path | None) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "daemonize": "no",
        "save": "",
        "maxmemory-policy": "noeviction",
        "appendonly": "yes" if directory else "no",
        "appendfsync": "everysec",
        "dir": str(directory or path.parent),
    }
    return [str(executable.path), *(text for name, value in options.items() for text in (f"--{name}", value))]


def _launch(home: Path, lock: int, command: list[str]) -> subprocess.Popen[bytes]:
    with (home / _LOG).open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own script, our own interpreter
            # -I -S: neither the user's environment nor site-packages matter to it, and it starts in 15 ms.
            [sys.executable, "-I", "-S", watchdog.__file__, str(home), str(lock), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            pass_fds=[lock] if lock >= 0 else [],
            start_new_session=True,  # Ctrl-C in the terminal reaches the owner only
        )


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("the watchdog is always started with pipes")
    return stream
