"""The policy for a handler that raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eventbus.errors import ConfigurationError
from eventbus.events import is_count, is_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and when an event is handled again after its handler raised.

    The policy is checked and kept now; until retries arrive a failed event stays pending in its group.

    Attributes:
        attempts: Runs of the handler, the first included. Default 5.
        backoff: Seconds before the second run, the third, …; the last one repeats. Default 1, 5, 30, 120.
        jitter: Share by which each delay varies at random, from 0 to 1. Default 0.2 (±20 %).

    Raises:
        ConfigurationError: A value outside these bounds.
    """

    attempts: int = 5
    backoff: Sequence[float] = (1.0, 5.0, 30.0, 120.0)
    jitter: float = 0.2

    def __post_init__(self) -> None:
        """Check the values, so that a wrong policy is found where it is written."""
        if not is_count(self.attempts):
            raise ConfigurationError(f"Retry(attempts={self.attempts!r}): give a whole number of runs, at least 1")
        delays: object = self.backoff
        if isinstance(delays, str | bytes) or not isinstance(delays, Sequence) or not delays:
            raise ConfigurationError(f"Retry(backoff={self.backoff!r}): give a list of seconds, for example [1, 5, 30]")
        if not all(is_seconds(delay, zero=True) for delay in self.backoff):
            raise ConfigurationError(f"Retry(backoff={self.backoff!r}): each delay is a number of seconds, 0 or more")
        if not is_seconds(self.jitter, zero=True) or self.jitter > 1:
            raise ConfigurationError(f"Retry(jitter={self.jitter!r}): give a share from 0 to 1")
        object.__setattr__(self, "backoff", tuple(self.backoff))
