"""Every answer of the scripts about one group: made, found lost, announced, left, tidied; on a real Redis of both ages."""

from __future__ import annotations

import json
import re

import pytest
import pytest_asyncio

from eventbus.errors import BackendRefused
from eventbus.streams import Ensured, GroupCommands, Member, Moved, keys
from tests.support.bench import KEY, MEMBER, bench_at


@pytest_asyncio.fixture
async def bench(redis_url):
    async with bench_at(redis_url) as bench:
        yield bench


async def facts(bench):
    """The group's hash."""
    flat = await bench.do("HGETALL", KEY.hash)
    return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}


async def place(bench, key=KEY.stream):
    """The id that the group was given last."""
    (row,) = await bench.do("XINFO", "GROUPS", key)
    return dict(zip(row[::2], row[1::2], strict=True))[b"last-delivered-id"].decode()


async def milliseconds(bench):
    seconds, micro = await bench.do("TIME")
    return int(seconds) * 1000 + int(micro) // 1000


def member(lease=10.0, **types):
    return Member("billing", lease, types, b"{}")


async def again(bench, asks=MEMBER, *, start="0", lost=""):
    return await bench.groups.ensure(asks, start=start, lost=lost)


# -- ensure


@pytest.mark.parametrize(("start", "begins"), [("0", "0-0"), ("$", "7-3"), ("5-1", "5-1")])
async def test_a_new_group_begins_where_it_is_told_and_its_private_stream_at_the_beginning(bench, start, begins):
    """With a token, its service, its lease and its types; and the topic remembers it."""
    await bench.do("FLUSHALL")
    await bench.add("7-3")
    ensured = await again(bench, Member("billing", 12.5, {"Order": 2, "Paid": 1}, b"{}"), start=start)
    assert ensured == Ensured(ensured.token, created=True, known=False, lease=12.5)
    assert (await place(bench), await place(bench, KEY.private)) == (begins, "0-0")
    found = await facts(bench)
    assert found.pop("begun", None) == (None if start == "0" else ensured.token)
    assert found.pop("begunat", None) == (None if start == "0" else found["served"])
    assert found == {"token": ensured.token, "service": "billing", "lease": "12500", "served": found["served"]}
    assert abs(int(found["served"]) - await milliseconds(bench)) < 5_000
    assert await bench.do("SMEMBERS", keys.groups("orders")) == [b"charge"]
    assert sorted(await bench.do("HGETALL", KEY.types)) == sorted([b"Order", b"2", b"Paid", b"1"])


async def test_a_group_that_exists_is_adopted_and_left_where_it_is(bench):
    """By any number of processes, at any time."""
    await bench.give("1-0", "2-0")
    await bench.do("HSET", KEY.hash, "watermark", "1-0")
    before = await facts(bench)
    ensured = await again(bench, start="$")
    assert ensured == Ensured(bench.token, created=False, known=True, lease=10.0)
    assert (await place(bench), await facts(bench)) == ("2-0", before)
    assert len(await bench.rows()) == 2


async def test_a_group_of_another_client_is_adopted_with_a_token_of_its_own(bench):
    """Its position counts; it was never known to be lost."""
    await bench.do("FLUSHALL")
    await bench.add("1-0", "2-0")
    await bench.do("XGROUP", "CREATE", "orders", "charge", "1-0")
    ensured = await again(bench)
    assert (ensured.created, ensured.known, await place(bench)) == (False, False, "1-0")
    assert ensured.token
    assert "healed" not in await facts(bench)


@pytest.mark.parametrize(
    ("watermark", "begins"),
    [
        ("5-3", "5-2"),
        ("5-0", "4-18446744073709551615"),
        ("5", "4-18446744073709551615"),
        ("0-1", "0-0"),
        ("0-0", "0-0"),
        ("0", "0-0"),
        ("1700000000123-7", "1700000000123-6"),
        ("6-9007199254740993", "5-18446744073709551615"),  # beyond what Lua can count exactly: earlier is the safe side
    ],
)
async def test_a_lost_group_begins_just_before_its_watermark(bench, watermark, begins):
    """The watermark itself may have been pending with somebody."""
    await bench.add("1-0", "1800000000000-0")
    await bench.do("HSET", KEY.hash, "watermark", watermark)
    await bench.lose("no group")
    ensured = await again(bench, start="$")
    assert (ensured.created, ensured.known, await place(bench)) == (True, True, begins)
    assert ensured.token != bench.token


