"""Metrics of a bus whose counters are set by hand: each number comes out where it belongs."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from dataclasses import fields, replace

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from eventbus import ConfigurationError, EventBus, LifecycleError
from eventbus.admin import GroupCensus, Lag, Unserved
from eventbus.consuming.counts import Counts
from eventbus.delivery import Ending, Handled
from eventbus.observe.families import FAMILIES, OF_CONSUMERS, OF_PUBLISHER, OUTCOMES
from eventbus.observe.prometheus import instrument
from eventbus.publishing import PublishCounts
from tests.support.measured import FakeBus, consumer, runtime, subscription

PLACE = {"topic": "orders", "group": "charge"}


@pytest.fixture
def registry():
    return CollectorRegistry()


def instrumented(registry, **about):
    bus = FakeBus()
    instrument(bus, registry)
    for name, value in about.items():
        setattr(bus, name, value)
    return bus


def group(**about):
    known = {
        "length": 9,
        "lag": Lag(4),
        "pending": 3,
        "oldest_pending": 2.5,
        "retry_entries": 1,
        "parked": 6,
        "due": 5,
        "dead_letters": 7,
        "cut": 8,
        "scheduled": 10,
    }
    return GroupCensus(topic="orders", group="charge", **known | about)


def handled(event_type="OrderCreated", ending=Ending.HANDLED, seconds=0.02, latency=0.2):
    return Handled(subscription(), event_type, ending, seconds, latency)


@pytest.mark.parametrize("counted", OF_CONSUMERS, ids=lambda counted: counted.field)
def test_each_counter_of_a_consumer_comes_out_under_its_own_name(registry, counted):
    """Set one, see that one."""
    instrumented(registry, consumers=[consumer(**{counted.field: 7})])
    assert registry.get_sample_value(counted.family.name, PLACE) == 7
    others = [each.family.name for each in OF_CONSUMERS if each is not counted]
    assert [registry.get_sample_value(name, PLACE) for name in others] == [0] * len(others)


def test_every_field_that_is_read_exists():
    """A renamed counter must not be found out by the first scrape in production."""
    assert {each.field for each in OF_CONSUMERS} | set(OUTCOMES) | {"dead"} <= {each.name for each in fields(Counts)}
    assert {each.field for each in OF_PUBLISHER} <= {each.name for each in fields(PublishCounts)}


def test_outcomes_are_told_apart(registry):
    """Dead letters of all reasons are one outcome."""
    counts = {"handled": 1, "retried": 2, "released": 3, "hopped": 4, "skipped": 5, "dead": Counter(attempts=6, crashes=7)}
    instrumented(registry, consumers=[consumer(**counts)])
    expected = {"ack": 1, "retry": 2, "release": 3, "park": 4, "skip": 5, "dead_letter": 13}
    assert {name: registry.get_sample_value("eventbus_handled_total", PLACE | {"outcome": name}) for name in expected} == expected


def test_dead_letters_are_counted_by_reason_and_known_reasons_begin_at_0(registry):
    """An alert on an increase would miss a series that begins with its first event."""
    instrumented(registry, consumers=[consumer(dead=Counter(rejected=2))])
    found = {
        reason: registry.get_sample_value("eventbus_dead_letters_total", PLACE | {"reason": reason}) for reason in ("rejected", "trimmed")
    }
    assert found == {"rejected": 2, "trimmed": 0}


def test_what_the_whole_bus_counts_has_no_group(registry):
    """Publisher, janitor, promotion, connection."""
    counted = {"published": 1, "retries": 2, "refused": 3, "given_up": 4, "trimmed": 5, "cut": 6, "promoted": 8, "missing": 9}
    instrumented(registry, runtime=runtime(**counted, opened=8), stuck=8)
    names = ("published", "publish_retries", "publish_refused", "publish_given_up", "trimmed", "trimmed_unsettled", "reconnects")
    assert [registry.get_sample_value(f"eventbus_{name}_total") for name in names] == [1, 2, 3, 4, 5, 6, 7]
    assert [registry.get_sample_value(f"eventbus_scheduled_{name}_total") for name in ("promoted", "missing")] == [8, 9]
    assert registry.get_sample_value("eventbus_stuck_handlers") == 8


def test_gauges_show_what_is_so_now(registry):
    """Handlers that run, deliveries in hand; gone with the consumer."""
    bus = instrumented(registry, consumers=[consumer(running=2, in_hand=5)])
    found = [registry.get_sample_value(name, PLACE) for name in ("eventbus_handlers_running", "eventbus_in_hand")]
    assert found == [2, 5]
    bus.consumers = []
    assert registry.get_sample_value("eventbus_in_hand", PLACE) is None


def test_counters_go_on_when_a_bus_consumes_again(registry):
    """Its consumers are new then, and begin at 0."""
    bus = instrumented(registry, consumers=[consumer(handled=3)], runtime=runtime(published=2))
    ack = PLACE | {"outcome": "ack"}
    assert registry.get_sample_value("eventbus_handled_total", ack) == 3
    bus.consumers, bus.runtime = [], None
    assert registry.get_sample_value("eventbus_handled_total", ack) == 3
    bus.consumers, bus.runtime = [consumer(handled=4)], runtime(published=5)
    assert registry.get_sample_value("eventbus_handled_total", ack) == 7
    assert registry.get_sample_value("eventbus_published_total") == 7


def test_buses_of_one_process_are_added_up(registry):
    """A name may stand in a registry once, and a series in a scrape."""
    instrumented(registry, consumers=[consumer(claimed=1, in_hand=1)])
    instrumented(registry, consumers=[consumer(claimed=2, in_hand=2), consumer(group="notify", claimed=4)])
    assert registry.get_sample_value("eventbus_claims_total", PLACE) == 3
    assert registry.get_sample_value("eventbus_in_hand", PLACE) == 3
    assert registry.get_sample_value("eventbus_claims_total", {"topic": "orders", "group": "notify"}) == 4


def test_what_a_group_owes_is_shown_as_counted(registry):
    """Each number under its name."""
    instrumented(registry, groups=[group()], unserved=[Unserved("orders", "old", 90_000.0)])
    names = {
        "eventbus_group_lag": 4,
        "eventbus_group_lag_at_least": 4,
        "eventbus_group_lag_unknown": 0,
        "eventbus_group_pending": 3,
        "eventbus_group_oldest_pending_age_seconds": 2.5,
        "eventbus_group_retry_entries": 1,
        "eventbus_group_parked": 6,
        "eventbus_group_due": 5,
        "eventbus_group_dead_letters": 7,
        "eventbus_group_cut_total": 8,
    }
    assert {name: registry.get_sample_value(name, PLACE) for name in names} == names
    assert registry.get_sample_value("eventbus_topic_length", {"topic": "orders"}) == 9
    assert registry.get_sample_value("eventbus_topic_scheduled", {"topic": "orders"}) == 10
    assert registry.get_sample_value("eventbus_group_unserved_seconds", {"topic": "orders", "group": "old"}) == 90_000


def test_an_unknown_lag_is_absent_and_said_to_be_unknown(registry):
    """It is never 0, and a NaN would spoil every sum."""
    instrumented(registry, groups=[group(lag=Lag(1000, exact=False))])
    assert registry.get_sample_value("eventbus_group_lag", PLACE) is None
    assert registry.get_sample_value("eventbus_group_lag_unknown", PLACE) == 1
    assert registry.get_sample_value("eventbus_group_lag_at_least", PLACE) == 1000


def test_a_run_of_a_handler_is_timed(registry):
    """However it ended; the latency only of what succeeded, since what failed comes again."""
    bus = instrumented(registry)
    for each in (handled(seconds=0.5, latency=3.0), handled(ending=Ending.RAISED, seconds=0.25), handled(latency=None)):
        for observe in bus.observers:
            observe(each)
    labels = PLACE | {"type": "OrderCreated"}
    assert registry.get_sample_value("eventbus_handler_duration_seconds_count", labels) == 3
    assert registry.get_sample_value("eventbus_handler_duration_seconds_sum", labels) == pytest.approx(0.77)
    assert registry.get_sample_value("eventbus_handler_duration_seconds_bucket", labels | {"le": "0.25"}) == 2
    assert registry.get_sample_value("eventbus_end_to_end_latency_seconds_count", labels) == 1
    assert registry.get_sample_value("eventbus_end_to_end_latency_seconds_sum", labels) == 3


def test_the_times_of_several_buses_are_added_up(registry):
    """And a scrape changes nothing."""
    for bus in (instrumented(registry), instrumented(registry)):
        bus.observers[0](handled(seconds=0.5))
    labels = PLACE | {"type": "OrderCreated"}
    for _ in range(2):
        assert registry.get_sample_value("eventbus_handler_duration_seconds_count", labels) == 2
        assert registry.get_sample_value("eventbus_handler_duration_seconds_sum", labels) == 1.0


def test_a_bucket_holds_what_is_not_above_its_edge(registry):
    """As Prometheus's `le` says; what is above every edge is in the last one only."""
    bus = instrumented(registry)
    for seconds in (0.25, 0.2501, 1e6):
        bus.observers[0](handled(seconds=seconds))
    labels = PLACE | {"type": "OrderCreated"}
    found = [
        registry.get_sample_value("eventbus_handler_duration_seconds_bucket", labels | {"le": le})
        for le in ("0.1", "0.25", "0.5", "300.0", "+Inf")
    ]
    assert found == [0, 1, 2, 2, 3]


