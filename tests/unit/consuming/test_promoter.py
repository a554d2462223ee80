"""Promoting what is due: on time for what was parked here, within the interval for the rest."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from eventbus.consuming.counts import Counts
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.intake import Intake
from eventbus.consuming.promoter import WINDOW, Promoter
from eventbus.consuming.work import Work
from eventbus.delivery import UNHANDLED, Carried
from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.streams import Promoted
from tests.support.entries import SETTINGS, delivery, subscription


async def handler(event): ...


def promoted(count=0, *, wait=None, given=(), missing=0, dropped=0, newer=0, unhandled=0):
    return Promoted(count, wait, list(given), missing, dropped, newer, unhandled, 0)


class Server:
    """Answers to promotions, one after the other; nothing parked when there are no more."""

    def __init__(self):
        self.answers, self.calls = [], []
        self.open = asyncio.Event()
        self.open.set()

    async def promote(self, types, **asked):
        asked.pop("now")
        self.calls.append((dict(types), asked, asyncio.get_running_loop().time()))
        await self.open.wait()
        answer = self.answers.pop(0) if self.answers else promoted()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clockwork:
    """A promoter with everything around it."""

    def __init__(self, *, interval=3600.0, credit=10, room=4):
        self.server, self.in_hand, self.work, self.counts = Server(), InHand(credit, room), Work(), Counts()
        self.taking = asyncio.Lock()
        self.membership, self.healed = SimpleNamespace(token="token", heal=self._heal, about={}), []
        compiled = subscription(handler)
        self.promoter = Promoter(
            subscription=compiled,
            settings=replace(SETTINGS, claim_interval=interval),
            commands=self.server,
            membership=self.membership,
            in_hand=self.in_hand,
            intake=Intake(compiled, self.in_hand, self.work, self.counts),
            counts=self.counts,
            taking=self.taking,
        )

    async def _heal(self, lost):
        self.healed.append(lost)
        self.membership.token = "new"

    async def passes(self, count):
        while len(self.server.calls) < count:
            await asyncio.sleep(0)

    @property
    def times(self):
        return [time for *_, time in self.server.calls]

    async def stopped(self, task):
        await self.promoter.stop()
        await task


def now():
    return asyncio.get_running_loop().time()


async def alive():
    for _ in range(30):
        await asyncio.sleep(0)


async def test_a_pass_asks_with_the_types_this_member_knows_and_the_room_for_what_is_taken_over():
    """What hops is given to this consumer in the same step; a backlog that was read leaves it its room."""
    clock = Clockwork(credit=2, room=4)
    clock.in_hand.take(delivery())
    clock.in_hand.take(delivery())
    clock.in_hand.take(delivery(), taken_over=True)
    assert await clock.promoter.run_once() is None
    ((types, asked, _),) = clock.server.calls
    assert (types, asked) == ({"OrderCreated": 1}, {"count": WINDOW, "credit": 3, "unhandled": UNHANDLED})


async def test_what_a_pass_was_given_is_in_hand_before_what_waits_and_uses_up_no_credit():
    """On the lease of when it was asked for, with what it carries; the read in flight may bring all that it was allowed."""
    clock, before = Clockwork(credit=10, room=4), now()
    waits = delivery()
    clock.work.put([waits])
    clock.server.answers = [promoted(1, given=[(b"9-0", [b"a", b"1", *Carried(entry="1-0", hops=2, hopped=5).fields()])])]
    await clock.promoter.run_once()
    given, behind = clock.work.clear()
    assert behind is waits
    assert (given.fields, given.private, given.token, given.carried.hops, given.count) == ([b"a", b"1"], True, "token", 2, 1)
    assert before <= given.confirmed <= now()
    assert (clock.counts.promoted, clock.counts.fetched, clock.counts.claimed) == (1, 1, 0)
    assert (len(clock.in_hand), clock.in_hand.credit, clock.in_hand.room) == (1, 10, 3)


async def test_a_pass_waits_while_another_fills_the_room_and_goes_by_what_is_left_then():
    """A claim under way was given the same room; and a heal under way changes the token."""
    clock = Clockwork(room=4)
    async with clock.taking:
        task = asyncio.ensure_future(clock.promoter.run_once())
        await alive()
        assert clock.server.calls == []
        clock.in_hand.take(delivery(), taken_over=True)
        clock.membership.token = "new"
        clock.server.answers = [promoted(1, given=[(b"9-0", [b"a", b"1"])])]
    await task
    assert clock.server.calls[0][1]["credit"] == 3
    assert clock.in_hand.find(private=True, entry_id=b"9-0").token == "new"


async def test_everything_that_a_pass_did_is_counted_and_what_was_lost_or_buried_is_said(caplog):
    """A dead letter never appears silently."""
    clock = Clockwork()
    clock.server.answers = [promoted(4, missing=1, dropped=2, newer=3, unhandled=5)]
    await clock.promoter.run_once()
    counts = clock.counts
    assert (counts.promoted, counts.trimmed, counts.skipped, counts.dead) == (4, 1, 2, {"newer": 3, "unhandled": 5})
    assert [record.getMessage() for record in caplog.records] == [
        "3 parked events are dead letters now (newer)",
        "5 parked events are dead letters now (unhandled)",
        "1 parked events were deleted before they were due",
    ]


async def test_a_lost_group_is_healed_and_the_next_pass_comes_at_once():
    """Its parked copies are there."""
    clock = Clockwork()
    clock.server.answers = [BackendRefused("gone", code="NOGROUP")]
    assert await clock.promoter.run_once() == 0
    assert clock.healed == ["token"]


@pytest.mark.parametrize("error", [BackendUnavailable("gone"), BackendRefused("full", code="OOM")])
async def test_any_other_trouble_is_the_supervisors(error):
    """It waits, and starts the loop again."""
    clock = Clockwork()
    clock.server.answers = [error]
    with pytest.raises(type(error)):
        await clock.promoter.run_once()
    assert clock.healed == []


async def test_at_rest_a_pass_comes_every_interval():
    """What another process parked, before it died, is promoted by then."""
    clock = Clockwork(interval=0.05)
    task = asyncio.ensure_future(clock.promoter.run(lambda: None))
    await clock.passes(3)
    await clock.stopped(task)
    first, second, third = clock.times[:3]
    assert 0.045 <= second - first < 0.5
    assert 0.045 <= third - second < 0.5


async def test_a_pass_comes_when_the_next_copy_is_due():
    """As the last one told."""
    clock = Clockwork()
    clock.server.answers = [promoted(wait=0.05), promoted(1, wait=None)]
    task = asyncio.ensure_future(clock.promoter.run(lambda: None))
    await clock.passes(2)
    assert 0.045 <= clock.times[1] - clock.times[0] < 1
    await alive()
    assert len(clock.server.calls) == 2
    await clock.stopped(task)


async def test_more_that_is_due_is_promoted_without_a_pause():
    """A window is only what one script does."""
    clock = Clockwork()
    clock.server.answers = [promoted(100, wait=0.0)] * 5
    task = asyncio.ensure_future(clock.promoter.run(lambda: None))
    await clock.passes(6)
    await alive()
    assert (len(clock.server.calls), clock.counts.promoted) == (6, 500)
    await clock.stopped(task)


async def test_what_is_parked_here_is_promoted_on_time():
    """A sooner one wakes the loop, a later one does not."""
    clock = Clockwork()
    task = asyncio.ensure_future(clock.promoter.run(lambda: None))
    await clock.passes(1)
    await alive()
    since = now()
    clock.promoter.parked(3000)
    clock.promoter.parked(0.05)
    clock.promoter.parked(1000)
    await alive()
    assert len(clock.server.calls) == 1
    await clock.passes(2)
    assert 0.045 <= clock.times[1] - since < 1
    await clock.stopped(task)


async def test_what_is_parked_while_redis_is_asked_is_not_forgotten():
    """The answer may be older than the park."""
    clock = Clockwork()
    clock.server.open.clear()
    task = asyncio.ensure_future(clock.promoter.run(lambda: None))
    await clock.passes(1)
    clock.promoter.parked(0.02)
    clock.server.open.set()
    async with asyncio.timeout(5):
        await clock.passes(2)
    await clock.stopped(task)


async def test_stopping_waits_for_the_pass_under_way_and_begins_no_other():
    """What that one brings is in the queue when `stop` returns."""
    clock = Clockwork()
    clock.server.open.clear()
    clock.server.answers = [promoted(1, wait=0.0, given=[(b"9-0", [b"a", b"1"])])]
    task = asyncio.ensure_future(clock.promoter.run(lambda: None))
    await clock.passes(1)
    stopping = asyncio.ensure_future(clock.promoter.stop())
    await alive()
    assert not stopping.done()
    clock.server.open.set()
    await stopping
    assert len(clock.work) == 1
    await task
    assert len(clock.server.calls) == 1
