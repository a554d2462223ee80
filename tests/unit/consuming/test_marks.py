"""By what an idempotent subscription knows an event again."""

from __future__ import annotations

import pytest

from eventbus.consuming.marks import LONGEST, name_of
from eventbus.delivery import Carried
from eventbus.events import identity
from tests.support.entries import delivery
from tests.support.events import OrderCreated

UUID = "01936e1b-8a3c-7def-8123-456789abcdef"


def entry(event_id, source="/shop", **facts):
    """An entry of some publisher's."""
    found = delivery(**facts)
    found.fields = [b"specversion", b"1.0", b"id", event_id.encode(), b"type", b"X", b"source", source.encode(), b"data", b"{}"]
    return found


def test_an_event_of_ours_is_known_by_its_id():
    """Wherever it stands, and whoever published it."""
    event = OrderCreated(order_id="o-1")
    one, copy = delivery(event), delivery(event, private=True, token="another", carried=Carried(entry="1-0", attempts=2))
    assert name_of(one, "orders") == name_of(copy, "orders") == identity(event).id


@pytest.mark.parametrize("event_id", [UUID, UUID.upper()])
def test_a_uuid_is_enough(event_id):
    """No two publishers make the same."""
    assert name_of(entry(event_id), "orders") == name_of(entry(event_id, source="/other"), "orders") == event_id


def test_an_id_counts_wherever_it_stands_in_the_entry():
    """Other programs write their attributes in an order of their own."""
    one = entry(UUID)
    one.fields = [*one.fields[4:], *one.fields[:4]]
    assert name_of(one, "orders") == UUID


@pytest.mark.parametrize("event_id", ["1", UUID[:-1], UUID + "0", "g" + UUID[1:]])
def test_another_id_counts_together_with_its_source(event_id):
    """Two producers may count from 1: their events are not each other's."""
    assert name_of(entry(event_id), "orders") == f"/shop {event_id}"
    assert name_of(entry(event_id, source="/other"), "orders") == f"/other {event_id}"


def test_a_long_id_is_kept_as_a_hash():
    """It may be as long as an entry, and there is one for each event of a day."""
    short, long = (name_of(entry("x" * length), "orders") for length in (LONGEST - len("/shop "), LONGEST))
    assert len(short) == LONGEST
    assert len(long) == 64
    assert long != name_of(entry("x" * LONGEST, source="/other"), "orders")


@pytest.mark.parametrize("fields", [[b"order_id", b"o-7"], [], [b"odd"], [b"specversion", b"9"], [b"specversion", b"1.0", b"id"]])
def test_an_entry_without_envelope_is_known_by_its_place_in_the_group_as_it_is(fields):
    """After a flush ids of entries are used again: what is there then is another event."""
    one, copy, after = delivery(entry_id=b"7-0"), delivery(carried=Carried(entry="7-0")), delivery(entry_id=b"7-0", token="another")
    for each in (one, copy, after):
        each.fields = fields
    assert name_of(one, "orders") == name_of(copy, "orders") == "orders/7-0/token"
    assert name_of(after, "orders") == "orders/7-0/another"
