"""An entry changes hands, or waits long after its read, only for a reason that the history shows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.chaos.checkers.verdict import Complaints
from tests.chaos.hands import SETTLING, Handover, Hands
from tests.chaos.slots import Slots
from tests.chaos.troubles import REDIS

if TYPE_CHECKING:
    from tests.chaos.history import Record
    from tests.chaos.troubles import Troubles

MEMORY: Final = 12.0
"""Leases for which a read whose reply was lost explains that somebody claims what no history shows as read."""


@dataclass(frozen=True, slots=True)
class ExplainedVerdict:
    """What came out.

    Attributes:
        handed: Entries that came to a process.
        changed: Those that had been another's, or were found again by the same.
        unseen: Those that were claimed though no history shows who had read them: the reply was lost.
        causes: Changes of hands by what explains them.
    """

    handed: int
    changed: int
    unseen: int
    causes: dict[str, int]
    complaints: Complaints


@dataclass(slots=True)
class Explained:
    """Check that only faults, and stops that were asked for, move entries about.

    Catches what no set of events shows: reads that are cancelled, entries that wait in a queue without
    being renewed, claims of what is well.

    Args:
        troubles: The run's faults.
        concurrency: Handlers at a time, in each process and group.
        forgetful: The server may forget what it answered just before it was killed (`appendfsync everysec`), and hand
            out again what it had handed out.
    """

    troubles: Troubles
    concurrency: int
    forgetful: bool = False
    complaints: Complaints = field(default_factory=Complaints)
    _hands: Hands = field(default_factory=Hands)
    _handed: int = 0
    _changed: int = 0
    _unseen: int = 0
    _causes: dict[str, int] = field(default_factory=dict)
    _reading: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _lost_reads: dict[str, deque[tuple[float, float, str]]] = field(default_factory=dict)
    _slots: Slots = field(init=False)

    def __post_init__(self) -> None:
        """Watch the slots."""
        self._slots = Slots(self.concurrency)

    def see(self, record: Record) -> None:
        """Look at the next record."""
        op = record["op"]
        if op == "run":
            self._run(record)
        elif op == "read" and record["is"] != "ok":
            self._read(record)
        elif record["is"] == "ok" and op in SETTLING:
            self._slots.settled(record)
        for handover in self._hands.see(record):
            self._handed += 1
            self._slots.came(handover)
            self._judge(handover)
        if op == "read" and record["is"] == "ok":
            self._reading.pop(_reader(record), None)

    # -- changing hands

    def _judge(self, handover: Handover) -> None:
        if handover.way in ("read", "promote") and not handover.before:
            return
        self._changed += 1
        cause = self._cause(handover)
        if cause:
            self._causes[cause] = self._causes.get(cause, 0) + 1
        else:
            source = handover.before or "nobody whose read could have been lost"
            self.complaints.add(
                "unexplained", f"{handover.t:.3f}: {handover.way} brought {handover.at} of {handover.group} to {handover.to} from {source}"
            )

    def _cause(self, handover: Handover) -> str:
        if handover.before and handover.way != "read":
            return self.troubles.cause(handover.before, handover.t)
        if handover.before:
            return REDIS if self.forgetful and self.troubles.had(REDIS, handover.t) else ""
        self._unseen += 1
        return self._lost_read(handover)

    # -- reads whose reply was lost

    def _read(self, record: Record) -> None:
        key = _reader(record)
        if record["is"] == "invoke":
            self._reading[key] = record["t"]
            return
        since = self._reading.pop(key, record["t"])
        lost = self._lost_reads.setdefault(record["g"], deque())
        lost.append((since, record["t"], record["p"]))
        while lost and lost[0][1] < record["t"] - MEMORY * self.troubles.lease:
            lost.popleft()

    def _lost_read(self, handover: Handover) -> str:
        """Why a read may have brought an entry to nobody's knowledge: the fault that met one.

        Nobody knows whose read it was, so that any that was lost will do: strict where there are no faults, lenient
        where there are many.
        """
        oldest = handover.t - MEMORY * self.troubles.lease
        ended = [read for read in self._lost_reads.get(handover.group, ()) if read[1] >= oldest]
        open_ = [(since, handover.t, process) for (process, group, _), since in self._reading.items() if group == handover.group]
        for since, until, process in (*ended, *open_):
            if self.troubles.ended(process) < oldest:
                continue
            if found := self.troubles.of(process, since, until):
                return found[0].kind
            if kind := self.troubles.stopped(process, handover.t):
                return kind
        return ""

    # -- waiting

    def _run(self, record: Record) -> None:
        if record["is"] != "invoke":
            self._slots.ended(record)
        elif (since := self._slots.began(record)) is not None and record["t"] - since > self.troubles.lease:
            self._waited(record, since)

    def _waited(self, record: Record, since: float) -> None:
        calm = self.troubles.calm(record["p"], since, record["t"])
        if calm > self.troubles.lease:
            self.complaints.add(
                "waited",
                f"{record['t']:.3f}: {record['at']} of {record['g']} starts on {record['p']} {calm:.2f} s after its read, "
                f"in which the process was undisturbed and had a free slot",
            )

    def verdict(self) -> ExplainedVerdict:
        """Say what came out."""
        return ExplainedVerdict(self._handed, self._changed, self._unseen, dict(sorted(self._causes.items())), self.complaints)


def _reader(record: Record) -> tuple[str, str, str]:
    """Whose read it is: each priority of a topic has a reader of its own."""
    return record["p"], record["g"], record.get("level", "")
