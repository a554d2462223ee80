"""What is scheduled comes when it is due: not before, not much later, not twice, and never when it was cancelled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.chaos.checkers.verdict import Complaints

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.history import Record
    from tests.chaos.troubles import Troubles

LATE: Final = 1.0
"""Seconds by which what is due may be late while anybody who can promote it is undisturbed."""

CANCELLED: Final = "cancelled"
"""What stands for the entry id of a publish that was taken back in time."""


@dataclass(frozen=True, slots=True)
class DueVerdict:
    """What came out.

    Attributes:
        scheduled: Deliveries of events that had been scheduled.
        cancelled: Events that were taken back in time.
        p99: Milliseconds by which all but a hundredth of the deliveries' entries were late, outages included.
        latest: And the last of them.
    """

    scheduled: int
    cancelled: int
    p99: int
    latest: int
    complaints: Complaints


@dataclass(slots=True)
class Due:
    """Check the entries of scheduled events by their ids, which Redis's clock writes, as the due times are kept by it.

    Args:
        troubles: The run's faults.
        due_of: The milliseconds since 1970 at which an event is due, by its event id and its number; 0 for at once.
    """

    troubles: Troubles
    due_of: Callable[[str, int], int]
    complaints: Complaints = field(default_factory=Complaints)
    _offset: float = 0.0
    _confirmed: dict[int, float] = field(default_factory=dict)
    _again: set[int] = field(default_factory=set)
    _twice: dict[int, str] = field(default_factory=dict)
    _cancelled: set[int] = field(default_factory=set)
    _came: dict[int, str] = field(default_factory=dict)
    _late: list[tuple[int, int, int]] = field(default_factory=list)
    _lateness: list[int] = field(default_factory=list)
    _open: dict[str, float] = field(default_factory=dict)
    _closed: dict[str, float] = field(default_factory=dict)

    def see(self, record: Record) -> None:
        """Look at the next record."""
        match record["op"], record["is"]:
            case "clock", _:
                self._offset = record["wall"] - record["t"]
            case "publish", _:
                self._publishing(record)
            case "run", "invoke":
                self._run(record)
            case "ready", _:
                self._open[record["p"]] = record["t"]
            case "end", _:
                self._closed[record["p"]] = record["t"]

    def _publishing(self, record: Record) -> None:
        self._open.setdefault(record["p"], record["t"])
        if record["is"] != "ok":
            self._again.update(number for number in record["n"] if record["is"] == "unknown" or record.get("again"))
            return
        if record.get("again"):
            self._again.update(record["n"])
        for number, entry in zip(record["n"], record["e"], strict=True):
            self._confirmed[number] = record["t"]
            if entry == CANCELLED:
                self._cancelled.add(number)

    def _run(self, record: Record) -> None:
        number, entry = record["n"], record["e"]
        due = self.due_of(record["id"], number)
        if not due or self._came.setdefault(number, entry) != entry:
            if due:
                self._twice[number] = entry
            return
        written = int(entry.partition("-")[0])
        self._lateness.append(written - due)
        if written < due:
            self.complaints.add("early", f"event {number} was in its topic {due - written} ms before it was due")
        elif written - due > LATE * 1000:
            self._late.append((number, due, written))

    # -- the end

    def _judge(self, number: int, due: int, written: int) -> None:
        """Complain where somebody who could promote it was undisturbed for too long."""
        until = written / 1000 - self._offset
        since = max(due / 1000 - self._offset, self._confirmed.get(number, until))
        for process, opened in self._open.items():
            end = min(until, self._closed.get(process, until), self.troubles.ended(process))
            if self.troubles.stopped(process, until):
                continue
            calm = self.troubles.calm(process, max(since, opened), end) if end > max(since, opened) else 0.0
            if calm > LATE:
                late = (written - due) / 1000
                self.complaints.add(
                    "late", f"event {number} came {late:.2f} s after it was due; {process} was undisturbed for {calm:.2f} s"
                )
                return

    def verdict(self) -> DueVerdict:
        """Say what came out."""
        for number, due, written in self._late:
            self._judge(number, due, written)
        for number, entry in self._twice.items():
            if number not in self._again:
                self.complaints.add("twice", f"event {number}, published once, came as {self._came[number]} and as {entry}")
        for number in sorted(self._cancelled & self._came.keys()):
            self.complaints.add("cancelled", f"event {number} was cancelled in time, and came as {self._came[number]}")
        if not self._lateness:
            self.complaints.add("nothing", "no scheduled event came")
        ordered = sorted(self._lateness) or [0]
        return DueVerdict(
            len(self._lateness), len(self._cancelled), ordered[len(ordered) * 99 // 100], ordered[-1], complaints=self.complaints
        )
