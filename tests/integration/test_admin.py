"""Looking at streams and groups of a real Redis."""

from __future__ import annotations

import pytest

from eventbus import BackendRefused, ConfigurationError
from eventbus.admin import LAG_LIMIT, Admin, Follower, Lag
from eventbus.streams import keys


async def fill(redis, stream, count):
    """Write entries 1-0, 2-0 and so on."""
    pipeline = redis.pipeline(transaction=False)
    for number in range(1, count + 1):
        pipeline.xadd(stream, {"n": number}, id=f"{number}-0")
    await pipeline.execute()


async def ours(redis, stream, group, start="0"):
    """A group as eventbus makes it."""
    await redis.xgroup_create(stream, group, start, mkstream=True)
    await redis.xgroup_create(keys.retry(stream, group), group, "0", mkstream=True)
    await redis.sadd(keys.groups(stream), group)


async def only_group(admin, topic="orders"):
    (group,) = (await admin.topic(topic)).groups
    return group


async def test_a_topic_is_described_with_its_groups_and_their_consumers(admin, redis_client):
    """Length, edges, memory, what each group has not read and not settled, and who holds it."""
    await fill(redis_client, "orders", 5)
    await ours(redis_client, "orders", "charge")
    private = keys.retry("orders", "charge")
    await redis_client.xadd(private, {"n": 1})
    await redis_client.xadd(private, {"n": 2})
    await redis_client.xreadgroup("charge", "one", {"orders": ">", private: ">"}, count=1)
    await redis_client.xreadgroup("charge", "two", {"orders": ">"}, count=2)
    found = await admin.topic("orders")
    assert (found.length, found.first.id, found.last.id) == (5, "1-0", "5-0")
    assert found.memory > 100
    assert found.first.age > 1e9
    (group,) = found.groups
    assert (group.name, group.lag, group.pending, group.last_delivered, group.ours) == ("charge", Lag(2), 3, "3-0", True)
    assert (group.retry_entries, group.retry_pending) == (2, 1)
    assert [(each.name, each.pending, each.retry_pending) for each in group.consumers] == [("one", 1, 1), ("two", 2, 0)]
    assert all(0 <= each.idle < 60 for each in group.consumers)


async def test_a_lag_that_redis_does_not_know_is_counted(admin, redis_client):
    """An entry deleted before the group was given it: NULL on 7.0 and later; 6.2 never knows. NULL is not 0."""
    await fill(redis_client, "orders", 9)
    await ours(redis_client, "orders", "charge", start="3-0")
    await redis_client.xdel("orders", "5-0")
    assert (await redis_client.xinfo_groups("orders"))[0].get("lag") is None
    assert (await only_group(admin)).lag == Lag(5)


@pytest.mark.parametrize(("more", "lag"), [(0, Lag(LAG_LIMIT)), (1, Lag(LAG_LIMIT, exact=False))])
async def test_counting_a_lag_stops_at_its_limit_and_says_so(admin, redis_client, more, lag):
    """A look at a group does not read a whole stream."""
    await fill(redis_client, "orders", LAG_LIMIT + 1 + more)
    await redis_client.xgroup_create("orders", "charge", "0")
    await redis_client.xdel("orders", "7-0")
    assert (await redis_client.xinfo_groups("orders"))[0].get("lag") is None
    assert (await only_group(admin)).lag == lag


async def test_groups_that_were_lost_and_groups_of_others_are_told_apart(admin, redis_client):
    """What eventbus made is written down; Redis may have lost it, and others make groups too."""
    await ours(redis_client, "orders", "charge")
    await ours(redis_client, "orders", "notify")
    await redis_client.xgroup_destroy("orders", "charge")
    await redis_client.xgroup_create("orders", "stranger", "0")
    found = await admin.topic("orders")
    assert {group.name: group.ours for group in found.groups} == {"notify": True, "stranger": False}
    assert found.lost_groups == ("charge",)


async def test_a_topic_that_is_not_there_is_none_and_another_redis_type_is_refused(admin, redis_client):
    """Neither looks like an empty topic."""
    assert await admin.topic("orders") is None
    await redis_client.xgroup_create("empty", "charge", mkstream=True)
    found = await admin.topic("empty")
    assert (found.length, found.first, found.last) == (0, None, None)
    await redis_client.set("orders", "text")
    with pytest.raises(BackendRefused) as caught:
        await admin.topic("orders")
    assert caught.value.code == "WRONGTYPE"
    with pytest.raises(ConfigurationError, match="topic"):
        await admin.topic("or ders")


