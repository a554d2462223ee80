"""What was measured, as tables of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from benchmarks import heats, ratios
from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.results import measured
from benchmarks.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from benchmarks.heats import Entrant
    from benchmarks.measure import Measured
    from benchmarks.ratios import Spread
    from benchmarks.results import Record, Results
    from benchmarks.targets import Target

Rounds: TypeAlias = "Mapping[int, Measured]"
"""What was measured, by round."""

SAME: Final = 0.05
"""Two medians that differ by no more than this part are called the same."""

NO_LIBRARIES: Final = ("bare", "hiredis")
"""Contenders that nobody could use in place of ours; they show what the machine can do."""

METRICS: Final = {
    "rate": "events a second",
    "p50_ms": "p50",
    "p99_ms": "p99",
    "client_us": "CPU of the process",
    "server_us": "CPU of Redis",
    "grew_mb": "memory after the imports",
}
"""What can be compared, and what it is called."""


def headline(results: Results) -> str:
    """The first sentence of the page."""
    records = results.latest("consume-once")
    ours, theirs = (measured(records, f"consume-once/{name}") for name in (OURS, "faststream"))
    rate, ratio = ratios.of(ours, "rate"), ratios.ratio(ours, theirs, "rate")
    if rate is None or ratio is None:
        return ""
    said = f"One process handles {rate.median:,.0f} typed events a second, {_times(ratio.median)} what FastStream does"
    return f"**{said}**, when handlers await once. {_summary(results)}"


def _summary(results: Results) -> str:
    """How many of the musts are met; those that were not measured are none."""
    found = [(target, target.found(results.latest(target.heat))) for target in TARGETS if target.must is not None]
    met = [target.met(spread.median) != "no" for target, spread in found if spread]
    return f"Of {len(met)} musts {sum(met)} are met; the others are marked below."


def targets(results: Results) -> str:
    """What is to be reached, and what was."""
    head = ("case", "what", "ours", "compared with", "ratio (lowest to highest)", "must", "goal", "met")
    return table(head, (_target(target, results.latest(target.heat)) for target in TARGETS))


def _target(target: Target, records: list[Record]) -> tuple[str, ...]:
    one, spread = heats.entrant(target.ours), target.found(records)
    ours = ratios.of(measured(records, target.ours), target.metric)
    wanted = tuple(_wanted(target, number) for number in (target.must, target.goal))
    return (
        one.case.title,
        METRICS[target.metric],
        spoken(ours.median, target.metric) if ours else "",
        _other(target, records),
        _ratio(spread) if spread and target.against else "",
        *wanted,
        _met(target, target.met(spread.median)) if spread else "",
    )


def _met(target: Target, reached: str) -> str:
    if reached == "must" and target.must is None:
        return "not yet"
    return "**no**" if reached == "no" else reached


def _other(target: Target, records: list[Record]) -> str:
    if not target.against:
        return ""
    one, spread = heats.entrant(target.against), ratios.of(measured(records, target.against), target.metric)
    name = one.contender.title + ("" if one.case is heats.entrant(target.ours).case else f" ({one.case.title})")
    return f"{name} {spoken(spread.median, target.metric)}" if spread else name


def _wanted(target: Target, number: float | None) -> str:
    if number is None:
        return ""
    sign = "≥" if target.more else "≤"
    return f"{sign} {number:g}x" if target.against else f"{sign} {spoken(number, target.metric)}"


def numbers(results: Results) -> str:
    """Everything that was measured: a table for each heat."""
    done = [heat for heat in dict.fromkeys(record.heat for record in results.records) if results.latest(heat)]
    return "\n\n".join(_heat(heat, results.latest(heat)) for heat in done)


def _heat(heat: str, records: list[Record]) -> str:
    names = list(dict.fromkeys(record.entrant for record in records))
    late = any(ratios.of(measured(records, name), "p50_ms") for name in names)
    what = ("p50", "p99") if late else ("events/s", "ours is … times that")
    head = ("who", *what, "CPU of the process, µs/event", "CPU of Redis, µs/event", "peak memory, MB", "of that after the imports, MB")
    rows = (_entrant(heats.entrant(name), heat, names[0], records, late=late) for name in names)
    return f"### {_title(heat)}\n\n{table(head, rows)}"


def _title(heat: str) -> str:
    titles = {
        "topics": "topics in one process",
        "workers": "consumer processes",
        "length": "length of the stream",
        "held": "pending entries",
    }
    return titles.get(heat) or next(each.case.title for each in heats.of(heat).entrants)


def _entrant(one: Entrant, heat: str, ours: str, records: list[Record], *, late: bool) -> tuple[str, ...]:
    found = measured(records, one.name)
    tried = sum(record.entrant == one.name for record in records)
    if not found:
        return (title(one, heat), "failed", *[""] * 5)
    median = {metric: spread.median for metric in ("rate", *METRICS, "peak_mb") if (spread := ratios.of(found, metric))}
    ratio = ratios.ratio(measured(records, ours), found, "rate")
    firsts = (
        (spoken(median["p50_ms"], "p50_ms"), spoken(median["p99_ms"], "p99_ms"))
        if late
        else (f"{median['rate']:,.0f}", _ratio(ratio) if ratio and one.name != ours else "")
    )
    failed = f" ({tried - len(found)} of {tried} failed)" if tried > len(found) else ""
    rest = (f"{median[metric]:.1f}" for metric in ("client_us", "server_us", "peak_mb", "grew_mb"))
    return (title(one, heat) + failed, *firsts, *rest)


def better(results: Results) -> str:
    """Where another library is better than ours in the same case: a row for both, with all that is better."""
    heats_done = dict.fromkeys(record.heat for record in results.records)
    found = {row[:2]: row for heat in heats_done for row in _better(results.latest(heat))}
    return table(("case", "who", "theirs, and ours"), found.values()) if found else "Nowhere, in what was measured."


def _better(records: list[Record]) -> Iterator[tuple[str, ...]]:
    for name in dict.fromkeys(record.entrant for record in records):
        one = heats.entrant(name)
        ours, theirs = measured(records, f"{one.case.name}/{OURS}"), measured(records, name)
        if one.contender.name not in (OURS, *NO_LIBRARIES) and (what := [_said(ours, theirs, each) for each in _lost(one, ours, theirs)]):
            yield one.case.title, one.contender.title, "; ".join(what)


def _lost(one: Entrant, ours: Rounds, theirs: Rounds) -> Iterator[str]:
    for metric in METRICS:
        ratio = ratios.ratio(ours, theirs, metric)
        if ratio and _asked(one, metric) and _loses(ratio.median, metric):
            yield metric


def _said(ours: Rounds, theirs: Rounds, metric: str) -> str:
    both = [ratios.of(rounds, metric) for rounds in (theirs, ours)]
    return f"{METRICS[metric]} {', '.join(spoken(each.median, metric) for each in both if each)}"


def _asked(one: Entrant, metric: str) -> bool:
    """Whether a metric compares in a case: a rate that was given does not, nor memory where some handle fewer events."""
    return {"rate": one.case.kind != "latency", "grew_mb": one.case.backlog > 0}.get(metric, True)


def _loses(ratio: float, metric: str) -> bool:
    return ratio < 1 - SAME if metric == "rate" else ratio > 1 + SAME


def machine(results: Results) -> str:
    """The machines and the servers that numbers on the page come from."""
    found = [results.latest(heat)[-1].machine for heat in dict.fromkeys(record.heat for record in results.records)]
    said = dict.fromkeys(
        f"{one['processor']}, {one['cores']} cores, {one['memory']}, {one['system']}; {one['python']}, asyncio's event loop; "
        f"{one['server']} on the same machine over TCP, persistence: {one['persistence']}"
        for one in found
    )
    return "; ".join(said) or "nothing was measured yet"


def versions(results: Results) -> str:
    """The versions of what was measured."""
    records = [record for heat in dict.fromkeys(record.heat for record in results.records) for record in results.latest(heat)]
    found = {CONTENDERS[record.entrant.partition("/")[2]].library or "eventbus": record.version for record in records}
    return ", ".join(f"{library} {version}" for library, version in sorted(found.items()))


# -- how things are said


def title(one: Entrant, heat: str) -> str:
    """An entrant's name in a table of its heat: with its case, unless the heat is named after that."""
    return one.contender.title if one.case.name == heat else f"{one.contender.title}: {one.case.title}"


def spoken(number: float, metric: str) -> str:
    """A number with its unit."""
    match metric:
        case "rate":
            return f"{number:,.0f}/s"
        case "p50_ms" | "p99_ms":
            return f"{number:.2f} ms"
        case "client_us" | "server_us":
            return f"{number:.1f} µs"
        case _:
            return f"{number:.1f} MB"


def _ratio(spread: Spread) -> str:
    return f"{_times(spread.median)} ({_times(spread.low)} to {_times(spread.high)})"


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 20 else f"{ratio:.1f}x" if ratio >= 3 else f"{ratio:.2f}x"  # noqa: PLR2004 - three digits say enough


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
