"""Rolling statistics, one window of recent readings per sensor."""

from collections import defaultdict, deque
from statistics import fmean, pstdev

WINDOW = 50
"""Readings that are remembered of each sensor."""

ENOUGH = 10
"""Readings from which on we dare to say what is usual."""


class Rolling:
    """The recent readings of one sensor."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=WINDOW)

    def add(self, celsius: float) -> None:
        """Remember a reading, and forget the oldest."""
        self._recent.append(celsius)

    @property
    def mean(self) -> float:
        """The mean of what is remembered; 0 of nothing."""
        return fmean(self._recent) if self._recent else 0.0

    def stands_out(self, celsius: float) -> bool:
        """Whether a reading is further from the mean than four deviations, of half a degree at least."""
        if len(self._recent) < ENOUGH:
            return False
        return abs(celsius - self.mean) > 4 * max(pstdev(self._recent), 0.5)


class Statistics(defaultdict[str, Rolling]):
    """The windows of all sensors, by sensor id."""

    def __init__(self) -> None:
        super().__init__(Rolling)
