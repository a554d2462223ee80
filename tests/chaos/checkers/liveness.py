"""What a dead worker held starts elsewhere in time, and everything ends soon after the faults do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.chaos.checkers.accounting import CRASHES
from tests.chaos.checkers.verdict import Complaints
from tests.chaos.hands import Handover, Hands

if TYPE_CHECKING:
    from tests.chaos.history import Record
    from tests.chaos.troubles import Troubles

SLACK: Final = 1.5
"""Seconds for what a busy machine of two cores adds."""


@dataclass(frozen=True, slots=True)
class LivenessVerdict:
    """What came out, in seconds.

    Attributes:
        drained: From the last fault, or the last publish, until nothing was owed, without the time in which an entry ran
            at its last allowed start, alone; None for never.
        limit: What was allowed: the lease, a sweep, the longest backoff.
        taken: Entries of dead workers that were taken over.
    """

    drained: float | None
    limit: float
    taken: int
    complaints: Complaints


@dataclass(slots=True)
class Liveness:
    """Check that work goes on.

    A living worker that nothing disturbed for lease + sweep + a third of a lease after a death has taken
    over what the dead one held (an entry at its last allowed start may wait for another one). The group is drained
    within lease + sweep + backoff after the last fault. No process ends unless it was made to.

    Args:
        troubles: The run's faults.
        sweep: The run's claim interval in seconds.
        backoff: The longest delay of a retry in seconds.
        allowance: Seconds more for the drain: a backlog that had to be worked off. Default 0.
        room: Entries that a process can have taken over at a time; one that has no room is not late.
    """

    troubles: Troubles
    sweep: float
    backoff: float
    allowance: float = 0.0
    complaints: Complaints = field(default_factory=Complaints)
    room: int = 1 << 30
    _hands: Hands = field(init=False)
    _started: dict[str, float] = field(default_factory=dict)
    _ready: dict[str, float] = field(default_factory=dict)
    _calm: float = 0.0
    _drained: float | None = None
    _taken: int = 0
    _judged: tuple[float, str] = (0.0, "")
    _last: set[tuple[str, str]] = field(default_factory=set)
    _alone: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _spent: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Know the room."""
        self._hands = Hands(self.room)

    @property
    def limit(self) -> float:
        """Seconds from the last fault to the end of the work."""
        return self.takeover + self.backoff + self.allowance

    @property
    def takeover(self) -> float:
        """Seconds in which an undisturbed worker takes over what a dead one held."""
        return self.troubles.lease * 4 / 3 + self.sweep + SLACK

    def see(self, record: Record) -> None:
        """Look at the next record."""
        match record["op"]:
            case "start":
                self._started[record["of"]] = record["t"]
            case "ready":
                self._started.pop(record["p"], None)
                self._ready[record["p"]] = record["t"]
            case "exit":
                self._exit(record)
            case "fault":
                if self._drained is None:  # what follows ends the run
                    self._calm = max(self._calm, record["t"])
            case "phase":
                self._phase(record)
            case "run":
                self._run(record)
        for handover in self._hands.see(record):
            if handover.count >= CRASHES:
                self._last.add((handover.group, handover.at))
            if handover.before and self.troubles.ended(handover.before) < handover.t:
                self._taken += 1
                self._judge(handover)

    def _exit(self, record: Record) -> None:
        process, now = record["of"], record["t"]
        self._ready.pop(process, None)
        started = self._started.pop(process, None)
        if started is not None and self.troubles.of(process, started, now):
            return  # a bus that finds no Redis when it opens says so after ten seconds
        if record["is"] == "fail":
            self.complaints.add("hangs", f"{now:.3f}: {process} did not end though it was asked to")
        elif not self.troubles.stopped(process, now) and not record.get("done"):
            self.complaints.add("ended by itself", f"{now:.3f}: {process} exited with {record['code']}")

    def _phase(self, record: Record) -> None:
        if record["name"] == "calm":
            self._calm = max(self._calm, record["t"])
        elif record["name"] == "drained":
            self._drained = record["t"]

    def _run(self, record: Record) -> None:
        """Keep the times in which an entry ran at its last allowed start, and others of its kind had to wait."""
        key = record["p"], record["g"], record["at"]
        if record["is"] != "invoke":
            if since := self._alone.pop(key, None):
                self._spent.append((since, record["t"]))
        elif key[1:] in self._last:
            self._alone[key] = record["t"]

    def _waiting(self) -> float:
        """Seconds of the drain in which something ran alone."""
        seconds, free = 0.0, self._calm
        for since, until in sorted(self._spent):
            seconds += max(0.0, until - max(since, free))
            free = max(free, until)
        return seconds

    def _judge(self, handover: Handover) -> None:
        if handover.count >= CRASHES or self._judged == (handover.t, handover.before):
            return
        self._judged = handover.t, handover.before
        died = self.troubles.ended(handover.before)
        # A process that died or froze meanwhile may have taken it over, and nobody has seen that: a lease begins anew.
        begin = max(died, self.troubles.latest(died, handover.t))
        for process, since in self._ready.items():
            full = self._hands.full_until(process, handover.group)
            calm = self.troubles.calm(process, max(begin, since, full), handover.t)
            if calm > self.takeover and not self.troubles.stopped(process, handover.t):
                self.complaints.add(
                    "late",
                    f"{handover.t:.3f}: {handover.at} of {handover.group} was taken over {handover.t - died:.2f} s after {handover.before} "
                    f"died, though {process} was undisturbed for {calm:.2f} s",
                )
                return

    def verdict(self) -> LivenessVerdict:
        """Say what came out."""
        seconds = None if self._drained is None else max(0.0, self._drained - self._calm - self._waiting())
        if seconds is None:
            self.complaints.add("not drained", "the groups still owed something when the run gave up")
        elif seconds > self.limit:
            self.complaints.add("drained late", f"{seconds:.2f} s after the last fault, {self.limit:.2f} s are allowed")
        return LivenessVerdict(seconds, self.limit, self._taken, self.complaints)
