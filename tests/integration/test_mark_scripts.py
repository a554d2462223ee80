"""Every answer of the scripts that remember what a group has finished, on a real Redis of both ages."""

from __future__ import annotations

import pytest
import pytest_asyncio

from eventbus.errors import BackendRefused
from eventbus.streams import Group, MarkCommands, Start
from eventbus.streams.marks import LEFTOVERS
from tests.support.bench import KEY, bench_at

LOST = ["another token", "no token", "no group", "no stream"]
HIGH = Group("{orders}:p:high", KEY.name)


@pytest_asyncio.fixture
async def bench(redis_url):
    async with bench_at(redis_url) as bench:
        yield bench


class Once:
    """The commands of both members, whose lease is 10 s and whose window is a minute."""

    def __init__(self, bench):
        self.bench, self.consumers = bench, {name: MarkCommands(bench.wire, KEY, name) for name in ("me", "other")}

    async def start(self, *entries, who="me", private=False, token=None, lease=10.0):
        pairs = [(entry_id.encode(), name) for entry_id, name in entries]
        return await self.consumers[who].start(pairs, private=private, token=token or self.bench.token, lease=lease)

    async def finish(self, *entries, who="me", private=False, token=None, window=60.0):
        pairs = [(entry_id.encode(), name) for entry_id, name in entries]
        return await self.consumers[who].finish(pairs, private=private, token=token or self.bench.token, window=window)

    async def done(self):
        """What is finished: the event to the seconds for which it still is."""
        seconds, micro = await self.bench.do("TIME")
        flat = await self.bench.do("ZRANGE", KEY.done, 0, -1, "WITHSCORES")
        found = zip(flat[::2], flat[1::2], strict=True)
        return {name.decode(): float(score) / 1000 - int(seconds) - int(micro) / 1e6 for name, score in found}

    async def doing(self):
        """What is in progress: the event to its place."""
        flat = await self.bench.do("HGETALL", KEY.doing)
        return {name.decode(): place.decode() for name, place in zip(flat[::2], flat[1::2], strict=True)}


@pytest.fixture
def once(bench):
    return Once(bench)


# -- start


async def test_what_is_free_may_start_and_is_marked(bench, once):
    """Asked again by the same delivery the answer is the same: its reply may have been lost."""
    await bench.give("1-0", "2-0")
    for _ in range(2):
        assert await once.start(("1-0", "a"), ("2-0", "b")) == [Start.FREE, Start.FREE]
    assert await once.doing() == {"a": "orders 1-0 me", "b": "orders 2-0 me"}


async def test_of_two_deliveries_of_one_event_one_may_start(bench, once):
    """In one script, from both streams, and of two members."""
    await bench.give("1-0", "2-0")
    await bench.give("3-0", to="other", private=True)
    assert await once.start(("1-0", "a"), ("2-0", "a")) == [Start.FREE, Start.TWIN]
    assert await once.start(("3-0", "a"), who="other", private=True) == [Start.TWIN]
    assert await once.doing() == {"a": "orders 1-0 me"}


@pytest.mark.parametrize("private", [False, True])
async def test_what_was_finished_is_acknowledged_and_does_not_start(bench, once, private):
    """However often it is asked, and whatever else is asked for."""
    await bench.give("1-0", "2-0", private=private)
    await once.finish(("0-1", "a"))
    for _ in range(2):
        assert await once.start(("1-0", "a"), ("2-0", "b"), private=private) == [Start.FINISHED, Start.FREE]
    assert await bench.rows(private=private) == {"2-0": ("me", 1)}
    assert await bench.do("XLEN", KEY.source(private=private)) == (1 if private else 2)


async def test_a_mark_in_progress_holds_nothing_once_its_row_is_another_consumers(bench, once):
    """Whoever took it over is not held up by it, nor is a copy."""
    await bench.give("1-0", "2-0")
    await once.start(("1-0", "a"))
    await bench.do("XCLAIM", KEY.stream, KEY.name, "other", 0, "1-0", "JUSTID")
    assert await once.start(("1-0", "a"), who="other") == [Start.FREE]
    assert await once.start(("2-0", "a")) == [Start.TWIN]


