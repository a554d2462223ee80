"""What a process holds: from the parse of a read until the answer to its settlement."""

from __future__ import annotations

import asyncio

from eventbus.consuming.in_hand import InHand
from tests.support.entries import delivery


async def test_credit_is_what_is_left_of_the_limit_and_never_negative():
    """What was recovered may exceed it."""
    in_hand = InHand(2, 0)
    held = [delivery() for _ in range(3)]
    left = [in_hand.credit]
    for each in held:
        assert in_hand.take(each)
        left.append(in_hand.credit)
    assert (left, len(in_hand)) == ([2, 1, 0, 0], 3)
    for each in held:
        in_hand.settled(each)
    assert (in_hand.credit, len(in_hand)) == (2, 0)


async def test_an_entry_read_twice_under_one_token_is_taken_once():
    """The second reading would run its handler twice."""
    in_hand = InHand(5, 0)
    first = delivery(entry_id=b"1-0")
    assert in_hand.take(first)
    assert not in_hand.take(delivery(entry_id=b"1-0"))
    assert in_hand.find(private=False, entry_id=b"1-0") is first


async def test_what_was_read_together_is_taken_together_or_not_at_all():
    """Where one is in hand already whoever read them looks at each."""
    in_hand = InHand(5, 0)
    first, second, third = (delivery(entry_id=each) for each in (b"1-0", b"2-0", b"3-0"))
    assert in_hand.take_read({b"1-0": first, b"2-0": second}, private=False)
    assert not in_hand.take_read({b"2-0": delivery(entry_id=b"2-0"), b"3-0": third}, private=False)
    assert list(in_hand) == [first, second]
    assert in_hand.take_read({b"3-0": third}, private=True)
    assert len(in_hand) == 3


async def test_a_read_that_brought_nothing_leaves_nothing_to_wait_for():
    """Whoever waits until nothing is in hand would wait for ever."""
    in_hand = InHand(5, 0)
    assert in_hand.take_read({}, private=False)
    await in_hand.wait_until_empty()


async def test_the_same_id_is_another_entry_in_the_private_stream():
    """Ids are a stream's own."""
    in_hand = InHand(5, 0)
    assert in_hand.take(delivery(entry_id=b"1-0"))
    assert in_hand.take(delivery(entry_id=b"1-0", private=True))
    assert len(in_hand) == 2
    assert in_hand.find(private=True, entry_id=b"2-0") is None


async def test_under_a_new_token_an_id_is_a_new_entry_and_the_old_settlement_does_not_let_go_of_it():
    """After a flush ids are used again."""
    in_hand = InHand(5, 0)
    old, new = delivery(entry_id=b"1-0", token="old"), delivery(entry_id=b"1-0", token="new")
    assert in_hand.take(old)
    assert in_hand.take(new)
    in_hand.settled(old)
    assert in_hand.find(private=False, entry_id=b"1-0") is new
    in_hand.settled(new)
    assert not in_hand


async def test_both_of_two_entries_with_one_id_are_in_hand_and_cost_credit_until_each_is_settled():
    """The displaced one is still being handled: it is found by nobody, and beaten and waited for all the same."""
    in_hand = InHand(5, 0)
    old, new = delivery(entry_id=b"1-0", token="old"), delivery(entry_id=b"1-0", token="new")
    in_hand.take(old)
    in_hand.take(new)
    assert (len(in_hand), in_hand.credit, set(in_hand)) == (2, 3, {old, new})
    assert in_hand.find(private=False, entry_id=b"1-0") is new
    in_hand.settled(new)
    assert (list(in_hand), in_hand.find(private=False, entry_id=b"1-0")) == ([old], None)
    in_hand.settled(old)
    assert (len(in_hand), in_hand.credit) == (0, 5)


async def test_unknown_is_what_is_not_held_under_this_token():
    """What a lost reply brought."""
    in_hand = InHand(9, 0)
    in_hand.take(delivery(entry_id=b"1-0", token="t"))
    ids = [b"1-0", b"2-0", b"3-0"]
    assert in_hand.unknown(ids, private=False, token="t") == [b"2-0", b"3-0"]
    assert in_hand.unknown(ids, private=False, token="other") == ids
    assert in_hand.unknown(ids, private=True, token="t") == ids


