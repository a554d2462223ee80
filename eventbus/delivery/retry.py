"""The policy for a handler that raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eventbus.errors import ConfigurationError


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
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:
            raise ConfigurationError(f"Retry(attempts={self.attempts!r}): give a whole number of runs, at least 1")
        if isinstance(self.backoff, str) or not isinstance(self.backoff, Sequence) or not self.backoff:
            raise ConfigurationError(f"Retry(backoff={self.backoff!r}): give a list of seconds, for example [1, 5, 30]")
        if not all(_is_seconds(delay) for delay in self.backoff):
            raise ConfigurationError(f"Retry(backoff={self.backoff!r}): each delay is a number of seconds, 0 or more")
        if not _is_seconds(self.jitter) or self.jitter > 1:
            raise ConfigurationError(f"Retry(jitter={self.jitter!r}): give a share from 0 to 1")
        object.__setattr__(self, "backoff", tuple(self.backoff))


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
