"""Whether the bus got slower: a quick run of its own cases, as ratios to blocking hiredis, against recorded ones.

A ratio to what the machine can do at all in the same minute says more than a time: a busy or a slow machine slows both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from benchmarks import ratios
from benchmarks.heats import Entrant, Heat, entrant
from benchmarks.processes import ROOT
from benchmarks.results import measured

if TYPE_CHECKING:
    from benchmarks.ratios import Spread
    from benchmarks.results import Record

RECORDED: Final = ROOT / "benchmarks" / "recorded.json"

TOLERANCE: Final = 0.2
"""The part of a recorded ratio that the best round may miss: on a shared machine a quick run differs that much from the next."""

METRICS: Final = ("rate", "cpu")
"""What is compared: events a second, which shows waiting, and CPU an event, which another process disturbs less."""

SHARE: Final = 0.4
"""The part of a case's events that a quick run takes."""

COMPARED: Final = {
    "consume-once": "consume-plain",
    "consume-plain": "consume-plain",
    "consume-batch": "consume-plain",
    "consume-1ms": "consume-plain",
    "consume-thread": "consume-plain",
    "consume-4KB": "consume-plain",
    "publish-each": "publish-each",
    "publish-100": "publish-many",
    "publish-gather": "publish-many",
    "publish-many": "publish-many",
}
"""Each case of ours, and the case in which blocking hiredis does the nearest thing."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A case by one metric, then and now; of both metrics more is better.

    Attributes:
        case: Its name.
        metric: Of `METRICS`.
        recorded: The ratio then; None for a case that is new.
        found: The ratio now; None where it could not be measured.
        tolerance: The part of the recorded ratio that may be missing.
    """

    case: str
    metric: str
    recorded: float | None
    found: Spread | None
    tolerance: float

    @property
    def fell(self) -> bool:
        """Whether even the best round is lower than is tolerated. What could not be measured fell, too."""
        if self.found is None:
            return True
        return self.recorded is not None and self.found.high < self.recorded * (1 - self.tolerance)


def heat() -> Heat:
    """The quick run: blocking hiredis in its cases, and ours in all of them."""
    names = [*dict.fromkeys(f"{theirs}/hiredis" for theirs in COMPARED.values()), *(f"{ours}/ours" for ours in COMPARED)]
    return Heat("self", tuple(quick(entrant(name)) for name in names))


def quick(one: Entrant) -> Entrant:
    """The same with fewer events."""
    return replace(one, case=replace(one.case, events=int(one.case.events * SHARE)))


Ratios: TypeAlias = "dict[tuple[str, str], Spread | None]"
"""By case and metric."""


def found(records: list[Record]) -> Ratios:
    """The ratios of each case."""
    both: Ratios = {}
    for ours, theirs in COMPARED.items():
        mine, other = measured(records, f"{ours}/ours"), measured(records, f"{theirs}/hiredis")
        both[ours, "rate"] = ratios.ratio(mine, other, "rate")
        both[ours, "cpu"] = ratios.ratio(other, mine, "client_us")
    return both


def compare(now: Ratios, recorded: dict[str, Any], tolerance: float) -> list[Comparison]:
    """Hold what was found against what was recorded."""
    then = recorded.get("ratios", {})
    return [Comparison(case, metric, then.get(case, {}).get(metric), spread, tolerance) for (case, metric), spread in now.items()]


def load() -> dict[str, Any]:
    """What was recorded: the machine, and a ratio a case. Empty where nothing was."""
    return json.loads(RECORDED.read_text()) if RECORDED.exists() else {}


def record(now: Ratios, machine: dict[str, str]) -> None:
    """Record what was found, for later runs to be compared with."""
    known: dict[str, dict[str, float]] = {}
    for (case, metric), spread in now.items():
        if spread:
            known.setdefault(case, {})[metric] = round(spread.median, 3)
    RECORDED.write_text(json.dumps({"machine": machine, "ratios": known}, indent=2) + "\n")


def table(comparisons: list[Comparison]) -> str:
    """The comparison as text: a line a case and metric."""
    head = f"{'case':18}{'':6}{'recorded':>10}{'now':>8}   {'rounds':18}{'change':>7}"
    return "\n".join([head, *map(_row, comparisons)])


def _row(each: Comparison) -> str:
    start = f"{each.case:18}{each.metric:6}{'-' if each.recorded is None else f'{each.recorded:.3f}':>10}"
    if each.found is None:
        return f"{start}{'failed':>8}"
    change = "" if not each.recorded else f"{each.found.median / each.recorded - 1:+.0%}"
    rounds = f"{each.found.low:.3f} to {each.found.high:.3f}"
    return f"{start}{each.found.median:>8.3f}   {rounds:18}{change:>7}{'  FELL' if each.fell else ''}"
