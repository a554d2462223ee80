"""Reading with credit, recovering first, stopping between reads."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from eventbus.consuming.counts import Counts
from eventbus.consuming.fetcher import Fetcher
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.intake import Intake
from eventbus.consuming.work import Work
from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.streams import Batch
from tests.support.entries import delivery, subscription


async def handler(event): ...


def batch(*ids, private=False):
    return Batch(private, [(each, [b"a", b"1"]) for each in ids])


class Reader:
    """A connection that may block, and the command that ends its read."""

    client_id = 7
    received = 0

    def __init__(self):
        self.answers, self.counts, self.connects = [], [], 0
        self.reading, self.unblocked = asyncio.Event(), asyncio.Event()
        self.last = []

    async def connect(self):
        self.connects += 1

    async def read(self, count, take, *, few):
        batches = await self._read(count)
        for each in batches:
            take(each)
        return sum(len(each.entries) for each in batches)

    async def _read(self, count):
        self.counts.append(count)
        self.reading.set()
        if self.answers:
            await asyncio.sleep(0)
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            self.received += 1_000
            return answer
        await self.unblocked.wait()
        self.unblocked.clear()
        return self.last

    async def unblock(self, client_id):
        assert client_id == self.client_id
        self.unblocked.set()


class Dock:
    """A fetcher with everything around it."""

    def __init__(self, *, credit=10):
        self.reader, self.in_hand, self.work, self.counts = Reader(), InHand(credit, 0), Work(), Counts()
        self.membership = SimpleNamespace(token="token", heal=self._heal)
        self.healed, self.recovered, self.recovery_fails = [], [], []
        self.limit, self.weighed = credit, []
        self.fetcher = Fetcher(
            reader=self.reader,
            commands=self.reader,
            membership=self.membership,
            in_hand=self.in_hand,
            intake=Intake(subscription(handler), self.in_hand, self.work, self.counts),
            recovery=SimpleNamespace(run_once=self._recover),
            prefetch=SimpleNamespace(limit=self._limit, weigh=lambda *read: self.weighed.append(read)),
        )

    def _limit(self, finished, now):
        assert finished == self.in_hand.let_go
        return self.limit

    async def _heal(self, lost):
        self.healed.append(lost)
        self.membership.token = "new"

    async def _recover(self):
        self.recovered.append((self.membership.token, len(self.reader.counts)))
        if self.recovery_fails:
            raise self.recovery_fails.pop(0)


async def test_a_read_asks_for_half_the_credit_of_each_stream():
    """COUNT holds for each of the two."""
    dock = Dock(credit=11)
    dock.in_hand.take(delivery())
    dock.reader.answers = [[batch(b"9001-0", b"9002-0"), batch(b"9001-0", private=True)], []]
    await dock.fetcher.run_once()
    assert (dock.reader.counts, len(dock.in_hand), dock.counts.fetched) == ([5], 4, 3)
    await dock.fetcher.run_once()
    assert dock.reader.counts == [5, 3]


async def test_what_may_be_in_hand_is_looked_up_before_each_read_and_told_what_the_read_brought():
    """The handlers became faster, or the entries larger."""
    dock = Dock(credit=10)
    dock.limit = 100
    dock.reader.answers = [[batch(b"9001-0", b"9002-0"), batch(b"9001-0", private=True)], []]
    await dock.fetcher.run_once()
    dock.limit = 20
    await dock.fetcher.run_once()
    assert (dock.reader.counts, dock.weighed) == ([50, 8], [(3, 1_000)])


async def test_a_read_waits_a_moment_until_a_quarter_of_what_may_be_in_hand_is_free(monkeypatch):
    """One entry at a time would cost a round trip each."""
    monkeypatch.setattr("eventbus.consuming.fetcher.LINGER", 3600)
    dock = Dock(credit=16)
    held = [delivery() for _ in range(14)]
    for each in held:
        dock.in_hand.take(each)
    reading = asyncio.ensure_future(dock.fetcher.run_once())
    await asyncio.wait([reading], timeout=0.01)
    assert dock.reader.counts == []
    dock.reader.answers = [[]]
    dock.in_hand.settled(*held[:2])
    await reading
    assert dock.reader.counts == [2]


async def test_what_is_free_is_read_where_no_more_becomes_free():
    """All that may be read ahead is, before slow handlers."""
    dock = Dock(credit=16)
    for _ in range(14):
        dock.in_hand.take(delivery())
    dock.reader.answers = [[]]
    await dock.fetcher.run_once()
    assert dock.reader.counts == [1]


async def test_without_credit_for_both_streams_no_read_is_sent():
    """COUNT 0 would mean no limit."""
    dock = Dock(credit=3)
    held = [delivery(), delivery()]
    for each in held:
        dock.in_hand.take(each)
    dock.reader.answers = [[]]
    reading = asyncio.ensure_future(dock.fetcher.run_once())
    for _ in range(20):
        await asyncio.sleep(0)
    assert (dock.reader.counts, reading.done()) == ([], False)
    dock.in_hand.settled(held[0])
    await reading
    assert dock.reader.counts == [1]


async def test_what_was_read_has_the_token_and_the_time_of_when_it_was_sent():
    """The group may begin anew, and the lease age, while the answer travels."""
    dock = Dock()
    read, before = dock.reader.read, asyncio.get_running_loop().time()

    async def slowly(count, take, **rest):
        found = await read(count, take, **rest)
        await asyncio.sleep(0.01)  # time itself is what is tested
        dock.membership.token = "new"
        return found

    dock.reader.read, dock.reader.answers = slowly, [[batch(b"1-0")]]
    await dock.fetcher.run_once()
    (taken,) = dock.in_hand
    assert taken.token == "token"
    assert before <= taken.confirmed < asyncio.get_running_loop().time() - 0.005


async def test_it_is_known_since_when_a_read_is_in_flight():
    """What it may still bring is not recovered."""
    dock = Dock()
    assert dock.fetcher.reading_since is None
    reading = asyncio.ensure_future(dock.fetcher.run_once())
    await dock.reader.reading.wait()
    assert dock.fetcher.reading_since <= asyncio.get_running_loop().time()
    await dock.reader.unblock(7)
    await reading
    assert dock.fetcher.reading_since is None


async def test_own_entries_are_recovered_before_the_first_read_of_each_connection_and_each_group():
    """Never with a read in flight."""
    dock = Dock()
    dock.reader.answers = [[], [], BackendUnavailable("reset"), [], BackendRefused("gone", code="NOGROUP"), []]
    run = asyncio.ensure_future(dock.fetcher.run(lambda: None))
    await asyncio.gather(run, return_exceptions=True)
    assert isinstance(run.exception(), BackendUnavailable)
    assert (dock.recovered, dock.reader.connects) == ([("token", 0)], 1)
    assert dock.fetcher.reading_since is None
    again = asyncio.ensure_future(dock.fetcher.run(lambda: None))
    while len(dock.reader.counts) < 7:
        await asyncio.sleep(0)
    assert dock.recovered == [("token", 0), ("token", 3), ("new", 5)]
    assert (dock.healed, dock.reader.connects) == (["token"], 2)
    await dock.fetcher.stop()
    await again


async def test_a_recovery_that_failed_is_made_again_before_anything_is_read():
    """Else what a lost reply brought would wait for a lease."""
    dock = Dock()
    dock.recovery_fails = [BackendUnavailable("gone")]
    with pytest.raises(BackendUnavailable):
        await dock.fetcher.run_once()
    dock.reader.answers = [[]]
    await dock.fetcher.run_once()
    assert (len(dock.recovered), dock.reader.counts) == (2, [5])


@pytest.mark.parametrize("code", ["NOGROUP", "UNBLOCKED"])
async def test_a_lost_group_is_healed_under_the_token_that_was_read_with(code):
    """Somebody may have healed it meanwhile."""
    dock = Dock()
    dock.reader.answers = [BackendRefused("gone", code=code)]
    await dock.fetcher.run_once()
    assert dock.healed == ["token"]


async def test_any_other_refusal_is_the_supervisors():
    """LOADING, NOPERM: it waits, and connects anew."""
    dock = Dock()
    dock.reader.answers = [BackendRefused("no", code="NOPERM")]
    with pytest.raises(BackendRefused):
        await dock.fetcher.run_once()
    assert dock.healed == []


async def test_stopping_ends_the_blocked_read_and_takes_what_it_still_brings():
    """It is released with everything else that never started; no further read begins."""
    dock = Dock()
    dock.reader.last = [batch(b"1-0")]
    run = asyncio.ensure_future(dock.fetcher.run(lambda: None))
    await dock.reader.reading.wait()
    await dock.fetcher.stop()
    assert [each.entry_id for each in dock.work.clear()] == [b"1-0"]
    await run
    assert len(dock.reader.counts) == 1


async def test_stopping_while_there_is_no_credit_ends_at_once():
    """Handlers have their drain; reading has none."""
    dock = Dock(credit=2)
    dock.in_hand.take(delivery())
    run = asyncio.ensure_future(dock.fetcher.run(lambda: None))
    for _ in range(10):
        await asyncio.sleep(0)
    await dock.fetcher.stop()
    await run
    assert dock.reader.counts == []


async def test_without_redis_stopping_waits_for_the_reads_own_end():
    """A read is never cancelled: what it brings would be nobody's."""
    dock, tries = Dock(), []

    async def unblock(client_id):
        tries.append(client_id)
        if len(tries) == 3:
            dock.reader.unblocked.set()
        raise BackendUnavailable("gone")

    dock.reader.unblock = unblock
    run = asyncio.ensure_future(dock.fetcher.run(lambda: None))
    await dock.reader.reading.wait()
    await dock.fetcher.stop()
    await run
    assert len(tries) == 3
