"""Taking over what is stale: whole sweeps, as far as there is room, and never what this process still gets or holds."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from eventbus.consuming.claimer import LASTS, Claimer
from eventbus.consuming.counts import Counts
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.intake import Intake
from eventbus.consuming.recovery import Recovery
from eventbus.consuming.work import Work
from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.streams import Claimed
from tests.support.entries import SETTINGS, delivery, subscription


async def handler(event): ...


def claimed(*ids, cursor=b"", token="token", own=(), cut=(), count=2):
    return Claimed(cursor, token, [(each, [b"a", b"1"], count) for each in ids], list(own), list(cut))


NOTHING = claimed()


class Server:
    """Answers to claims, one after the other; nothing stale when there are no more."""

    def __init__(self):
        self.answers = []
        self.calls, self.recovered = [], []
        self.asked, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()
        self.knocked, self.answers_knocks, self.knocks, self.latest = asyncio.Event(), asyncio.Event(), 0, 0.0
        self.answers_knocks.set()
        self.refuses_writes = False

    async def clock(self):
        """Ten seconds ahead of this process."""
        self.knocks += 1
        self.knocked.set()
        await self.answers_knocks.wait()
        if self.refuses_writes:
            raise BackendRefused("not enough replicas", code="NOREPLICAS")
        return asyncio.get_running_loop().time() + 10

    async def claim(self, **asked):
        del asked["now"]
        self.latest = asked.pop("latest")
        self.calls.append(asked)
        self.asked.set()
        await self.open.wait()
        answer = self.answers.pop(0) if self.answers else NOTHING
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def recover(self, ids, *, private):
        self.recovered.append((list(ids), private))
        return len(ids), [(each, [b"a", b"1"], 1) for each in ids]


class Yard:
    """A claimer with everything around it."""

    def __init__(self, *, room=10, lease=0.03, interval=0.01):
        self.server, self.in_hand, self.work, self.counts = Server(), InHand(100, room), Work(), Counts()
        self.membership = SimpleNamespace(token="token", lease=30.0, heal=self._heal, about={})
        self.healed, self.reading_since, self.new_token, self.taking = [], None, "new", asyncio.Lock()
        intake = Intake(subscription(handler), self.in_hand, self.work, self.counts)
        self.claimer = Claimer(
            settings=replace(SETTINGS, lease=lease, claim_interval=interval),
            commands=self.server,
            membership=self.membership,
            in_hand=self.in_hand,
            intake=intake,
            recovery=Recovery(self.server, self.membership, self.in_hand, intake, self.counts),
            counts=self.counts,
            reading_since=lambda: self.reading_since,
            taking=self.taking,
        )
        self.claimer._sweeps.began(now=self.now() - 100)  # the first grace is over

    async def _heal(self, lost):
        self.healed.append(lost)
        self.membership.token = self.new_token

    @property
    def walked(self):
        """Which stream, and from where, in order."""
        return [("private" if call["private"] else "topic", call["cursor"]) for call in self.server.calls]

    @property
    def queue(self):
        return [each.entry_id for each in self.work._waiting]

    def now(self):
        return asyncio.get_running_loop().time()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_a_sweep_walks_both_streams_from_their_beginning_to_their_end_without_waiting():
    """However many live rows stand before the stale one; and so does the next."""
    yard = Yard()
    yard.server.answers = [claimed(cursor=b"5-0"), claimed(b"7-0", cursor=b"9-0"), NOTHING, claimed(cursor=b"3-0"), claimed(b"4-0")]
    assert await yard.claimer.run_once()
    assert yard.walked == [("topic", b""), ("topic", b"5-0"), ("topic", b"9-0"), ("private", b""), ("private", b"3-0")]
    assert (sorted(yard.queue), yard.counts.claimed) == ([b"4-0", b"7-0"], 2)
    await yard.claimer.run_once()
    assert yard.walked[5:] == [("topic", b""), ("private", b"")]


async def test_what_is_taken_over_is_marked_first_and_confirmed_from_when_it_was_asked_for(caplog):
    """Before everything that waits; said, since somebody fell silent."""
    yard = Yard()
    before = yard.now()
    yard.server.answers = [claimed(b"1-0", b"2-0", count=3)]
    await yard.claimer.run_once()
    first = yard.in_hand.find(private=False, entry_id=b"1-0")
    assert before <= first.confirmed <= yard.now()
    assert (first.claimed, first.count, first.token, yard.in_hand.room, yard.in_hand.credit) == (True, 3, "token", 8, 100)
    assert "2 entries of silent consumers were taken over" in caplog.text


async def test_a_claim_asks_for_what_there_is_room_for_under_the_groups_lease():
    """A backlog that was read uses no room."""
    yard = Yard(room=4)
    yard.in_hand.take(delivery())
    yard.in_hand.take(delivery(), taken_over=True)
    await yard.claimer.run_once()
    assert yard.server.calls[0] == {"private": False, "cursor": b"", "lease": 30.0, "room": 3, "lasts": LASTS, "count": 3}


@pytest.mark.parametrize(("waiting", "lasts"), [(0, 2), (1, 1), (2, 0), (5, 0)])
async def test_few_of_those_at_their_last_start_are_taken_over(waiting, lasts):
    """They run one at a time: the others are for other processes."""
    yard = Yard()
    for _ in range(waiting):
        yard.in_hand.take(delivery(claimed=True, count=3), taken_over=True)
    yard.in_hand.take(delivery(claimed=True, count=2), taken_over=True)
    await yard.claimer.run_once()
    assert yard.server.calls[0]["lasts"] == lasts


async def test_a_claim_waits_while_a_promotion_fills_the_room_and_goes_by_what_is_left_then():
    """Both would be given the whole of it."""
    yard = Yard(room=4)
    async with yard.taking:
        sweep = asyncio.ensure_future(yard.claimer.run_once())
        await until(lambda: yard.server.knocks)
        for _ in range(10):
            await asyncio.sleep(0)
        assert yard.walked == []
        yard.in_hand.take(delivery(), taken_over=True)
    assert await sweep
    assert yard.server.calls[0]["room"] == 3


async def test_without_room_the_walk_waits_and_goes_on_where_it_was():
    """It asks for nothing meanwhile."""
    yard = Yard(room=1)
    yard.server.answers = [claimed(b"1-0", cursor=b"1-0"), claimed(b"2-0")]
    sweep = asyncio.ensure_future(yard.claimer.run_once())
    await until(lambda: yard.in_hand)
    for _ in range(20):
        await asyncio.sleep(0)
    assert yard.walked == [("topic", b"")]
    yard.in_hand.settled(await yard.work.get())
    await until(lambda: len(yard.server.calls) == 2)
    assert yard.walked[1] == ("topic", b"1-0")
    yard.in_hand.settled(await yard.work.get())
    await sweep


@pytest.mark.parametrize("reading", ["nothing", "since long ago", "since before it was handed over"])
async def test_own_stale_entries_that_are_not_in_hand_are_recovered_when_no_read_can_still_bring_them(reading):
    """A reply in flight may hold them."""
    yard = Yard()
    yard.in_hand.take(delivery(entry_id=b"1-0"))
    yard.reading_since = {"nothing": None, "since long ago": yard.now() - 100, "since before it was handed over": yard.now() - 40}[reading]
    yard.server.answers = [claimed(own=[(b"1-0", 60.0), (b"2-0", 60.0), (b"3-0", 35.0)])]
    await yard.claimer.run_once()
    expected = {"nothing": [b"2-0", b"3-0"], "since long ago": [], "since before it was handed over": [b"2-0"]}[reading]
    assert [ids for ids, _ in yard.server.recovered] == ([expected] if expected else [])
    assert (sorted(yard.queue), yard.counts.recovered, yard.counts.claimed) == (expected, len(expected), 0)


async def test_what_was_cut_while_it_was_pending_is_counted_and_said(caplog):
    """Its tombstone is written by then."""
    yard = Yard()
    yard.server.answers = [claimed(cut=[b"1-0", b"2-0"])]
    await yard.claimer.run_once()
    assert yard.counts.trimmed == 2
    assert caplog.text.count("was cut from the stream while it was pending: a dead letter says so") == 2


async def test_a_lost_group_is_healed_and_the_other_stream_is_walked():
    """NOGROUP, or a token that is missing: the next sweep finds what is there."""
    yard = Yard()
    yard.server.answers = [BackendRefused("gone", code="NOGROUP"), claimed(b"1-0", token="")]
    await yard.claimer.run_once()
    assert yard.healed == ["token", "new"]
    assert [stream for stream, _ in yard.walked] == ["topic", "private"]
    assert yard.queue == []  # under no token nothing could be settled


async def test_a_group_that_another_member_made_anew_is_healed_before_anything_of_it_starts():
    """What was taken has the new token; with the old one here it would be neither beaten nor counted."""
    yard = Yard()
    yard.server.answers = [claimed(b"1-0", token="new")]
    await yard.claimer.run_once()
    taken = yard.in_hand.find(private=False, entry_id=b"1-0")
    assert yard.healed[0] == "token"
    assert taken.token == yard.membership.token == "new"


@pytest.mark.parametrize("error", [BackendUnavailable("gone"), BackendRefused("loading", code="LOADING")])
async def test_any_other_trouble_is_the_supervisors(error):
    """It waits, and starts the loop again."""
    yard = Yard()
    yard.server.answers = [error]
    with pytest.raises(type(error)):
        await yard.claimer.run_once()
    assert yard.healed == []


async def test_a_claim_that_reaches_the_server_long_after_it_was_decided_on_is_not_to_be_executed():
    """It may have waited in the socket of a frozen server, while owners could not renew: a sixth of the lease is its time."""
    yard = Yard(lease=6.0)
    before = yard.now()
    await yard.claimer.run_once()
    assert before + 10 + 1 <= yard.server.latest <= yard.now() + 10 + 1.5
    assert yard.server.knocks == 1


async def test_after_a_claim_that_came_too_late_owners_renew_first_and_the_sweep_counts_for_nothing():
    """Nothing was taken; it is made again as soon as may be, not an interval later."""
    yard = Yard(lease=0.15, interval=3600)
    yard.server.answers = [None, claimed(b"1-0")]
    passes = []
    task = asyncio.ensure_future(yard.claimer.run(lambda: passes.append(1)))
    await yard.server.asked.wait()
    since = yard.now()
    await until(lambda: passes)
    assert yard.now() - since >= 0.045
    assert yard.walked == [("topic", b""), ("topic", b""), ("private", b"")]
    assert yard.queue == [b"1-0"]
    await yard.claimer.stop()
    await task


async def test_after_a_late_claim_the_server_is_asked_for_its_time_anew():
    """Its clock may have been set forward: by the old difference every further claim would be late, for ever."""
    yard = Yard(lease=30)
    yard.claimer._sweeps._spent = 30  # graces are used up
    yard.server.answers = [None, claimed(b"1-0")]
    assert not await yard.claimer.run_once()
    assert (yard.server.knocks, yard.walked) == (1, [("topic", b"")])
    assert await yard.claimer.run_once()
    assert (yard.server.knocks, yard.queue) == (2, [b"1-0"])


async def test_a_sweep_whose_knock_was_answered_after_an_outage_gives_way():
    """The answer ends the outage; owners renew first."""
    yard = Yard(lease=0.3)
    yard.server.answers_knocks.clear()
    sweep = asyncio.ensure_future(yard.claimer.run_once())
    await yard.server.knocked.wait()
    yard.claimer.waited(0.2)
    yard.server.answers_knocks.set()
    assert not await sweep
    assert yard.walked == []


async def test_an_outage_in_the_middle_of_a_sweep_ends_it():
    """What was seen as stale before it says nothing."""
    yard = Yard(room=1, lease=0.3)
    yard.server.answers = [claimed(b"1-0", cursor=b"1-0")]
    sweep = asyncio.ensure_future(yard.claimer.run_once())
    await until(lambda: yard.in_hand)
    yard.claimer.waited(0.2)
    yard.in_hand.settled(await yard.work.get())
    assert not await sweep
    assert len(yard.server.calls) == 1


async def test_a_server_that_refuses_writes_is_asked_at_once_and_owners_renew_before_anything_is_claimed():
    """It may answer everything else: no other sign would come from it."""
    yard = Yard(lease=0.3, interval=3600)
    passes = []
    task = asyncio.ensure_future(yard.claimer.run(lambda: passes.append(1)))
    await until(lambda: passes)
    yard.server.refuses_writes = True
    yard.claimer.refused(yard.now())
    with pytest.raises(BackendRefused):
        async with asyncio.timeout(5):
            await task
    await asyncio.sleep(0.1)
    yard.server.refuses_writes = False
    yard.claimer.hurry()
    windows, since = len(yard.server.calls), yard.now()
    task = asyncio.ensure_future(yard.claimer.run(lambda: passes.append(1)))  # by the supervisor
    await until(lambda: len(yard.server.calls) > windows)
    assert yard.now() - since >= 0.09
    await yard.claimer.stop()
    await task


async def test_writes_that_were_refused_for_a_moment_put_off_nothing():
    """Owners have tried again long before their leases run out."""
    yard = Yard(lease=30)
    yard.claimer.refused(yard.now() - 1)
    assert await yard.claimer.run_once()
    assert len(yard.walked) == 2


async def test_writes_that_are_refused_in_the_middle_of_a_sweep_end_it():
    """What was seen as stale before it says nothing; the next one begins with a knock."""
    yard = Yard(room=1, lease=0.3)
    yard.server.answers = [claimed(b"1-0", cursor=b"1-0")]
    sweep = asyncio.ensure_future(yard.claimer.run_once())
    await until(lambda: yard.in_hand)
    yard.claimer.refused(yard.now() - 1)
    yard.in_hand.settled(await yard.work.get())
    assert not await sweep
    assert len(yard.server.calls) == 1
    assert not await yard.claimer.run_once()
    assert (yard.server.knocks, len(yard.server.calls)) == (2, 1)


async def test_a_sweep_that_failed_counts_for_nothing():
    """When the supervisor starts the loop again, it is due."""
    yard = Yard(lease=0.03, interval=3600)
    yard.server.answers = [BackendUnavailable("gone")]
    passes = []
    with pytest.raises(BackendUnavailable):
        await yard.claimer.run(lambda: passes.append(1))
    task = asyncio.ensure_future(yard.claimer.run(lambda: passes.append(1)))
    await until(lambda: passes)
    await yard.claimer.stop()
    await task


async def test_sweeps_come_on_a_quiet_stream_too_and_not_before_owners_could_renew():
    """The first a third of the lease after the start."""
    yard = Yard(lease=0.15, interval=0.02)
    since, passes = yard.now(), []
    task = asyncio.ensure_future(yard.claimer.run(lambda: passes.append(yard.now() - since)))
    await until(lambda: len(passes) == 3)
    await yard.claimer.stop()
    await task
    assert passes[0] >= 0.05
    assert passes[2] >= 0.05 + 2 * 0.02 * 0.8


async def test_after_an_outage_a_sweep_waits_for_a_third_of_the_lease():
    """Owners were kept from renewing by it."""
    yard = Yard(lease=0.3, interval=0.001)
    passes = []
    task = asyncio.ensure_future(yard.claimer.run(lambda: passes.append(yard.now())))
    await until(lambda: passes)
    since = yard.now()
    yard.claimer.waited(0.2)
    count = len(passes)
    await until(lambda: len(passes) > count)
    assert passes[count] - since >= 0.09
    await yard.claimer.stop()
    await task


async def test_somebody_who_made_room_hurries_the_next_sweep():
    """An entry at its last start waited for it."""
    yard = Yard(lease=0.03, interval=3600)
    passes = []
    task = asyncio.ensure_future(yard.claimer.run(lambda: passes.append(1)))
    await until(lambda: len(passes) == 1)
    yard.claimer.hurry()
    await until(lambda: len(passes) == 2)
    await yard.claimer.stop()
    await task
    assert len(passes) == 2


@pytest.mark.parametrize("where", ["between sweeps", "without room", "in a window"])
async def test_stopping_begins_no_further_window_and_waits_for_the_one_under_way(where):
    """What that one brings is in the queue when `stop` returns: it is released with everything else."""
    yard = Yard(room=1, interval=3600)
    if where == "without room":
        yard.server.answers = [claimed(b"1-0", cursor=b"1-0"), claimed(b"2-0")]
    if where == "in a window":
        yard.server.answers = [claimed(b"1-0", cursor=b"1-0"), claimed(b"2-0")]
        yard.server.open.clear()
    task = asyncio.ensure_future(yard.claimer.run(lambda: None))
    await yard.server.asked.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    stopping = asyncio.ensure_future(yard.claimer.stop())
    for _ in range(10):
        await asyncio.sleep(0)
    assert stopping.done() is (where != "in a window")
    yard.server.open.set()
    await stopping
    assert yard.queue == ([] if where == "between sweeps" else [b"1-0"])
    await task
    assert len(yard.server.calls) == (2 if where == "between sweeps" else 1)


async def test_a_rest_that_took_far_too_long_counts_as_an_outage():
    """A machine that was frozen comes back with everybody's leases stale."""
    yard = Yard(lease=0.3, interval=0.01)
    passes = []
    task = asyncio.ensure_future(yard.claimer.run(lambda: passes.append(yard.now())))
    await until(lambda: passes)
    time.sleep(0.15)
    count, since = len(passes), yard.now()
    await until(lambda: len(passes) > count)
    assert passes[count] - since >= 0.08
    await yard.claimer.stop()
    await task
