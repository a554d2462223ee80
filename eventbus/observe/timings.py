"""How long handlers run, and how long events take to be handled: the two histograms."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias

from eventbus.delivery import Ending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventbus.delivery import Handled, Subscription

LABELS: Final = ("topic", "group", "type")
DURATION: Final = "eventbus_handler_duration_seconds"
LATENCY: Final = "eventbus_end_to_end_latency_seconds"
HELP: Final = {
    DURATION: "Seconds a handler ran, however it ended.",
    LATENCY: "Seconds from an event's time to the end of the handler that succeeded.",
}

EDGES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds. From a handler that only touches memory to the longest backoff; the default lease, 30, is an edge."""

OTHER: Final = "other"
"""The label of types that the subscription does not name: whatever anybody writes must not become series."""

_HANDLED: Final = Ending.HANDLED  # a look at an enumeration's member costs 0.06 µs before 3.12 (measured)

Place: TypeAlias = tuple[str, ...]
"""Topic, group and type, and the priority where the topic has any."""


class Times:
    """Numbers of seconds, sorted into buckets.

    Not the client's own histogram: it takes a lock for each number and costs four times as much (measured),
    nearly the price of a whole event. One thread adds, any may read.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(EDGES) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Take in one number."""
        self.counts[bisect_left(EDGES, seconds)] += 1
        self.total += seconds

    def merge(self, other: Times) -> None:
        """Take in all that another has."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Upper edge and how many are not above it, as Prometheus has it."""
        return list(zip([*map(str, EDGES), "+Inf"], map(float, accumulate(self.counts)), strict=True))


class Timings:
    """Times each run of a handler of one bus, on its event loop."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str, str, str | None], tuple[Times, Times]] = {}

    def observe(self, handled: Handled) -> None:
        """Take in one run; the bus calls it."""
        subscription, event_type, ending, seconds, age = handled
        key = (subscription.topic, subscription.label, event_type, subscription.priority)
        times = self._times.get(key) or self._first(subscription, event_type)
        times[0].add(seconds)
        if age is not None and ending is _HANDLED:
            times[1].add(age if age > 0 else 0.0)  # the publisher's clock may be ahead of ours

    def _first(self, subscription: Subscription, event_type: str) -> tuple[Times, Times]:
        named = event_type if event_type in subscription.routes else OTHER
        return self._times.setdefault((subscription.topic, subscription.label, named, subscription.priority), (Times(), Times()))

    @property
    def seen(self) -> list[tuple[Place, tuple[Times, Times]]]:
        """Durations and latencies by topic, group and type, and priority."""
        return [(tuple(part for part in key if part is not None), times) for key, times in list(self._times.items())]


def merged(timings: Iterable[Timings]) -> dict[str, dict[Place, Times]]:
    """The histograms of several buses, by metric and labels."""
    found: dict[str, dict[Place, Times]] = {DURATION: {}, LATENCY: {}}
    for each in timings:
        for place, times in each.seen:
            for name, one in zip((DURATION, LATENCY), times, strict=True):
                found[name].setdefault(place, Times()).merge(one)
    return found
