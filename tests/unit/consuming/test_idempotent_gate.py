"""What a delivery of an idempotent subscription passes before it starts."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest

from eventbus.consuming.alone import Alone
from eventbus.consuming.counts import Counts
from eventbus.consuming.idempotent_gate import LATER, IdempotentGate
from eventbus.consuming.marks import Marks
from eventbus.delivery import CRASHES, Carried, Ending
from eventbus.errors import BackendUnavailable
from eventbus.events import identity
from eventbus.streams import Beaten, Group, Start
from tests.support.entries import SETTINGS, delivery
from tests.support.events import OrderCreated

LEASE = 30.0


class Server:
    """What the gate asks of Redis; it answers when it may."""

    def __init__(self):
        self.group, self.token = Group("orders", "charge"), "token"
        self.answers, self.calls, self.fails, self.healed = {}, [], [], []
        self.asked, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()
        self.on_start = None

    async def mark(self, entries, *, private, token):
        self.calls.append("mark")
        return frozenset(entry_id for entry_id, _ in entries)

    async def beat(self, ids, *, private, token):
        self.calls.append("beat")
        return Beaten(frozenset(ids), frozenset())

    async def start(self, entries, *, private, token, lease):
        self.calls.append([name for _, name in entries])
        assert lease == LEASE
        self.asked.set()
        await self.open.wait()
        if self.fails:
            raise self.fails.pop(0)
        if self.on_start:
            self.on_start()
        missing = Start.FREE if token == self.token else Start.REGROUPED
        return [self.answers.get(name, missing) for _, name in entries]


class Entrance:
    """A gate with everything around it."""

    def __init__(self):
        self.server = Server()
        self.membership = SimpleNamespace(token="token", heal=self._heal, about={})
        self.gate = IdempotentGate(
            marks=Marks(self.server, topic="orders", window=60.0, lease=LEASE),
            settings=replace(SETTINGS, lease=LEASE),
            commands=self.server,
            membership=self.membership,
            counts=Counts(),
            alone=Alone(),
            left=lambda: None,
        )

    async def _heal(self, lost):
        self.server.healed.append(lost)
        self.membership.token = self.server.token


def fresh(**facts):
    return delivery(OrderCreated(order_id="o-1"), confirmed=asyncio.get_running_loop().time(), **facts)


def stale(**facts):
    return delivery(OrderCreated(order_id="o-1"), confirmed=asyncio.get_running_loop().time() - LEASE, **facts)


async def test_nothing_passes_unasked():
    """However fresh its lease."""
    entrance, one = Entrance(), fresh()
    assert not entrance.gate.passes(one, one.confirmed)
    assert await entrance.gate.admit(one) is None
    assert len(entrance.server.calls) == 1


@pytest.mark.parametrize(("facts", "first"), [({"claimed": True}, "mark"), ({"carried": Carried(crashes=1)}, "mark"), ({}, "beat")])
async def test_a_lease_is_confirmed_and_a_start_counted_before_it_is_asked_for(facts, first):
    """A mark in progress holds by its lease; and what is put off has not started, whatever was counted."""
    entrance = Entrance()
    assert await entrance.gate.admit(stale(**facts)) is None
    assert entrance.server.calls[0] == first
    assert len(entrance.server.calls) == 2


async def test_all_that_wait_are_asked_for_in_one_script_each_stream_apart():
    """One round trip for all of them."""
    entrance, topic, private = Entrance(), [fresh() for _ in range(10)], [fresh(private=True) for _ in range(3)]
    assert await asyncio.gather(*map(entrance.gate.admit, topic + private)) == [None] * 13
    assert sorted(map(len, entrance.server.calls)) == [3, 10]


@pytest.mark.parametrize(("redrives", "level"), [(0, logging.DEBUG), (1, logging.INFO)])
async def test_what_was_finished_is_not_run_and_said(caplog, redrives, level):
    """Whoever redrives wants it to be run: that is said louder, with what to do."""
    caplog.set_level(logging.DEBUG)
    entrance, one = Entrance(), fresh(carried=Carried(entry="1-0", redrives=redrives))
    name = entrance.gate._marks.name(one)
    entrance.server.answers[name] = Start.FINISHED
    ended = await entrance.gate.admit(one)
    assert (ended.ending, ended.type) == (Ending.FINISHED, "OrderCreated")
    (record,) = [each for each in caplog.records if "finished before" in each.message]
    assert record.levelno == level
    assert name in record.message
    assert "{orders}:done:charge" in record.message
    assert "o-1" not in record.message


async def test_what_is_in_progress_elsewhere_is_put_off_uncounted():
    """For a second."""
    entrance, one = Entrance(), fresh()
    entrance.server.answers[entrance.gate._marks.name(one)] = Start.TWIN
    ended = await entrance.gate.admit(one)
    assert (ended.ending, ended.error.after, ended.error.count) == (Ending.TWIN, LATER, False)


@pytest.mark.parametrize(
    ("answer", "ending"), [(Start.FINISHED, Ending.FINISHED), (Start.FREE, Ending.CRASHED), (Start.TWIN, Ending.CRASHED)]
)
async def test_what_spent_its_starts_is_no_dead_letter_where_its_event_was_finished(answer, ending):
    """By a copy of it: there is nothing to redrive."""
    entrance, one = Entrance(), fresh(claimed=True, count=CRASHES + 1)
    entrance.server.answers[entrance.gate._marks.name(one)] = answer
    assert (await entrance.gate.admit(one)).ending is ending
    assert "mark" not in entrance.server.calls


async def test_a_delivery_whose_group_was_lost_starts_once_that_is_known():
    """It has no lease, and no mark can be made for it."""
    entrance, one = Entrance(), fresh()
    entrance.server.token = "new"
    assert await entrance.gate.admit(one) is None
    assert entrance.server.healed == ["token"]


async def test_a_delivery_whose_group_was_lost_is_asked_for_again_when_it_was_adopted():
    """It was read again meanwhile, and has a lease under the new token."""
    entrance, one = Entrance(), fresh()
    entrance.server.token = "new"

    async def heal(lost):
        entrance.membership.token = one.token = "new"
        one.confirmed -= LEASE

    entrance.membership.heal = heal
    assert await entrance.gate.admit(one) is None
    assert [call for call in entrance.server.calls if call == "beat"] == ["beat"]
    assert len(entrance.server.calls) == 3


async def test_an_answer_that_was_too_long_on_its_way_is_asked_for_again():
    """By then the entry may be another's, and the event finished."""
    entrance, one = Entrance(), fresh()

    def late():
        one.confirmed -= LEASE
        entrance.server.on_start = None

    entrance.server.on_start = late
    assert await entrance.gate.admit(one) is None
    assert [type(call) for call in entrance.server.calls] == [list, str, list]