@pytest.mark.parametrize("why", ["no watermark", "stream deleted", "ids began anew", "ids began anew in the same millisecond"])
async def test_a_lost_group_whose_watermark_says_nothing_begins_at_the_earliest_entry(bench, why):
    """Events may be handled again then, and none is passed over."""
    await bench.add("9-5")
    if why != "no watermark":
        await bench.do("HSET", KEY.hash, "watermark", "9-5")
    await bench.lose("no stream" if "stream" in why or "anew" in why else "no group")
    if "anew" in why:
        await bench.add("9-4" if "same" in why else "8-9")
    assert (await again(bench, start="$")).created
    assert await place(bench) == "0-0"


@pytest.mark.parametrize("missing", ["group", "private group", "private stream", "token", "hash"])
async def test_whatever_is_missing_of_a_group_is_made_and_its_token_is_new(bench, missing):
    """Else a worker could settle an entry of the old group in the new one."""
    await bench.give("1-0")
    await bench.give("1-0", private=True)
    commands = {
        "group": ("XGROUP", "DESTROY", "orders", "charge"),
        "private group": ("XGROUP", "DESTROY", KEY.private, "charge"),
        "private stream": ("DEL", KEY.private),
        "token": ("HDEL", KEY.hash, "token"),
        "hash": ("DEL", KEY.hash),
    }
    await bench.do(*commands[missing])
    ensured = await again(bench, lost=bench.token)
    assert ensured.token not in ("", bench.token)
    assert (ensured.created, ensured.known) == (missing == "group", True)
    assert len(await bench.rows()) == (missing != "group")
    assert len(await bench.rows(private=True)) == (missing in ("group", "token", "hash"))
    assert abs(int((await facts(bench))["healed"]) - await milliseconds(bench)) < 5_000
    assert (await again(bench)).token == ensured.token


async def test_a_registry_of_types_that_is_gone_is_a_loss_too(bench):
    """It is not complete before every member declared its own again."""
    await bench.do("DEL", KEY.types)
    ensured = await again(bench)
    assert ensured.token == bench.token
    assert "healed" in await facts(bench)


async def test_who_finds_a_group_that_was_made_without_its_types_sets_it_back_to_the_beginning(bench):
    """After a flush a member that starts may come first: it, and whoever reads in the new group, skips what nobody declared."""
    await bench.do("FLUSHALL")
    await bench.add("1-0", "2-0")
    first = await again(bench, member(Other=1))
    assert not first.known
    await bench.do("XREADGROUP", "GROUP", "charge", "me", "STREAMS", "orders", ">")
    await bench.do("HSET", KEY.hash, "watermark", "2-0")
    found = await again(bench, member(Order=1), lost=bench.token)
    assert (found.token, found.created, await place(bench)) == (first.token, False, "0-0")
    assert "watermark" not in await facts(bench)
    await bench.do("XREADGROUP", "GROUP", "charge", "me", "STREAMS", "orders", ">")
    assert (await again(bench, member(Order=1), lost=bench.token)).token == first.token
    assert await place(bench) == "2-0"  # once: its types are known now


@pytest.mark.parametrize("start", ["$", "2-0"])
@pytest.mark.parametrize("meanwhile", ["nothing", "it reads", "its private stream is deleted", "it is destroyed", "it is healed"])
async def test_who_finds_a_group_that_was_made_anew_behind_entries_sets_it_back_to_the_beginning(bench, start, meanwhile):
    """A member that starts may come first after a flush: for it the group is new, and begins where it is told."""
    await bench.do("FLUSHALL")
    await bench.add("1-0", "2-0")
    first = await again(bench, start=start)
    assert (first.known, await place(bench)) == (False, "2-0")
    await bench.add("3-0")
    if meanwhile == "it reads":
        await bench.do("XREADGROUP", "GROUP", "charge", "me", "STREAMS", "orders", ">")
        await bench.do("HSET", KEY.hash, "watermark", "3-0")
    elif "deleted" in meanwhile:
        await bench.do("DEL", KEY.private)
    elif "destroyed" in meanwhile:
        await bench.do("HSET", KEY.hash, "watermark", "3-0")
        await bench.do("XGROUP", "DESTROY", "orders", "charge")
    elif "healed" in meanwhile:
        await bench.do("DEL", KEY.private)
        await again(bench, lost=first.token)
        assert await place(bench) == "2-0"
    await again(bench, start=start, lost=bench.token)
    assert await place(bench) == "0-0"
    assert not {"begun", "begunat", "watermark"} & set(await facts(bench))
    await bench.do("XREADGROUP", "GROUP", "charge", "me", "STREAMS", "orders", ">")
    await again(bench, start=start, lost=bench.token)
    assert await place(bench) == "3-0"  # once


