"""What a group has finished it does not start again, and what it acknowledges it remembers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.checkers.verdict import Complaints

if TYPE_CHECKING:
    from tests.chaos.history import Record
    from tests.chaos.troubles import Troubles


@dataclass(frozen=True, slots=True)
class OnceVerdict:
    """What came out.

    Attributes:
        finished: Events that were finished, counted once for each group.
        settled: Deliveries that were acknowledged without a run.
        put_off: Times that a delivery was put off because another one of its event was in progress.
        again: Runs that succeeded although another one of the event had: each began before the first one's mark.
    """

    finished: int
    settled: int
    put_off: int
    again: int
    complaints: Complaints


@dataclass(slots=True)
class _Event:
    """An event in one group.

    Attributes:
        marked: When the first acknowledgement of it was answered: by then its mark stands.
        running: Since when it runs, by process and place.
        succeeded: How many runs did.
    """

    marked: float = math.inf
    running: dict[tuple[str, str], float] = field(default_factory=dict)
    succeeded: int = 0


@dataclass(slots=True)
class HandledOnce:
    """Check idempotent handling, event by event and group by group.

    No run begins whose start was asked for after the event's acknowledgement had been answered. History knows both: when the
    question was sent, and when the answer came, so that nothing is judged that may have crossed on the way. No two
    deliveries of one event run side by side, unless the first one's process could not keep its lease. At the end every event
    that a handler finished is remembered, or dead: what was acknowledged without its mark is found even where no copy came.

    Args:
        troubles: The run's faults.
    """

    troubles: Troubles
    complaints: Complaints = field(default_factory=Complaints)
    _events: dict[tuple[str, int], _Event] = field(default_factory=dict)
    _ids: dict[int, str] = field(default_factory=dict)
    _asked: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _ran: dict[tuple[str, str], int] = field(default_factory=dict)
    _remembered: dict[str, set[str]] = field(default_factory=dict)
    _dead: set[tuple[str, int]] = field(default_factory=set)
    _settled: int = 0
    _put_off: int = 0

    def see(self, record: Record) -> None:
        """Look at the next record."""
        match record["op"], record["is"]:
            case "begin", "ok":
                self._begun(record)
            case "run", "invoke":
                self._starts(record)
            case "run", _:
                self._ends(record)
            case "ack", "ok":
                self._acknowledged(record)
            case "dead", _:
                self._dead.add((record["g"], record["n"]))
            case "remembered", _:
                self._remembered.setdefault(record["g"], set()).update(record["id"])

    def _begun(self, record: Record) -> None:
        for at, answer in zip(record["at"], record["got"], strict=True):
            match answer:
                case "finished":
                    self._settled += 1
                case "twin":
                    self._put_off += 1
                case _:
                    self._asked[record["g"], at, record["p"]] = record["asked"]

    def _starts(self, record: Record) -> None:
        group, number, process, at, now = record["g"], record["n"], record["p"], record["at"], record["t"]
        event = self._events.setdefault((group, number), _Event())
        self._ids[number] = record["id"]
        asked = self._asked.pop((group, at, process), now)
        what = f"{now:.3f}: event {number} of {group} begins on {process}"
        if asked > event.marked:
            self.complaints.add(
                "after its mark", f"{what}, asked for {asked - event.marked:.3f} s after its acknowledgement had been answered"
            )
        for (other, place), since in event.running.items():
            if place != at and self.troubles.ended(other) > now and self._able(other, since, now):
                self.complaints.add("side by side", f"{what} while {other}, undisturbed, runs it since {since:.3f}")
        event.running[process, at] = now

    def _able(self, process: str, since: float, now: float) -> bool:
        """Whether a process kept its lease while it ran: its last lease in time, and before it was not stopped for as long."""
        return self.troubles.calm(process, now - self.troubles.lease, now) >= self.troubles.need and not any(
            trouble.until - trouble.since > self.troubles.lease / 3 for trouble in self.troubles.of(process, since, now)
        )

    def _ends(self, record: Record) -> None:
        event = self._events.setdefault((record["g"], record["n"]), _Event())
        event.running.pop((record["p"], record["at"]), None)
        if record["is"] == "ok":
            event.succeeded += 1
            self._ran[record["g"], record["at"]] = record["n"]

    def _acknowledged(self, record: Record) -> None:
        for at in record["at"]:
            number = self._ran.pop((record["g"], at), None)
            if number is not None:
                event = self._events[record["g"], number]
                event.marked = min(event.marked, record["t"])

    def verdict(self) -> OnceVerdict:
        """Say what came out."""
        finished = [key for key, event in self._events.items() if event.succeeded]
        for group, number in finished:
            if self._ids[number] not in self._remembered.get(group, ()) and (group, number) not in self._dead:
                self.complaints.add("no mark", f"event {number} was finished in {group}, and at the end the group does not remember it")
        again = sum(self._events[key].succeeded - 1 for key in finished)
        return OnceVerdict(len(finished), self._settled, self._put_off, again, self.complaints)
