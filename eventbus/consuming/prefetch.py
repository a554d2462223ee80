"""How far a consumer reads ahead of its handlers."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 0.1
"""Seconds over which the speed of the handlers is measured."""

LOOK: Final = WINDOW / 10
"""Seconds between two looks."""

MOST: Final = 1_000
"""Entries read ahead at most, unless twice the concurrency is more. Larger reads gain nothing measurable."""

MOST_BYTES: Final = 32 << 20
"""Bytes of entries in hand, for all subscriptions of a process together."""

LEAST: Final = 2
"""Entries that may be in hand whatever their size: one of each stream that is read."""

FORGET: Final = 0.9
"""How much of the weight of earlier entries counts beside the newest."""


class Prefetch:
    """Bound what is in hand by how fast it is handled, and by its size.

    Fast handlers get large reads: as much is read ahead as was finished in the last tenth of a second, also before the
    first tenth is over. Slow ones get twice their concurrency, and keep no more from other workers. A pure room: the
    caller brings the time.

    Args:
        concurrency: Handlers at a time.
        fixed: Entries to read ahead whatever happens; None to adapt.
        most_bytes: Bytes of entries to have in hand.
    """

    def __init__(self, concurrency: int, fixed: int | None, most_bytes: int) -> None:
        self._concurrency = concurrency
        self._least = fixed or 2 * concurrency
        self._most = fixed or max(MOST, self._least)
        self._most_bytes = most_bytes
        self._weight = 1.0  # bytes of an entry
        self._looks: deque[tuple[float, int]] = deque()  # when, and what was finished by then
        self._ahead = self._least

    def limit(self, finished: int, now: float) -> int:
        """Most entries to have in hand, those that run included.

        Args:
            finished: How many were, from the beginning.
            now: Seconds of any clock that only goes forward.
        """
        if not self._looks or now - self._looks[-1][0] >= LOOK:
            self._look(finished, now)
        return max(LEAST, min(self._concurrency + self._ahead, int(self._most_bytes / self._weight)))

    def _look(self, finished: int, now: float) -> None:
        looks = self._looks
        looks.append((now, finished))
        while len(looks) > 2 and now - looks[1][0] >= WINDOW:  # noqa: PLR2004 - the first and this one
            _ = looks.popleft()
        since, before = looks[0]
        recently = (finished - before) * min(1.0, WINDOW / max(now - since, LOOK))
        self._ahead = min(max(round(recently), self._least), self._most)

    def weigh(self, entries: int, size: int) -> None:
        """Note that a read brought so many entries in so many bytes. One read may go beyond the limit; the next will not."""
        self._weight = max(size / entries, self._weight * FORGET)
