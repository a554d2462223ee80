"""Whether an event loop turns, and whether a bus is ready: for probes. Asked from another thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventbus import errors
from eventbus.delivery import Health
from eventbus.errors import EventBusError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from eventbus.observe.views import LoopView, Supervised

BLOCKED: Final = 5.0
"""Seconds without a turn after which an event loop counts as blocked: no healthy handler holds it for one, and a
lease, 30 by default, has time left for a restart by whoever probes."""

WELL: Final = (Health.STARTING, Health.RUNNING, Health.STANDBY)
"""A loop that is starting has begun its first pass and has not failed; some wait in it for their first work."""

_OURS: Final = frozenset(
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, EventBusError)
)  # their texts are written to be shown


class Pulse:
    """Tells from another thread whether an event loop turns.

    The other thread calls `feel` now and then, which asks the loop for a sign; a loop that is blocked, by a
    handler that computes or waits without `await`, gives none.

    Args:
        blocked: Seconds without an answer after which the loop counts as blocked.
        clock: Seconds that only go forward.
    """

    def __init__(self, *, blocked: float = BLOCKED, clock: Callable[[], float] = time.monotonic) -> None:
        self._blocked = blocked
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: float | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop to watch; until then all is well."""
        self._loop = loop

    def feel(self) -> None:
        """Ask the loop for a sign, unless one is being waited for."""
        if self._loop is None or self._asked is not None:
            return
        self._asked = self._clock()
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # it is closed: the process is about to end
            self._asked = None

    @property
    def silent_for(self) -> float:
        """Seconds for which the loop has owed a sign."""
        asked = self._asked
        return 0.0 if asked is None else self._clock() - asked

    @property
    def turning(self) -> bool:
        """Whether the loop turns, as far as is known."""
        return self.silent_for < self._blocked

    def _answer(self) -> None:
        self._asked = None


@dataclass(frozen=True, slots=True)
class LoopState:
    """A loop as it is shown.

    Attributes:
        name: What it does and for what.
        health: How it is; "starting" until its first pass went well, which may be the first that had work.
        failures: Failures since the last pass that went well.
        last_error: What it failed of last, "" where it never did. Of a foreign exception the class only, whose
            text may show a payload.
    """

    name: str
    health: Health
    failures: int
    last_error: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a bus does its work.

    Attributes:
        ready: It consumes what it subscribes to, and no loop fails or has stopped.
        reason: Why it is not, in words; "ready" where it is.
        loops: All of them.
    """

    ready: bool
    reason: str
    loops: tuple[LoopState, ...]


def readiness(bus: Supervised) -> Readiness:
    """Say whether every loop of an `EventBus` is running. May be asked from any thread.

    Not ready is a bus that is not open, still joins its groups, drains, or has a loop that fails: among others
    while Redis is away.
    """
    loops = tuple(bus.loops)
    states = tuple(LoopState(loop.name, loop.health, loop.failures, _said(loop.last_error)) for loop in loops)
    trouble = _trouble(bus, loops, states)
    return Readiness(not trouble, trouble or "ready", states)


def _trouble(bus: Supervised, loops: tuple[LoopView, ...], states: tuple[LoopState, ...]) -> str:
    if not loops:
        return "the bus is not open"
    if any(loop.stopping.is_set() for loop in loops):
        return "draining"
    failing = [state.name for state in states if state.health is Health.FAILING]
    if failing:
        return f"failing: {', '.join(failing)}"
    if len(bus.consumers) < sum(each.consumers for each in bus.subscriptions):
        return "not consuming: it joins its groups, or has left them"
    others = [state.name for state in states if state.health not in WELL]
    return f"not running: {', '.join(others)}" if others else ""


def _said(error: str) -> str:
    kind = error.partition(":")[0]
    return error if kind in _OURS else kind