async def test_what_was_settled_is_unknown_again_and_may_be_taken_again():
    """A released copy may come back to the one that released it."""
    in_hand = InHand(9, 0)
    first = delivery(entry_id=b"1-0", token="t")
    in_hand.take(first)
    in_hand.settled(first)
    assert in_hand.unknown([b"1-0"], private=False, token="t") == [b"1-0"]
    assert in_hand.take(delivery(entry_id=b"1-0", token="t"))


async def test_what_was_taken_over_has_room_of_its_own_and_costs_no_credit():
    """A backlog that uses all the credit cannot keep it out, and it does not keep out the backlog."""
    in_hand = InHand(2, 2)
    read = [delivery() for _ in range(2)]
    over = [delivery() for _ in range(3)]
    for each in read:
        in_hand.take(each)
    left = [(in_hand.credit, in_hand.room)]
    for each in over:
        assert in_hand.take(each, taken_over=True)
        left.append((in_hand.credit, in_hand.room))
    assert left == [(0, 2), (0, 1), (0, 0), (0, 0)]
    in_hand.settled(read[0])
    assert (in_hand.credit, in_hand.room) == (1, 0)
    for each in over:
        in_hand.settled(each)
    assert (in_hand.credit, in_hand.room, len(in_hand)) == (1, 2, 1)


async def test_a_delivery_that_is_settled_twice_is_let_go_once():
    """Its second settlement must not let go of the one that stands in its place."""
    in_hand = InHand(3, 3)
    first, second = delivery(entry_id=b"1-0"), delivery(entry_id=b"1-0")
    in_hand.take(first, taken_over=True)
    in_hand.settled(first)
    in_hand.take(second)
    in_hand.settled(first)
    assert (list(in_hand), in_hand.credit, in_hand.room) == ([second], 2, 3)


async def test_waiting_for_room_ends_when_something_taken_over_was_settled_and_not_before():
    """What was read makes none."""
    in_hand = InHand(3, 1)
    read, over = delivery(), delivery()
    in_hand.take(read)
    in_hand.take(over, taken_over=True)
    waiting = asyncio.ensure_future(in_hand.wait_for_room())
    await asyncio.sleep(0)
    in_hand.settled(read)
    await asyncio.sleep(0)
    assert not waiting.done()
    in_hand.settled(over)
    await waiting
    await in_hand.wait_for_room()  # there is room: it returns at once


async def test_waiting_for_credit_ends_when_there_is_no_need_of_it_any_more():
    """Reading ends while handlers hold all there is."""
    in_hand, needless = InHand(1, 0), []
    in_hand.take(delivery())
    waiting = asyncio.ensure_future(in_hand.wait_for_credit(1, unless=lambda: bool(needless)))
    in_hand.look_again()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    needless.append(True)
    in_hand.look_again()
    await waiting


async def test_waiting_for_credit_ends_when_there_is_enough_and_not_before():
    """A read wants credit for both its streams."""
    in_hand = InHand(3, 0)
    held = [delivery() for _ in range(3)]
    for each in held:
        in_hand.take(each)
    waiting = asyncio.ensure_future(in_hand.wait_for_credit(2, unless=lambda: False))
    for each in held[:2]:
        await asyncio.sleep(0)
        assert not waiting.done()
        in_hand.settled(each)
    await waiting
    await in_hand.wait_for_credit(2, unless=lambda: False)  # there is enough: it returns at once


async def test_waiting_until_empty_ends_with_the_last():
    """The drain is over then; an empty hand is not waited for."""
    in_hand = InHand(3, 0)
    await in_hand.wait_until_empty()
    held = [delivery() for _ in range(2)]
    for each in held:
        in_hand.take(each)
    waiting = asyncio.ensure_future(in_hand.wait_until_empty())
    for each in held:
        await asyncio.sleep(0)
        assert not waiting.done()
        in_hand.settled(each)
    await waiting
