"""Rates and percentiles over the last seconds."""

import math
from collections import deque
from collections.abc import Sequence

WINDOW = 5.0
"""Seconds that a rate or a percentile looks back."""


class Recent:
    """What happened in the last seconds: how often, and a value each time.

    Attributes:
        total: How often it ever happened.
    """

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._samples: deque[tuple[float, float]] = deque()
        self.total = 0

    def add(self, at: float, value: float = 0.0) -> None:
        """Note that something happened; times may come slightly out of order."""
        self._samples.append((at, value))
        self.total += 1

    def rate(self, now: float) -> float:
        """How often a second it happened lately."""
        self._forget(now)
        return len(self._samples) / self._window

    def percentile(self, share: float, now: float) -> float | None:
        """The value that this share of the recent ones does not exceed; None without any."""
        self._forget(now)
        return percentile(share, [value for _, value in self._samples])

    def _forget(self, now: float) -> None:
        while self._samples and self._samples[0][0] <= now - self._window:
            self._samples.popleft()


def percentile(share: float, values: Sequence[float]) -> float | None:
    """The smallest value that at least this share of the values does not exceed; None without any."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
