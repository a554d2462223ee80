"""Records as text: units for people, tables, JSON lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eventbus.observe import escaped, escaped_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOTHING: Final = "-"
"""What stands where there is nothing to show."""

_PIPED_WIDTH: Final = 10_000
"""Columns where nobody looks at a terminal: lines must not be folded for `grep`."""

_SHORT: Final = 120
"""Of a unit, up to which it is shown: 90 minutes say more than an hour and a half."""

_DAYS: Final = 48
_KILO: Final = 1024


def seconds(value: float) -> str:
    """A duration with the two units that matter: `850ms`, `4.2s`, `3m12s`, `5h3m`, `12d4h`."""
    if value < 1:
        return f"{value * 1000:.0f}ms"
    if value < _SHORT:
        return f"{value:.1f}s"
    minutes, rest = divmod(int(value), 60)
    if minutes < _SHORT:
        return f"{minutes}m{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if hours < _DAYS else f"{hours // 24}d{hours % 24}h"


def size(value: int | None) -> str:
    """Bytes in the largest unit of which there is one: `812 B`, `1.4 MiB`."""
    if value is None:
        return NOTHING
    number, unit = float(value), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < _KILO:
            break
        number, unit = number / _KILO, larger
    return f"{value} B" if unit == "B" else f"{number:.1f} {unit}"


def table(columns: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    """Print a table to standard output. Numbers stand right; control characters are escaped."""
    filled = list(rows)
    made = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = bool(filled) and all(str(row[index]).removesuffix("+").isdigit() for row in filled)
        made.add_column(str(column), justify="right" if numeric else "left", overflow="fold")
    for row in filled:
        made.add_row(*(Text(escaped(str(cell))) for cell in row))
    # A Console of its own each time: standard output may be another one by now (tests, pipes).
    terminal = sys.stdout.isatty()
    Console(file=sys.stdout, width=None if terminal else _PIPED_WIDTH, highlight=False).print(made)


def with_priority(row: Sequence[object], levels: bool, priority: object = "PRIORITY") -> tuple[object, ...]:  # noqa: FBT001 - see its uses
    """A row of a table, the head by default, with the priority behind its first column where there is any."""
    return (row[0], priority, *row[1:]) if levels else tuple(row)


def line(text: str) -> None:
    """Print one line now, so that a pipe sees it at once; control characters are escaped."""
    sys.stdout.write(escaped(text) + "\n")
    sys.stdout.flush()


def document(value: Any) -> None:
    """Print one JSON document on one line."""
    sys.stdout.write(escaped_json(orjson.dumps(value)) + "\n")
    sys.stdout.flush()