def test_an_event_of_the_future_took_no_time(registry):
    """Its publisher's clock is ahead; a negative number would make the sum fall."""
    bus = instrumented(registry)
    bus.observers[0](handled(latency=-2.0))
    assert registry.get_sample_value("eventbus_end_to_end_latency_seconds_sum", PLACE | {"type": "OrderCreated"}) == 0


def test_types_that_no_handler_names_do_not_become_series(registry):
    """They are whatever anybody writes."""
    bus = instrumented(registry)
    for number in range(50):
        bus.observers[0](handled(f"Strange{number}"))
    text = generate_latest(registry).decode()
    assert "Strange" not in text
    assert registry.get_sample_value("eventbus_handler_duration_seconds_count", PLACE | {"type": "other"}) == 50


def test_instrumenting_twice_changes_nothing(registry):
    """The command line instruments what the program may have instrumented itself."""
    bus = instrumented(registry, consumers=[consumer(claimed=1)])
    instrument(bus, registry)
    assert len(bus.observers) == 1
    assert registry.get_sample_value("eventbus_claims_total", PLACE) == 1


def test_the_default_registry_is_the_process_s_own():
    """Where the client's own metrics are."""
    bus = FakeBus()
    instrument(bus)
    bus.consumers = [consumer(group="by default", claimed=1)]
    try:
        assert REGISTRY.get_sample_value("eventbus_claims_total", {"topic": "orders", "group": "by default"}) == 1
    finally:
        bus.consumers = []


