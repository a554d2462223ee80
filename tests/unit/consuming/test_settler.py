"""Acknowledging: many at once, each until it was answered."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from eventbus.consuming.counts import Counts
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.settler import ENOUGH, SHARE, Settler
from eventbus.errors import BackendRefused, BackendUnavailable
from tests.support.entries import delivery


class Server:
    """What the settler asks of Redis, and its membership: a group with a token."""

    def __init__(self, token="token"):
        self.token = token
        self.calls = []
        self.healed = []
        self.fails = []
        self.missing = 0
        self.asked = asyncio.Event()

    async def ack(self, ids, *, private, token):
        self.calls.append((list(ids), private, token))
        self.asked.set()
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails.pop(0)
        return len(ids) - self.missing if token == self.token else None

    async def heal(self, lost):
        self.healed.append(lost)


class Desk:
    """A settler with everything around it."""

    def __init__(self):
        self.server, self.in_hand, self.counts = Server(), InHand(10_000, 0), Counts()
        self.settler = Settler(self.server, self.server, self.in_hand, self.counts)

    def add(self, *deliveries):
        for each in deliveries:
            self.in_hand.take(each)
            self.settler.add(each)
        return deliveries

    @property
    def sizes(self):
        return [len(ids) for ids, *_ in self.server.calls]


@asynccontextmanager
async def at_work(settler):
    """Its loop, for as long as the block lasts."""
    passes = []
    task = asyncio.ensure_future(settler.run(lambda: passes.append(1)))
    yield passes
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_added_together_goes_in_one_script_in_order():
    """And is let go when it was answered."""
    desk = Desk()
    added = desk.add(*(delivery() for _ in range(5)))
    await desk.settler.run_once()
    assert desk.server.calls == [([each.entry_id for each in added], False, "token")]
    assert (len(desk.in_hand), desk.counts.acknowledged, desk.counts.late_acks) == (0, 5, 0)


async def test_a_script_is_given_a_bounded_number_of_one_stream_and_one_token():
    """Redis does nothing else while it runs."""
    desk = Desk()
    desk.add(*(delivery(private=private) for _ in range(ENOUGH + 1) for private in (False, True)))
    await desk.settler.run_once()
    assert desk.sizes == [ENOUGH, 1, ENOUGH, 1]
    assert [private for _, private, _ in desk.server.calls] == [False, False, True, True]
    assert not desk.in_hand


async def test_without_an_answer_everything_stays_in_hand_and_is_sent_again():
    """A second acknowledgement changes nothing."""
    desk = Desk()
    added = desk.add(delivery(), delivery())
    desk.server.fails.append(BackendUnavailable("gone"))
    with pytest.raises(BackendUnavailable):
        await desk.settler.run_once()
    assert (len(desk.in_hand), desk.counts.acknowledged) == (2, 0)
    await desk.settler.run_once()
    ids = [each.entry_id for each in added]
    assert [sent for sent, *_ in desk.server.calls] == [ids, ids]
    assert not desk.in_hand


async def test_a_stream_whose_key_is_refused_holds_up_nobody_else():
    """Else all acknowledgements of the topic would stop behind a private key of another type, and reading with them."""
    desk = Desk()
    (parked,) = desk.add(delivery(entry_id=b"1-0", private=True))
    fresh = desk.add(delivery(entry_id=b"2-0"), delivery(entry_id=b"3-0"))
    desk.server.fails = [BackendRefused("of another type", code="WRONGTYPE")]
    with pytest.raises(BackendRefused, match="of another type"):
        await desk.settler.run_once()
    assert list(desk.in_hand) == [parked]
    assert desk.counts.acknowledged == len(fresh)


async def test_rows_that_were_no_longer_pending_are_counted_as_late():
    """An earlier answer was lost, or another consumer had the entry."""
    desk = Desk()
    desk.server.missing = 1
    desk.add(delivery(), delivery(), delivery())
    await desk.settler.run_once()
    assert (desk.counts.acknowledged, desk.counts.late_acks) == (2, 1)


async def test_nothing_is_written_for_entries_of_a_group_that_began_anew():
    """Their ids may be another event's by now; the group is healed first."""
    desk = Desk()
    desk.add(delivery(token="old"), delivery())
    await desk.settler.run_once()
    assert desk.server.healed == ["old"]
    assert (desk.counts.orphaned, desk.counts.acknowledged, len(desk.in_hand)) == (1, 1, 0)


