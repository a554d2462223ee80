"""What the faults of a run did: whether they bit, and how long it took to recover."""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.chaos.checkers.numbers import Flags
from tests.chaos.checkers.verdict import Complaints
from tests.chaos.faults import MUST_BITE, MUST_HIT
from tests.chaos.hands import Handover, Hands
from tests.chaos.troubles import DEATHS, STALL, STOP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.chaos.history import Record
    from tests.chaos.troubles import Troubles

AFTER: Final = 6.0
"""Seconds that a command may have waited for its answer before it failed for a fault."""

AGAIN: Final = "published again"
"""What explains a duplicate of an event that stands twice in the topic."""


@dataclass(slots=True)
class Effect:
    """What the faults of one kind did.

    Attributes:
        count: Faults.
        redelivered: Entries that changed hands for them.
        resent: Commands that had no answer, and were sent again.
        hits: Replies that were delayed or split, entries that were held at a SIGTERM.
        duplicates: Runs that succeeded although another one of the same event had.
        busy: Of deaths: those in which handlers were running.
    """

    count: int = 0
    redelivered: int = 0
    resent: int = 0
    hits: int = 0
    duplicates: int = 0
    busy: int = 0


@dataclass(frozen=True, slots=True)
class EffectsVerdict:
    """What came out.

    Attributes:
        by_kind: The effects, by kind of fault.
        deaths: Workers that were killed; busy: those of them in which handlers were running.
        points: The named points at which workers died, and how often.
        recovery_p50: Seconds from a death until half of what it left had started elsewhere …
        recovery_p99: … and until all but a hundredth had.
    """

    by_kind: dict[str, Effect]
    deaths: int
    busy: int
    points: dict[str, int]
    recovery_p50: float
    recovery_p99: float
    complaints: Complaints


@dataclass(slots=True)
class Effects:
    """Count what each kind of fault forced, and complain where a kind forced nothing.

    Args:
        troubles: The run's faults.
        expected: Kinds that were to happen; each must have bitten.
    """

    troubles: Troubles
    expected: Iterable[str] = ()
    complaints: Complaints = field(default_factory=Complaints)
    _hands: Hands = field(default_factory=Hands)
    _kinds: defaultdict[str, Effect] = field(default_factory=lambda: defaultdict(Effect))
    _running: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    _handled: defaultdict[str, Flags] = field(default_factory=lambda: defaultdict(Flags))
    _why: dict[tuple[str, str], str] = field(default_factory=dict)
    _left: dict[tuple[str, str], float] = field(default_factory=dict)
    _points: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    _recovery: array[float] = field(default_factory=lambda: array("d"))

    def see(self, record: Record) -> None:
        """Look at the next record."""
        op, how = record["op"], record["is"]
        if op == "run":
            self._run(record)
        elif op == "fault":
            self._fault(record)
        elif (how in ("unknown", "fail") and op != "exit") or (op == "publish" and record.get("again")):
            self._resent(record)
        for handover in self._hands.see(record):
            self._moved(handover)

    def _run(self, record: Record) -> None:
        place, process = (record["g"], record["at"]), record["p"]
        if record["is"] == "invoke":
            self._running[process] += 1
            died = self._left.pop(place, None)
            if died is not None:
                self._recovery.append(record["t"] - died)
            return
        self._running[process] -= 1
        why = self._why.pop(place, "")
        if record["is"] == "ok":
            handled = self._handled[record["g"]]
            if handled[record["n"]]:
                self._kinds[why or AGAIN].duplicates += 1
            handled[record["n"]] = 1

    def _fault(self, record: Record) -> None:
        effect, kind = self._kinds[record["kind"]], record["kind"]
        if record["is"] == "ok":
            effect.hits += record.get("hits", 0)
            return
        effect.count += 1
        if "point" in record:
            self._points[record["point"]] += 1
        if kind in DEATHS:
            effect.busy += self._running.pop(record["of"], 0) > 0
        elif kind == STOP:
            effect.hits += sum(holder == record["of"] for holder in self._hands.held.values())

    def _resent(self, record: Record) -> None:
        found = self.troubles.of(record["p"], record["t"] - AFTER, record["t"])
        if found:
            present = [trouble for trouble in found if trouble.until >= record["t"] and trouble.kind != STALL]
            self._kinds[(present or found)[-1].kind].resent += 1

    def _moved(self, handover: Handover) -> None:
        if not handover.before:
            return
        cause = self.troubles.cause(handover.before, handover.t)
        self._kinds[cause].redelivered += 1
        self._why[handover.group, handover.at] = cause
        died = self.troubles.ended(handover.before)
        if died < handover.t:
            self._left[handover.group, handover.at] = died

    def verdict(self) -> EffectsVerdict:
        """Say what came out."""
        for kind in self.expected:
            self._judge(kind, self._kinds[kind])
        deaths = [self._kinds[kind] for kind in sorted(DEATHS)]
        count, busy = sum(each.count for each in deaths), sum(each.busy for each in deaths)
        if busy * 2 < count:
            self.complaints.add("killed idle", f"only {busy} of {count} killed workers were running handlers")
        kinds = {kind: effect for kind, effect in sorted(self._kinds.items()) if kind}
        points = dict(sorted(self._points.items()))
        return EffectsVerdict(kinds, count, busy, points, self._percentile(50), self._percentile(99), self.complaints)

    def _judge(self, kind: str, effect: Effect) -> None:
        if not effect.count:
            self.complaints.add("did not happen", f"no {kind} was made")
        elif kind in MUST_BITE and not effect.redelivered + effect.resent:
            self.complaints.add("did not bite", f"{effect.count} faults of kind {kind} forced no redelivery and no re-send")
        elif kind in MUST_HIT and not effect.hits:
            self.complaints.add("did not bite", f"{effect.count} faults of kind {kind} met no reply and no held entry")

    def _percentile(self, percent: int) -> float:
        ordered = sorted(self._recovery)
        return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 3) if ordered else 0.0
