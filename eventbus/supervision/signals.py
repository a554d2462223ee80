"""SIGTERM and SIGINT: the first asks to finish, the second to hurry."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

_log = logging.getLogger("eventbus.supervision")


@dataclass(slots=True)
class StopRequest:
    """What the outside asked for.

    Attributes:
        stop: Finish what is in hand, then end.
        hurry: End without waiting for handlers.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    def received(self, name: str) -> None:
        """Take note of a signal."""
        if self.stop.is_set():
            _log.warning("%s again: ending without waiting for handlers", name)
            self.hurry.set()
        else:
            _log.info("%s: finishing what is in hand", name)
            self.stop.set()


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
            loop.add_signal_handler(number, request.received, number.name)
        except (ValueError, RuntimeError, NotImplementedError):
            before.pop(number, None)
    try:
        yield request
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            if handler is not None:  # else it was not Python's
                signal.signal(number, handler)
