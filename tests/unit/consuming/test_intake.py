"""Where entries become deliveries: each once, in order, with what travelled with them; and adopted where the group began anew."""

from __future__ import annotations

import pytest

from eventbus.consuming.counts import Counts
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.intake import Intake
from eventbus.consuming.work import Work
from eventbus.delivery import Carried
from tests.support.entries import subscription


async def handler(event): ...


class Door:
    """An intake with what is behind it."""

    def __init__(self):
        self.in_hand, self.work, self.counts = InHand(10, 10), Work(), Counts()
        self.intake = Intake(subscription(handler), self.in_hand, self.work, self.counts)

    def read(self, *ids, fields=(b"a", b"1"), private=False, token="t", sent=1.0):
        self.intake.read([(each, list(fields)) for each in ids], private=private, token=token, sent=sent)

    def take_over(self, *ids, fields=(b"a", b"1"), private=False, token="t", sent=1.0, count=2):
        return self.intake.take_over([(each, list(fields), count) for each in ids], private=private, token=token, sent=sent, claimed=True)

    @property
    def queue(self):
        return [each.entry_id for each in self.work._waiting]


async def test_what_was_read_waits_in_order_behind_what_is_there():
    """Each is in hand from here on, on the lease of its read."""
    door = Door()
    door.read(b"1-0", b"2-0", sent=7.0)
    door.read(b"3-0", sent=8.0)
    assert (door.queue, door.counts.fetched, len(door.in_hand), door.in_hand.credit) == ([b"1-0", b"2-0", b"3-0"], 3, 3, 7)
    first = await door.work.get()
    assert (first.fields, first.private, first.token, first.confirmed) == ([b"a", b"1"], False, "t", 7.0)
    assert (first.count, first.claimed, first.marked_first, first.crashes) == (1, False, False, 0)


async def test_what_was_taken_over_goes_before_everything_in_its_own_order():
    """Behind a backlog it would grow stale again."""
    door = Door()
    door.read(b"5-0", b"6-0")
    assert door.take_over(b"1-0", b"2-0", sent=9.0, count=3) == 2
    assert door.take_over(b"0-1") == 1
    assert door.queue == [b"0-1", b"1-0", b"2-0", b"5-0", b"6-0"]
    assert (door.in_hand.credit, door.in_hand.room, door.counts.fetched) == (8, 7, 2)
    taken = door.in_hand.find(private=False, entry_id=b"1-0")
    assert (taken.count, taken.claimed, taken.marked_first, taken.crashes, taken.confirmed) == (3, True, True, 2, 9.0)


@pytest.mark.parametrize("how", ["read", "take_over"])
async def test_an_entry_that_is_in_hand_is_not_taken_twice(how):
    """The second one would run beside the first; nothing about the first changes."""
    door = Door()
    door.read(b"1-0", sent=1.0)
    assert getattr(door, how)(b"1-0", b"2-0", sent=5.0) in (None, 1)
    assert sorted(door.queue) == [b"1-0", b"2-0"]
    first = door.in_hand.find(private=False, entry_id=b"1-0")
    assert (first.confirmed, first.claimed) == (1.0, False)


@pytest.mark.parametrize("how", ["read", "take_over"])
async def test_of_a_private_entry_our_block_is_taken_off(how):
    """The handler sees the event as it was published."""
    door, carried = Door(), Carried(entry="1-0", attempts=2, crashes=1)
    getattr(door, how)(b"9-0", fields=[b"a", b"1", b"ebentry", b"mine", *carried.fields()], private=True)
    one = await door.work.get()
    assert (one.fields, one.carried, one.origin, one.private) == ([b"a", b"1", b"ebentry", b"mine"], carried, "1-0", True)
    assert one.marked_first
    assert one.crashes == (2 if how == "take_over" else 1)


async def test_of_a_topics_entry_nothing_is_taken_off():
    """What is called as ours there is the publisher's."""
    door, fields = Door(), [b"a", b"1", b"ebentry", b"1-0", b"ebattempts", b"9", b"ebcrashes", b"9"]
    door.read(b"9-0", fields=fields)
    one = await door.work.get()
    assert (one.fields, one.carried, one.origin, one.marked_first) == (fields, Carried(), "9-0", False)


async def test_what_was_cut_while_its_reply_was_lost_is_counted_and_said(caplog):
    """Its event is lost to this group; what came with it is not."""
    door = Door()
    taken = door.intake.take_over([(b"1-0", None, 1), (b"2-0", [b"a", b"1"], 1)], private=False, token="t", sent=1.0, claimed=True)
    assert (taken, door.counts.trimmed, door.queue) == (1, 1, [b"2-0"])
    assert "orders/charge: entry 1-0 was cut from the stream while it was pending: its event is lost to this group" in caplog.text


async def test_a_reply_with_an_entry_that_is_gone_takes_the_others():
    """6.2 answers so; its row is found by claiming."""
    door = Door()
    door.intake.read([(b"1-0", None), (b"2-0", [b"a", b"1"])], private=False, token="t", sent=1.0)
    assert (door.queue, door.counts.fetched) == ([b"2-0"], 1)


@pytest.mark.parametrize("how", ["read", "take_over"])
async def test_an_entry_that_is_read_again_after_its_group_began_anew_is_adopted(how):
    """Its handler may be running: it goes on, under the new token, and on the new lease."""
    door = Door()
    door.read(b"1-0", token="old", sent=1.0)
    held = await door.work.get()
    held.lost = True
    assert getattr(door, how)(b"1-0", token="new", sent=5.0) in (None, 0)
    assert (held.token, held.confirmed, held.lost) == ("new", 5.0, False)
    assert (len(door.in_hand), door.queue, door.counts.fetched) == (1, [], 1)
    assert held.count == (2 if how == "take_over" else 1)


@pytest.mark.parametrize("how", ["read", "take_over"])
async def test_an_id_that_another_event_has_after_a_flush_is_another_delivery(how):
    """Both are events: what is in hand is rescued in its time."""
    door = Door()
    door.read(b"1-0", fields=[b"a", b"old"], token="old")
    getattr(door, how)(b"1-0", fields=[b"a", b"new"], token="new")
    assert [(each.fields, each.token) for each in sorted(door.in_hand, key=lambda each: each.token)] == [
        ([b"a", b"new"], "new"),
        ([b"a", b"old"], "old"),
    ]
    assert len(door.queue) == 2


async def test_a_private_entry_is_adopted_by_its_original_fields():
    """Our block is no part of the event."""
    door, carried = Door(), Carried(entry="1-0", attempts=1)
    door.read(b"9-0", fields=[b"a", b"1", *carried.fields()], private=True, token="old")
    door.read(b"9-0", fields=[b"a", b"1", *carried.fields()], private=True, token="new")
    (held,) = door.in_hand
    assert (held.token, held.carried) == ("new", carried)