@pytest.mark.parametrize("how", ["acknowledged", "no group", "no stream"])
async def test_a_mark_in_progress_holds_nothing_without_its_row(bench, once, how):
    """What failed was moved; what was lost is lost."""
    await bench.give("1-0", "2-0", private=True)
    await once.start(("1-0", "a"), private=True)
    match how:
        case "acknowledged":
            await bench.me.ack([b"1-0"], private=True, token=bench.token)
        case "no group":
            await bench.do("XGROUP", "DESTROY", KEY.private, KEY.name)
        case _:
            await bench.do("DEL", KEY.private)
    assert await once.start(("2-0", "a"), private=True) == [Start.FREE]
    assert await once.doing() == {"a": f"{KEY.private} 2-0 me"}


@pytest.mark.parametrize(("idle", "answer"), [(19_000, Start.TWIN), (21_000, Start.FREE)])
async def test_a_mark_in_progress_holds_for_two_leases_without_a_beat(bench, once, idle, answer):
    """Of the group's lease, 10 s, where this member's is shorter; even if nobody can take the row over."""
    await bench.give("1-0")
    await bench.give("2-0", to="other")
    await once.start(("1-0", "a"))
    await bench.do("XCLAIM", KEY.stream, KEY.name, "me", 0, "1-0", "IDLE", idle, "JUSTID")
    assert await once.start(("2-0", "a"), who="other", lease=1.0) == [answer]


@pytest.mark.parametrize("place", ["orders", "elsewhere 1-0 me", ""])
async def test_a_mark_in_progress_that_nobody_understands_holds_nothing(bench, once, place):
    """Somebody wrote it by hand, or a later version of this program."""
    await bench.give("1-0")
    await bench.do("HSET", KEY.doing, "a", place)
    assert await once.start(("1-0", "a")) == [Start.FREE]


@pytest.mark.parametrize("how", LOST)
async def test_a_start_in_a_lost_group_is_told_what_was_finished_and_no_more(bench, once, how):
    """It is in no list, so nothing is acknowledged or marked."""
    await bench.give("1-0", "2-0")
    await once.finish(("0-1", "a"))
    await bench.lose(how)
    if how in ("no group", "no stream"):
        await bench.do("HSET", KEY.hash, "token", "another")  # which whoever heals it first writes
    assert await once.start(("1-0", "a"), ("2-0", "b")) == [Start.FINISHED, Start.REGROUPED]
    assert await once.doing() == {}
    if how.endswith("token"):
        assert set(await bench.rows()) == {"1-0", "2-0"}


