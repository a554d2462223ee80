"""The live screen, and the plain lines where there is no terminal. Both show a snapshot and ask nothing."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, RenderableType
from rich.console import Group as Stack
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.demo.audit import Totals
from services.demo.meters import GroupRow, TopicRow

LEGEND = (
    "a delivery is one event for one group that handles its type: published counts those owed, handled those made, missing the difference"
)

LAST = 6
"""Replacements that the live screen shows."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything there is to see at one moment."""

    phase: str
    elapsed: float
    workers: int
    topics: Sequence[TopicRow]
    groups: Sequence[GroupRow]
    totals: Totals
    replaced: Sequence[str]


class Screen(Protocol):
    """Where snapshots and lines go."""

    def shown(self) -> AbstractContextManager[object]:
        """The time in which it shows something."""
        ...

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest state."""
        ...

    def say(self, line: str) -> None:
        """Print a line that stays."""
        ...


class LiveScreen:
    """One table that is drawn anew in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, auto_refresh=False)

    def shown(self) -> AbstractContextManager[object]:
        """Draw while the block lasts."""
        return self._live

    def show(self, snapshot: Snapshot) -> None:
        """Draw a snapshot."""
        self._live.update(render(snapshot), refresh=True)

    def say(self, line: str) -> None:
        """Print above the table."""
        self._console.print(line, markup=False, highlight=False)


class PlainScreen:
    """One line a second, for logs and pipes."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._second = -1
        self._replaced = 0

    def shown(self) -> AbstractContextManager[object]:
        """Nothing to prepare."""
        return nullcontext()

    def show(self, snapshot: Snapshot) -> None:
        """Print what is new, once a second."""
        for line in snapshot.replaced[self._replaced :]:
            self.say(line)
        self._replaced = len(snapshot.replaced)
        if int(snapshot.elapsed) != self._second:
            self._second = int(snapshot.elapsed)
            self.say(one_line(snapshot))

    def say(self, line: str) -> None:
        """Print a line."""
        self._write(line)


def one_line(snapshot: Snapshot) -> str:
    """A snapshot in one line."""
    totals = snapshot.totals
    published = sum(row.per_second for row in snapshot.topics)
    handled = sum(row.per_second for row in snapshot.groups)
    return (
        f"{snapshot.elapsed:4.0f} s  {snapshot.phase:<9} {totals}  |  {published:.0f} events/s published, "
        f"{handled:.0f} deliveries/s handled  |  {snapshot.workers} workers, {len(snapshot.replaced)} killed"
    )


def render(snapshot: Snapshot) -> RenderableType:
    """A snapshot as a screenful."""
    totals = snapshot.totals
    head = Text.assemble(
        (f" {snapshot.phase} ", "reverse"), f"  {snapshot.elapsed:.0f} s   {snapshot.workers} workers   ",
        (f"{totals.events:,} events", "bold"),
    )  # fmt: skip
    sums = Text(str(totals), style="bold green" if not totals.missing else "bold yellow")
    if totals.repeated:
        sums.append(f"   {totals.repeated} handled again", style="yellow")
    replaced = [Text(line, style="dim") for line in snapshot.replaced[-LAST:]]
    return Stack(head, _topics(snapshot.topics), _groups(snapshot.groups), sums, Text(LEGEND, style="dim"), *replaced)


def _topics(rows: Sequence[TopicRow]) -> Table:
    table = _table("topic", "published/s", "published")
    for row in rows:
        table.add_row(row.topic, f"{row.per_second:.1f}", f"{row.total:,}")
    return table


def _groups(rows: Sequence[GroupRow]) -> Table:
    table = _table("topic/group", "handled/s", "handled", "missing", "lag", "pending", "p50 ms", "p99 ms")
    for row in rows:
        counts = (f"{row.total:,}", f"{row.missing:,}", f"{row.look.lag}", f"{row.look.pending}")
        table.add_row(str(row.group), f"{row.per_second:.1f}", *counts, _ms(row.p50), _ms(row.p99))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold cyan")
    table.add_column(first, min_width=24)
    for name in others:
        table.add_column(name, justify="right", min_width=8)
    return table


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f}"
