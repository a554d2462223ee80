"""Charts: horizontal bars as SVG, readable on white and on black."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 760
LABELS: Final = 250
"""Pixels for the names, left of the bars."""

NUMBERS: Final = 110
"""Pixels for the numbers, right of the longest bar."""

ROW: Final = 30
TOP: Final = 44

_STYLE: Final = """\
text { font-family: system-ui, -apple-system, "Segoe UI", sans-serif; font-size: 14px; fill: #57606a }
.title { font-size: 15px; font-weight: 600 }
.bar { fill: #9aa4af }
.ours { fill: #1f7ae0 }
.strong { font-weight: 600; fill: #24292f }
@media (prefers-color-scheme: dark) {
  text { fill: #9da7b3 } .bar { fill: #5c6670 } .ours { fill: #4c9bf5 } .strong { fill: #e6edf3 }
}"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        name: Whose it is.
        value: Its length.
        shown: The number beside it, with its unit.
        ours: Whether it is the one to look at.
    """

    name: str
    value: float
    shown: str
    ours: bool = False


def bars(title: str, rows: list[Bar]) -> str:
    """A chart of bars, in the order given.

    Args:
        title: What is shown, and which direction is better.
        rows: At least one.
    """
    height = TOP + ROW * len(rows) + 6
    longest = max(row.value for row in rows) or 1
    drawn = "\n".join(_row(at, row, (WIDTH - LABELS - NUMBERS) / longest) for at, row in enumerate(rows))
    said = escape(f"{title}: {', '.join(f'{row.name} {row.shown}' for row in rows)}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" aria-label="{said}">\n'
        f'<style>\n{_STYLE}\n</style>\n<text class="title strong" x="0" y="20">{escape(title)}</text>\n{drawn}\n</svg>\n'
    )


def _row(at: int, row: Bar, scale: float) -> str:
    top, length = TOP + ROW * at, max(2.0, row.value * scale)
    strong, ours = (' class="strong"', "bar ours") if row.ours else ("", "bar")
    return (
        f'<text{strong} x="{LABELS - 10}" y="{top + 16}" text-anchor="end">{escape(row.name)}</text>'
        f'<rect class="{ours}" x="{LABELS}" y="{top + 1}" width="{length:.1f}" height="{ROW - 9}" rx="3"/>'
        f'<text{strong} x="{LABELS + length + 8:.1f}" y="{top + 16}">{escape(row.shown)}</text>'
    )
