"""When a process could not be expected to keep its lease, and why: the faults of a run as intervals of time."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.chaos.history import place_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.chaos.history import Record

DEATHS: Final = frozenset({"kill", "point", "poison"})
"""SIGKILL at a random moment; at a named point, by itself; by the event it handled."""

STOP: Final = "term"
REDIS: Final = "redis"
EVERYBODY: Final = "*"
LINKS: Final = frozenset({"cut", "hole", "drop", "delay", "split"})
STALL: Final = "stall"

MARGIN: Final = 0.5
"""Seconds that a beat may take on a busy machine, beyond what is noted as a stall."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault, from its begin until what it broke is whole again."""

    kind: str
    of: str
    since: float
    until: float


class Troubles:
    """The faults of a run, asked by process and time.

    Args:
        faults: Records of op fault, stall and exit, in order.
        lease: The run's lease in seconds.
    """

    def __init__(self, faults: Iterable[Record], *, lease: float) -> None:
        self.lease = lease
        self.all: list[Trouble] = []
        self._ended: dict[str, float] = {}
        self._stops: dict[str, tuple[float, str]] = {}
        self._by_place: dict[str, list[Trouble]] = {}
        begun: dict[tuple[str, str], float] = {}
        for record in faults:
            self._take(record, begun)
        for (kind, of), since in begun.items():
            self._add(Trouble(kind, of, since, math.inf))
        self._begins = sorted(trouble.since for trouble in self.all)

    def _take(self, record: Record, begun: dict[tuple[str, str], float]) -> None:
        op, of, at = record["op"], record.get("of", record["p"]), record["t"]
        if op == "stall":
            self._add(Trouble(STALL, of, record["since"], at))
        elif op == "exit":
            self._ended[of] = min(at, self._ended.get(of, math.inf))
        elif op == "fault":
            kind = record["kind"]
            if kind in DEATHS or kind == STOP:
                self._stopped(kind, of, at)
            elif record["is"] == "invoke":
                begun[kind, of] = at
            else:
                self._add(Trouble(kind, of, begun.pop((kind, of), at), at + self._aftermath(kind)))

    def _stopped(self, kind: str, of: str, at: float) -> None:
        if kind in DEATHS:
            self._ended[of] = min(at, self._ended.get(of, math.inf))
        self._stops.setdefault(of, (at, kind))  # whatever came first explains what follows
        self._add(Trouble(kind, of, at, at))

    def _aftermath(self, kind: str) -> float:
        """Seconds until the first beat after a fault: reconnecting waits for at most a sixth of the lease."""
        return 0.2 if kind == "pause" else self.lease / 6 + 0.3

    def _add(self, trouble: Trouble) -> None:
        self.all.append(trouble)
        if trouble.kind not in DEATHS and trouble.kind != STOP:
            self._by_place.setdefault(_place(trouble.of), []).append(trouble)

    # -- questions

    @property
    def need(self) -> float:
        """Seconds without trouble in which a holder has certainly renewed its lease."""
        return self.lease / 3 + MARGIN

    def ended(self, process: str) -> float:
        """When a process was killed or had exited; infinity while it lives."""
        return self._ended.get(process, math.inf)

    def stopped(self, process: str, at: float) -> str:
        """Of what a process had been stopping, or had died, by then; empty while it was to live on."""
        since, kind = self._stops.get(process, (math.inf, ""))
        return kind if since <= at else ""

    def of(self, process: str, since: float, until: float) -> list[Trouble]:
        """What troubled a living process, or Redis, in some time; in order."""
        found = [
            trouble
            for place in (place_of(process), EVERYBODY)
            for trouble in self._by_place.get(place, ())
            if trouble.since <= until and trouble.until >= since and trouble.of in (process, place_of(process), EVERYBODY)
        ]
        return sorted(found, key=lambda trouble: trouble.since)

    def had(self, kind: str, until: float) -> bool:
        """Whether there was a trouble of some kind by then."""
        return any(trouble.kind == kind and trouble.since <= until for trouble in self.all)

    def latest(self, since: float, until: float) -> float:
        """When the last trouble of anybody began in some time, the end of a process included; minus infinity for none."""
        found = bisect_right(self._begins, until)
        return self._begins[found - 1] if found and self._begins[found - 1] > since else -math.inf

    def calm(self, process: str, since: float, until: float) -> float:
        """Seconds of the longest stretch in which nothing troubled a living process."""
        longest, free = 0.0, since
        for trouble in self.of(process, since, until):
            longest = max(longest, trouble.since - free)
            free = max(free, trouble.until)
        return max(longest, until - free)

    def cause(self, process: str, at: float) -> str:
        """Why a process may have lost its leases at a moment: the kind of fault; empty for no reason.

        A beat goes out every third of the lease, so that a lease is lost only after a whole lease in which
        the holder had no stretch without trouble that is long enough for one.
        """
        if stopped := self.stopped(process, at):
            return stopped
        since = at - self.lease
        if self.calm(process, since, at) >= self.need:
            return ""
        return max(self.of(process, since, at), key=lambda trouble: _weight(trouble, since, at)).kind


def _weight(trouble: Trouble, since: float, until: float) -> tuple[bool, float]:
    """How much of a time a trouble took. What a process noted of itself explains only what nothing else does."""
    return trouble.kind != STALL, min(trouble.until, until) - max(trouble.since, since)


def _place(of: str) -> str:
    return of if of == EVERYBODY else place_of(of)
