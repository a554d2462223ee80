"""Priorities are kept: no delivery changes its own, and under a backlog each is served as its weight says."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from eventbus.events import NORMAL
from tests.chaos.checkers import Complaints
from tests.chaos.hands import SETTLING, WAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.chaos.history import Record

TOLERANCE: Final = 0.05
"""Of the starts of a stretch: turns that brought no handler to run, since the event was nobody's or its lease was lost."""

ENOUGH: Final = 1_000
"""Starts of a run after which a backlog of all priorities must have been seen, or nothing was checked."""


@dataclass(frozen=True, slots=True)
class SharesVerdict:
    """What came out.

    Attributes:
        starts: Starts of handlers.
        saturated: Those under a backlog of every priority.
        stretches: Rows of such starts in one process and group that were compared with the weights.
        shares: Of the starts under a backlog, those of each priority.
    """

    starts: int
    saturated: int
    stretches: int
    shares: dict[str, int]
    complaints: Complaints


@dataclass(slots=True)
class Shares:
    """Check the priorities of a run.

    While every priority has more waiting in a process than its handlers, whatever starts next is a matter of the
    weights alone. In such a stretch each priority has its share of the starts, give or take what was on its way
    when the stretch began and ended.

    Args:
        weights: How often each priority is served.
        level: The priority at which an event was published.
        concurrency: Handlers at a time, in each process and group.
    """

    weights: Mapping[str, int]
    level: Callable[[int], str]
    concurrency: int
    complaints: Complaints = field(default_factory=Complaints)
    _waiting: defaultdict[tuple[str, str], defaultdict[str, set[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    _holder: dict[tuple[str, str], str] = field(default_factory=dict)
    _stretch: defaultdict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _starts: int = 0
    _saturated: Counter[str] = field(default_factory=Counter)
    _stretches: int = 0

    def see(self, record: Record) -> None:
        """Look at the next record."""
        match record["op"], record["is"]:
            case "run", "invoke":
                self._check_level(record)
                self._start(record)
            case "dead", _:
                self._check_level(record)
            case op, "ok" if op in WAYS:
                for at in record["at"]:
                    self._leave(record["g"], at)
                    self._holder[record["g"], at] = record["p"]
                    self._waiting[record["p"], record["g"]][_level(at)].add(at)
            case op, "ok" if op in SETTLING:
                for at in record["at"]:
                    self._leave(record["g"], at)

    def _check_level(self, record: Record) -> None:
        wanted, found = self.level(record["n"]), _level(record["e"])
        if found != wanted:
            self.complaints.add(
                "changed", f"{record['t']:.3f}: event {record['n']}, published at {wanted}, came at {found} ({record['op']}, {record['g']})"
            )

    def _start(self, record: Record) -> None:
        key, name = (record["p"], record["g"]), _level(record["at"])
        self._starts += 1
        if all(len(self._waiting[key][each]) > self.concurrency for each in self.weights):
            self._saturated[name] += 1
            self._stretch[key][name] += 1
        else:
            self._compare(key, record["t"])
        self._leave(record["g"], record["at"])

    def _leave(self, group: str, at: str) -> None:
        holder = self._holder.pop((group, at), None)
        if holder is not None:
            self._waiting[holder, group][_level(at)].discard(at)

    def _compare(self, key: tuple[str, str], now: float) -> None:
        """A stretch ended: what started in it is held against the weights."""
        found = self._stretch.pop(key, None)
        if not found:
            return
        total, everything = found.total(), sum(self.weights.values())
        slack = 2 * (self.concurrency + 1) + TOLERANCE * total
        self._stretches += 1
        for name, weight in self.weights.items():
            if abs(found[name] - total * weight / everything) > slack:
                self.complaints.add(
                    "share",
                    f"{now:.3f}: under a backlog {key[0]} started {dict(found)} of {key[1]}, and the weights are {dict(self.weights)}",
                )
                return

    def verdict(self) -> SharesVerdict:
        """Say what came out."""
        for key in list(self._stretch):
            self._compare(key, 0.0)
        if self._starts >= ENOUGH and not self._saturated:
            self.complaints.add("not seen", "no process ever had a backlog of every priority: nothing was compared")
        return SharesVerdict(self._starts, self._saturated.total(), self._stretches, dict(self._saturated), self.complaints)


def _level(place: str) -> str:
    """The priority of a place or an entry."""
    return place.removeprefix("r").rpartition(":")[0] or NORMAL
