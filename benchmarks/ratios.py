"""Comparing: medians of the ratios within each round, with their spread."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmarks.measure import Measured


@dataclass(frozen=True, slots=True)
class Spread:
    """A number that was found several times.

    Attributes:
        median: The one in the middle.
        low: The lowest.
        high: The highest.
        rounds: How many there were.
    """

    median: float
    low: float
    high: float
    rounds: int


def spread(numbers: Iterable[float]) -> Spread | None:
    """The spread of numbers; None where there are none."""
    found = sorted(numbers)
    return Spread(statistics.median(found), found[0], found[-1], len(found)) if found else None


def of(rounds: Mapping[int, Measured], metric: str) -> Spread | None:
    """The spread of a metric over the rounds; None where it was not measured."""
    return spread(number for each in rounds.values() if (number := getattr(each, metric)) is not None)


def ratio(ours: Mapping[int, Measured], theirs: Mapping[int, Measured], metric: str) -> Spread | None:
    """The ratio ours to theirs, taken within each round that both have, so that what slows a round down slows both."""
    both = ((getattr(ours[each], metric), getattr(theirs[each], metric)) for each in sorted(ours.keys() & theirs.keys()))
    return spread(mine / other for mine, other in both if mine is not None and other)