async def test_a_start_that_is_refused_at_maxmemory_has_changed_nothing(bench, once):
    """Not even what could have been acknowledged: the answer that says so would be lost."""
    await bench.give("1-0", "2-0")
    await once.finish(("0-1", "a"))
    await bench.do("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(BackendRefused, match="OOM"):
            await once.start(("1-0", "a"), ("2-0", "b"))
        assert set(await bench.rows()) == {"1-0", "2-0"}
        assert await once.start(("1-0", "a")) == [Start.FINISHED]  # which needs no memory
    finally:
        await bench.do("CONFIG", "SET", "maxmemory", "0")
    assert await once.doing() == {}


async def test_marks_in_progress_that_hold_nothing_do_not_add_up(bench, once):
    """Events that fail for ever leave theirs behind; from a thousand on each new one looks at two by chance."""
    await bench.give("2-0", "3-0")
    left = [part for number in range(LEFTOVERS + 200) for part in (f"left-{number}", f"orders {number}-9 gone")]
    await bench.do("HSET", KEY.doing, *left)
    for number in range(300):
        await once.start(("2-0", f"fails-{number}"), ("3-0", f"too-{number}"))
        await bench.do("HSET", KEY.doing, f"fails-{number}", "orders 9-9 gone")
    assert len(await once.doing()) <= LEFTOVERS + 10


async def test_marks_in_progress_that_hold_are_left_however_many_they_are(bench, once):
    """A thousand handlers may run at a time."""
    entries = [(f"{number}-1", f"event-{number}") for number in range(LEFTOVERS + 40)]
    await bench.give(*(entry_id for entry_id, _ in entries))
    for at in range(0, len(entries), 20):
        await once.start(*entries[at : at + 20])
    assert len(await once.doing()) == len(entries)


async def test_priorities_share_their_marks(bench, once):
    """An event is in progress, and finished, whatever stream its copy stands in."""
    await bench.give("1-0", "2-0")
    await bench.do("XGROUP", "CREATE", HIGH.stream, HIGH.name, "0", "MKSTREAM")
    await bench.do("HSET", HIGH.hash, "token", "high")
    await bench.add("1-0", key=HIGH.stream)
    await bench.do("XREADGROUP", "GROUP", HIGH.name, "me", "STREAMS", HIGH.stream, ">")
    high = MarkCommands(bench.wire, HIGH, "me", beside=[KEY])
    place = {"private": False, "token": "high"}
    await once.start(("1-0", "a"))
    assert await high.start([(b"1-0", "a")], **place, lease=10.0) == [Start.TWIN]
    await once.finish(("1-0", "a"))
    assert await high.start([(b"1-0", "a")], **place, lease=10.0) == [Start.FINISHED]


# -- finish


async def test_finishing_acknowledges_and_remembers(bench, once):
    """For the window of the member that finished it; nothing is in progress any more."""
    await bench.give("1-0", "2-0")
    await once.start(("1-0", "a"), ("2-0", "b"))
    assert await once.finish(("1-0", "a")) == 1
    assert await once.finish(("1-0", "a")) == 0  # its reply was lost
    assert await once.done() == {"a": pytest.approx(60, abs=1)}
    assert await once.doing() == {"b": "orders 2-0 me"}
    assert await bench.rows() == {"2-0": ("me", 1)}


async def test_finishing_a_private_entry_removes_it(bench, once):
    """Nobody else will ever read it."""
    await bench.give("1-0", "2-0", private=True)
    assert await once.finish(("1-0", "a"), private=True) == 1
    assert await bench.do("XLEN", KEY.private) == 1


async def test_finishing_counts_whoever_owns_the_entry(bench, once):
    """The work is done."""
    await bench.give("1-0", to="other")
    assert await once.finish(("1-0", "a")) == 1
    assert list(await once.done()) == ["a"]


@pytest.mark.parametrize("how", ["another token", "no token"])
@pytest.mark.parametrize("private", [False, True])
async def test_finishing_in_a_lost_group_remembers_and_acknowledges_nothing(bench, once, how, private):
    """Its ids may be other events'."""
    await bench.give("1-0", private=private)
    await bench.lose(how)
    assert await once.finish(("1-0", "a"), private=private) is None
    assert await bench.rows(private=private) == {"1-0": ("me", 1)}
    assert await bench.do("XLEN", KEY.source(private=private)) == 1
    assert list(await once.done()) == ["a"]


async def test_a_shorter_window_takes_nothing_from_a_longer_one(bench, once):
    """Each member's own counts for what it finished."""
    await once.finish(("1-0", "a"), window=3600)
    await once.finish(("1-0", "a"), ("2-0", "b"), who="other", window=1)
    assert await once.done() == {"a": pytest.approx(3600, abs=2), "b": pytest.approx(1, abs=1)}


async def test_what_is_over_is_removed_a_few_at_a_time(bench, once):
    """Twice as many as are written: the set shrinks to what still holds, and no call takes long."""
    await bench.do("ZADD", KEY.done, *[part for number in range(10) for part in (1, f"old-{number}")])
    await once.finish(("1-0", "a"), ("2-0", "b"), ("3-0", "c"))
    assert len(await once.done()) == 3 + 10 - 6
    await once.finish(("4-0", "d"), ("5-0", "e"))
    assert sorted(await once.done()) == ["a", "b", "c", "d", "e"]


async def test_finishing_is_refused_at_maxmemory_with_nothing_changed(bench, once):
    """Acknowledged without a mark a copy of it would run again."""
    await bench.give("1-0")
    await once.start(("1-0", "a"))
    await bench.do("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(BackendRefused, match="OOM"):
            await once.finish(("1-0", "a"))
    finally:
        await bench.do("CONFIG", "SET", "maxmemory", "0")
    assert await bench.rows() == {"1-0": ("me", 1)}
    assert await once.doing() == {"a": "orders 1-0 me"}
    assert await once.done() == {}


async def test_five_hundred_are_finished_at_once(bench, once):
    """As many as one script is given."""
    entries = [(f"{number}-1", f"event-{number}") for number in range(500)]
    await bench.give(*(entry_id for entry_id, _ in entries))
    assert await once.start(*entries) == [Start.FREE] * 500
    assert await once.finish(*entries) == 500
    assert len(await once.done()) == 500
    assert await once.doing() == {}
