"""How long handlers run, and how long events take to be handled: the two histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Histogram

from eventbus.delivery import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from eventbus.delivery import Handled

LABELS: Final = ("topic", "group", "type")

DURATION: Final = "eventbus_handler_duration_seconds"
LATENCY: Final = "eventbus_end_to_end_latency_seconds"

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds. From a handler that only touches memory to the longest backoff; the default lease, 30, is an edge."""

OTHER: Final = "other"
"""The label of types that the subscription does not name: whatever anybody writes must not become series."""


class Timings:
    """Observes each run of a handler. A few microseconds each, on the event loop."""

    def __init__(self) -> None:
        self._duration = Histogram(DURATION, "Seconds a handler ran, however it ended.", LABELS, buckets=BUCKETS, registry=None)
        self._latency = Histogram(
            LATENCY,
            "Seconds from an event's time to the end of the handler that succeeded.",
            LABELS,
            buckets=BUCKETS,
            registry=None,
        )
        self._children: dict[tuple[str, str, str], tuple[Histogram, Histogram]] = {}

    def observe(self, handled: Handled) -> None:
        """Take in one run; the bus calls it."""
        subscription = handled.subscription
        event_type = handled.type if handled.type in subscription.routes else OTHER
        place = (subscription.topic, subscription.group, event_type)
        children = self._children.get(place)
        if children is None:
            children = self._children[place] = (self._duration.labels(*place), self._latency.labels(*place))
        duration, latency = children
        duration.observe(handled.seconds)
        if handled.latency is not None and handled.ending is Ending.HANDLED:
            latency.observe(max(0.0, handled.latency))  # the publisher's clock may be ahead of ours

    def collect(self) -> Iterator[Metric]:
        """The histograms as they are now."""
        yield from self._duration.collect()
        yield from self._latency.collect()
