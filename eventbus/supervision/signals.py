"""SIGTERM and SIGINT: the first asks to finish, the second (another, or the same a moment later) to hurry."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator

_log = logging.getLogger("eventbus.supervision")


TOGETHER: Final = 0.5
"""Seconds in which a signal that comes twice is one wish: a service manager that signals every process of a
group reaches a worker directly and by way of its parent."""


@dataclass(slots=True)
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


def _note(request: StopRequest, name: str) -> None:
    request.received(name, asyncio.get_running_loop().time())


@contextmanager
def stop_on_signals() -> Generator[StopRequest]:
    """Turn signals into a request while the block runs; the former handlers are put back after it.

    Works in the main thread only, as signals do; elsewhere the request can be set by hand.
    """
    request = StopRequest()
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Any] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            before[number] = signal.getsignal(number)
            loop.add_signal_handler(number, _note, request, number.name)
        except (ValueError, RuntimeError, NotImplementedError):
            before.pop(number, None)
    try:
        yield request
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            if handler is not None:  # else it was not Python's
                signal.signal(number, handler)
