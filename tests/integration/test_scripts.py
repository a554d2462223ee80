"""Every answer of the scripts about entries: settle, renew, take over, promote; on a real Redis of both ages."""

from __future__ import annotations

import time

import pytest
import pytest_asyncio

from eventbus.delivery import Carried, split
from eventbus.errors import BackendRefused
from eventbus.streams import Claimed, Copy, Destination, Moved
from tests.support.bench import KEY, NOW, bench_at

LOST = ["another token", "no token", "no group", "no stream"]


@pytest_asyncio.fixture
async def bench(redis_url):
    async with bench_at(redis_url) as bench:
        yield bench


def copy(entry_id, delay=None, unless=None, **carried):
    return Copy(entry_id, [b"data", b"x", *Carried(entry="1-0", **carried).fields()], delay=delay, unless=unless)


# -- ack


async def test_ack_counts_the_rows_that_were_pending_whoever_had_them(bench):
    """The work is done: the owner is not asked."""
    mine = await bench.give("1-0", "2-0")
    theirs = await bench.give("3-0", to="other")
    assert await bench.me.ack([*mine, *theirs, b"9-9"], private=False, token=bench.token) == 3
    assert await bench.me.ack(mine, private=False, token=bench.token) == 0
    assert await bench.rows() == {}
    assert len(await bench.stream("orders")) == 3


async def test_ack_of_a_private_entry_removes_it(bench):
    """Nobody else will ever read it."""
    ids = await bench.give("1-0", "2-0", private=True)
    assert await bench.me.ack(ids[:1], private=True, token=bench.token) == 1
    assert await bench.do("XLEN", KEY.private) == 1


@pytest.mark.parametrize("how", ["another token", "no token"])
@pytest.mark.parametrize("private", [False, True])
async def test_ack_writes_nothing_when_the_group_is_another_one(bench, how, private):
    """Its ids may be other events'."""
    ids = await bench.give("1-0", private=private)
    await bench.lose(how)
    assert await bench.me.ack(ids, private=private, token=bench.token) is None
    assert await bench.rows(private=private) == {"1-0": ("me", 1)}
    assert await bench.do("XLEN", KEY.source(private=private)) == 1


# -- move


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("destination", list(Destination))
async def test_a_move_leaves_exactly_one_copy(bench, private, destination):
    """Out of the pending list, and out of the private stream; the topic's entry stays, for other groups."""
    ids = await bench.give("1-0", "2-0", private=private)
    delay = 5.0 if destination is Destination.PARKED else None
    copies = [copy(each, delay=delay, attempts=1) for each in ids]
    assert await bench.me.move(copies, destination, private=private, token=bench.token) == [Moved.DONE, Moved.DONE]
    key = {Destination.RETRY: KEY.private, Destination.PARKED: KEY.parked, Destination.DEAD: KEY.dead}[destination]
    assert await bench.stream(key) == [list(each.fields) for each in copies]
    assert await bench.rows(private=private) == {}
    assert len(await bench.stream("orders")) == (0 if private else 2)
    if key != KEY.private:
        assert await bench.stream(KEY.private) == []
    due = await bench.due()
    assert [pytest.approx(seconds, abs=1) for seconds in due.values()] == ([5.0, 5.0] if delay else [])
    assert list(due) == ([row[0].decode() for row in await bench.do("XRANGE", KEY.parked, "-", "+")] if delay else [])


async def test_each_entry_of_a_move_has_its_own_answer(bench):
    """One that was lost does not keep the others from being written."""
    await bench.give("1-0")
    await bench.give("2-0", to="other")
    await bench.give("3-0")
    await bench.add("4-0")
    copies = [copy(each) for each in (b"1-0", b"2-0", b"3-0", b"4-0", b"5-0")]
    answers = await bench.me.move(copies, Destination.DEAD, private=False, token=bench.token)
    assert answers == [Moved.DONE, Moved.TAKEN, Moved.DONE, Moved.GONE, Moved.GONE]
    assert await bench.rows() == {"2-0": ("other", 1)}
    assert len(await bench.stream(KEY.dead)) == 2


async def test_a_move_that_is_sent_again_changes_nothing(bench):
    """The first answer was lost."""
    (entry_id,) = await bench.give("1-0")
    for expected in (Moved.DONE, Moved.GONE):
        assert await bench.me.move([copy(entry_id)], Destination.RETRY, private=False, token=bench.token) == [expected]
    assert len(await bench.stream(KEY.private)) == 1


@pytest.mark.parametrize("how", LOST)
async def test_a_move_writes_nothing_when_the_group_is_lost(bench, how):
    """Whatever is missing of it."""
    (entry_id,) = await bench.give("1-0")
    await bench.lose(how)
    assert await bench.me.move([copy(entry_id, delay=1.0)], Destination.PARKED, private=False, token=bench.token) is None
    assert (await bench.stream(KEY.parked), await bench.due()) == ([], {})


