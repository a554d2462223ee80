"""Each event ends where it belongs: handled, dead or skipped, in every group."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.chaos.checkers.numbers import Flags
from tests.chaos.checkers.verdict import Complaints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.history import Record
    from tests.chaos.troubles import Troubles

CRASHES: Final = 3
"""Lost starts after which an event is a dead letter: DESIGN.md, "Defaults"."""

AT_ONCE: Final = 0.01
"""Seconds within which a handler begins once the count of its start was answered."""

ATTEMPTED: Final = 1
ACKNOWLEDGED: Final = 2

HANDLED: Final = 1
DEAD: Final = 2
SKIPPED: Final = 4

SKIP: Final = "nobody"
REASONS: Final = {"fail": "attempts", "reject": "rejected", "never": "never", "kill": "crashes"}
"""Scripts that end among the dead letters, and the reason that is to stand there."""

OWED: Final = ("pending", "parked", "due", "retry", "unread", "scheduled")


@dataclass(frozen=True, slots=True)
class AccountingVerdict:
    """What came out, per group where it is a dictionary.

    Attributes:
        acknowledged: Events whose publish was confirmed.
        handled: Events that a handler finished.
        dead: Dead letters by reason.
        skipped: Events of a type that nobody ever declared.
        innocent: Dead letters of events that were not scripted to die, and whose lost starts the history shows.
    """

    acknowledged: int
    handled: dict[str, int]
    dead: dict[str, dict[str, int]]
    skipped: dict[str, int]
    innocent: int
    complaints: Complaints


@dataclass(slots=True)
class _Start:
    """The start of a delivery that was claimed before: counted in Redis before its handler begins."""

    process: str
    answered: float = math.inf
    begun: bool = False
    failed: bool = False


@dataclass(slots=True)
class Accounting:
    """Check the ends of events, group by group.

    What was acknowledged was handled, is dead or was skipped; and that was attempted. Skipped is exactly what nobody ever declared. Dead
    is what was scripted to fail or to kill, once per entry and for that reason, and nothing else, except
    an event whose lost starts the history shows, one by one, to the full budget. At the end nothing is owed.

    Args:
        groups: Those that every event must reach.
        troubles: The run's faults.
    """

    groups: Sequence[str]
    troubles: Troubles
    complaints: Complaints = field(default_factory=Complaints)
    _published: Flags = field(default_factory=Flags)
    _odd: dict[int, str] = field(default_factory=dict)
    _ends: dict[str, Flags] = field(default_factory=dict)
    _dead: dict[str, dict[str, int]] = field(default_factory=dict)
    _letters: dict[tuple[str, str], int] = field(default_factory=dict)
    _starts: dict[tuple[str, int], list[_Start]] = field(default_factory=dict)
    _stated: set[str] = field(default_factory=set)
    _innocent: int = 0

    def __post_init__(self) -> None:
        """Know the groups."""
        self._ends = {group: Flags() for group in self.groups}
        self._dead = {group: {} for group in self.groups}

    def see(self, record: Record) -> None:
        """Look at the next record."""
        match record["op"], record["is"]:
            case "run", _:
                self._run(record)
            case "publish", _:
                self._publishing(record)
            case "mark", "invoke":
                for number in record["n"]:
                    self._starts.setdefault((record["g"], number), []).append(_Start(record["p"]))
            case "mark", "ok":
                self._marked(record)
            case "drop", "invoke":
                self._dropping(record)
            case "drop", "ok":
                self._dropped(record)
            case "dead", _:
                self._letter(record)
            case "state", _:
                self._state(record)

    def _publishing(self, record: Record) -> None:
        self._odd.update({int(number): script for number, script in record.get("odd", {}).items()})
        bit = ACKNOWLEDGED if record["is"] == "ok" else ATTEMPTED
        for number in record["n"]:
            self._published[number] |= bit

    def _run(self, record: Record) -> None:
        if record["is"] == "ok":
            self._ends[record["g"]][record["n"]] |= HANDLED
        if start := self._start(record, record["n"]):
            start.begun = True
            start.failed |= record["is"] == "fail" and record.get("why") != "cancelled"

    def _marked(self, record: Record) -> None:
        for number in record["n"]:
            if start := self._start(record, number):
                start.answered = record["t"]

    def _start(self, record: Record, number: int) -> _Start | None:
        """The last counted start of an event in a process."""
        starts = self._starts.get((record["g"], number), ())
        return next((start for start in reversed(starts) if start.process == record["p"]), None)

    def _dropping(self, record: Record) -> None:
        # The answer may be lost, with its process or its connection, and the second one says "gone".
        for number in record["n"]:
            if self._odd.get(number) == SKIP:
                self._ends[record["g"]][number] |= SKIPPED

    def _dropped(self, record: Record) -> None:
        for number, answer in zip(record["n"], record["got"], strict=True):
            if answer == "done" and self._odd.get(number) != SKIP:
                self._ends[record["g"]][number] |= SKIPPED
                self.complaints.add("skipped", f"{record['t']:.3f}: event {number} was skipped by {record['p']} for {record['g']}")

    # -- dead letters

    def _letter(self, record: Record) -> None:
        group, number, reason = record["g"], record["n"], record["reason"]
        counts = self._dead[group]
        counts[reason] = counts.get(reason, 0) + 1
        self._ends[group][number] |= DEAD
        key = group, record["e"]
        self._letters[key] = self._letters.get(key, 0) + 1
        if self._letters[key] == 2:
            self.complaints.add("two dead letters", f"entry {record['e']} (event {number}) of {group} is dead twice")
        if reason != _doom(self._odd.get(number, ""), group):
            self._check_innocent(record)

    def _check_innocent(self, record: Record) -> None:
        group, number = record["g"], record["n"]
        script = self._odd.get(number, "ok")
        lost = [start for start in self._starts.get((group, number), ()) if self._was_lost(start)]
        if record["reason"] == "crashes" and len(lost) >= CRASHES:
            self._innocent += 1
            return
        self.complaints.add(
            "wrongly dead",
            f"event {number} (scripted {script!r}) is dead in {group} for {record['reason']!r}; the history shows {len(lost)} lost starts",
        )

    def _was_lost(self, start: _Start) -> bool:
        """A start counts when its handler began, or when its process was gone, or cut off, before it could."""
        if start.begun:
            return not start.failed
        return start.answered == math.inf or self.troubles.ended(start.process) <= start.answered + AT_ONCE

    # -- the end

    def _state(self, record: Record) -> None:
        self._stated.add(record["g"])
        owed = {name: record[name] for name in OWED if record.get(name)}
        if owed:
            self.complaints.add("owed", f"{record['g']} still has {owed}")

    def verdict(self) -> AccountingVerdict:
        """Say what came out."""
        acknowledged = self._published.where(ACKNOWLEDGED)
        for group in self.groups:
            self._settle(group, acknowledged)
        return AccountingVerdict(
            acknowledged=len(acknowledged),
            handled={group: len(flags.where(HANDLED)) for group, flags in self._ends.items()},
            dead={group: dict(sorted(counts.items())) for group, counts in self._dead.items()},
            skipped={group: len(flags.where(SKIPPED)) for group, flags in self._ends.items()},
            innocent=self._innocent,
            complaints=self.complaints,
        )

    def _settle(self, group: str, acknowledged: list[int]) -> None:
        ends = self._ends[group]
        if group not in self._stated:
            self.complaints.add("owed", f"nobody looked at the end what {group} still owes")
        for number in acknowledged:
            if not ends[number]:
                self.complaints.add(
                    "unaccounted", f"event {number} was acknowledged, and {group} neither handled nor buried nor skipped it"
                )
        for number in range(len(ends)):
            if ends[number] and not self._published[number]:
                self.complaints.add("from nowhere", f"event {number} was never published, and {group} had it")
        for number, script in self._odd.items():
            if ends[number] and _doom(script, group) and not ends[number] & DEAD:
                self.complaints.add("not dead", f"event {number}, scripted {script!r}, is no dead letter of {group}")


def _doom(script: str, group: str) -> str:
    """The reason an event is to be dead for in a group; empty where it is not. `kill:charge` kills in one group only."""
    what, _, where = script.partition(":")
    return REASONS.get(what, "") if where in ("", group) else ""
