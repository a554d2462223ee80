"""What is published with a key stands in its topic once, and every publish of it is told so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.checkers.numbers import Digests, digest
from tests.chaos.checkers.verdict import Complaints

if TYPE_CHECKING:
    from tests.chaos.history import Record


@dataclass(frozen=True, slots=True)
class PublishedOnceVerdict:
    """What came out.

    Attributes:
        published: Publishes that were confirmed.
        again: Those of them that had been tried before.
    """

    published: int
    again: int
    complaints: Complaints


@dataclass(slots=True)
class PublishedOnce:
    """Check that all deliveries of an event, and all confirmations of it, name one entry."""

    complaints: Complaints = field(default_factory=Complaints)
    _entries: Digests = field(default_factory=Digests)
    _tried: set[int] = field(default_factory=set)
    _published: int = 0
    _again: int = 0

    def see(self, record: Record) -> None:
        """Look at the next record."""
        match record["op"], record["is"]:
            case "publish", "ok":
                self._published += len(record["n"])
                self._again += len(record["n"]) if record.get("again") else len(self._tried.intersection(record["n"]))
                for number, entry in zip(record["n"], record["e"], strict=True):
                    self._check(number, entry, "was confirmed as")
            case "publish", "unknown":
                self._tried.update(record["n"])
            case "run", "invoke":
                self._check(record["n"], record["e"], "came as")

    def _check(self, number: int, entry: str, how: str) -> None:
        known = self._entries[number]
        if not known:
            self._entries[number] = digest(entry)
        elif known != digest(entry):
            self.complaints.add("twice", f"event {number} {how} entry {entry}, and was another entry before")

    def verdict(self) -> PublishedOnceVerdict:
        """Say what came out."""
        if self._published and not self._again:
            self.complaints.add("not tried", "no publish had to be tried again: nothing is shown")
        return PublishedOnceVerdict(self._published, self._again, self.complaints)
