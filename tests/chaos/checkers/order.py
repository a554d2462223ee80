"""Of each key one event at a time, and none after a later one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.chaos.checkers.verdict import Complaints
from tests.chaos.troubles import MARGIN, STALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.history import Record
    from tests.chaos.troubles import Trouble, Troubles

FROZEN: Final = frozenset({"pause", STALL})
"""All that permits anything. Whoever cannot reach Redis gives up by its own clock, before another process is let in."""


@dataclass(frozen=True, slots=True)
class OrderVerdict:
    """What came out.

    Attributes:
        runs: Runs of handlers.
        keys: Keys they were of, in all groups together.
        beside_frozen: Runs that began while a frozen process stood in the midst of one of their key, or woke in it. Other
            overlaps are complaints.
        inversions: Starts of an event after the start of a later one of its key, permitted to a frozen process alone.
        owners: Times that a group's events began to run in another process than before.
    """

    runs: int
    keys: int
    beside_frozen: int
    inversions: int
    owners: int
    complaints: Complaints


@dataclass(slots=True, eq=False)
class _Run:
    process: str
    number: int
    at: str
    since: float
    overlapped: float | None = None


@dataclass(slots=True)
class Order:
    """Check the starts of each key.

    An event starts only when every earlier one of its key is settled, so that no earlier one starts after it: the places in
    the topic of what starts never go back. Two runs of one key never overlap. Both are permitted only to a process that was
    frozen until a moment ago: it goes on until its event loop turns. What comes from a private stream, where events are that
    were overtaken, has no place among the others; it overlaps with none of them.

    Args:
        troubles: The run's faults.
        key: The key of an event, by its number.
    """

    troubles: Troubles
    key: Callable[[int], str]
    complaints: Complaints = field(default_factory=Complaints)
    _open: dict[tuple[str, str], list[_Run]] = field(default_factory=dict)
    _latest: dict[tuple[str, str], tuple[tuple[int, int], _Run]] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    _runs: int = 0
    _beside_frozen: int = 0
    _inversions: int = 0
    _changes: int = 0
    _now: float = 0.0

    def see(self, record: Record) -> None:
        """Look at the next record."""
        self._now = record["t"]
        if record["op"] != "run":
            return
        key = record["g"], self.key(record["n"])
        if record["is"] == "invoke":
            run = _Run(record["p"], record["n"], record["at"], record["t"])
            self._begin(key, run)
            if not run.at.startswith("r"):
                self._check_place(key, run, _place(run.at))
        else:
            self._end(key, record)

    def _begin(self, key: tuple[str, str], run: _Run) -> None:
        self._runs += 1
        if self._owners.get(key[0]) != run.process:
            self._owners[key[0]] = run.process
            self._changes += 1
        alive = [each for each in self._open.get(key, ()) if self.troubles.ended(each.process) > run.since]
        for first in alive:
            first.overlapped = first.overlapped or run.since
            if first.process == run.process or not (self._was_frozen(first.process, run.since) or self._was_frozen(run.process, run.since)):
                self.complaints.add("overlap", f"{_said(key, run)} while {first.process} runs event {first.number} since {first.since:.3f}")
            else:
                self._beside_frozen += 1
        self._open[key] = [*alive, run]

    def _check_place(self, key: tuple[str, str], run: _Run, place: tuple[int, int]) -> None:
        latest, before = self._latest.get(key, (place, run))
        if place >= latest:
            self._latest[key] = place, run
            return
        self._inversions += 1
        if not self._was_frozen(run.process, run.since):
            said = f"{_said(key, run)} though event {before.number}, behind it, had started on {before.process} at {before.since:.3f}"
            self.complaints.add("inversion", said)

    def _end(self, key: tuple[str, str], record: Record) -> None:
        runs = self._open.get(key, [])
        for run in runs:
            if run.process == record["p"] and run.at == record["at"]:
                runs.remove(run)
                self._check_end(key, run, record["t"])
                return

    def _check_end(self, key: tuple[str, str], run: _Run, until: float) -> None:
        """What was overlapped is over as soon as its process turns again."""
        if run.overlapped is None:
            return
        frozen = [each.until for each in self._freezes(run.process, run.overlapped - MARGIN, until)]
        if until - max([run.overlapped, *frozen]) > MARGIN:
            self.complaints.add(
                "not cancelled", f"{_said(key, run)} and ran until {until:.3f}, though another began at {run.overlapped:.3f}"
            )

    def _was_frozen(self, process: str, now: float) -> bool:
        return bool(self._freezes(process, now - MARGIN, now))

    def _freezes(self, process: str, since: float, until: float) -> list[Trouble]:
        return [each for each in self.troubles.of(process, since, until) if each.kind in FROZEN and each.of == process]

    def verdict(self) -> OrderVerdict:
        """Say what came out. Runs without an end lasted as long as their process, or as the history."""
        for key, runs in self._open.items():
            for run in runs:
                self._check_end(key, run, min(self._now, self.troubles.ended(run.process)))
        return OrderVerdict(self._runs, len(self._latest), self._beside_frozen, self._inversions, self._changes, self.complaints)


def _said(key: tuple[str, str], run: _Run) -> str:
    group, name = key
    return f"{run.since:.3f}: event {run.number} of {name} in {group} starts on {run.process}"


def _place(entry: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence or 0)