@pytest.mark.parametrize("how", ["no group", "no stream"])
async def test_a_move_out_of_a_lost_private_stream_writes_nothing(bench, how):
    """It is one of the group's two."""
    (entry_id,) = await bench.give("1-0", private=True)
    await bench.do(*(("DEL", KEY.private) if how == "no stream" else ("XGROUP", "DESTROY", KEY.private, KEY.name)))
    assert await bench.me.move([copy(entry_id)], Destination.DEAD, private=True, token=bench.token) is None
    assert await bench.stream(KEY.dead) == []


async def test_what_was_cut_from_the_stream_can_still_be_moved(bench):
    """This process has its fields, and the row is still ours."""
    (entry_id,) = await bench.give("1-0")
    await bench.do("XDEL", "orders", "1-0")
    assert await bench.me.move([copy(entry_id)], Destination.RETRY, private=False, token=bench.token) == [Moved.DONE]
    assert (len(await bench.stream(KEY.private)), await bench.rows()) == (1, {})


@pytest.mark.parametrize(
    ("declared", "answer"),
    [
        ({}, Moved.DONE),
        ({"Order": 1}, Moved.DONE),
        ({"Order": 2}, Moved.DECLARED),
        ({"Order": 9}, Moved.DECLARED),
        ({"Paid": 9}, Moved.DONE),
        ({"Order": "odd"}, Moved.DONE),
    ],
)
async def test_a_newer_version_is_dead_lettered_only_where_nobody_declared_it(bench, declared, answer):
    """The registry is asked in the step that writes."""
    (entry_id,) = await bench.give("1-0")
    await bench.declared(**declared)
    copies = [copy(entry_id, unless=("Order", 2))]
    assert await bench.me.move(copies, Destination.DEAD, private=False, token=bench.token) == [answer]
    assert len(await bench.stream(KEY.dead)) == (answer is Moved.DONE)
    assert len(await bench.rows()) == (answer is Moved.DECLARED)


async def test_a_registry_that_is_gone_or_was_just_healed_counts_everything_as_declared(bench):
    """For one lease: until every member had the time to declare its own again."""
    ids = await bench.give("1-0", "2-0", "3-0")
    ask = [copy(ids[0], unless=("Order", 2))]

    async def answers():
        moved = await bench.me.move(ask, Destination.DEAD, private=False, token=bench.token)
        return moved + await bench.me.drop([(ids[1], "Order")], private=False, token=bench.token)

    await bench.do("DEL", KEY.types)
    assert await answers() == [Moved.DECLARED] * 2
    await bench.declared(Known=1)
    seconds, _ = await bench.do("TIME")
    await bench.do("HSET", KEY.hash, "healed", (int(seconds) - 9) * 1000)
    assert await answers() == [Moved.DECLARED] * 2
    await bench.do("HSET", KEY.hash, "healed", (int(seconds) - 11) * 1000)
    assert await answers() == [Moved.DONE] * 2


async def test_an_entry_with_more_fields_than_a_script_can_write_is_moved_whole(bench):
    """What does not fit travels in one field of ours."""
    (entry_id,) = await bench.give("1-0")
    original = [b"%d" % number for number in range(12_000)]
    large = Copy(entry_id, [*original, *Carried(entry="1-0", attempts=2).fields()])
    small = copy((await bench.give("2-0"))[0])
    answers = await bench.me.move([large, small], Destination.RETRY, private=False, token=bench.token)
    assert answers == [Moved.DONE, Moved.DONE]
    written = await bench.stream(KEY.private)
    assert split(written[0]) == (original, Carried(entry="1-0", attempts=2))
    assert written[1] == list(small.fields)


