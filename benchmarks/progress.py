"""What the terminal shows while it runs: what was found, and how long the rest will take."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from benchmarks.results import Record
    from benchmarks.rounds import Turn

GUESS: Final = 4.0
"""Seconds for a turn, while none was taken."""


class Progress:
    """One line a turn.

    Args:
        todo: The turns to come.
        rounds: Of each heat.
    """

    def __init__(self, todo: list[Turn], rounds: int) -> None:
        self._todo = todo
        self._rounds = rounds
        self._took: dict[str, float] = {}
        self._done = 0

    def begins(self, turn: Turn) -> None:
        """Show what is measured now, and how long it will go on."""
        case, contender, total = turn.entrant.case, turn.entrant.contender, len(self._todo)
        where = f"{self._done + 1:>{len(str(total))}}/{total}"
        print(
            f"{where}  {spoken(self.left()):>12} left  round {turn.round + 1}/{self._rounds}  {case.title} · {contender.title}",
            end="",
            flush=True,
        )

    def ended(self, turn: Turn, record: Record) -> None:
        """Show what was found."""
        self._done += 1
        self._took[turn.entrant.name] = record.took
        print(f": {found(record)}", flush=True)
        if record.error:
            print(f"    {record.error.splitlines()[-1]}", file=sys.stderr, flush=True)

    def left(self) -> float:
        """Seconds that the turns to come will take, by what those before them took."""
        typical = sum(self._took.values()) / len(self._took) if self._took else GUESS
        return sum(self._took.get(turn.entrant.name, typical) for turn in self._todo[self._done :])


def found(record: Record) -> str:
    """The number of a turn that says most."""
    measured = record.measured
    if measured is None:
        return "failed"
    return f"{measured.rate:,.0f}/s" if measured.p50_ms is None else f"p50 {measured.p50_ms:.2f} ms, p99 {measured.p99_ms:.2f} ms"


def spoken(seconds: float) -> str:
    """About how long."""
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"  # noqa: PLR2004 - below it, minutes are too coarse
