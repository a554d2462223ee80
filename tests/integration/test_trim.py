"""Trimming a topic: what every group has settled, and never more unless there is a hard cap; on a real Redis of both ages."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from redis.exceptions import ResponseError

from eventbus.streams import Address, Connections, Trimmed, Wire, keys, trim

GROUPS = keys.groups("orders")
NODE = 100
"""Entries of one node of a stream, by Redis's default; only whole nodes are trimmed where nobody asks for more."""


@pytest_asyncio.fixture
async def topic(redis_url, redis_client):
    """The topic `orders` with a client that looks at it."""
    wire = Wire(Connections(Address.parse(redis_url), name="test"), "commands")
    yield Topic(wire, redis_client)
    await wire.close()


class Topic:
    """The topic `orders`, whose entries are numbered from 1-0."""

    def __init__(self, wire, client):
        self.wire, self.client = wire, client

    async def fill(self, count, *, first=1):
        pipeline = self.client.pipeline(transaction=False)
        for number in range(first, first + count):
            pipeline.xadd("orders", {"data": "x"}, id=f"{number}-0")
        await pipeline.execute()

    async def group(self, name="charge", *, settled=0, pending=(), ours=True):
        """A group that was given the first so many entries, and has settled all but some of them."""
        await self.client.xgroup_create("orders", name, id=f"{settled}-0", mkstream=True)
        for each in pending:  # as a later SETID leaves them: pending, and before what was given last
            await self.client.execute_command("XCLAIM", "orders", name, "me", 0, f"{each}-0", "FORCE", "JUSTID")
        if ours:
            await self.client.sadd(GROUPS, name)

    async def trim(self, *, max_len=None, max_age=None, hard=False, exact=True):
        return await trim(self.wire, "orders", max_len=max_len, max_age=max_age, hard=hard, exact=exact)

    async def ids(self):
        return [int(entry_id.partition("-")[0]) for entry_id, _ in await self.client.xrange("orders")]

    async def watermark(self, group="charge"):
        return await self.client.hget(keys.group("orders", group), "watermark")

    async def cut(self, group="charge"):
        return await self.client.hget(keys.group("orders", group), "cut")


async def test_without_limits_nothing_is_removed_and_each_group_gets_its_watermark(topic):
    """Where it restarts when it is lost: its own, not the topic's."""
    await topic.fill(10)
    await topic.group("charge", settled=7)
    await topic.group("ship", settled=4)
    await topic.group("audit", settled=9, pending=[5, 8])
    assert await topic.trim() == Trimmed(0, 0, 10, "4-0", (), ("ship",))
    assert [await topic.watermark(name) for name in ("charge", "ship", "audit")] == ["7-0", "4-0", "5-0"]


@pytest.mark.parametrize(
    ("max_len", "settled", "left"),
    [(4, 10, range(7, 11)), (4, 5, range(5, 11)), (0, 10, [10]), (20, 10, range(1, 11)), (9, 10, range(2, 11))],
)
async def test_what_every_group_has_settled_goes_down_to_the_length(topic, max_len, settled, left):
    """The last that a group was given stays: it is the watermark."""
    await topic.fill(10)
    await topic.group(settled=settled)
    trimmed = await topic.trim(max_len=max_len)
    assert await topic.ids() == list(left)
    assert (trimmed.settled, trimmed.unsettled, trimmed.left) == (10 - len(left), 0, len(left))


@pytest.mark.parametrize(
    ("groups", "first"),
    [
        ([("charge", 10, ()), ("ship", 3, ())], 3),
        ([("charge", 10, (2,)), ("ship", 9, ())], 2),
        ([("charge", 10, ()), ("ship", 0, ())], 1),
        ([("charge", 9, (9,)), ("ship", 10, (10,))], 9),
    ],
)
async def test_nothing_is_trimmed_that_one_group_has_not_settled(topic, groups, first):
    """Neither what it has not read, nor what is pending with it."""
    await topic.fill(10)
    for name, settled, pending in groups:
        await topic.group(name, settled=settled, pending=pending)
    trimmed = await topic.trim(max_len=0)
    assert (await topic.ids())[0] == first
    assert trimmed.unsettled == 0


async def test_groups_of_other_programs_count_as_ours_do(topic):
    """A plain consumer of redis-py loses nothing either; its watermark is nobody's to store."""
    await topic.fill(10)
    await topic.group("charge", settled=10)
    await topic.group("theirs", settled=2, ours=False)
    trimmed = await topic.trim(max_len=0)
    assert ((await topic.ids())[0], trimmed.holding) == (2, ("theirs",))
    assert await topic.client.keys("*:group:*") == [keys.group("orders", "charge")]


