"""What occupies the slots of each process, and since when an entry that waits there could have been started."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.hands import Handover
    from tests.chaos.history import Record


class Slots:
    """Follows the entries of each process from their arrival to their start.

    What was handed over before goes first, and its start is counted in Redis before its handler begins: until then it
    may hold a slot. So a slot is free for what was just read only where the runs, and those entries, are fewer than slots.

    Args:
        concurrency: Slots in each process and group.
    """

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._busy: dict[tuple[str, str], int] = {}
        self._full: dict[tuple[str, str], float] = {}
        self._waiting: dict[tuple[str, str], float] = {}
        self._first: dict[tuple[str, str], tuple[str, str]] = {}

    def came(self, handover: Handover) -> None:
        """An entry came to a process."""
        place, key = (handover.group, handover.at), (handover.to, handover.group)
        self._leave(place, handover.t)
        if handover.way in ("read", "promote") and not handover.before and handover.count == 1:
            self._waiting[place] = handover.t
        else:
            self._first[place] = key
            self._busy[key] = self._busy.get(key, 0) + 1

    def settled(self, record: Record) -> None:
        """Entries were settled, perhaps without having been started."""
        for at in record["at"]:
            self._leave((record["g"], at), record["t"])

    def began(self, record: Record) -> float | None:
        """A handler began: since when it could have; None for what was handed over before."""
        place, key = (record["g"], record["at"]), (record["p"], record["g"])
        since = self._waiting.get(place)
        full = record["t"] if self._busy.get(key, 0) >= self._concurrency else self._full.get(key, -math.inf)
        self._leave(place, record["t"])
        self._busy[key] = self._busy.get(key, 0) + 1
        return None if since is None else max(since, full)

    def ended(self, record: Record) -> None:
        """A handler ended."""
        self._less((record["p"], record["g"]), record["t"])

    def _leave(self, place: tuple[str, str], now: float) -> None:
        self._waiting.pop(place, None)
        if key := self._first.pop(place, None):
            self._less(key, now)

    def _less(self, key: tuple[str, str], now: float) -> None:
        if self._busy.get(key, 0) >= self._concurrency:
            self._full[key] = now
        self._busy[key] = self._busy.get(key, 0) - 1
