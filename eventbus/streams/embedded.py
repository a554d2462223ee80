"""`embedded://`: a real Redis server that belongs to this process, shared with its children.

`embedded://` keeps everything in memory. `embedded:///path/to/dir` keeps its data in that directory.

Who finds what:
    in one process      users of the same url share one server; it stops with its last user, or at exit.
    children            find the owner's server in `EVENTBUS_EMBEDDED_SERVERS`, a JSON object from requested
                        to `unix://` url that the owner puts into its environment.
    another process     that names the same directory finds the server through the file `eventbus.lock` in
                        it. The server holds that file's lock, so there never are two on one directory.

The server ends with its owner; who joined it loses it then.
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from anyio import to_thread

from eventbus.errors import BackendUnavailable, ConfigurationError
from eventbus.streams.embedded_urls import hand_on, handed_on, parse, url_of
from eventbus.streams.private_server import PAUSE, START_TIMEOUT, Facts, PrivateServer, ask, owner_lives, shut_down

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_LOCK: Final = "eventbus.lock"
_log = logging.getLogger("eventbus.streams.embedded")


@dataclass(slots=True)
class _Shared:
    """One server as this process sees it, with the number of its users here."""

    name: str
    url: str
    facts: Facts
    owned: PrivateServer | None
    users: int = 0

    def serves(self) -> bool:
        if self.owned is not None:
            return self.owned.serves()
        return _joined(self.url) is not None


@dataclass(slots=True, eq=False)
class EmbeddedServer:
    """One use of an embedded server; leave it by `stop()` in async code, else by `release()` or `with`.

    Attributes:
        url: The `unix://` url to connect to.
        executable: The program that runs.
        version: Its version, Redis's or Valkey's own numbers.
    """

    url: str
    executable: str
    version: tuple[int, int, int]
    _shared: _Shared | None = field(repr=False)

    @property
    def owned(self) -> bool:
        """Whether this process started the server, so that it ends with this process."""
        return self._shared is not None and self._shared.owned is not None

    def release(self) -> None:
        """End this use; the last one of the owning process stops the server and waits until its data is written.

        A second call does nothing.
        """
        with _state.guard:
            shared, self._shared = self._shared, None
            if shared is not None:
                shared.users -= 1
                if not shared.users:
                    _forget(shared)

    async def stop(self) -> None:
        """Do `release()` without blocking the event loop."""
        await to_thread.run_sync(self.release)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


class _State:
    """What this process uses. The guard also keeps a fork from happening in the middle of a start."""

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.shared: dict[str, _Shared] = {}


_state = _State()


def acquire(url: str) -> EmbeddedServer:
    """Start the server of an `embedded://` url, or share the one that runs. Blocks; see `start_embedded`.

    Args:
        url: `embedded://` for a server in memory, `embedded:///absolute/directory` for one that keeps its data
            there (append-only file, written to disk every second; the directory is created).

    Raises:
        ConfigurationError: The url has another form, no server program is found, or the server ends while it
            starts. Nothing is left running.
        BackendUnavailable: The server, or the one that holds the directory, does not answer in time.
    """
    directory = parse(url)
    name = url_of(directory)
    with _state.guard:
        shared = _state.shared.get(name)
        if shared is None or not shared.serves():
            if shared is not None:
                _forget(shared)
            shared = _state.shared[name] = _resolve(name, directory)
        shared.users += 1
        return EmbeddedServer(shared.url, shared.facts.executable, shared.facts.version, shared)


async def start_embedded(url: str) -> EmbeddedServer:
    """Do `acquire(url)` without blocking the event loop.

    Cancellation:
        A server that was being started then is stopped when the interpreter ends.
    """
    return await to_thread.run_sync(acquire, url)


def _resolve(name: str, directory: Path | None) -> _Shared:
    handed = handed_on().get(name)
    if handed is not None:
        facts = _joined(handed)
        if facts is not None:
            return _Shared(name, handed, facts, None)
        _log.warning("the embedded server this process was handed has ended with its owner; starting another")
    return _start(name, None) if directory is None else _share(name, directory)


def _share(name: str, directory: Path) -> _Shared:
    """Start the server of a directory, or join the one that serves it: whoever gets the lock starts."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        lock = _locked(directory)
        if lock is not None:
            try:
                return _start(name, directory, lock)
            finally:
                os.close(lock)  # from here on the server alone holds it
        url = (directory / _LOCK).read_text()
        facts = _joined(url) if url else None
        if facts is not None:
            return _Shared(name, url, facts, None)
        if time.monotonic() > deadline:
            raise BackendUnavailable(
                f"{directory} is locked by a server that does not answer; end the process that uses it",
                maybe_executed=False,
            )
        if url and not owner_lives(_socket(url)):
            shut_down(_socket(url))
        time.sleep(PAUSE)


def _locked(directory: Path) -> int | None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(f"embedded:// cannot keep its data in {directory}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(descriptor, 0)  # the last server's url
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise ConfigurationError(f"embedded:// cannot lock {directory}: {error.strerror}") from error
    return descriptor


def _start(name: str, directory: Path | None, lock: int = -1) -> _Shared:
    server = PrivateServer(directory, lock)
    try:
        url = f"unix://{quote(str(server.socket))}"
        if lock >= 0:
            os.write(lock, url.encode())
        facts = server.wait_ready()
        hand_on(name, url)
    except BaseException:
        server.stop()
        raise
    return _Shared(name, url, facts, server)


def _joined(url: str) -> Facts | None:
    """Ask the server another process owns. None: that process has ended, so the server ends too."""
    path = _socket(url)
    deadline = time.monotonic() + START_TIMEOUT
    while owner_lives(path):
        facts = ask(path)
        if facts is not None:
            return facts
        if time.monotonic() > deadline:
            raise BackendUnavailable(
                f"the embedded server at {path} does not answer though its owner runs; restart the owner",
                maybe_executed=False,
            )
        time.sleep(PAUSE)
    return None


def _socket(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _forget(shared: _Shared) -> None:
    if _state.shared.get(shared.name) is shared:
        del _state.shared[shared.name]
    if shared.owned is not None:
        server, shared.owned = shared.owned, None
        server.stop()
        hand_on(shared.name, None)


def _stop_all() -> None:
    with _state.guard:
        for shared in list(_state.shared.values()):
            _forget(shared)


def _before_fork() -> None:
    _state.guard.acquire()


def _after_fork_in_parent() -> None:
    _state.guard.release()


def _after_fork_in_child() -> None:
    """In a forked child every server is the parent's: used through its url, never stopped."""
    _state.guard = threading.RLock()
    for shared in _state.shared.values():
        if shared.owned is not None:
            shared.owned.disown()
            shared.owned = None


atexit.register(_stop_all)
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
