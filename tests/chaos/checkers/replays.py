"""What a replay copied was run again, in its group alone, and was copied once."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.checkers.verdict import Complaints

if TYPE_CHECKING:
    from tests.chaos.checkers.verdict import Checker
    from tests.chaos.history import Record


@dataclass(frozen=True, slots=True)
class ReplaysVerdict:
    """What came out.

    Attributes:
        finished: Replays that came to their end.
        resumed: Those of them that another process had begun.
        copied: Entries they copied.
        again: Entries of the topic that were run again, summed over the groups.
    """

    finished: int
    resumed: int
    copied: int
    again: int
    complaints: Complaints


@dataclass(slots=True)
class _Range:
    """Entries of the topic that one replay covers; `copied` is None while it is not known to be done."""

    until: tuple[int, ...]
    copied: int | None = None
    resumed: bool = False


@dataclass(slots=True)
class Replays:
    """Check the replays of a run, whose ranges follow each other in each group: no entry belongs to two.

    A copy has an id of its own in the group's private stream, and so has each copy of it that is retried or released. So
    of one entry as many ids may run as it was copied (once, where a replay of the group covers it) and as such ids were
    moved; a process that was killed may have moved what nobody noted as acknowledged. And of a replay that is done as many
    entries ran as it says it copied.
    """

    complaints: Complaints = field(default_factory=Complaints)
    _ranges: dict[str, dict[tuple[int, ...], _Range]] = field(default_factory=lambda: defaultdict(dict))
    _ran: dict[str, dict[tuple[int, ...], set[str]]] = field(default_factory=lambda: defaultdict(dict))
    _moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    _acked: set[tuple[str, str]] = field(default_factory=set)

    def see(self, record: Record) -> None:
        """Look at the next record."""
        match record["op"], record["is"]:
            case "replay", _:
                self._replay(record)
            case "run", "invoke" if record.get("replayed"):
                self._ran[record["g"]].setdefault(_order(record["e"]), set()).add(record["at"])
            case "move", "ok" | "unknown":
                self._moved.update((record["g"], at) for at in record["at"] if at[0] == "r")
            case "ack", "ok":
                self._acked.update((record["g"], at) for at in record["at"] if at[0] == "r")

    def _replay(self, record: Record) -> None:
        range_ = _Range(_order(record["until"]), record.get("copied"), record.get("resumed", False))
        self._ranges[record["g"]][_order(record["begin"])] = range_

    def verdict(self) -> ReplaysVerdict:
        """Say what came out."""
        for group, ran in self._ran.items():
            self._check(group, ran)
        done = [range_ for ranges in self._ranges.values() for range_ in ranges.values() if range_.copied is not None]
        if not any(range_.copied for range_ in done):
            self.complaints.add("none", "no replay came to its end, so that nothing was shown")
        return ReplaysVerdict(
            finished=len(done),
            resumed=sum(range_.resumed for range_ in done),
            copied=sum(range_.copied or 0 for range_ in done),
            again=sum(map(len, self._ran.values())),
            complaints=self.complaints,
        )

    def _check(self, group: str, ran: dict[tuple[int, ...], set[str]]) -> None:
        ranges = self._ranges[group]
        begins, found = sorted(ranges), Counter[tuple[int, ...]]()
        for entry, places in ran.items():
            at = bisect_right(begins, entry)
            begin = begins[at - 1] if at else ()
            if not begin or entry > ranges[begin].until:
                self.complaints.add("elsewhere", f"entry {_shown(entry)} ran as a replayed one in {group}, of which no replay covers it")
                continue
            found[begin] += 1
            moved = sum(self._moved[group, place] or (group, place) not in self._acked for place in places)
            if len(places) > 1 + moved:
                self.complaints.add(
                    "twice",
                    f"entry {_shown(entry)} of {group} ran from {', '.join(sorted(places))}, moved {moved} times at most: copied twice",
                )
        for begin, range_ in ranges.items():
            if range_.copied is not None and found[begin] != range_.copied:
                self.complaints.add(
                    "count",
                    f"the replay of {group} from {_shown(begin)} to {_shown(range_.until)} copied {range_.copied} entries, and "
                    f"{found[begin]} of them ran again",
                )


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))


def _shown(order: tuple[int, ...]) -> str:
    return "-".join(map(str, order))


@dataclass(slots=True)
class Apart:
    """Shows a checker a replayed run as one of another entry, and no replayed dead letter.

    A replay copies what waits for a retry as well, so that both may run at once, and both may die.
    """

    checker: Checker

    def see(self, record: Record) -> None:
        """Look at the next record."""
        if not record.get("replayed"):
            self.checker.see(record)
        elif record["op"] == "run":
            self.checker.see({**record, "e": f"{record['e']}r"})

    def verdict(self) -> Any:
        """Say what came out."""
        return self.checker.verdict()


@dataclass(slots=True)
class Workers:
    """Shows a checker what happens to workers and publishers, and not what happens to the replayer, which holds no entries."""

    checker: Checker
    replayer: str

    def see(self, record: Record) -> None:
        """Look at the next record."""
        if not record.get("of", "").startswith(f"{self.replayer}."):
            self.checker.see(record)

    def verdict(self) -> Any:
        """Say what came out."""
        return self.checker.verdict()