async def test_a_delivery_that_was_lost_while_it_was_asked_for_does_not_start():
    """The beat found that its lease is another's."""
    entrance, one = Entrance(), fresh()

    def lose():
        one.lost = True

    entrance.server.on_start = lose
    assert (await entrance.gate.admit(one)).ending is Ending.LOST


async def test_who_asked_and_was_cancelled_leaves_the_others_to_ask_again(monkeypatch):
    """Its answer was everybody's."""
    entrance = Entrance()
    entrance.server.open.clear()
    first, second = (asyncio.ensure_future(entrance.gate.admit(fresh())) for _ in range(2))
    await entrance.server.asked.wait()
    first.cancel()
    entrance.server.open.set()
    assert await second is None
    assert first.cancelled() or await asyncio.gather(first, return_exceptions=True)
    assert entrance.gate._answers == {}


async def test_a_start_waits_while_redis_is_gone(monkeypatch):
    """Until it is back."""
    entrance = Entrance()
    monkeypatch.setattr("eventbus.delivery.Backoff.delay", lambda *_: 0)
    entrance.server.fails = [BackendUnavailable("gone")] * 3
    assert await entrance.gate.admit(fresh()) is None
    assert len(entrance.server.calls) == 4


def test_the_event_of_a_delivery_is_known_by_its_id():
    """Of the mark's names the first is its own."""
    event = OrderCreated(order_id="o-1")
    assert Marks(Server(), topic="orders", window=1, lease=1).name(delivery(event)) == identity(event).id


async def test_an_answer_that_nobody_waits_for_any_more_is_not_kept():
    """Two ask in one script, the one that did not send it is cancelled: it would be given the old answer when it asks again."""
    entrance, one, two = Entrance(), fresh(), fresh()
    entrance.server.open.clear()
    asking = asyncio.ensure_future(entrance.gate.admit(one))
    cancelled = asyncio.ensure_future(entrance.gate.admit(two))
    await entrance.server.asked.wait()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    entrance.server.open.set()
    assert await asking is None
    assert [len(names) for names in entrance.server.calls] == [2]
    entrance.server.answers[entrance.gate._marks.name(two)] = Start.FINISHED
    assert (await entrance.gate.admit(two)).ending is Ending.FINISHED


@pytest.mark.parametrize("answer", [Start.FINISHED, Start.TWIN])
async def test_what_may_not_start_leaves_the_batch_and_the_others_start_in_a_moment_in_which_all_may(answer):
    """All are asked for in one script, with those whose lease is not fresh."""
    entrance, batch = Entrance(), [fresh(), stale(), fresh(claimed=True)]
    entrance.server.answers[entrance.gate._marks.name(batch[1])] = answer
    refused = await entrance.gate.admit_together(batch)
    assert {each: ended.ending.name for each, ended in refused.items()} == {batch[1]: answer.name}
    assert sorted(map(str, entrance.server.calls[:-1])) == ["beat", "mark"]
    assert len(entrance.server.calls[-1]) == 3


async def test_a_batch_whose_answer_was_long_on_its_way_is_asked_for_again():
    entrance, batch = Entrance(), [fresh(), fresh()]

    def long_ago():
        entrance.server.on_start = None
        for each in batch:
            each.confirmed -= LEASE

    entrance.server.on_start = long_ago
    assert await entrance.gate.admit_together(batch) == {}
    assert [len(call) if isinstance(call, list) else call for call in entrance.server.calls] == [2, "beat", 2]


async def test_a_batch_waits_for_redis_and_what_was_lost_meanwhile_leaves_it():
    entrance, batch = Entrance(), [fresh(), fresh()]
    entrance.server.fails = [BackendUnavailable("away")]

    def lost():
        batch[0].lost = True

    entrance.server.on_start = lost
    refused = await entrance.gate.admit_together(batch)
    assert {each: ended.ending for each, ended in refused.items()} == {batch[0]: Ending.LOST}