async def test_ids_are_compared_as_numbers(topic):
    """As text 9-0 comes after 10-0, and 10-9 after 10-10."""
    for entry_id in ("8-0", "9-0", "10-9", "10-10", "10-11", "100-0"):
        await topic.client.xadd("orders", {"data": "x"}, id=entry_id)
    for name, given in (("first", "10-10"), ("second", "9-0"), ("third", "100-0")):
        await topic.client.xgroup_create("orders", name, id=given)
    assert (await topic.trim(max_len=0)).watermark == "9-0"
    await topic.client.xgroup_setid("orders", "second", "10-9")
    assert (await topic.trim(max_len=0)).watermark == "10-9"
    await topic.client.xgroup_setid("orders", "second", "100-0")
    assert (await topic.trim(max_len=0)).watermark == "10-10"
    assert [entry_id for entry_id, _ in await topic.client.xrange("orders")] == ["10-10", "10-11", "100-0"]


async def test_a_group_that_was_set_back_keeps_what_it_is_to_read_again(topic):
    """Its place is what it was given last, whatever is pending after that."""
    await topic.fill(10)
    await topic.group(settled=10, pending=[8])
    await topic.client.xgroup_setid("orders", "charge", "4-0")
    trimmed = await topic.trim(max_len=0)
    assert (trimmed.watermark, (await topic.ids())[0], await topic.watermark()) == ("4-0", 4, "4-0")


async def test_a_topic_without_any_group_is_not_trimmed_without_a_hard_cap(topic):
    """Nobody can tell who will come."""
    await topic.fill(10)
    assert await topic.trim(max_len=1) == Trimmed(0, 0, 10, None, (), ())
    assert await topic.trim(max_len=1, hard=True) == Trimmed(0, 9, 1, None, (), ())


async def test_a_topic_that_is_not_there_has_nothing_to_trim(topic):
    """Before the first publish, and after somebody deleted it: its groups are missing then."""
    assert await topic.trim(max_len=1, hard=True) == Trimmed(0, 0, 0, None, (), ())
    await topic.client.sadd(GROUPS, "charge")
    assert await topic.trim(max_len=1) == Trimmed(0, 0, 0, None, ("charge",), ())
    assert not await topic.client.exists("orders")


async def test_a_group_that_is_missing_stops_all_trimming_until_it_is_healed_or_given_up(topic):
    """What it has not settled nobody knows. The others' watermarks are stored all the same."""
    await topic.fill(10)
    await topic.group("charge", settled=10)
    await topic.client.sadd(GROUPS, "gone", "away")
    assert await topic.trim(max_len=0, max_age=0.001) == Trimmed(0, 0, 10, "10-0", ("away", "gone"), ("charge",))
    assert await topic.watermark() == "10-0"
    await topic.client.srem(GROUPS, "gone", "away")
    assert (await topic.trim(max_len=0)).settled == 9


async def test_a_group_that_began_behind_entries_a_moment_ago_stops_trimming(topic):
    """A member that was there before it may still set it back to the beginning. A hard cap holds all the same."""
    await topic.fill(10)
    await topic.group(settled=10)
    seconds, _ = await topic.client.time()
    await topic.client.hset(keys.group("orders", "charge"), mapping={"begunat": (seconds - 20) * 1000, "lease": 30_000})
    trimmed = await topic.trim(max_len=0, max_age=0.001)
    assert (trimmed.settled, trimmed.left, trimmed.missing) == (0, 10, ())
    assert (await topic.trim(max_len=4, hard=True)).left == 4
    await topic.client.hset(keys.group("orders", "charge"), "begunat", (seconds - 31) * 1000)
    assert (await topic.trim(max_len=0)).settled == 3


async def test_a_hard_cap_holds_although_a_group_is_missing(topic):
    """Memory is what it is for."""
    await topic.fill(10)
    await topic.group("charge", settled=10)
    await topic.client.sadd(GROUPS, "gone")
    trimmed = await topic.trim(max_len=4, hard=True)
    assert (await topic.ids(), trimmed.missing) == ([7, 8, 9, 10], ("gone",))
    assert trimmed.settled + trimmed.unsettled == 6