@pytest.mark.parametrize(
    "why", ["it began at 0", "it was made by who asks", "who asks only starts", "it was set back", "it is a lease old"]
)
async def test_a_group_that_is_new_is_not_set_back_without_need(bench, why):
    """Who asked for the latest does not want weeks of events."""
    await bench.do("FLUSHALL")
    await bench.add("1-0", "2-0")
    first = await again(bench, start="0" if "at 0" in why else "$")
    if "set back" in why:
        await again(bench, lost=bench.token)
    if "lease old" in why:
        await bench.do("HSET", KEY.hash, "begunat", await milliseconds(bench) - 10_000)
        await announce(bench, "me", 10.0, token=first.token)
        assert not {"begun", "begunat"} & set(await facts(bench))
    await bench.do("XREADGROUP", "GROUP", "charge", "me", "STREAMS", "orders", ">")
    await bench.do("XGROUP", "SETID", "orders", "charge", "2-0")
    if "made" in why:
        await bench.do("DEL", KEY.private)  # it heals what it made itself
    await again(bench, start="$", lost={"it was made by who asks": first.token, "who asks only starts": ""}.get(why, bench.token))
    assert await place(bench) == "2-0"


async def test_a_young_group_remembers_how_it_began_at_each_heartbeat(bench):
    """For a lease: by then whoever lives has found out that it is another one."""
    await bench.do("FLUSHALL")
    first = await again(bench, start="$")
    assert await announce(bench, "me", 10.0, token=first.token) == 10
    assert (await facts(bench))["begun"] == first.token


async def test_a_lost_group_forgets_how_it_began(bench):
    """It begins anew where it is safe; another member has nothing to set back."""
    await bench.do("FLUSHALL")
    await bench.add("1-0")
    first = await again(bench, start="$")
    await bench.do("XGROUP", "DESTROY", "orders", "charge")
    assert (await again(bench, lost=first.token)).created
    assert (await place(bench), "begun" in await facts(bench)) == ("0-0", False)


@pytest.mark.parametrize("why", ["it only starts", "its types are known", "it was healed a moment ago"])
async def test_a_group_is_not_set_back_without_need(bench, why):
    """While a registry counts as incomplete nothing is skipped; and a member that starts has lost nothing."""
    await bench.give("1-0", "2-0")
    if "healed" in why:
        await bench.do("HSET", KEY.hash, "healed", await milliseconds(bench) - 5_000)
    await again(bench, member(**({"Known": 1} if "known" in why else {"Order": 1})), lost="" if "starts" in why else bench.token)
    assert await place(bench) == "2-0"


async def test_the_highest_version_that_was_ever_declared_stays(bench):
    """An old member that starts in a rolling deployment takes nothing back."""
    await again(bench, member(Known=3, Other=1))
    await again(bench, member(Known=2))
    assert await bench.do("HMGET", KEY.types, "Known", "Other") == [b"3", b"1"]


async def test_a_member_raises_the_groups_lease_before_its_first_read_and_lowers_it_never(bench):
    """Claimers see it at once."""
    assert (await again(bench, member(lease=60.0))).lease == 60
    assert (await again(bench, member(lease=5.0))).lease == 60
    assert (await facts(bench))["lease"] == "60000"


@pytest.mark.parametrize(
    ("key", "kind"),
    [(KEY.stream, "stream"), (KEY.private, "stream"), (KEY.hash, "hash"), (keys.groups("orders"), "set"), (KEY.types, "hash")],
)
async def test_a_key_of_another_kind_is_refused_by_name_before_anything_is_written(bench, key, kind):
    """All of them are looked at first."""
    await bench.do("FLUSHALL")
    await bench.do("SET", key, "x")
    with pytest.raises(BackendRefused, match=f"holds a Redis string, not a {kind}") as caught:
        await again(bench)
    assert caught.value.code == "WRONGTYPE"
    assert await bench.do("KEYS", "*") == [key.encode()]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (KEY.stream, "stream"),
        (KEY.private, "stream"),
        (KEY.hash, "hash"),
        (keys.groups("orders"), "set"),
        (KEY.done, "zset"),
        (KEY.doing, "hash"),
    ],
)
async def test_a_key_of_another_kind_is_found_before_any_group_is_made(bench, key, kind):
    """An idempotent subscription would wait for ever for its marks, and nobody would be told."""
    await bench.do("FLUSHALL")
    await bench.do("SET", key, "x")
    with pytest.raises(BackendRefused, match=f"holds a Redis string, not a {kind}: choose another topic name, or delete the key"):
        await bench.groups.check()


