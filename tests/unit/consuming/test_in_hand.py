"""What a process holds: from the parse of a read until the answer to its settlement."""

from __future__ import annotations

import asyncio

import pytest

from eventbus.consuming.in_hand import InHand
from tests.support.entries import delivery


async def test_credit_is_what_is_left_of_the_limit_and_never_negative():
    """What was recovered may exceed it."""
    in_hand = InHand(2)
    held = [delivery() for _ in range(3)]
    left = [in_hand.credit]
    for each in held:
        assert in_hand.take(each)
        left.append(in_hand.credit)
    assert (left, len(in_hand)) == ([2, 1, 0, 0], 3)
    for each in held:
        in_hand.settled(each)
    assert (in_hand.credit, len(in_hand), in_hand.left) == (2, 0, 0)


async def test_an_entry_read_twice_under_one_token_is_taken_once():
    """The second reading would run its handler twice."""
    in_hand = InHand(5)
    first = delivery(entry_id=b"1-0")
    assert in_hand.take(first)
    assert not in_hand.take(delivery(entry_id=b"1-0"))
    assert in_hand.find(private=False, entry_id=b"1-0") is first


async def test_the_same_id_is_another_entry_in_the_private_stream():
    """Ids are a stream's own."""
    in_hand = InHand(5)
    assert in_hand.take(delivery(entry_id=b"1-0"))
    assert in_hand.take(delivery(entry_id=b"1-0", private=True))
    assert len(in_hand) == 2
    assert in_hand.find(private=True, entry_id=b"2-0") is None


async def test_under_a_new_token_an_id_is_a_new_entry_and_the_old_settlement_does_not_let_go_of_it():
    """After a flush ids are used again."""
    in_hand = InHand(5)
    old, new = delivery(entry_id=b"1-0", token="old"), delivery(entry_id=b"1-0", token="new")
    assert in_hand.take(old)
    assert in_hand.take(new)
    in_hand.settled(old)
    assert in_hand.find(private=False, entry_id=b"1-0") is new
    in_hand.settled(new)
    assert not in_hand


async def test_unknown_is_what_is_neither_held_under_this_token_nor_left_pending():
    """What a lost reply brought."""
    in_hand = InHand(9)
    held, left = delivery(entry_id=b"1-0", token="t"), delivery(entry_id=b"2-0", token="t")
    for each in (held, left):
        in_hand.take(each)
    in_hand.leave(left)
    ids = [b"1-0", b"2-0", b"3-0"]
    assert in_hand.unknown(ids, private=False, token="t") == [b"3-0"]
    assert in_hand.unknown(ids, private=False, token="other") == ids
    assert in_hand.unknown(ids, private=True, token="t") == ids


async def test_what_was_left_pending_is_let_go_and_counted_until_the_group_begins_anew():
    """Then it will be read again."""
    in_hand = InHand(9)
    left = delivery(entry_id=b"1-0")
    in_hand.take(left)
    in_hand.leave(left)
    in_hand.leave(left)
    assert (len(in_hand), in_hand.left, in_hand.credit) == (0, 1, 9)
    in_hand.regrouped()
    assert in_hand.left == 0
    assert in_hand.unknown([b"1-0"], private=False, token="token") == [b"1-0"]


@pytest.mark.parametrize("letting_go", [InHand.settled, InHand.leave])
async def test_waiting_for_room_ends_when_there_is_enough_and_not_before(letting_go):
    """A read wants credit for both its streams."""
    in_hand = InHand(3)
    held = [delivery() for _ in range(3)]
    for each in held:
        in_hand.take(each)
    waiting = asyncio.ensure_future(in_hand.wait_for_room(2))
    for each in held[:2]:
        await asyncio.sleep(0)
        assert not waiting.done()
        letting_go(in_hand, each)
    await waiting
    await in_hand.wait_for_room(2)  # there is room: it returns at once


@pytest.mark.parametrize("letting_go", [InHand.settled, InHand.leave])
async def test_waiting_until_empty_ends_with_the_last(letting_go):
    """The drain is over then; an empty hand is not waited for."""
    in_hand = InHand(3)
    await in_hand.wait_until_empty()
    held = [delivery() for _ in range(2)]
    for each in held:
        in_hand.take(each)
    waiting = asyncio.ensure_future(in_hand.wait_until_empty())
    for each in held:
        await asyncio.sleep(0)
        assert not waiting.done()
        letting_go(in_hand, each)
    await waiting
