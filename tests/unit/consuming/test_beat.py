"""Renewing what is in hand: what was sent and not returned is lost, what has no lease is left alone."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from eventbus.consuming import beat as module
from eventbus.consuming.beat import Beat
from eventbus.consuming.counts import Counts
from eventbus.consuming.in_hand import InHand
from eventbus.errors import BackendUnavailable
from eventbus.streams import Beaten
from tests.support.entries import SETTINGS, delivery


class Server:
    """What the beat asks of Redis."""

    def __init__(self):
        self.token, self.lost, self.cut = "token", set(), set()
        self.calls, self.fails, self.meanwhile = [], [], []

    def on(self, turn):
        return turn

    async def beat(self, ids, *, private, token):
        self.calls.append((list(ids), private, token))
        await asyncio.sleep(0)
        for happens in self.meanwhile:
            happens()
        if self.fails:
            raise self.fails.pop(0)
        return None if token != self.token else Beaten(frozenset(set(ids) - self.lost - self.cut), frozenset(self.cut & set(ids)))


class Heart:
    """A beat with everything around it."""

    def __init__(self, *, lease=30.0):
        self.server, self.in_hand, self.counts = Server(), InHand(10_000, 10_000), Counts()
        self.lost, self.healed, self.waits, self.running = [], [], [], ["app.charge"]
        self.membership = SimpleNamespace(token="token", heal=self._heal, about={"group": "charge"})
        self.beat = Beat(
            settings=replace(SETTINGS, lease=lease),
            commands=self.server,
            membership=self.membership,
            in_hand=self.in_hand,
            counts=self.counts,
            lose=self.lost.append,
            busy=lambda: self.running,
            waited=self.waits.append,
        )

    async def _heal(self, token):
        self.healed.append(token)

    def hold(self, *deliveries):
        for each in deliveries:
            assert self.in_hand.take(each)
        return deliveries


async def test_everything_in_hand_is_renewed_from_when_it_was_sent():
    """What waits, what runs, what is being settled: all of it ages in the pending list."""
    heart = Heart()
    held = heart.hold(delivery(), delivery(settling=True), delivery(private=True), delivery(claimed=True))
    sent = asyncio.get_running_loop().time()
    await heart.beat.run_once()
    assert sorted(heart.server.calls, key=lambda call: not call[1]) == [
        ([held[2].entry_id], True, "token"),
        ([held[0].entry_id, held[1].entry_id, held[3].entry_id], False, "token"),
    ]
    assert all(each.confirmed >= sent for each in held)
    assert (heart.lost, heart.counts.lease_lost) == ([], 0)


async def test_nothing_in_hand_costs_nothing():
    """At rest."""
    heart = Heart()
    await heart.beat.run_once()
    assert heart.server.calls == []


async def test_a_script_is_given_a_bounded_number(monkeypatch):
    """Redis does nothing else meanwhile."""
    monkeypatch.setattr(module, "PAGE", 3)
    heart = Heart()
    heart.hold(*(delivery() for _ in range(8)))
    await heart.beat.run_once()
    assert [len(ids) for ids, *_ in heart.server.calls] == [3, 3, 2]


async def test_what_was_sent_and_not_returned_is_lost_once():
    """Its handler is cancelled; it is not asked for again."""
    heart = Heart()
    lost, kept = heart.hold(delivery(confirmed=1.0), delivery())
    heart.server.lost = {lost.entry_id}
    for _ in range(2):
        await heart.beat.run_once()
    assert (heart.lost, lost.lost, kept.lost, heart.counts.lease_lost) == ([lost], True, False, 1)
    assert lost.confirmed == 1.0
    assert heart.server.calls[1][0] == [kept.entry_id]


async def test_what_is_being_settled_is_not_lost_by_a_beat():
    """Its row goes with its own acknowledgement, which may be on its way."""
    heart = Heart()
    (settling,) = heart.hold(delivery(settling=True))
    heart.server.lost = {settling.entry_id}
    await heart.beat.run_once()
    assert (heart.lost, settling.lost, heart.counts.lease_lost) == ([], False, 0)


async def test_what_was_settled_while_redis_was_asked_is_not_lost():
    """It is nobody's any more, and another may stand in its place."""
    heart = Heart()
    (done,) = heart.hold(delivery())
    heart.server.lost = {done.entry_id}
    heart.server.meanwhile = [lambda: heart.in_hand.settled(done), lambda: heart.in_hand.take(delivery(entry_id=done.entry_id))]
    await heart.beat.run_once()
    assert (heart.lost, heart.counts.lease_lost) == ([], 0)


async def test_what_was_cut_from_the_stream_is_neither_renewed_nor_cancelled_from_then_on(caplog):
    """The only copy is here: its handler goes on, and one that waits starts."""
    heart = Heart()
    cut, kept = heart.hold(delivery(), delivery())
    heart.server.cut = {cut.entry_id}
    for _ in range(2):
        await heart.beat.run_once()
    assert (cut.cut, cut.lost, heart.lost, heart.counts.trimmed) == (True, False, [], 1)
    assert heart.server.calls[1][0] == [kept.entry_id]
    assert caplog.text.count("was cut from the stream while it was in hand: only this process can still handle its event") == 1


