"""Of each key one event at a time, and none after a later one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.checkers.lease_safety import LeaseSafety
from tests.chaos.checkers.verdict import Complaints

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.history import Record
    from tests.chaos.troubles import Troubles


@dataclass(frozen=True, slots=True)
class OrderVerdict:
    """What came out.

    Attributes:
        runs: Runs of handlers.
        keys: Keys they were of, in all groups together.
        overlaps: Pairs of runs of one key in one group that overlapped, all of them permitted where there is no complaint.
        inversions: Starts of an event after the start of a later one of its key, likewise.
        owners: Processes that ran something, of all groups together: one more for each hand-over to another.
    """

    runs: int
    keys: int
    overlaps: int
    inversions: int
    owners: int
    complaints: Complaints


@dataclass(slots=True)
class Order:
    """Check the starts of each key.

    An event starts only when every earlier one of its key is settled, so that no earlier one starts after it: the places in
    the topic of what starts never go back. Two runs of one key never overlap. Both are permitted only to a process that could
    not be expected to keep its lease, as `LeaseSafety` permits two runs of one entry: what was frozen in the midst of a start
    goes on for a moment when it wakes. What comes from a private stream, where a group's failed events are overtaken, has no
    place among the others; it overlaps with none of them.

    Args:
        troubles: The run's faults.
        key: The key of an event, by its number.
    """

    troubles: Troubles
    key: Callable[[int], str]
    complaints: Complaints = field(default_factory=Complaints)
    _safety: LeaseSafety = field(init=False)
    _latest: dict[tuple[str, str], tuple[tuple[int, int], Record]] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    _changes: int = 0
    _inversions: int = 0

    def __post_init__(self) -> None:
        """Overlaps are those of one key, where leases know those of one entry."""
        self._safety = LeaseSafety(self.troubles)

    def see(self, record: Record) -> None:
        """Look at the next record."""
        if record["op"] != "run":
            return
        key = self.key(record["n"])
        self._safety.see({**record, "e": key})
        if record["is"] == "invoke":
            self._begin(record, key)

    def _begin(self, record: Record, key: str) -> None:
        group = record["g"]
        if self._owners.get(group) != record["p"]:
            self._owners[group] = record["p"]
            self._changes += 1
        if record["at"].startswith("r"):
            return
        place = _place(record["e"])
        latest, before = self._latest.get((group, key), (place, record))
        if place >= latest:
            self._latest[group, key] = place, record
            return
        self._inversions += 1
        if self._calm(record["p"], record["t"]) and self._calm(before["p"], before["t"]):
            self.complaints.add(
                "inversion",
                f"{record['t']:.3f}: event {record['n']} of {key} in {group} starts on {record['p']}, though event {before['n']} behind it "
                f"had started on {before['p']} at {before['t']:.3f}",
            )

    def _calm(self, process: str, now: float) -> bool:
        return self.troubles.calm(process, now - self.troubles.lease, now) >= self.troubles.need

    def verdict(self) -> OrderVerdict:
        """Say what came out."""
        safety = self._safety.verdict()
        for words in safety.complaints.words:
            self.complaints.add("overlap", words)
        return OrderVerdict(safety.runs, len(self._latest), safety.overlaps, self._inversions, self._changes, self.complaints)


def _place(entry: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence or 0)