def test_an_open_bus_is_refused(registry):
    """What it had done before would never be counted."""
    with pytest.raises(LifecycleError, match="before it opens"):
        instrument(FakeBus(runtime=runtime()), registry)


def test_a_registry_with_a_metric_of_our_name_is_refused(registry):
    """With a sentence that names it."""
    Gauge("eventbus_in_hand", "somebody else's", registry=registry)
    with pytest.raises(ConfigurationError, match="eventbus_in_hand"):
        instrument(FakeBus(), registry)


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch):
    """It is named, and nothing of the bus was changed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "prometheus_client"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    bus = FakeBus()
    with pytest.raises(ConfigurationError, match=r"pip install 'eventbus\[prometheus\]'"):
        instrument(bus)
    assert bus.observers == []


def test_a_real_bus_can_be_instrumented_before_it_opens(registry):
    """It has everything that is looked at; nothing is there to be counted yet."""
    bus = EventBus("redis://localhost:6379", service="billing")
    instrument(bus, registry)
    assert len(bus.observers) == 1
    assert registry.get_sample_value("eventbus_stuck_handlers") == 0


def test_names_follow_the_conventions_of_prometheus():
    """Ours begin with our name; a counter ends in _total, a time in its unit; labels are from one short list."""
    labels = {"topic", "group", "type", "outcome", "reason"}
    for family in FAMILIES:
        assert family.name.startswith("eventbus_")
        assert family.name == family.name.lower()
        assert not family.name.endswith(("_ms", "_milliseconds", "_time"))
        assert set(family.labels) <= labels
        assert family.help.endswith(".")


def test_both_text_formats_can_be_made(registry):
    """Prometheus asks for OpenMetrics first, which is stricter."""
    bus = instrumented(registry, consumers=[consumer()], runtime=runtime(), groups=[group()])
    bus.observers[0](handled())
    for text in (generate_latest(registry).decode(), generate_openmetrics(registry).decode()):
        assert 'eventbus_handled_total{group="charge",outcome="ack",topic="orders"} 0.0' in text
    assert text.endswith("# EOF\n")


class Watched(FakeBus):
    """Knows how many threads look at it at a time."""

    inside = most = 0

    @property
    def consumers(self):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.005)
        self.inside -= 1
        return []

    @consumers.setter
    def consumers(self, _):
        pass


def test_one_thread_at_a_time_reads_the_counters(registry):
    """Two would close the account of the same consumer, and count it twice."""
    bus = Watched()
    instrument(bus, registry)
    threads = [threading.Thread(target=generate_latest, args=[registry]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bus.most == 1


def test_priorities_are_told_apart_and_topics_without_any_have_no_such_label(registry):
    """Counters, gauges, times and what groups owe."""
    both = {"consumers": [consumer(fetched=1, in_hand=2), consumer("tasks", "work", "high", fetched=3, in_hand=4)]}
    levels = [replace(group(), topic="tasks", group="work", priority=name, length=size) for name, size in (("high", 5), ("low", 6))]
    bus = instrumented(registry, **both, groups=[group(), *levels], unserved=[Unserved("tasks", "old", 90_000.0, "low")])
    for priority in ("high", "low"):
        bus.observers[0](Handled(subscription("tasks", "work", priority), "OrderPaid", Ending.HANDLED, 0.02, 0.2))
    value, place = registry.get_sample_value, {"topic": "tasks", "group": "work", "priority": "high"}
    assert (value("eventbus_fetched_total", PLACE), value("eventbus_fetched_total", place)) == (1, 3)
    assert (value("eventbus_in_hand", PLACE), value("eventbus_in_hand", place)) == (2, 4)
    assert [value("eventbus_topic_length", {"topic": "tasks", "priority": name}) for name in ("high", "low")] == [5, 6]
    assert value("eventbus_topic_length", {"topic": "orders"}) == 9
    assert value("eventbus_group_lag", place) == 4
    assert value("eventbus_group_unserved_seconds", {"topic": "tasks", "group": "old", "priority": "low"}) == 90_000
    assert value("eventbus_handler_duration_seconds_count", place | {"type": "OrderPaid"}) == 1