async def test_without_memory_a_group_that_exists_is_still_adopted(own_server):
    """A worker that could free some can start."""
    async with bench_at(own_server().url) as bench:
        await bench.do("CONFIG", "SET", "maxmemory", "1")
        assert (await again(bench)).token == bench.token
        await bench.do("CONFIG", "SET", "maxmemory", "0")


# -- announce


def of(bench, consumer):
    return GroupCommands(bench.wire, KEY, consumer)


async def announce(bench, consumer, lease, *, token=None, **types):
    asks = Member("billing", lease, types, json.dumps({"pid": 7, "lease": lease}).encode())
    return await of(bench, consumer).announce(asks, token=token or bench.token)


async def silent(bench, consumer, *, seconds, lease=10.0):
    """A consumer whose last heartbeat is so old."""
    time = await milliseconds(bench) - int(seconds * 1000)
    await bench.do("HSET", KEY.members, consumer, json.dumps({"pid": 1, "lease": lease, "time": time}))


async def test_a_heartbeat_is_what_the_member_says_with_the_servers_time(bench):
    """The only clock all of them share. The group was served now."""
    assert await announce(bench, "me", 10.0) == 10
    record = json.loads(await bench.do("HGET", KEY.members, "me"))
    assert abs(record.pop("time") - await milliseconds(bench)) < 5_000
    assert record == {"pid": 7, "lease": 10.0}
    assert abs(int((await facts(bench))["served"]) - await milliseconds(bench)) < 5_000


async def test_the_lease_of_a_group_is_the_largest_of_its_living_members(bench):
    """Nobody claims what a slower one still holds. It is raised at once."""
    assert await announce(bench, "slow", 60.0) == 60
    assert await announce(bench, "me", 10.0) == 60
    assert (await facts(bench))["lease"] == "60000"
    await silent(bench, "slow", seconds=59, lease=60.0)
    assert await announce(bench, "me", 10.0) == 60
    assert "loweredat" not in await facts(bench)


async def test_a_lease_is_lowered_only_after_that_was_wanted_for_a_whole_one(bench):
    """A heartbeat may be gone, or refused, while its member lives and beats by the longer one."""
    await announce(bench, "slow", 60.0)
    await silent(bench, "slow", seconds=61, lease=60.0)
    assert await announce(bench, "me", 10.0) == 60
    lower_at = int((await facts(bench))["loweredat"])
    assert abs(lower_at - 60_000 - await milliseconds(bench)) < 5_000
    assert await announce(bench, "me", 10.0) == 60
    assert int((await facts(bench))["loweredat"]) == lower_at  # counted from the first time
    await bench.do("HSET", KEY.hash, "loweredat", await milliseconds(bench) - 1)
    assert await announce(bench, "me", 10.0) == 10
    found = await facts(bench)
    assert (found["lease"], "loweredat" in found) == ("10000", False)


async def test_a_slow_member_that_comes_back_in_time_keeps_the_lease(bench):
    """And the next one that goes has a whole lease of its own."""
    await announce(bench, "slow", 60.0)
    await bench.do("DEL", KEY.members)
    assert await announce(bench, "me", 10.0) == 60
    assert "loweredat" in await facts(bench)
    await announce(bench, "slow", 60.0)
    assert "loweredat" not in await facts(bench)
    assert await announce(bench, "me", 10.0) == 60
    assert "loweredat" not in await facts(bench)


@pytest.mark.parametrize(
    "record", ["", "[]", "7", "{", '{"lease": null, "time": {}}', '{"lease": "x", "time": 1}', '{"time": 1}', '{"lease": 60}', "null"]
)
async def test_a_record_that_another_hand_wrote_harms_no_heartbeat(bench, record):
    """It is no member."""
    await bench.do("HSET", KEY.members, "odd", record)
    assert await announce(bench, "me", 10.0) == 10


ODD = ["abc", "", "{}", "1.5.2"]


