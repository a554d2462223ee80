"""Reads what buses have counted when Prometheus asks: no event pays for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from eventbus.observe.families import (
    FAMILIES,
    PRIORITY,
    STUCK,
    Family,
    count_consumer,
    count_janitor,
    count_promotion,
    count_publisher,
    count_reconnects,
    gauge_census,
    gauge_consumer,
)
from eventbus.observe.ledger import Ledger, Source
from eventbus.observe.timings import HELP, LABELS, Timings, merged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client import CollectorRegistry, Metric

    from eventbus.observe.ledger import Series
    from eventbus.observe.timings import Place, Times
    from eventbus.observe.views import Measured


class BusCollector(Collector):
    """The metrics of a process's buses; one collector a registry, since a name may be registered once.

    Buses that serve the same group are added up. May be scraped from any thread, also while the event loop
    is blocked: nothing here waits for it or for Redis.
    """

    def __init__(self) -> None:
        self._buses: list[Measured] = []
        self._ledger = Ledger()
        self._timings: list[Timings] = []
        self._lock = Lock()

    def add(self, bus: Measured) -> None:
        """Take in a bus; a second time changes nothing."""
        if any(each is bus for each in self._buses):
            return
        bus.census()  # asks for it: nothing is counted unless somebody wants to see it
        timings = Timings()  # its own, since each bus may have an event loop of its own
        bus.observers.append(timings.observe)
        self._timings.append(timings)
        self._buses.append(bus)

    def describe(self) -> list[Metric]:
        """Name the families without reading anything."""
        return [*(_metric(family, {}) for family in FAMILIES), *(_histogram(name, {}) for name in HELP)]

    def collect(self) -> Iterator[Metric]:
        """Read everything now."""
        with self._lock:  # two scrapes at once would close the same ledger twice
            values = self._read()
        for family in FAMILIES:
            yield _metric(family, values.get(family.name, {}))
        for name, places in merged(self._timings).items():
            yield _histogram(name, places)

    def _read(self) -> dict[str, dict[tuple[str, ...], float]]:
        found: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
        for series, number in (*self._ledger.total(self._sources()).items(), *self._gauges()):
            found[series.name][series.labels] = number
        return found

    def _sources(self) -> Sequence[Source]:
        found: list[Source] = []
        for bus in self._buses:
            found += [Source(consumer.counts, partial(count_consumer, consumer)) for consumer in bus.consumers]
            runtime = bus.runtime
            if runtime is not None:
                found.append(Source(runtime.publisher, partial(count_publisher, runtime.publisher.counts)))
                found.append(Source(runtime.janitor, partial(count_janitor, runtime.janitor.counts)))
                found.append(Source(runtime.promotion, partial(count_promotion, runtime.promotion.counts)))
                found.append(Source(runtime.wire, partial(count_reconnects, runtime.wire)))
        return found

    def _gauges(self) -> Sequence[tuple[Series, float]]:
        now: Counter[Series] = Counter()
        owed: dict[Series, float] = {}
        for bus in self._buses:
            now[STUCK.at()] += bus.stuck
            for consumer in bus.consumers:
                for series, value in gauge_consumer(consumer):
                    now[series] += value
            owed |= dict(gauge_census(bus.census()))
        return [*now.items(), *owed.items()]


_collectors: WeakKeyDictionary[CollectorRegistry, BusCollector] = WeakKeyDictionary()


def default_registry() -> CollectorRegistry:
    """The process's own registry, where other libraries show their metrics too."""
    return REGISTRY


def collector_of(registry: CollectorRegistry) -> BusCollector:
    """The collector of a registry, made and registered by the first bus that asks."""
    collector = _collectors.get(registry)
    if collector is None:
        collector = BusCollector()
        registry.register(collector)
        _collectors[registry] = collector
    return collector


def _metric(family: Family, values: Mapping[tuple[str, ...], float]) -> Metric:
    kind = CounterMetricFamily if family.counts else GaugeMetricFamily
    # A series with fewer values than there are names has no such label: a topic without priorities names none.
    metric = kind(family.name, family.help, labels=(*family.labels, PRIORITY))
    for labels, value in sorted(values.items()):
        metric.add_metric(labels, value)
    return metric


def _histogram(name: str, places: Mapping[Place, Times]) -> Metric:
    metric = HistogramMetricFamily(name, HELP[name], labels=(*LABELS, PRIORITY))
    for place, times in sorted(places.items()):
        metric.add_metric(place, buckets=times.buckets, sum_value=times.total)
    return metric
