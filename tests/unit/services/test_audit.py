"""The demo's count of who was owed which event, and what it reads that from."""

from __future__ import annotations

import json

import pytest

from services.demo.audit import Audit, Record, Totals
from services.demo.plan import Group
from services.demo.reading import Ledgers

CHARGE = Group("payments", "orders", frozenset({"OrderCreated"}))
SHIP = Group("shipping", "payments", frozenset({"PaymentSucceeded"}))
TELL = Group("notifications", "payments", frozenset({"PaymentSucceeded", "PaymentFailed"}))


def published(event_id, event_type="OrderCreated", topic="orders"):
    return Record("published", 1.0, event_id, topic, event_type)


def handled(event_id, group=CHARGE):
    return Record("handled", 2.0, event_id, group.topic, "any", group.name, 0.5)


def audited(*records):
    audit = Audit([CHARGE, SHIP, TELL])
    for record in records:
        audit.take(record)
    return audit


def test_an_event_is_owed_to_every_group_that_names_its_type():
    """Another type on the same topic is owed to those who handle that one only."""
    audit = audited(published("p1", "PaymentSucceeded", "payments"), published("p2", "PaymentFailed", "payments"))
    assert audit.totals() == Totals(events=2, published=3)
    assert audit.missing(SHIP) == {"p1": "PaymentSucceeded"}
    assert audit.missing(TELL) == {"p1": "PaymentSucceeded", "p2": "PaymentFailed"}


def test_what_one_group_handled_another_still_misses():
    """The difference is taken group by group."""
    audit = audited(published("p1", "PaymentSucceeded", "payments"), handled("p1", SHIP))
    assert audit.missing(SHIP) == {}
    assert audit.missing(TELL) == {"p1": "PaymentSucceeded"}
    assert str(audit.totals()) == "published 2 handled 1 missing 1"


@pytest.mark.parametrize("records", [[published("o1"), handled("o1")], [handled("o1"), published("o1")]])
def test_the_order_in_which_files_are_read_does_not_matter(records):
    """A handler's line may be read before its publisher's."""
    audit = audited(*records)
    assert audit.totals() == Totals(events=1, published=1, handled=1)
    assert audit.missing(CHARGE) == {}


def test_handled_without_a_confirmed_publish_makes_up_for_nothing():
    """Numbers of events would match here; sets of ids do not."""
    audit = audited(published("o1"), handled("o2"))
    assert str(audit.totals()) == "published 1 handled 0 missing 1"
    assert audit.missing(CHARGE) == {"o1": "OrderCreated"}


def test_an_event_handled_again_is_counted_as_repeated_only():
    """Twice handled is not two events handled."""
    assert audited(published("o1"), handled("o1"), handled("o1")).totals() == Totals(1, 1, 1, repeated=1)


def test_an_event_published_again_with_its_id_is_owed_once():
    """The same event object keeps its id."""
    assert audited(published("o1"), published("o1")).totals() == Totals(events=1, published=1)


def line(record):
    fields = {"what": record.what, "at": record.at, "id": record.id, "topic": record.topic, "type": record.type}
    return json.dumps(fields).encode() + b"\n"


def test_ledgers_are_read_on_from_where_the_last_look_ended(tmp_path):
    """Each line is taken once, from files that exist already and from those that come later."""
    ledgers = Ledgers(tmp_path)
    (tmp_path / "a.jsonl").write_bytes(line(published("o1")))
    assert [record.id for record in ledgers.new()] == ["o1"]
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(line(published("o2")))
    (tmp_path / "b.jsonl").write_bytes(line(published("o3")))
    assert [record.id for record in ledgers.new()] == ["o2", "o3"]
    assert ledgers.new() == []


def test_a_line_that_is_not_complete_waits_for_its_end(tmp_path):
    """Half a line is neither an error nor lost."""
    ledgers, path = Ledgers(tmp_path), tmp_path / "a.jsonl"
    whole = line(published("o1")) + line(published("o2"))
    path.write_bytes(whole[:-10])
    assert [record.id for record in ledgers.new()] == ["o1"]
    path.write_bytes(whole)
    assert [record.id for record in ledgers.new()] == ["o2"]