@pytest.mark.parametrize("odd", ODD)
async def test_a_version_that_another_hand_wrote_is_mended_by_whoever_declares_the_type(bench, odd):
    """At the next heartbeat, or when a member joins."""
    await bench.do("HSET", KEY.types, "Known", odd)
    assert await announce(bench, "me", 10.0, Known=2) == 10
    assert await bench.do("HGET", KEY.types, "Known") == b"2"
    await bench.do("HSET", KEY.types, "Known", odd)
    assert (await again(bench, member(Known=3))).token == bench.token
    assert await bench.do("HGET", KEY.types, "Known") == b"3"


@pytest.mark.parametrize("odd", ODD)
async def test_numbers_of_the_group_that_another_hand_wrote_keep_nobody_from_living_in_it(bench, odd):
    """They count as missing: the lease is written again, the rest forgotten."""
    for how in (lambda: announce(bench, "me", 10.0, Known=1), lambda: again(bench, lost=bench.token)):
        await bench.do("HSET", KEY.hash, "lease", odd, "loweredat", odd, "healed", odd)
        await how()
        assert (await facts(bench))["lease"] == "10000"
    await bench.do("HSET", KEY.hash, "lease", odd, "healed", odd)
    (entry_id,) = await bench.give("1-0", to="other", idle=11_000)
    assert [each[0] for each in (await bench.claim()).entries] == [entry_id]
    assert await bench.me.drop([(entry_id, "Unheard")], private=False, token=bench.token) == [Moved.DONE]
    assert (await bench.promote()).promoted == 0


async def test_types_are_declared_with_each_heartbeat_and_never_taken_back(bench):
    """An admin command removes them; a registry that was deleted fills again, and is not complete for a lease."""
    await announce(bench, "me", 10.0, Known=2, Order=1)
    await announce(bench, "me", 10.0, Known=1)
    assert await bench.do("HMGET", KEY.types, "Known", "Order") == [b"2", b"1"]
    assert "healed" not in await facts(bench)
    await bench.do("DEL", KEY.types)
    await announce(bench, "me", 10.0, Known=1)
    assert await bench.do("HGETALL", KEY.types) == [b"Known", b"1"]
    assert "healed" in await facts(bench)


@pytest.mark.parametrize("how", ["another token", "no token", "everything"])
async def test_a_heartbeat_in_a_group_that_was_lost_says_so_and_makes_none(bench, how):
    """The healer fills it: types that were declared before it did would be taken for all there are."""
    before = await bench.do("HGETALL", KEY.types)
    await bench.do("FLUSHALL") if how == "everything" else await bench.lose(how)
    assert await announce(bench, "me", 10.0, Other=1) is None
    assert list(await facts(bench)) == (["token", "service", "served", "lease"] if how == "another token" else [])
    assert await bench.do("HGETALL", KEY.types) == ([] if how == "everything" else before)
    assert await bench.do("HKEYS", KEY.members) == [b"me"]
    assert (await again(bench, lost=bench.token)).known


async def test_a_heartbeat_puts_its_group_back_among_those_of_the_topic(bench):
    """Trimming asks there; somebody deleted the key."""
    await bench.do("DEL", keys.groups("orders"))
    await announce(bench, "me", 10.0)
    assert await bench.do("SMEMBERS", keys.groups("orders")) == [b"charge"]


# -- leave, retire


async def consumers(bench, key=KEY.stream):
    rows = await bench.do("XINFO", "CONSUMERS", key, "charge")
    return {row[1].decode() for row in rows}


async def test_who_owes_nothing_leaves_no_name_behind(bench):
    """In either stream, nor among the members."""
    (entry_id,) = await bench.give("1-0")
    await bench.give("1-0", private=True)
    await announce(bench, "me", 10.0)
    assert await bench.groups.leave() == 2
    assert (await consumers(bench), await consumers(bench, KEY.private)) == ({"me"}, {"me"})
    assert await bench.do("HKEYS", KEY.members) == []
    await bench.me.ack([entry_id], private=False, token=bench.token)
    assert await bench.groups.leave() == 1
    assert (await consumers(bench), await consumers(bench, KEY.private)) == (set(), {"me"})
    assert len(await bench.rows(private=True)) == 1


@pytest.mark.parametrize("how", ["no group", "no stream"])
async def test_leaving_a_lost_group_is_no_error(bench, how):
    """There is nothing to owe."""
    await bench.lose(how)
    await announce(bench, "me", 10.0)
    assert await bench.groups.leave() == 0
    assert await bench.do("HKEYS", KEY.members) == []