async def test_topics_are_found_by_their_groups_below_the_prefix(connections, redis_client):
    """Streams of other programs stay out, and a prefix means only itself."""
    for stream in ("a*orders", "a*payments", "abother", "orders"):
        await ours(redis_client, stream, "charge")
    await fill(redis_client, "a*orders", 3)
    await redis_client.xreadgroup("charge", "one", {"a*orders": ">"}, count=2)
    await redis_client.xadd("a*unknown", {"n": 1})
    async with Admin(connections, prefix="a*") as admin:
        found = await admin.topics()
        assert [(each.topic, each.length, each.groups, each.pending) for each in found] == [("orders", 3, 1, 2), ("payments", 0, 1, 0)]
        assert (found[0].last.id, found[1].last) == ("3-0", None)
        assert (await admin.topic("orders")).stream == "a*orders"


async def test_a_topic_whose_stream_is_gone_is_still_listed(admin, redis_client):
    """A deleted stream with groups is trouble, not nothing."""
    await ours(redis_client, "orders", "charge")
    await redis_client.delete("orders")
    await ours(redis_client, "text", "charge")
    await redis_client.set("text", "text")
    assert [(each.topic, each.length) for each in await admin.topics()] == [("orders", None), ("text", None)]


async def test_the_server_says_what_it_is_and_uses(admin, redis_client):
    """Product, version, memory."""
    known = await redis_client.info()
    found = await admin.server()
    assert (found.product, found.version) == ("redis", known["redis_version"])
    assert found.memory > 100_000
    assert found.memory_limit is None


async def test_pending_entries_of_both_streams_are_listed(admin, redis_client):
    """With who holds them, for how long, given how often; and how many there are beyond those asked for."""
    await fill(redis_client, "orders", 4)
    await ours(redis_client, "orders", "charge")
    private = keys.retry("orders", "charge")
    await redis_client.xadd(private, {"n": 1}, id="9-0")
    await redis_client.xreadgroup("charge", "one", {"orders": ">"}, count=3)
    await redis_client.xreadgroup("charge", "two", {"orders": ">", private: ">"}, count=1)
    await redis_client.xclaim("orders", "charge", "two", 0, ["2-0"])
    topic, retry = await admin.pending("orders", "charge")
    assert [(each.id, each.consumer, each.deliveries) for each in topic.entries] == [
        ("1-0", "one", 1),
        ("2-0", "two", 2),
        ("3-0", "one", 1),
        ("4-0", "two", 1),
    ]
    assert all(0 <= each.idle < 60 for each in topic.entries)
    assert (topic.retry, retry.retry, retry.stream, [each.id for each in retry.entries]) == (False, True, private, ["9-0"])
    topic, retry = await admin.pending("orders", "charge", consumer="one", count=1)
    assert ([each.id for each in topic.entries], topic.total, retry.total) == (["1-0"], 2, 0)


async def test_pending_of_a_group_that_is_not_there_is_none(admin, redis_client):
    """Which is not the same as nothing pending; a group of another program has one stream."""
    assert await admin.pending("orders", "charge") is None
    await redis_client.xgroup_create("orders", "stranger", mkstream=True)
    assert await admin.pending("orders", "charge") is None
    (only,) = await admin.pending("orders", "stranger")
    assert (only.total, only.entries) == (0, ())


async def test_following_returns_raw_entries_in_order_and_remembers_how_far(connections, redis_client):
    """Two fields of one name both arrive; nothing is read twice."""
    await fill(redis_client, "orders", 3)
    await redis_client.execute_command("XADD", "orders", "4-0", "a", "1", "a", "2")
    follower = Follower(connections, "orders", "1-0")
    try:
        assert [entry.id for entry in await follower.read(count=2)] == ["2-0", "3-0"]
        (entry,) = await follower.read()
        assert (entry.id, entry.fields) == ("4-0", [b"a", b"1", b"a", b"2"])
        assert follower.after == "4-0"
    finally:
        await follower.close()
