"""The commands about one group, on a real Redis."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest

from eventbus import BackendRefused
from eventbus.streams import COUNT_LIMIT, Address, Connections, Group, GroupCommands, Member, Wire, keys

MEMBER = Member("billing", 30.0, {}, b"{}")


@asynccontextmanager
async def commands(url, group="charge"):
    wire = Wire(Connections(Address.parse(url), name="test"), "commands")
    try:
        yield GroupCommands(wire, Group("orders", group), "me")
    finally:
        await wire.close()


async def fill(client, count, payload="x"):
    pipeline = client.pipeline(transaction=False)
    for number in range(1, count + 1):
        pipeline.xadd("orders", {"data": payload}, id=f"{number}-0")
    await pipeline.execute()


@pytest.mark.parametrize(
    ("start", "count"), [("0", 250), ("100-0", 150), ("100", 150), ("100-1", 150), ("249-0", 1), ("250-0", 0), ("999-0", 0)]
)
async def test_entries_after_an_id_are_counted(redis_url, redis_client, start, count):
    """Across the pages of the script."""
    await fill(redis_client, 250)
    async with commands(redis_url) as group:
        assert await group.waiting_after(start) == count


async def test_nothing_waits_in_a_topic_that_is_not_there(redis_url):
    """Before the first publish."""
    async with commands(redis_url) as group:
        assert [await group.waiting_after(start) for start in ("0", "5-0")] == [0, 0]


@pytest.mark.parametrize("start", ["0", "1-0"])
async def test_counting_ends_where_it_no_longer_matters(redis_url, redis_client, start):
    """One more than the limit says "more than that"."""
    await fill(redis_client, COUNT_LIMIT + 5)
    async with commands(redis_url) as group:
        assert await group.waiting_after(start) == COUNT_LIMIT + 1


@pytest.mark.parametrize("start", ["0", "1-0"])
async def test_counting_moves_no_payload(redis_url, redis_client, start):
    """A worker that starts does not fetch ten thousand events to say their number."""
    await fill(redis_client, 50, payload="x" * 100_000)
    async with commands(redis_url) as group:
        await group.waiting_after(start)  # the script is known from now on
        before = (await redis_client.info("stats"))["total_net_output_bytes"]
        await group.waiting_after(start)
        sent = (await redis_client.info("stats"))["total_net_output_bytes"] - before
    assert sent < 100_000


async def test_groups_that_are_named_are_left_out_of_the_unserved_ones(redis_url):
    """Those of the same process that have no heartbeat yet, say."""
    for name in ("one", "two", "old"):
        async with commands(redis_url, name) as group:
            await group.ensure(MEMBER, start="0")
    async with commands(redis_url, "one") as group:
        assert await group.unserved("billing", silence=30) == ["old", "two"]
        assert await group.unserved("billing", silence=30, besides={"two"}) == ["old"]
        assert await group.unserved("billing", silence=30, besides={"two", "old"}) == []


async def test_a_group_is_unserved_unless_a_heartbeat_is_young_or_stands_for_its_own_lease(redis_url, redis_client):
    """A member with a longer lease than the asker's lives; what another hand wrote among the heartbeats is none."""
    seconds, _ = await redis_client.time()
    beats = {
        "young": json.dumps({"time": (seconds - 5) * 1000, "lease": 30}),
        "old": json.dumps({"time": (seconds - 50) * 1000, "lease": 30}),
        "slow": json.dumps({"time": (seconds - 50) * 1000, "lease": 600}),
        "number": "5",
        "text": '{"time": "x", "lease": "y"}',
        "damaged": "{",
    }
    for name, beat in beats.items():
        async with commands(redis_url, name) as group:
            await group.ensure(MEMBER, start="0")
            await redis_client.hset(keys.members("orders", name), "somebody", beat)
    async with commands(redis_url, "asker") as group:
        assert await group.unserved("billing", silence=30) == ["damaged", "number", "old", "text"]


@pytest.mark.parametrize("lost", ["orders", "{orders}:retry:charge", "the group"])
async def test_the_backlog_of_a_group_that_is_lost_is_refused_as_that(redis_url, redis_client, lost):
    """Whether its stream is gone, or only the group of it."""
    async with commands(redis_url) as group:
        await group.ensure(MEMBER, start="0")
        if lost == "the group":
            await redis_client.xgroup_destroy("orders", "charge")
        else:
            await redis_client.delete(lost)
        with pytest.raises(BackendRefused, match="the consumer group 'charge' is gone from") as caught:
            await group.backlog()
    assert caught.value.code == "NOGROUP"
