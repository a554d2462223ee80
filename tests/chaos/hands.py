"""Who holds which entry, as the histories of those who got it tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.history import Record

WAYS: Final = frozenset({"read", "claim", "recover", "promote"})
SETTLING: Final = frozenset({"ack", "move", "drop"})
KEPT: Final = "declared"
"""What `move` and `drop` answer where they wrote nothing and the entry stays with its holder."""


@dataclass(frozen=True, slots=True)
class Handover:
    """An entry came to a process.

    Attributes:
        t: When.
        group: Of which group.
        at: Its place.
        to: To whom.
        before: Who held it until then; empty where no history shows anybody.
        way: How: read, claim, recover, promote.
        count: Redis's delivery count, with the starts that were lost before its last move.
    """

    t: float
    group: str
    at: str
    to: str
    before: str
    way: str
    count: int


class Hands:
    """Follows entries from hand to hand. Its memory is what is in hand.

    Args:
        room: Entries a process may hold of what it took over in one group, before it has to finish some.
    """

    def __init__(self, room: int = 1 << 30) -> None:
        self._room = room
        self.held: dict[tuple[str, str], str] = {}
        self._since: dict[tuple[str, str], float] = {}
        self._over: dict[tuple[str, str], int] = {}
        self._taken_over: set[tuple[str, str]] = set()
        self._full: dict[tuple[str, str], float] = {}

    def see(self, record: Record) -> Iterator[Handover]:
        """Follow one record; yields each entry that came to somebody."""
        if record["is"] == "ok":
            if record["op"] in WAYS:
                return self._came(record)
            if record["op"] in SETTLING:
                self._settled(record)
        return iter(())

    def _came(self, record: Record) -> Iterator[Handover]:
        group, to, counts = record["g"], record["p"], record.get("k")
        for number, at in enumerate(record["at"]):
            before = self.held.get((group, at), "")
            if before and before != to and self._since[group, at] > record.get("s", record["t"]):
                continue  # an answer that came late: meanwhile it had been handed on
            self._forget((group, at), record["t"])
            self.held[group, at] = to
            self._since[group, at] = record["t"]
            if record["op"] in ("claim", "recover"):
                self._taken_over.add((group, at))
                self._over[to, group] = self._over.get((to, group), 0) + 1
            yield Handover(record["t"], group, at, to, before, record["op"], counts[number] if counts else 1)

    def _settled(self, record: Record) -> None:
        group, process, answers = record["g"], record["p"], record.get("got")
        for number, at in enumerate(record["at"]):
            kept = bool(answers) and answers[number] == KEPT
            # An ack is not fenced: it takes the row from whoever holds it.
            if not kept and (record["op"] == "ack" or self.held.get((group, at)) == process):
                self._forget((group, at), record["t"])

    def _forget(self, place: tuple[str, str], now: float) -> None:
        holder = self.held.pop(place, "")
        self._since.pop(place, None)
        if place in self._taken_over:
            self._taken_over.discard(place)
            key = holder, place[0]
            if self._over[key] >= self._room:
                self._full[key] = now
            self._over[key] -= 1

    def full_until(self, process: str, group: str) -> float:
        """Until when a process last had no room for taking over more; infinity where it has none now."""
        key = process, group
        return math.inf if self._over.get(key, 0) >= self._room else self._full.get(key, -math.inf)
