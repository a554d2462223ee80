"""Two runs of one entry overlap only where the first one's process could not keep its lease."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.checkers.verdict import Complaints

if TYPE_CHECKING:
    from tests.chaos.history import Record
    from tests.chaos.troubles import Troubles


@dataclass(frozen=True, slots=True)
class LeaseSafetyVerdict:
    """What came out.

    Attributes:
        runs: Runs of handlers.
        overlaps: Pairs of runs of one entry in one group that overlapped, all of them permitted where there
            is no complaint.
    """

    runs: int
    overlaps: int
    complaints: Complaints


@dataclass(slots=True, eq=False)
class _Run:
    process: str
    at: str
    since: float
    overlapped: float | None = None


@dataclass(slots=True)
class LeaseSafety:
    """Check overlapping runs.

    A second run may begin beside a first one only if, in the lease before it, the first one's process had
    no stretch without pause, cut or outage that is long enough for one beat. And the first one must be
    over (cancelled) when its process had such a stretch afterwards. One process never runs an entry twice
    at a time, whatever happens. An entry is told by its id in the topic, so that the copy of a retry beside
    a run of the original counts too.

    Args:
        troubles: The run's faults.
    """

    troubles: Troubles
    complaints: Complaints = field(default_factory=Complaints)
    _open: dict[tuple[str, str], list[_Run]] = field(default_factory=dict)
    _runs: int = 0
    _overlaps: int = 0
    _now: float = 0.0

    def see(self, record: Record) -> None:
        """Look at the next record."""
        self._now = record["t"]
        if record["op"] == "run":
            if record["is"] == "invoke":
                self._begin(record)
            else:
                self._end(record)

    def _begin(self, record: Record) -> None:
        key, now = (record["g"], record["e"]), record["t"]
        self._runs += 1
        alive = [run for run in self._open.get(key, ()) if self.troubles.ended(run.process) > now]
        for run in alive:
            self._overlaps += 1
            run.overlapped = run.overlapped or now
            self._check_begin(run, record)
        self._open[key] = [*alive, _Run(record["p"], record["at"], now)]

    def _check_begin(self, first: _Run, record: Record) -> None:
        now, what = record["t"], f"entry {record['e']} of {record['g']} (event {record['n']})"
        if first.process == record["p"]:
            self.complaints.add("twice in one process", f"{now:.3f}: {what} runs since {first.since:.3f} and again on {first.process}")
        elif not self._unable(first.process, now):
            self.complaints.add(
                "overlap", f"{now:.3f}: {what} begins on {record['p']} while {first.process}, undisturbed, runs it since {first.since:.3f}"
            )

    def _unable(self, process: str, now: float) -> bool:
        return self.troubles.calm(process, now - self.troubles.lease, now) < self.troubles.need

    def _end(self, record: Record) -> None:
        key = record["g"], record["e"]
        runs = self._open.get(key, [])
        for run in runs:
            if run.process == record["p"] and run.at == record["at"]:
                runs.remove(run)
                self._check_end(key, run, record["t"])
                break
        if not runs:
            self._open.pop(key, None)

    def _check_end(self, key: tuple[str, str], run: _Run, until: float) -> None:
        if run.overlapped is None:
            return
        calm = self.troubles.calm(run.process, run.overlapped, until)
        if calm >= self.troubles.need:
            self.complaints.add(
                "not cancelled",
                f"{run.overlapped:.3f}: entry {key[1]} of {key[0]} ran on elsewhere, and {run.process}, undisturbed for "
                f"{calm:.2f} s after that, did not end its run until {until:.3f}",
            )

    def verdict(self) -> LeaseSafetyVerdict:
        """Say what came out. Runs without an end lasted as long as their process, or as the history."""
        for key, runs in self._open.items():
            for run in runs:
                self._check_end(key, run, min(self._now, self.troubles.ended(run.process)))
        return LeaseSafetyVerdict(self._runs, self._overlaps, self.complaints)