async def test_what_a_hard_cap_cuts_unsettled_is_counted_apart_and_kept_with_who_was_behind(topic):
    """An event is lost to a group: nothing of that is silent."""
    await topic.fill(10)
    await topic.group("charge", settled=3)
    await topic.group("ship", settled=8, pending=[6])
    trimmed = await topic.trim(max_len=2, hard=True)
    assert (trimmed.settled, trimmed.unsettled, trimmed.left, trimmed.watermark, trimmed.holding) == (3, 5, 2, "3-0", ("charge",))
    assert (await topic.cut(), await topic.cut("ship")) == ("5", None)
    await topic.fill(2, first=11)
    await topic.trim(max_len=2, hard=True)
    assert await topic.cut() == "7"


@pytest.mark.parametrize(
    ("settled", "pending", "cut", "unread"),
    [(5, (), 5, 3), (5, (5,), 4, 4), (8, (), 8, 0), (10, (), 8, 0), (0, (), 0, 8), (10, (2,), 1, 7)],
)
async def test_the_entry_at_the_watermark_counts_as_settled_where_it_is(topic, settled, pending, cut, unread):
    """The last given and acknowledged one is; one that is pending is not."""
    await topic.fill(10)
    await topic.group(settled=settled, pending=pending)
    trimmed = await topic.trim(max_len=2, hard=True)
    assert (trimmed.settled, trimmed.unsettled, trimmed.left) == (cut, unread, 2)


@pytest.mark.parametrize("settled", [0, 1, 40, 99, 100, 101, 199, 200])
async def test_a_hard_cap_of_whole_nodes_counts_what_was_lost_and_not_its_neighbours(topic, settled):
    """A node may hold both; what was settled is no loss."""
    await topic.fill(3 * NODE)
    await topic.group(settled=settled)
    trimmed = await topic.trim(max_len=NODE, hard=True, exact=False)
    assert trimmed.left == NODE
    assert (trimmed.settled, trimmed.unsettled) == (settled, 2 * NODE - settled)


async def test_only_whole_nodes_go_where_nobody_asks_for_more(topic):
    """Far cheaper, and never fewer than were asked for are left."""
    await topic.fill(4 * NODE)
    await topic.group(settled=3 * NODE + 50)
    trimmed = await topic.trim(max_len=NODE + 50, exact=False)
    assert (trimmed.settled, trimmed.unsettled, trimmed.left) == (2 * NODE, 0, 2 * NODE)
    assert (await topic.ids())[0] == 2 * NODE + 1
    assert (await topic.trim(max_len=0, exact=False)).left == NODE


async def test_what_is_too_old_goes_as_far_as_it_is_settled(topic):
    """By the server's clock."""
    seconds, _ = await topic.client.time()
    for age in (3600, 120, 61, 30, 1):
        await topic.client.xadd("orders", {"data": "x"}, id=f"{(seconds - age) * 1000}-0")
    ids = [entry_id for entry_id, _ in await topic.client.xrange("orders")]
    await topic.client.xgroup_create("orders", "charge", id=ids[1])
    assert (await topic.trim(max_age=60)).settled == 1
    await topic.client.xgroup_setid("orders", "charge", ids[-1])
    assert (await topic.trim(max_age=60)).settled == 2
    assert [entry_id for entry_id, _ in await topic.client.xrange("orders")] == ids[3:]


async def test_a_hard_cap_of_age_counts_what_was_lost(topic):
    """Entries of 1970 are older than any age."""
    await topic.fill(10)
    await topic.group(settled=4)
    trimmed = await topic.trim(max_age=60, hard=True)
    assert (trimmed.settled, trimmed.unsettled, trimmed.left) == (4, 6, 0)


async def test_an_age_beyond_1970_keeps_everything(topic):
    """No limit, spelled in a silly way."""
    await topic.fill(3)
    await topic.group(settled=3)
    assert (await topic.trim(max_age=1e10)).settled == 0


async def test_length_and_age_both_hold(topic):
    """Whichever asks for more."""
    await topic.fill(10)
    seconds, _ = await topic.client.time()
    for number in range(5):
        await topic.client.xadd("orders", {"data": "x"}, id=f"{seconds * 1000}-{number}")
    await topic.client.xgroup_create("orders", "charge", id="$")
    assert (await topic.trim(max_len=12, max_age=60)).left == 5
    assert (await topic.trim(max_len=2, max_age=60)).left == 2