async def test_a_move_that_redis_has_no_memory_for_changes_nothing(own_server):
    """XADD stands first: it is refused before anything is acknowledged."""
    async with bench_at(own_server().url) as bench:
        (entry_id,) = await bench.give("1-0")
        await bench.do("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(BackendRefused) as caught:
            await bench.me.move([copy(entry_id)], Destination.RETRY, private=False, token=bench.token)
        assert caught.value.code == "OOM"
        assert await bench.rows() == {"1-0": ("me", 1)}
        assert await bench.me.beat([entry_id], private=False, token=bench.token)  # renewing needs none
        await bench.do("CONFIG", "SET", "maxmemory", "0")
        assert await bench.me.move([copy(entry_id)], Destination.RETRY, private=False, token=bench.token) == [Moved.DONE]


# -- drop


async def test_each_entry_that_is_dropped_has_its_own_answer(bench):
    """Dropped, another's, gone, or of a type that somebody knows."""
    await bench.give("1-0")
    await bench.give("2-0", to="other")
    await bench.give("4-0")
    await bench.declared(Order=1)
    entries = [(b"1-0", "Unheard"), (b"2-0", "Unheard"), (b"3-0", "Unheard"), (b"4-0", "Order")]
    answers = await bench.me.drop(entries, private=False, token=bench.token)
    assert answers == [Moved.DONE, Moved.TAKEN, Moved.GONE, Moved.DECLARED]
    assert await bench.rows() == {"2-0": ("other", 1), "4-0": ("me", 1)}


async def test_a_private_entry_that_is_dropped_is_removed(bench):
    """As an acknowledged one."""
    (entry_id,) = await bench.give("1-0", private=True)
    assert await bench.me.drop([(entry_id, "Unheard")], private=True, token=bench.token) == [Moved.DONE]
    assert await bench.do("XLEN", KEY.private) == 0


@pytest.mark.parametrize("how", LOST)
async def test_nothing_is_dropped_when_the_group_is_lost(bench, how):
    """It may be made anew, with types that are declared then."""
    (entry_id,) = await bench.give("1-0")
    await bench.lose(how)
    assert await bench.me.drop([(entry_id, "Unheard")], private=False, token=bench.token) is None


# -- rescue


async def test_a_rescue_writes_without_asking_for_anything(bench):
    """The group is gone; the copies, and when they are due, are all there is."""
    await bench.do("FLUSHALL")
    copies = [copy(b"1-0", delay=5.0), copy(b"2-0", delay=60.0, attempts=1)]
    await bench.me.rescue(copies, Destination.PARKED)
    assert await bench.stream(KEY.parked) == [list(each.fields) for each in copies]
    assert list((await bench.due()).values()) == [pytest.approx(5, abs=1), pytest.approx(60, abs=1)]
    await bench.me.rescue([copy(b"1-0")], Destination.RETRY)
    assert (len(await bench.stream(KEY.private)), len(await bench.due())) == (1, 2)


# -- beat


async def test_a_beat_renews_own_rows_only_and_counts_nothing(bench):
    """A row of another is not taken back, and one that is gone is not made."""
    await bench.give("1-0", "2-0", idle=9_000, count=2)
    await bench.give("3-0", to="other", idle=9_000)
    beaten = await bench.me.beat([b"1-0", b"3-0", b"4-0"], private=False, token=bench.token)
    assert (beaten.kept, beaten.cut) == ({b"1-0"}, set())
    assert await bench.rows() == {"1-0": ("me", 2), "2-0": ("me", 2), "3-0": ("other", 1)}
    assert await bench.idle("1-0") < 5_000 <= min(await bench.idle("2-0"), await bench.idle("3-0"))


async def test_a_beat_leaves_the_row_of_what_was_cut_as_it_is(bench):
    """From 7.0 on XCLAIM would drop it, and nobody would write its tombstone."""
    ids = await bench.give("1-0", "2-0", idle=9_000)
    await bench.do("XDEL", "orders", "1-0")
    beaten = await bench.me.beat(ids, private=False, token=bench.token)
    assert (beaten.kept, beaten.cut) == ({b"2-0"}, {b"1-0"})
    assert await bench.rows() == {"1-0": ("me", 1), "2-0": ("me", 1)}
    assert await bench.idle("1-0") >= 9_000


@pytest.mark.parametrize("cut", [slice(1), slice(2, 3), slice(1, 3), slice(4), slice(4, 5), slice(5)], ids=str)
@pytest.mark.parametrize("what", ["beat", "mark"])
async def test_what_was_cut_is_told_from_what_is_there_wherever_it_stood(bench, what, cut):
    """Ids are compared as numbers: as text 9-10 comes before 9-9, and 10-0 before 9-0."""
    ids = await bench.give("9-0", "9-9", "9-10", "10-0", "100-0", idle=9_000)
    gone = ids[cut]
    await bench.do("XDEL", "orders", *gone)
    if what == "beat":
        beaten = await bench.me.beat(ids, private=False, token=bench.token)
        assert (beaten.kept, beaten.cut) == (set(ids) - set(gone), set(gone))
    else:
        assert await bench.me.mark([(each, 1) for each in ids], private=False, token=bench.token) == set(ids)
    assert len(await bench.rows()) == len(ids)
    assert {each for each in ids if await bench.idle(each.decode()) >= 9_000} == set(gone)


async def test_what_a_trim_cut_is_told_from_what_is_there(bench):
    """A hard cap cuts from the beginning, and leaves no trace of what it cut."""
    ids = await bench.give("9-0", "10-0", "10-1")
    await bench.do("XTRIM", "orders", "MINID", "=", "10-1")
    beaten = await bench.me.beat(ids, private=False, token=bench.token)
    assert (beaten.kept, beaten.cut) == (set(ids[2:]), set(ids[:2]))
    assert len(await bench.rows()) == 3


async def test_what_was_cut_is_not_renewed_where_redis_forgot_that_it_was(bench, shared_server):
    """An upgrade from 6.2 does: XCLAIM itself drops the row then, and only this process can still handle the event."""
    ids = await bench.give("9-0", "10-0", "11-0")
    await bench.do("XDEL", "orders", "10-0")
    if shared_server.version >= (7, 0):
        await bench.do("XSETID", "orders", "11-0", "ENTRIESADDED", 3, "MAXDELETEDID", "1-0")
    beaten = await bench.me.beat(ids, private=False, token=bench.token)
    assert (beaten.kept, beaten.cut) == ({ids[0], ids[2]}, {ids[1]})


async def test_renewing_and_marking_read_no_payload_where_nothing_was_deleted(bench, shared_server):
    """Everybody's commands wait behind the script, and entries may be large. 6.2 does not say what was deleted."""
    ids = await bench.give("9-0", "10-0", "11-0")
    await bench.do("CONFIG", "RESETSTAT")
    assert (await bench.me.beat(ids, private=False, token=bench.token)).kept == set(ids)
    assert await bench.me.mark([(each, 1) for each in ids], private=False, token=bench.token) == set(ids)
    read = b"cmdstat_xrange" in await bench.do("INFO", "commandstats")
    assert read == (shared_server.version < (7, 0))


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("what", ["beat", "mark"])
async def test_nothing_is_renewed_when_the_group_is_lost(bench, how, what):
    """`None` says: heal it first."""
    (entry_id,) = await bench.give("1-0")
    await bench.lose(how)
    asked = [entry_id] if what == "beat" else [(entry_id, 1)]
    assert await getattr(bench.me, what)(asked, private=False, token=bench.token) is None


# -- mark


async def test_a_start_is_counted_once_however_often_it_is_sent(bench):
    """The answer may be lost; the lease is renewed each time or stays as it is."""
    await bench.give("1-0", idle=9_000, count=2)
    for _ in range(3):
        assert await bench.me.mark([(b"1-0", 2)], private=False, token=bench.token) == {b"1-0"}
        assert await bench.rows() == {"1-0": ("me", 3)}
    assert await bench.idle("1-0") < 5_000


async def test_only_own_rows_are_marked(bench):
    """What is not answered is lost: it does not start."""
    await bench.give("1-0")
    await bench.give("2-0", to="other")
    assert await bench.me.mark([(b"1-0", 1), (b"2-0", 1), (b"3-0", 1)], private=False, token=bench.token) == {b"1-0"}
    assert await bench.rows() == {"1-0": ("me", 2), "2-0": ("other", 1)}


async def test_what_was_cut_is_answered_as_ours_and_its_row_left_as_it_is(bench):
    """It starts, since what this process holds is all there is."""
    ids = await bench.give("1-0", private=True)
    await bench.do("XDEL", KEY.private, "1-0")
    assert await bench.me.mark([(ids[0], 1)], private=True, token=bench.token) == set(ids)
    assert await bench.rows(private=True) == {"1-0": ("me", 1)}


# -- claim


async def test_a_claim_takes_what_is_stale_from_others_and_keeps_the_delivery_count(bench):
    """Handing over starts nothing."""
    await bench.give("1-0", to="other", idle=10_000, count=2)
    await bench.give("2-0", to="other", idle=5_000)
    await bench.give("3-0", to="third", idle=60_000)
    claimed = await bench.claim()
    assert claimed == Claimed(b"", bench.token, [(b"1-0", [b"data", b"x"], 2), (b"3-0", [b"data", b"x"], 1)], [], [])
    assert await bench.rows() == {"1-0": ("me", 2), "2-0": ("other", 1), "3-0": ("me", 1)}
    assert await bench.idle("1-0") < 5_000


async def test_the_groups_lease_counts_where_it_is_longer_than_the_members(bench):
    """A slower member still holds what it holds."""
    await bench.give("1-0", to="other", idle=15_000)
    await bench.do("HSET", KEY.hash, "lease", 20_000)
    assert (await bench.claim()).entries == []
    await bench.do("HSET", KEY.hash, "lease", 5_000)
    assert (await bench.claim(lease=20.0)).entries == []
    assert len((await bench.claim()).entries) == 1


async def test_own_stale_rows_are_told_and_not_claimed(bench):
    """Whether they are in hand only this process knows."""
    await bench.give("1-0", "2-0", idle=12_000)
    await bench.give("3-0", idle=1_000)
    claimed = await bench.claim()
    assert claimed.entries == []
    assert [(entry_id, pytest.approx(idle, abs=2)) for entry_id, idle in claimed.own] == [(b"1-0", 12), (b"2-0", 12)]
    assert await bench.idle("1-0") >= 12_000


@pytest.mark.parametrize("owner", ["me", "other"])
@pytest.mark.parametrize("private", [False, True])
async def test_what_was_cut_while_it_was_pending_becomes_a_tombstone_in_the_same_step(bench, owner, private):
    """An event is lost to the group: its dead letters say so, once."""
    await bench.give("1-0", to=owner, idle=60_000, count=2, private=private)
    await bench.give("2-0", to=owner, idle=1_000, private=private)
    await bench.do("XDEL", KEY.source(private=private), "1-0", "2-0")
    for cut in ([b"1-0"], []):
        claimed = await bench.claim(private=private)
        assert (claimed.entries, claimed.own, claimed.cut) == ([], [], cut)
    ((*tombstone,),) = await bench.stream(KEY.dead)
    found = {name.decode(): value.decode() for name, value in zip(tombstone[::2], tombstone[1::2], strict=True)}
    assert found == {
        "ebentry": "1-0",
        "ebreason": "trimmed",
        "ebgroup": "charge",
        "ebdeliveries": "2",
        "ebconsumer": owner,
        "ebfailed": NOW,
    }
    assert await bench.rows(private=private) == {"2-0": (owner, 1)}


async def test_a_claim_goes_on_where_the_last_one_ended(bench, monkeypatch):
    """However many live rows stand before the stale one."""
    monkeypatch.setattr("eventbus.streams.entries.WINDOW", 10)
    await bench.give(*(f"{number}-0" for number in range(1, 26)), to="other", idle=1)
    await bench.give("26-0", to="other", idle=60_000)
    cursor, cursors, taken = b"", [], []
    while cursor or not cursors:
        claimed = await bench.claim(cursor)
        cursor = claimed.cursor
        cursors.append(cursor)
        taken += claimed.entries
    assert (cursors, [row[0] for row in taken]) == ([b"10-0", b"20-0", b""], [b"26-0"])


@pytest.mark.parametrize("rows", [0, 10])
async def test_a_window_that_ends_with_the_list_is_the_last_or_followed_by_an_empty_one(bench, rows, monkeypatch):
    """No row is missed, none is walked for ever."""
    monkeypatch.setattr("eventbus.streams.entries.WINDOW", 10)
    await bench.give(*(f"{number}-0" for number in range(1, rows + 1)), to="other")
    first = await bench.claim()
    assert first.cursor == (b"10-0" if rows else b"")
    assert (await bench.claim(first.cursor)).cursor == b""


async def test_without_room_a_claim_ends_before_what_it_could_not_take(bench):
    """The next one begins there, when there is room again."""
    await bench.give("1-0", "2-0", "3-0", to="other", idle=60_000)
    first = await bench.claim(room=2)
    assert ([row[0] for row in first.entries], first.cursor) == ([b"1-0", b"2-0"], b"2-0")
    second = await bench.claim(first.cursor, room=2)
    assert ([row[0] for row in second.entries], second.cursor) == ([b"3-0"], b"")


async def test_a_claim_takes_a_bounded_number_of_bytes_and_at_least_one_entry(bench, monkeypatch):
    """Its reply must not hold up the beat behind it."""
    monkeypatch.setattr("eventbus.streams.entries.CLAIM_BYTES", 100)
    await bench.add("1-0", "2-0", "3-0", data="x" * 150)
    await bench.give(to="other", idle=0)
    for entry_id in ("1-0", "2-0", "3-0"):
        await bench.do("XCLAIM", "orders", "charge", "other", 0, entry_id, "IDLE", 60_000, "JUSTID")
    cursor, taken = b"", []
    for _ in range(3):
        claimed = await bench.claim(cursor)
        cursor = claimed.cursor
        taken.append([row[0] for row in claimed.entries])
    assert (taken, cursor) == ([[b"1-0"], [b"2-0"], [b"3-0"]], b"")


async def test_only_some_of_those_at_their_last_start_are_taken_and_the_others_do_not_stop_the_walk(bench):
    """They run one at a time in a process: the rest is for other processes."""
    await bench.give("1-0", "2-0", "3-0", to="other", idle=60_000, count=3)
    await bench.give("4-0", to="other", idle=60_000, count=2)
    await bench.give("5-0", to="other", idle=60_000, count=4)
    claimed = await bench.claim(lasts=1)
    assert ([(row[0], row[2]) for row in claimed.entries], claimed.cursor) == ([(b"1-0", 3), (b"4-0", 2), (b"5-0", 4)], b"")
    assert [row[0] for row in (await bench.claim(lasts=0)).entries] == []
    assert [row[0] for row in (await bench.claim(lasts=5)).entries] == [b"2-0", b"3-0"]


async def test_a_claim_that_comes_too_late_takes_nothing(bench):
    """By the server's clock: it was held up while owners could not renew either."""
    await bench.give("1-0", to="other", idle=60_000)
    await bench.give("2-0", to="other", idle=60_000)
    await bench.do("XDEL", "orders", "2-0")
    now = await bench.me.clock()
    assert await bench.claim(latest=now - 0.1) is None
    assert (await bench.rows(), await bench.stream(KEY.dead)) == ({"1-0": ("other", 1), "2-0": ("other", 1)}, [])
    claimed = await bench.claim(latest=now + 60)
    assert (len(claimed.entries), claimed.cut) == (1, [b"2-0"])


async def test_a_claim_tells_a_missing_token_and_refuses_a_missing_group(bench):
    """The caller heals in both cases."""
    await bench.give("1-0", to="other", idle=60_000)
    await bench.lose("no token")
    assert (await bench.claim()).token == ""
    for how in ("no group", "no stream"):
        await bench.lose(how)
        with pytest.raises(BackendRefused) as caught:
            await bench.claim()
        assert caught.value.code == "NOGROUP"


# -- held, recover


async def test_what_a_consumer_holds_is_told_in_pages(bench, monkeypatch):
    """Its own only, in order, each once."""
    monkeypatch.setattr("eventbus.streams.entries.PENDING_PAGE", 2)
    await bench.give("1-0")
    await bench.give("2-0", to="other")
    await bench.give("3-0", "5-0")
    pages, after = [], None
    while page := await bench.me.held(private=False, after=after):
        pages.append(page)
        after = page[-1]
    assert pages == [[b"1-0", b"3-0"], [b"5-0"]]
    assert await bench.me.held(private=True, after=None) == []


async def test_recovering_reads_own_rows_again_and_nobody_elses(bench):
    """With their delivery count as it was; what was cut has no fields, and keeps its row."""
    await bench.give("1-0", "2-0", idle=9_000, count=2)
    await bench.give("3-0", to="other")
    await bench.do("XDEL", "orders", "2-0")
    found = await bench.me.recover([b"1-0", b"2-0", b"3-0", b"4-0"], private=False)
    assert found == (4, [(b"1-0", [b"data", b"x"], 2), (b"2-0", None, 2)])
    assert await bench.rows() == {"1-0": ("me", 2), "2-0": ("me", 2), "3-0": ("other", 1)}
    assert await bench.idle("1-0") < 5_000


async def test_recovering_stops_after_some_megabytes_and_says_where(bench):
    """Else a reply as large as all that was lost would hold up the leases behind it, when the link is bad anyway."""
    ids = await bench.give("1-0", "2-0", "3-0", data="x" * 3_000_000)
    looked_at, found = await bench.me.recover(ids, private=False)
    assert (looked_at, [entry_id for entry_id, _, _ in found]) == (2, ids[:2])
    looked_at, found = await bench.me.recover(ids[2:], private=False)
    assert (looked_at, [entry_id for entry_id, _, _ in found]) == (1, ids[2:])


@pytest.mark.parametrize("how", ["no group", "no stream"])
async def test_recovering_from_a_lost_group_is_refused_as_that(bench, how):
    """Else its entries would be taken for settled."""
    (entry_id,) = await bench.give("1-0")
    await bench.lose(how)
    for ask in (bench.me.recover([entry_id], private=False), bench.me.held(private=False, after=None)):
        with pytest.raises(BackendRefused) as caught:
            await ask
        assert caught.value.code == "NOGROUP"


# -- the server's time


async def test_the_time_is_told_only_where_writes_are_taken(own_server):
    """From a server that answers and refuses writes it would say that owners can renew."""
    async with bench_at(own_server(keeps=False).url) as bench:
        await bench.do("FLUSHALL")
        assert abs(await bench.me.clock() - time.time()) < 60
        assert await bench.do("DBSIZE") == 0
        await bench.do("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(BackendRefused) as caught:
            await bench.me.clock()
        assert caught.value.code == "READONLY"
        await bench.do("REPLICAOF", "NO", "ONE")


# -- promote


async def test_what_is_due_goes_to_the_private_stream_and_the_rest_waits(bench):
    """Whole, with what it carries; the answer tells when the next one is due."""
    for number, due_in in enumerate((-5, 0, 3, 60)):
        await bench.park(due_in=due_in, data=str(number), carried=Carried(entry=f"{number}-0", attempts=number))
    promoted = await bench.promote()
    assert (promoted.promoted, promoted.given) == (2, [])
    assert promoted.wait == pytest.approx(3, abs=1.1)
    assert [fields[1] for fields in await bench.stream(KEY.private)] == [b"0", b"1"]
    assert [split(fields)[1].attempts for fields in await bench.stream(KEY.private)] == [0, 1]
    assert [fields[1] for fields in await bench.stream(KEY.parked)] == [b"2", b"3"]
    assert len(await bench.due()) == 2
    assert (await bench.promote()).promoted == 0


async def test_nothing_parked_tells_of_nothing_to_wait_for(bench):
    """The promoter sleeps for its interval."""
    promoted = await bench.promote()
    assert (promoted.promoted, promoted.wait) == (0, None)


async def test_a_pass_is_bounded_and_tells_that_there_is_more(bench):
    """Redis does nothing else meanwhile."""
    for number in range(5):
        await bench.park(data=str(number))
    answers = [await bench.promote(count=2) for _ in range(3)]
    assert [(each.promoted, each.wait) for each in answers] == [(2, 0), (2, 0), (1, None)]


async def test_a_due_time_without_its_copy_is_counted_and_removed(bench):
    """Somebody deleted a parked event: it is said."""
    gone = await bench.park(data="x")
    await bench.do("XDEL", KEY.parked, gone)
    await bench.park(data="y")
    promoted = await bench.promote()
    assert (promoted.promoted, promoted.missing, await bench.due()) == (1, 1, {})


HOPS = Carried(entry="7-0", hops=1, hopped=1)


async def soon(bench, **carried):
    """What a copy carries that hopped a moment ago."""
    seconds, _ = await bench.do("TIME")
    return Carried(entry="7-0", hops=1, hopped=int(seconds) * 1000, **carried)


async def test_a_copy_that_hops_is_read_in_the_same_step_by_a_member_that_knows_it(bench):
    """An idle member that does not know it would win it otherwise."""
    await bench.declared(Order=1)
    await bench.park(type="Order", carried=await soon(bench))
    promoted = await bench.promote({"Order": 1})
    ((entry_id, fields),) = promoted.given
    assert fields[:2] == [b"type", b"Order"]
    assert (promoted.promoted, await bench.rows(private=True)) == (1, {entry_id.decode(): ("me", 1)})


@pytest.mark.parametrize("types", [{}, {"Other": 9}, {"Order": 1}])
async def test_a_copy_that_hops_waits_for_a_member_that_knows_its_version(bench, types):
    """It is declared, so that somebody will come."""
    await bench.declared(Order=2, Other=9)
    await bench.park(type="Order", dataversion="2", carried=await soon(bench))
    promoted = await bench.promote(types)
    assert (promoted.promoted, promoted.given, promoted.unhandled, promoted.newer, promoted.dropped) == (0, [], 0, 0, 0)
    assert len(await bench.stream(KEY.parked)) == len(await bench.due()) == 1
    assert (await bench.promote({"Order": 2})).promoted == 1


async def test_without_credit_a_copy_that_hops_waits(bench):
    """It would be read by whoever comes."""
    await bench.declared(Order=1)
    for _ in range(3):
        await bench.park(type="Order", carried=await soon(bench))
    assert (await bench.promote({"Order": 1}, credit=0)).promoted == 0
    answers = [await bench.promote({"Order": 1}, credit=2) for _ in range(2)]
    assert [(each.promoted, len(each.given)) for each in answers] == [(2, 2), (1, 1)]


async def test_what_stands_unread_before_a_copy_that_hops_is_read_before_it(bench):
    """Else the credit would be used up by it, and the copy be anybody's."""
    await bench.declared(Order=1)
    await bench.add("*", "*", key=KEY.private)
    for _ in range(3):
        await bench.park(type="Order", carried=await soon(bench))
    promoted = await bench.promote({"Order": 1}, credit=3)
    assert [fields[1] for _, fields in promoted.given] == [b"x", b"x", b"Order"]
    assert (promoted.promoted, len(await bench.stream(KEY.parked)), len(await bench.stream(KEY.private))) == (1, 2, 3)
    groups = await bench.do("XREADGROUP", "GROUP", KEY.name, "other", "STREAMS", KEY.private, ">")
    assert groups is None  # nothing that hops was left for others


@pytest.mark.parametrize(
    ("declared", "version", "hopped", "became"),
    [
        ({}, "1", "now", "dropped"),
        ({"Order": 1}, "2", "now", "newer"),
        ({"Order": "odd"}, "2", "now", "newer"),
        ({"Order": 2}, "2", "long ago", "unhandled"),
        ({"Order": 2}, "2", "now", None),
    ],
)
async def test_what_becomes_of_a_copy_that_hops_is_decided_by_the_registry_as_it_is_now(bench, declared, version, hopped, became):
    """An admin may have removed a type that nobody will ever declare again."""
    await bench.declared(**declared)
    carried = await soon(bench, attempts=2) if hopped == "now" else Carried(entry="7-0", attempts=2, hops=3, hopped=1)
    await bench.park(type="Order", dataversion=version, carried=carried)
    promoted = await bench.promote({"Other": 1})
    found = {name: getattr(promoted, name) for name in ("dropped", "newer", "unhandled")}
    assert found == {"dropped": 0, "newer": 0, "unhandled": 0, **({became: 1} if became else {})}
    assert len(await bench.stream(KEY.parked)) == len(await bench.due()) == (0 if became else 1)
    letters = await bench.stream(KEY.dead)
    assert len(letters) == (became in ("newer", "unhandled"))
    if letters:
        ours = dict(zip(letters[0][::2], letters[0][1::2], strict=True))
        assert (ours[b"ebreason"], ours[b"ebtype"], ours[b"ebattempts"]) == (became.encode(), b"Order", b"2")
        assert (ours[b"ebgroup"], ours[b"ebconsumer"], ours[b"ebfailed"]) == (b"charge", b"me", NOW.encode())
        assert letters[0][:4] == [b"type", b"Order", b"dataversion", version.encode()]


@pytest.mark.parametrize("incomplete", ["gone", "just healed"])
async def test_while_the_registry_is_incomplete_nothing_that_hops_is_decided(bench, incomplete):
    """Even what waited for a day: its member may be about to declare it."""
    await bench.park(type="Order", carried=Carried(entry="7-0", hops=3, hopped=1))
    if incomplete == "gone":
        await bench.do("DEL", KEY.types)
    else:
        seconds, _ = await bench.do("TIME")
        await bench.do("HSET", KEY.hash, "healed", int(seconds) * 1000)
    promoted = await bench.promote({"Other": 1})
    assert (promoted.promoted, promoted.dropped, promoted.newer, promoted.unhandled) == (0, 0, 0, 0)
    assert len(await bench.stream(KEY.parked)) == 1


async def test_copies_that_wait_for_their_member_do_not_hide_what_is_due_behind_them(bench):
    """A window full of them is put off for a second."""
    await bench.declared(Order=2)
    for _ in range(3):
        await bench.park(due_in=-5, type="Order", dataversion="2", carried=await soon(bench))
    await bench.park(due_in=-1, data="behind")
    assert (await bench.promote({"Other": 1}, count=3)).promoted == 0
    assert (await bench.promote({"Other": 1}, count=3)).promoted == 1
    assert [fields[:2] for fields in await bench.stream(KEY.private)] == [[b"data", b"behind"]]


@pytest.mark.parametrize(("waiting", "moved"), [(3, 4), (2, 2)])
async def test_copies_that_wait_take_up_no_more_than_half_of_every_window(bench, waiting, moved):
    """Where they are more they are put off; where they are few any member sees them at any time."""
    await bench.declared(Order=2)
    for _ in range(waiting):
        await bench.park(due_in=-5, type="Order", dataversion="2", carried=await soon(bench))
    for _ in range(9):
        await bench.park(due_in=-1, data="behind")
    assert (await bench.promote({"Other": 1}, count=4)).promoted == 4 - waiting
    assert (await bench.promote({"Other": 1}, count=4)).promoted == moved


async def test_a_field_of_a_publishers_own_that_is_called_like_ours_does_not_make_a_copy_hop(bench):
    """Only what stands in our block counts."""
    await bench.park(data="x", ebhops="3", type="Unheard", carried=Carried(entry="1-0", attempts=1))
    promoted = await bench.promote({"Other": 1})
    assert (promoted.promoted, promoted.dropped) == (1, 0)


@pytest.mark.parametrize("lost", ["group", "stream"])
async def test_promoting_into_a_private_stream_without_its_group_loses_nothing(bench, lost):
    """The caller heals on NOGROUP; a plain copy may stand there before."""
    await bench.declared(Order=1)
    await bench.park(type="Order", carried=await soon(bench))
    await bench.park(data="plain")
    await bench.do(*(("DEL", KEY.private) if lost == "stream" else ("XGROUP", "DESTROY", KEY.private, KEY.name)))
    with pytest.raises(BackendRefused) as caught:
        await bench.promote({"Order": 1})
    assert caught.value.code == "NOGROUP"
    assert len(await bench.stream(KEY.parked)) + len(await bench.stream(KEY.private)) == 2
    assert len(await bench.due()) == len(await bench.stream(KEY.parked))