async def quiet(bench, *names):
    """Consumers of both streams that owe nothing and that Redis has not seen for 0.2 s."""
    for name in names:
        for key in (KEY.stream, KEY.private):
            await bench.do("XGROUP", "CREATECONSUMER", key, "charge", name)
    await unseen(bench)


async def unseen(bench):
    """Redis has seen no consumer for 0.2 s."""
    for key in (KEY.stream, KEY.private):
        while min([row[5] for row in await bench.do("XINFO", "CONSUMERS", key, "charge")], default=200) < 200:
            pass


async def test_consumers_that_are_gone_and_owe_nothing_are_removed_with_their_heartbeats(bench):
    """Whoever owes something is emptied by claiming, not by this."""
    await bench.give("1-0", to="owing")
    await quiet(bench, "dead", "never heard", "alive")
    for name in ("dead", "owing", "only a heartbeat"):
        await silent(bench, name, seconds=1)
    await announce(bench, "alive", 10.0)
    removed = await bench.groups.retire(silence=0.2)
    assert sorted(removed) == ["dead", "dead", "never heard", "never heard"]  # of each stream
    assert (await consumers(bench), await consumers(bench, KEY.private)) == ({"alive", "owing"}, {"alive"})
    assert sorted(await bench.do("HKEYS", KEY.members)) == [b"alive", b"owing"]
    assert len(await bench.rows()) == 1
    assert await bench.groups.retire(silence=0.2) == []


async def test_who_was_seen_a_moment_ago_is_not_removed_without_a_heartbeat(bench):
    """It may be about to write its first."""
    await quiet(bench, "new")
    assert await bench.groups.retire(silence=30.0) == []
    assert await consumers(bench) == {"new"}


async def test_a_consumer_that_owes_in_one_stream_keeps_its_heartbeat(bench):
    """Its name goes where it owes nothing; whose the rows are stays known."""
    await bench.give("1-0", to="dead", private=True)
    await quiet(bench, "dead")
    await silent(bench, "dead", seconds=1)
    assert await bench.groups.retire(silence=0.2) == ["dead"]
    assert (await consumers(bench), await consumers(bench, KEY.private)) == (set(), {"dead"})
    assert await bench.do("HKEYS", KEY.members) == [b"dead"]


async def test_retiring_in_a_lost_group_is_no_error(bench):
    """Its own loops heal it."""
    await bench.lose("no group")
    await silent(bench, "dead", seconds=100)
    assert await bench.groups.retire(silence=30.0) == []
    assert await bench.do("HKEYS", KEY.members) == []


# -- mend_due


async def test_parked_copies_without_a_due_time_become_due(bench):
    """They would wait for ever."""
    late = await bench.park(due_in=500, data="later")
    for _ in range(4):
        await bench.do("XADD", KEY.parked, "*", "data", "x")
    assert await bench.groups.mend_due() == 4
    due = await bench.due()
    assert [seconds for entry_id, seconds in due.items() if entry_id != late.decode()] == [pytest.approx(0, abs=1)] * 4
    assert due[late.decode()] == pytest.approx(500, abs=1.1)
    assert await bench.groups.mend_due() == 0


async def test_mending_goes_through_all_pages(bench, monkeypatch):
    """A bounded number in each script."""
    monkeypatch.setattr("eventbus.streams.group.MEND_PAGE", 3)
    for _ in range(6):
        await bench.do("XADD", KEY.parked, "*", "data", "x")
    assert await bench.groups.mend_due() == 6


async def test_mending_reads_a_bounded_number_of_bytes_at_once(bench):
    """Copies may be large, and everybody waits behind the script."""
    for _ in range(25):
        await bench.do("XADD", KEY.parked, "*", "data", "x" * 300_000)
    await bench.do("CONFIG", "RESETSTAT")
    assert await bench.groups.mend_due() == 25
    calls = re.search(rb"cmdstat_xlen:calls=(\d+)", await bench.do("INFO", "commandstats"))
    assert int(calls[1]) > 1  # scripts
    assert len(await bench.due()) == 25


async def test_as_many_due_times_as_copies_are_taken_for_complete(bench):
    """Nothing is walked every few seconds for what never happens; a due time that is too many is removed when it is due."""
    await bench.park(due_in=500, data="x")
    assert await bench.groups.mend_due() == 0
