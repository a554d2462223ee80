"""SIGTERM and SIGINT: the first asks to finish, the second (another, or the same a moment later) to hurry."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_log = logging.getLogger("eventbus.supervision")

TOGETHER: Final = 0.5
"""Seconds in which a signal that comes twice is one wish: a service manager that signals every process of a
group reaches a worker directly and by way of its parent."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True, eq=False)
class StopRequest:
    """What the outside asked for.

    Attributes:
        stop: Finish what is in hand, then end.
        hurry: End without waiting for handlers.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    _first: tuple[str, float] | None = None

    def received(self, name: str, now: float) -> None:
        """Take note of a signal.

        Args:
            name: Its name.
            now: Seconds of a monotonic clock.
        """
        if self._first is None:
            self._first = name, now
        elif name == self._first[0] and now - self._first[1] < TOGETHER:
            return
        if self.stop.is_set():
            _log.warning("%s again: ending without waiting for handlers", name)
            self.hurry.set()
        else:
            _log.info("%s: finishing what is in hand", name)
            self.stop.set()


class _Listener:
    """The handlers on one loop, and who wants to know: several buses may run on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.requests: list[StopRequest] = []
        self._loop = loop
        self._undo = [_listen(loop, number, self._note) for number in SIGNALS]

    def close(self) -> None:
        """Put the former handlers back."""
        for undo in self._undo:
            undo()

    def _note(self, name: str) -> None:
        for request in list(self.requests):
            request.received(name, self._loop.time())


_listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, _Listener] = WeakKeyDictionary()


@contextmanager
def stop_on_signals() -> Generator[StopRequest]:
    """Turn signals into a request while the block runs; the former handlers are put back after the last one.

    Several blocks may be open on one loop: a signal is meant for all of them. Works in the main thread only,
    as signals do; elsewhere the request can be set by hand.
    """
    request, loop = StopRequest(), asyncio.get_running_loop()
    listener = _listeners.get(loop) or _listeners.setdefault(loop, _Listener(loop))
    listener.requests.append(request)
    try:
        yield request
    finally:
        listener.requests.remove(request)
        if not listener.requests:
            del _listeners[loop]
            listener.close()


def _listen(loop: asyncio.AbstractEventLoop, number: signal.Signals, note: Callable[[str], None]) -> Callable[[], None]:
    """Take a signal; returns how to put back what was there."""
    before = signal.getsignal(number)
    # What the application gave the loop itself; there is no public way to ask for it.
    former: Any = getattr(loop, "_signal_handlers", {}).get(number)
    try:
        loop.add_signal_handler(number, note, number.name)
    except (ValueError, RuntimeError, NotImplementedError):
        return lambda: None

    def undo() -> None:
        loop.remove_signal_handler(number)
        if former is not None:
            loop.add_signal_handler(number, former._callback, *former._args)  # noqa: SLF001 - see above
        elif before is not None:  # else it was not Python's
            signal.signal(number, before)

    return undo
