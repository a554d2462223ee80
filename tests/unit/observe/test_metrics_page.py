"""docs/metrics.md names every metric, as it is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from eventbus.observe.collector import BusCollector
from eventbus.observe.families import FAMILIES, OUTCOMES, REASONS
from eventbus.observe.prometheus import instrument
from eventbus.observe.timings import DURATION, LABELS, LATENCY
from tests.support.measured import FakeBus

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
ROW = re.compile(r"^\| `(eventbus_\w+)` \| (\w+) \| ([a-z, ]*)\| (.+?) \|", re.MULTILINE)


def documented():
    return {name: (kind, tuple(filter(None, labels.strip().split(", ")))) for name, kind, labels, _ in ROW.findall(PAGE)}


def real():
    registry = CollectorRegistry()
    instrument(FakeBus(), registry)
    kinds = {metric.name + ("_total" if metric.type == "counter" else ""): metric.type for metric in registry.collect()}
    labels = {family.name: family.labels for family in FAMILIES} | {DURATION: LABELS, LATENCY: LABELS}
    return {name: (kind, labels[name]) for name, kind in kinds.items()}


def test_every_metric_of_the_registry_is_documented_and_the_other_way_round():
    """With its type and its labels."""
    assert documented() == real()
    assert len(ROW.findall(PAGE)) == len(real())


def test_what_is_described_is_what_is_collected():
    """A registry finds two metrics of one name by their description."""
    collector = BusCollector()
    assert [metric.name for metric in collector.describe()] == [metric.name for metric in collector.collect()]


def test_every_metric_that_the_page_speaks_of_exists():
    """In its alert rules, too."""
    named = set(re.findall(r"eventbus_\w+", PAGE))
    assert named <= real().keys()
    rules = re.findall(r"expr: (.+)", PAGE)
    assert len(rules) > 5
    assert all(re.search(r"eventbus_\w+", rule) for rule in rules)


def test_every_value_of_a_bounded_label_is_documented():
    """Reasons and outcomes are what alerts are told apart by."""
    rows = {name: meaning for name, _, _, meaning in ROW.findall(PAGE)}
    assert all(f"`{reason}`" in rows["eventbus_dead_letters_total"] for reason in REASONS)
    assert all(f"`{outcome}`" in rows["eventbus_handled_total"] for outcome in [*OUTCOMES.values(), "dead_letter"])
