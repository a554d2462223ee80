"""docs/performance.md: the text of `benchmarks/page.md` with the numbers of a run, and its charts."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING, Final

from benchmarks import ratios, tables
from benchmarks.charts import Bar, bars
from benchmarks.contenders import OURS
from benchmarks.heats import entrant
from benchmarks.processes import ROOT
from benchmarks.results import measured

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.results import Record, Results

TEXT: Final = ROOT / "benchmarks" / "page.md"
PAGE: Final = ROOT / "docs" / "performance.md"

CHARTS: Final = {
    "consume-once": ("rate", "Events consumed a second; the handler awaits once (more is better)"),
    "publish-100": ("rate", "Events published a second by 100 tasks (more is better)"),
    "latency": ("p50_ms", "Milliseconds from publish to handler at 200 events a second, median (less is better)"),
}
"""A chart for each of these heats: the metric, and what it is called."""


def write(results: Results, page: Path = PAGE) -> None:
    """Write the page, and its charts beside it.

    Args:
        results: What was measured; rows without numbers are left empty.
        page: Where to.
    """
    pictures = page.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    shown: list[str] = []
    for heat, (metric, title) in CHARTS.items():
        if drawn := chart(results.latest(heat), metric, title):
            (pictures / f"{heat}.svg").write_text(drawn)
            shown.append(f"![{title}]({pictures.name}/{heat}.svg)")
    page.write_text(filled(results, shown))


def filled(results: Results, pictures: list[str]) -> str:
    """The text with everything in it."""
    return Template(TEXT.read_text()).substitute(
        charts="\n\n".join(pictures),
        headline=tables.headline(results),
        targets=tables.targets(results),
        numbers=tables.numbers(results),
        better=tables.better(results),
        machine=tables.machine(results),
        versions=tables.versions(results),
    )


def targets(results: Results) -> str:
    """The table of targets, for the terminal."""
    return tables.targets(results)


def chart(records: list[Record], metric: str, title: str) -> str:
    """The chart of the case that a heat is named after, those that were best first; empty where nothing was measured."""
    found: list[Bar] = []
    for name in dict.fromkeys(record.entrant for record in records if record.entrant.startswith(f"{record.heat}/")):
        if spread := ratios.of(measured(records, name), metric):
            who = entrant(name).contender
            found.append(Bar(who.title, spread.median, tables.spoken(spread.median, metric), ours=who.name == OURS))
    found.sort(key=lambda bar: bar.value, reverse=metric == "rate")
    return bars(title, found) if found else ""