async def test_an_entry_adopted_while_the_group_was_healed_is_sent_again_under_the_new_token():
    """Its row is still there, and still ours."""
    desk = Desk()
    (adopted,) = desk.add(delivery(token="old"))

    async def heal(lost):
        adopted.token = "token"

    desk.server.heal = heal
    await desk.settler.run_once()
    assert (desk.counts.orphaned, len(desk.in_hand)) == (0, 1)
    await desk.settler.run_once()
    assert (desk.counts.acknowledged, len(desk.in_hand)) == (1, 0)


async def test_what_is_added_while_redis_is_asked_is_not_taken_for_answered():
    """It goes with the next pass."""
    desk = Desk()
    desk.add(delivery())
    asked = asyncio.ensure_future(desk.settler.run_once())
    await desk.server.asked.wait()
    desk.add(delivery())
    await asked
    assert (desk.sizes, len(desk.in_hand)) == ([1], 1)
    await desk.settler.run_once()
    assert (desk.sizes, len(desk.in_hand)) == ([1, 1], 0)


async def test_flush_returns_when_everything_was_answered():
    """Also what was not sent yet; with nothing to do at once."""
    desk = Desk()
    async with at_work(desk.settler) as passes:
        await desk.settler.flush()
        assert not desk.server.calls
        desk.add(*(delivery() for _ in range(3)))
        await desk.settler.flush()
        assert (desk.sizes, desk.counts.acknowledged, len(desk.in_hand)) == ([3], 3, 0)
        await asyncio.sleep(0)
        assert passes == [1]


async def test_a_lonely_acknowledgement_goes_without_company():
    """It lingers for a moment only; nobody has to flush."""
    desk = Desk()
    async with at_work(desk.settler):
        desk.add(delivery())
        await desk.in_hand.wait_until_empty()
    assert desk.sizes == [1]


async def test_enough_of_them_go_at_once(monkeypatch):
    """A full script has nothing to wait for."""
    monkeypatch.setattr("eventbus.consuming.settler.LINGER", 3600)
    desk = Desk()
    async with at_work(desk.settler):
        await asyncio.sleep(0)
        desk.add(delivery())
        await asyncio.sleep(0)
        desk.add(*(delivery() for _ in range(ENOUGH - 1)))
        await desk.in_hand.wait_until_empty()
    assert desk.sizes == [ENOUGH]


async def test_a_part_of_what_may_be_in_hand_goes_at_once_since_the_next_read_waits_for_its_credit(monkeypatch):
    """However few that are: with nothing left to handle nothing else would come."""
    monkeypatch.setattr("eventbus.consuming.settler.LINGER", 3600)
    desk = Desk()
    desk.in_hand.limit = 5 * SHARE
    async with at_work(desk.settler):
        desk.add(delivery())
        await asyncio.sleep(0)
        desk.add(*(delivery() for _ in range(4)))
        await desk.in_hand.wait_until_empty()
    assert desk.sizes == [5]


async def test_at_rest_nothing_is_asked_and_nothing_turns(monkeypatch):
    """An idle consumer costs nothing."""
    monkeypatch.setattr("eventbus.consuming.settler.LINGER", 0)
    desk = Desk()
    async with at_work(desk.settler) as passes:
        desk.add(delivery())
        await desk.settler.flush()
        for _ in range(50):
            await asyncio.sleep(0)
    assert (desk.sizes, passes) == ([1], [1])
