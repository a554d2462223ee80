"""Each event of a batch has an ending of its own: what failed is not acknowledged with the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.checkers.verdict import Complaints

if TYPE_CHECKING:
    from tests.chaos.history import Record


@dataclass(frozen=True, slots=True)
class ApartVerdict:
    """What came out.

    Attributes:
        failed: Runs that failed, as one event of a batch.
        acknowledged: Deliveries that were acknowledged.
    """

    failed: int
    acknowledged: int
    complaints: Complaints


@dataclass(slots=True)
class Apart:
    """Check that a delivery whose last run failed is never acknowledged by the process that ran it."""

    complaints: Complaints = field(default_factory=Complaints)
    _failed: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _failures: int = 0
    _acknowledged: int = 0

    def see(self, record: Record) -> None:
        """Look at the next record."""
        match record["op"], record["is"]:
            case "run", "fail":
                self._failures += 1
                self._failed[record["p"], record["g"], record["at"]] = record["n"]
            case "run", "ok":
                self._failed.pop((record["p"], record["g"], record["at"]), None)
            case "ack", "ok":
                self._acknowledge(record)

    def _acknowledge(self, record: Record) -> None:
        process, group = record["p"], record["g"]
        self._acknowledged += len(record["at"])
        for at in record["at"]:
            number = self._failed.get((process, group, at))
            if number is not None:
                said = f"{record['t']:.3f}: {process} acknowledged {at} of {group}, though its handler had failed event {number}"
                self.complaints.add("acknowledged", said)

    def verdict(self) -> ApartVerdict:
        """Say what came out."""
        return ApartVerdict(self._failures, self._acknowledged, self.complaints)
