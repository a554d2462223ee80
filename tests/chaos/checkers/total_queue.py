"""What goes in comes out, and nothing else: attempted, acknowledged, delivered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.chaos.checkers.numbers import Digests, Flags, digest
from tests.chaos.checkers.verdict import Complaints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.history import Record

ATTEMPTED: Final = 1
ACKNOWLEDGED: Final = 2
AGAIN: Final = 4
"""It was sent more than once, so that it may stand in the topic more than once."""

DELIVERED: Final = 1
HANDLED: Final = 2


@dataclass(frozen=True, slots=True)
class TotalQueueVerdict:
    """Counts of events, and of deliveries summed over the groups.

    Attributes:
        attempted: Events that a publisher began to publish.
        acknowledged: Those whose publish was confirmed.
        delivered: Events that reached a handler, the dead letters, or were skipped as nobody's.
        lost: Acknowledged, and never delivered.
        unexpected: Deliveries of what nobody published: an unknown event, another event id, a damaged
            payload, an entry beyond those the publisher sent.
        duplicated: Runs that succeeded although an earlier one of the same event had.
        recovered: Events whose publish was never confirmed, and that were delivered all the same.
    """

    attempted: int
    acknowledged: int
    delivered: int
    lost: int
    unexpected: int
    duplicated: int
    recovered: int
    complaints: Complaints


@dataclass(slots=True)
class TotalQueue:
    """Check that every acknowledged event is delivered to every group, and nothing that was not published.

    Args:
        groups: Those that every event must reach.
    """

    groups: Sequence[str]
    complaints: Complaints = field(default_factory=Complaints)
    _published: Flags = field(default_factory=Flags)
    _ids: Digests = field(default_factory=Digests)
    _entries: Digests = field(default_factory=Digests)
    _early: dict[int, set[str]] = field(default_factory=dict)
    _delivered: dict[str, Flags] = field(default_factory=dict)
    _duplicated: int = 0

    def __post_init__(self) -> None:
        """Know the groups."""
        self._delivered = {group: Flags() for group in self.groups}

    def see(self, record: Record) -> None:
        """Look at the next record."""
        match record["op"], record["is"]:
            case "run", "invoke":
                self._arrived(record)
            case "run", "ok":
                self._handled(record)
            case "publish", _:
                self._publishing(record)
            case "dead", _:
                self._arrived(record)
            case "drop", "invoke":
                self._dropping(record)

    def _publishing(self, record: Record) -> None:
        numbers, flags = record["n"], self._published
        if record["is"] == "invoke":
            for number, event_id in zip(numbers, record["id"], strict=True):
                self._ids[number] = digest(event_id)
                flags[number] |= ATTEMPTED | (AGAIN if flags[number] else 0)
            return
        if record.get("again"):
            for number in numbers:
                flags[number] |= AGAIN
        if record["is"] == "ok":
            for number, entry in zip(numbers, record["e"], strict=True):
                self._confirmed(number, entry)

    def _confirmed(self, number: int, entry: str) -> None:
        self._published[number] |= ACKNOWLEDGED
        self._entries[number] = digest(entry)
        for seen in self._early.pop(number, ()):
            self._check_entry(number, seen)

    def _arrived(self, record: Record) -> None:
        number, group, entry = record["n"], record["g"], record["e"]
        if not self._published[number] & ATTEMPTED:
            self._unexpected(record, "which nobody published")
        elif self._ids[number] != digest(record["id"]):
            self._unexpected(record, f"under the event id {record['id']}, which its publisher never used")
        elif record.get("sum") is False:
            self._unexpected(record, "with a damaged payload")
        self._delivered[group][number] |= DELIVERED
        if self._published[number] & ACKNOWLEDGED:
            self._check_entry(number, entry)
        elif self._published[number]:
            self._early.setdefault(number, set()).add(entry)

    def _check_entry(self, number: int, entry: str) -> None:
        if not self._published[number] & AGAIN and self._entries[number] != digest(entry):
            self.complaints.add("unexpected", f"event {number} came as entry {entry}, and its one publish was confirmed as another")

    def _unexpected(self, record: Record, why: str) -> None:
        self.complaints.add("unexpected", f"{record['t']:.3f}: {record['g']} on {record['p']} got event {record['n']}, {why}")

    def _handled(self, record: Record) -> None:
        flags, number = self._delivered[record["g"]], record["n"]
        if flags[number] & HANDLED:
            self._duplicated += 1
        flags[number] |= HANDLED

    def _dropping(self, record: Record) -> None:
        # Whether it may be dropped is for the accounting; whether it was, nobody knows whose answer was lost.
        for number in record["n"]:
            if number >= 0:
                self._delivered[record["g"]][number] |= DELIVERED

    def verdict(self) -> TotalQueueVerdict:
        """Say what came out."""
        acknowledged = self._published.where(ACKNOWLEDGED)
        for group, flags in self._delivered.items():
            for number in acknowledged:
                if not flags[number]:
                    self.complaints.add("lost", f"event {number} was acknowledged and never reached group {group}")
        attempted = self._published.where(ATTEMPTED)
        reached = [number for number in attempted if any(flags[number] for flags in self._delivered.values())]
        return TotalQueueVerdict(
            attempted=len(attempted),
            acknowledged=len(acknowledged),
            delivered=len(reached),
            lost=self.complaints.counts.get("lost", 0),
            unexpected=self.complaints.counts.get("unexpected", 0),
            duplicated=self._duplicated,
            recovered=sum(not self._published[number] & ACKNOWLEDGED for number in reached),
            complaints=self.complaints,
        )