async def test_orphans_have_no_lease_and_are_left_alone():
    """Neither beaten nor cancelled."""
    heart = Heart()
    orphan, ours = heart.hold(delivery(token="old"), delivery())
    await heart.beat.run_once()
    assert heart.server.calls == [([ours.entry_id], False, "token")]
    assert (heart.lost, orphan.lost) == ([], False)


async def test_a_group_that_began_anew_is_healed_and_nothing_is_lost_by_that():
    """Once, for both its streams; what is in hand are orphans from then on."""
    heart = Heart()
    held = heart.hold(delivery(), delivery(private=True))
    heart.server.token = "new"
    await heart.beat.run_once()
    assert heart.healed == ["token"]
    assert ([each.lost for each in held], heart.lost) == ([False, False], [])


async def test_without_an_answer_nothing_is_lost():
    """The next beat, on a new connection, tells."""
    heart = Heart()
    (held,) = heart.hold(delivery(confirmed=1.0))
    heart.server.fails = [BackendUnavailable("gone")]
    with pytest.raises(BackendUnavailable):
        await heart.beat.run_once()
    assert (held.confirmed, held.lost, heart.lost) == (1.0, False, [])


async def test_on_a_new_connection_everything_is_renewed_on_it_and_nothing_is_healed():
    """Before anything else is sent there; healing needs the connection itself."""
    heart, turn = Heart(), Server()
    (lost,) = heart.hold(delivery())
    (other,) = heart.hold(delivery())
    turn.lost = {lost.entry_id}
    await heart.beat.greet(turn)
    assert (len(turn.calls), heart.server.calls, heart.lost) == (1, [], [lost])
    turn.token = "new"
    await heart.beat.greet(turn)
    assert (heart.healed, other.lost) == ([], False)


async def beats(heart, passes, *, block=None):
    """Its loop, until it has beaten so often."""
    enough, count = asyncio.Event(), 0

    def alive():
        nonlocal count
        count += 1
        if count == passes:
            enough.set()
        elif block is not None:
            block()

    task = asyncio.ensure_future(heart.beat.run(alive))
    await enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_beat_comes_every_third_of_the_lease_and_says_nothing_of_it(caplog):
    """In time."""
    heart = Heart(lease=0.9)
    heart.hold(delivery())
    since = asyncio.get_running_loop().time()
    await beats(heart, 3)
    assert asyncio.get_running_loop().time() - since >= 0.6
    assert (len(heart.server.calls), heart.counts.late_beats, heart.waits, caplog.text) == (3, 0, [], "")


async def test_a_beat_that_is_late_because_the_loop_was_blocked_is_counted_and_names_who_ran(caplog):
    """A blocking handler costs everybody's leases: it is found by this line."""
    heart = Heart(lease=0.06)
    heart.running = ["app.slow", "app.charge", "app.slow"]
    await beats(heart, 2, block=lambda: asyncio.get_running_loop().call_soon(time.sleep, 0.08))
    assert heart.counts.late_beats == 1
    assert "the event loop was blocked" in caplog.text
    assert "handlers that ran: app.charge, app.slow." in caplog.text


async def test_a_redis_that_answers_late_is_not_taken_for_a_blocked_loop(caplog):
    """Nobody's handler is to blame."""
    heart = Heart(lease=0.6)
    heart.hold(delivery())
    beat, slow = heart.server.beat, []

    async def slowly(*arguments, **options):
        slow.append(1)
        await asyncio.sleep(0.35)  # an interval and more than half of one
        return await beat(*arguments, **options)

    heart.server.beat = slowly
    await beats(heart, 3)
    assert len(slow) == 3
    assert (heart.counts.late_beats, caplog.text) == (0, "")


async def test_whoever_renewed_too_late_tells_that_others_may_have_been_kept_from_it_too():
    """Sweeps wait then: a frozen machine comes back with everybody's leases stale."""
    heart = Heart(lease=0.6)
    await heart.beat.run_once()
    await heart.beat.run_once()
    assert heart.waits == []
    time.sleep(0.45)
    await heart.beat.run_once()
    assert [waited >= 0.45 for waited in heart.waits] == [True]


async def test_a_beat_that_failed_is_no_renewal():
    """The time since the last one that worked is what counts."""
    heart = Heart(lease=0.6)
    heart.hold(delivery())
    await heart.beat.run_once()
    heart.server.fails = [BackendUnavailable("gone")]
    time.sleep(0.25)
    with pytest.raises(BackendUnavailable):
        await heart.beat.run_once()
    time.sleep(0.25)
    await heart.beat.run_once()
    assert [waited >= 0.5 for waited in heart.waits] == [True]