async def test_an_exact_trim_of_many_goes_in_steps_and_adds_them_up(topic, monkeypatch):
    """A script that removed a million at once would hold up everybody."""
    monkeypatch.setattr("eventbus.streams.retention.EXACT_STEP", 30)
    await topic.fill(250)
    await topic.group(settled=240)
    trimmed = await topic.trim(max_len=20)
    assert (trimmed.settled, trimmed.unsettled, trimmed.left) == (230, 0, 20)
    assert await topic.ids() == list(range(231, 251))


@pytest.mark.parametrize(("settled", "pending", "left"), [(0, (), 250), (240, (1,), 250), (55, (), 196)])
async def test_an_exact_trim_ends_where_a_group_is_behind(topic, monkeypatch, settled, pending, left):
    """However much is beyond the length: more than the watermark allows does not become removable by asking again."""
    monkeypatch.setattr("eventbus.streams.retention.EXACT_STEP", 30)
    await topic.fill(250)
    await topic.group(settled=settled, pending=pending)
    wire = Meddler(topic.wire)
    async with asyncio.timeout(20):
        trimmed = await trim(wire, "orders", max_len=20, max_age=None, hard=False, exact=True)
    assert (trimmed.settled, trimmed.unsettled, trimmed.left) == (250 - left, 0, left)
    assert wire.scripts == trimmed.settled // 30 + 1


async def test_an_exact_trim_reads_no_further_than_the_watermark(topic):
    """It reads whole entries inside the server: one to see that nothing may go, else no page beyond the watermark."""
    await topic.fill(1000)
    await topic.group()
    await topic.trim(max_len=20)
    await topic.client.config_resetstat()
    await topic.trim(max_len=20)
    assert (await topic.client.info("commandstats"))["cmdstat_xrange"]["calls"] == 1
    await topic.client.xgroup_setid("orders", "charge", "150-0")
    await topic.client.config_resetstat()
    assert (await topic.trim(max_len=20)).settled == 149
    assert (await topic.client.info("commandstats"))["cmdstat_xrange"]["calls"] == 3


class Meddler:
    """A wire on which something happens before each script."""

    def __init__(self, wire, *happenings):
        self.wire, self.happenings, self.scripts = wire, list(happenings), 0

    async def one(self, *words):
        if words[0] in ("EVALSHA", "EVAL"):
            self.scripts += words[0] == "EVALSHA"
            if self.happenings:
                await self.happenings.pop(0)()
        return await self.wire.one(*words)


async def test_a_group_that_comes_or_goes_before_the_script_is_seen_by_it(topic):
    """One that was created between the look and the cut would find its backlog gone."""
    await topic.fill(10)
    await topic.group("charge", settled=10)
    await topic.trim()  # the script is known from now on

    async def comes():
        await topic.group("ship", settled=4)

    async def goes():
        await topic.client.xgroup_destroy("orders", "ship")
        await topic.client.srem(GROUPS, "ship")

    async def replaced():
        await topic.client.smove(GROUPS, "elsewhere", "charge")
        await topic.group("another", settled=10)

    meddler = Meddler(topic.wire, comes)
    assert (await trim(meddler, "orders", max_len=0, max_age=None, hard=False, exact=True)).watermark == "4-0"
    assert (meddler.scripts, (await topic.ids())[0], await topic.watermark("ship")) == (2, 4, "4-0")
    assert (await trim(Meddler(topic.wire, goes), "orders", max_len=0, max_age=None, hard=False)).watermark == "10-0"
    answer = await trim(Meddler(topic.wire, replaced), "orders", max_len=0, max_age=None, hard=False)
    assert (answer.missing, answer.holding) == ((), ("another", "charge"))


async def test_without_memory_a_topic_is_trimmed_all_the_same(own_server):
    """It is what helps; the watermark that cannot be stored stays an older one, which is the safe side."""
    from redis.asyncio import Redis

    server = own_server()
    wire = Wire(Connections(Address.parse(server.url), name="test"), "commands")
    async with Redis.from_url(server.url, decode_responses=True) as client:
        topic = Topic(wire, client)
        await topic.fill(10)
        await topic.group(settled=4)
        await topic.trim()
        await client.xgroup_setid("orders", "charge", "8-0")
        await client.config_set("maxmemory", "1")
        with pytest.raises(ResponseError, match="maxmemory"):
            await client.xadd("orders", {"data": "x"})
        assert (await topic.trim(max_len=0)).settled == 7
        assert await topic.watermark() == "4-0"
        await client.config_set("maxmemory", "0")
    await wire.close()
