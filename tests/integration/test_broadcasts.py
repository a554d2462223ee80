"""Broadcasts on a real Redis of both ages: every process gets every event, while it lives and no longer."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest
from redis.asyncio import Redis

from eventbus import BackendRefused, EventBus, GroupInUse, Reject
from eventbus.consuming.instance_place import InstanceFetcher
from eventbus.consuming.rooms import BroadcastRooms
from eventbus.streams import broadcasts
from eventbus.testing import running
from tests.support.commands import Command
from tests.support.events import OrderCreated, orders
from tests.support.held import Stop, before, planted
from tests.support.redis_hands import until
from tests.support.workers import Errand, errands, worker


def cached(bus, seen, **options):
    """Let a bus refresh a cache, which each process has for itself."""

    @bus.subscribe(OrderCreated, group="cache", broadcast=True, **options)
    async def refresh(event: OrderCreated) -> None:
        seen.append(event.order_id)
        if event.order_id == "bad":
            raise Reject("no such order")

    return bus


def cache_bus(url, seen, *, service="shop", lease=1.0, claim_interval=0.1, **options):
    return cached(EventBus(url, service=service, lease=lease, claim_interval=claim_interval), seen, **options)


def held_before_reading(url, stop):
    """A bus whose processes of a broadcast are held before they read."""
    return planted(url, service="shop", lease=30.0, broadcast=BroadcastRooms(fetcher=before(InstanceFetcher, "run_once", stop)))


async def instances(redis, stream="orders"):
    return sorted(await redis.smembers(f"{{{stream}}}:groups"))


async def keys_of(redis, group, stream="orders"):
    """What a group has in Redis."""
    return await redis.keys(f"{{{stream}}}:*:{group}")


async def remove(redis, group):
    """What ending it does, seen from Redis."""
    await redis.delete(*await keys_of(redis, group))
    await redis.srem("{orders}:groups", group)
    await redis.xgroup_destroy("orders", group)


# -- who gets what


async def test_every_process_gets_every_event_from_its_start_on(redis_url, redis_client):
    """What was there before, it does not need: a cache is filled from elsewhere."""
    here, there = [], []
    async with EventBus(redis_url, service="shop") as shop:
        await shop.publish_many(orders(3))
        async with running(cache_bus(redis_url, here)) as one, running(cache_bus(redis_url, there)) as two:
            assert len(await instances(redis_client)) == 2
            await shop.publish_many([OrderCreated(order_id=f"n-{number}") for number in range(50)])
            await one.idle()
            await two.idle()
    assert sorted(here) == sorted(there) == sorted(f"n-{number}" for number in range(50))


async def test_a_process_that_wants_what_was_before_says_so(redis_url, redis_client):
    """As any new group."""
    seen = []
    async with EventBus(redis_url, service="shop") as shop:
        await shop.publish_many(orders(3))
        async with running(cache_bus(redis_url, seen, start="earliest")) as run:
            await run.idle()
    assert sorted(seen) == ["o-0", "o-1", "o-2"]


async def test_dead_letters_stand_under_the_name_that_all_share_and_outlive_their_process(redis_url, redis_client):
    """Which process it was stands in each."""
    async with EventBus(redis_url, service="shop") as shop:
        async with running(cache_bus(redis_url, [])) as run:
            (instance,) = await instances(redis_client)
            await shop.publish(OrderCreated(order_id="bad"))
            await run.idle()
        (found,) = await shop.admin.dead_letter_groups("orders")
        assert (found.group, found.dead) == ("cache", 1)
        (letter,) = [letter async for letter in shop.admin.dead_letters("orders", "cache").letters()]
        assert (letter.group, letter.reason) == (instance, "rejected")


# -- how it ends


async def test_a_process_that_ends_takes_its_group_along(redis_url, redis_client):
    """On SIGTERM, in the order of every shutdown; nothing of it holds back trimming afterwards."""
    async with worker(redis_url, group="cache", broadcast=True) as one, EventBus(redis_url, service="shop") as shop:
        (instance,) = await instances(redis_client, "errands")
        assert instance == f"cache.{one.name.removeprefix('worker.')}"
        await shop.publish_many(errands(3))
        await one.said("ended", 3)
        one.process.terminate()
        await one.process.wait()
    assert await redis_client.keys() == ["errands"]
    assert await redis_client.xinfo_groups("errands") == []


async def test_what_a_process_still_owed_is_said_when_it_ends(redis_url, redis_client, caplog):
    """Nobody else was to handle it; that it was not handled is no secret."""
    begun = asyncio.Event()
    bus = EventBus(redis_url, service="shop", lease=1.0, drain=0.1)

    @bus.subscribe(OrderCreated, group="cache", broadcast=True, concurrency=1)
    async def refresh(event: OrderCreated) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with running(bus):
        await bus.publish_many(orders(3))
        await begun.wait()
        instance = bus.consumers[0].subscription.group
    (owed,) = re.findall(rf"group {instance!r} ended with entries that nobody else was to handle: (.*)", caplog.text)
    assert sum(map(int, re.findall(r"\d+", owed))) == 3
    assert await keys_of(redis_client, instance) == []


async def test_a_killed_process_leaves_no_group_behind_where_another_one_lives(redis_url, redis_client, caplog, monkeypatch):
    """Its heartbeats are missing for so many leases; the group is removed with what it owed, and trimming is free again."""
    monkeypatch.setattr(broadcasts, "SILENT", 1.0)
    seen = []
    bus = EventBus(redis_url, service="worker", lease=1.0, claim_interval=0.1)

    @bus.subscribe(Errand, group="cache", broadcast=True)
    async def refresh(event: Errand) -> None:
        seen.append(event.name)

    async with worker(redis_url, group="cache", broadcast=True) as one, running(bus) as run:
        await until(lambda: has(redis_client, "errands", 2))
        dead = f"cache.{one.name.removeprefix('worker.')}"
        await one.kill()
        await bus.publish_many(errands(5))
        await run.idle()
        await until(lambda: has(redis_client, "errands", 1))
        assert await keys_of(redis_client, dead, "errands") == []
        assert await instances(redis_client, "errands") == [bus.consumers[0].subscription.group]
        assert bus.runtime.janitor.counts.ended == 1
    assert sorted(seen) == sorted(errand.name for errand in errands(5))
    assert f"group {dead!r} was silent for 1 leases, and is removed" in caplog.text
    assert f"group {dead!r} ended with entries that nobody else was to handle: 5 unread" in caplog.text


async def waits(redis):
    return (await redis.info("clients"))["blocked_clients"] == 1


async def has(redis, stream, count):
    return await redis.exists(stream) and len(await redis.xinfo_groups(stream)) == count


async def test_only_processes_of_the_same_broadcast_are_ended(redis_url, redis_client, monkeypatch):
    """An ordinary group may be called alike; nobody serves it for years, and it keeps everything."""
    monkeypatch.setattr(broadcasts, "SILENT", 0.0)
    await redis_client.xgroup_create("orders", "cache.mine", mkstream=True)
    await redis_client.sadd("{orders}:groups", "cache.mine")
    await redis_client.hset("{orders}:group:cache.mine", mapping={"token": "t", "served": "1"})
    await redis_client.xgroup_create("orders", "cache.other.1.ab")
    await redis_client.sadd("{orders}:groups", "cache.other.1.ab")
    await redis_client.hset("{orders}:group:cache.other.1.ab", mapping={"token": "t", "served": "1", "broadcast": "cache.other"})
    bus = cache_bus(redis_url, [])
    async with running(bus):
        assert await bus.consumers[0].end_silent() == 0
        assert {"cache.mine", "cache.other.1.ab"} <= set(await instances(redis_client))


async def test_one_that_cannot_be_ended_keeps_no_other(redis_url, redis_client, monkeypatch):
    """A key of it is of another type; what is refused is raised once nothing else is left to do."""
    monkeypatch.setattr(broadcasts, "SILENT", 0.0)
    bus = cache_bus(redis_url, [], lease=60, claim_interval=60)
    async with running(bus):
        for name in ("cache.a", "cache.b"):
            await redis_client.sadd("{orders}:groups", name)
            await redis_client.hset(f"{{orders}}:group:{name}", mapping={"token": "t", "served": "1", "broadcast": "cache"})
        await redis_client.set("{orders}:parked:cache.a", "no stream")
        assert await bus.consumers[0].end_silent() == 1
        with pytest.raises(BackendRefused, match="WRONGTYPE"):
            await bus.consumers[0].end_silent()
        assert await instances(redis_client) == sorted(["cache.a", bus.consumers[0].subscription.group])


async def test_a_process_that_lives_is_not_ended_though_its_heartbeat_is_missing(redis_url, redis_client):
    """Who read lately lives."""
    here, there = cache_bus(redis_url, []), cache_bus(redis_url, [])
    async with running(here), running(there) as other:
        mine = there.consumers[0].subscription.group
        await here.publish(OrderCreated(order_id="1"))
        await other.idle()
        await redis_client.delete(f"{{orders}}:members:{mine}")
        await redis_client.hset(f"{{orders}}:group:{mine}", "served", "1")
        assert await here.consumers[0].end_silent() == 0
        assert mine in await instances(redis_client)


async def test_at_maxmemory_nobody_is_ended(own_server, monkeypatch):
    """Heartbeats are refused then: everybody looks dead."""
    monkeypatch.setattr(broadcasts, "SILENT", 0.0)
    server = own_server()
    here = cache_bus(server.url, [])
    async with Redis.from_url(server.url, decode_responses=True) as client, running(here):
        await client.xgroup_create("orders", "cache.gone", mkstream=True)
        await client.sadd("{orders}:groups", "cache.gone")
        await client.hset("{orders}:group:cache.gone", mapping={"token": "t", "served": "1", "broadcast": "cache"})
        await client.config_set("maxmemory", "1")
        assert await here.consumers[0].end_silent() == 0
        await client.config_set("maxmemory", "0")
        assert await here.consumers[0].end_silent() == 1


# -- a process that only slept


async def test_a_process_that_slept_for_longer_gets_what_is_still_there_when_it_wakes(redis_url, redis_client, monkeypatch):
    """Its group was removed meanwhile; it makes it anew where it was, so that nothing is handled twice either."""
    monkeypatch.setattr(broadcasts, "SILENT", 1.0)
    bus = EventBus(redis_url, service="worker", lease=1.0, claim_interval=0.1)

    @bus.subscribe(Errand, group="cache", broadcast=True)
    async def refresh(event: Errand) -> None:
        pass

    async with worker(redis_url, group="cache", broadcast=True) as one, running(bus):
        await until(lambda: has(redis_client, "errands", 2))
        await bus.publish_many(errands(3, name="before"))
        await one.said("ended", 3)
        one.stop()
        await until(lambda: has(redis_client, "errands", 1))
        await bus.publish_many(errands(5, name="meanwhile"))
        one.wake()
        await one.said("ended meanwhile", 5)
        await bus.publish_many(errands(1, name="after"))
        await one.said("ended after")
        assert one.count("started") == 9
        assert len(await instances(redis_client, "errands")) == 2


async def test_what_a_process_missed_while_its_group_was_gone_is_said_and_counted(redis_url, redis_client, caplog):
    """Nothing held back trimming for it then."""
    stop, seen = Stop(), []
    bus = cached(held_before_reading(redis_url, stop), seen)
    async with running(bus), EventBus(redis_url, service="shop") as shop:
        await until(lambda: waits(redis_client))
        stop.arm()  # its next read
        await shop.publish(OrderCreated(order_id="before"))
        await stop.reached.wait()
        await until(lambda: seen == ["before"] and not len(bus.consumers[0].in_hand))  # an acknowledgement would heal it at once
        instance = bus.consumers[0].subscription.group
        await remove(redis_client, instance)
        await shop.publish_many(orders(5))
        await redis_client.xtrim("orders", maxlen=2, approximate=False)
        stop.release()
        await until(lambda: len(seen) == 3)
        assert sorted(seen) == ["before", "o-3", "o-4"]
        counts = bus.consumers[0].counts
        counted = int((await redis_client.info("server"))["redis_version"].partition(".")[0]) >= 7
        assert (counts.regrouped, counts.missed) == (1, 3 if counted else 0)
        assert await redis_client.hget(f"{{orders}}:group:{instance}", "broadcast") == "cache"
    number = "3 entries" if counted else "entries, nobody knows how many,"
    assert f"orders/{instance}: {number} after" in caplog.text
    assert "begins anew: where this process was" in caplog.text


async def test_a_group_that_was_lost_before_it_got_anything_goes_on_from_its_start(redis_url, redis_client):
    """Its start was then: what was published since is seen, and what was before is not."""
    stop, seen = Stop(armed=True), []
    async with EventBus(redis_url, service="shop") as shop:
        await shop.publish(OrderCreated(order_id="before"))
        bus = cached(held_before_reading(redis_url, stop), seen)
        async with running(bus):
            await stop.reached.wait()
            await remove(redis_client, bus.consumers[0].subscription.group)
            await shop.publish(OrderCreated(order_id="after"))
            stop.release()
            await until(lambda: seen == ["after"])
            assert bus.consumers[0].counts.missed == 0


async def test_after_a_flush_everything_new_is_seen(redis_url, redis_client):
    """The stream is another one: its beginning counts, whatever its ids."""
    seen = []
    bus = cache_bus(redis_url, seen)
    async with running(bus), EventBus(redis_url, service="shop") as shop:
        await shop.publish(OrderCreated(order_id="before"))
        await until(lambda: seen == ["before"])
        await redis_client.flushall()
        fields = {"specversion": "1.0", "id": "x", "type": "OrderCreated", "source": "/shop", "data": '{"order_id":"after"}'}
        await redis_client.xadd("orders", fields, id="5-0")
        await until(lambda: seen == ["before", "after"])


# -- as operators see it


async def test_its_groups_are_shown_for_what_they_are_and_cannot_be_renamed_or_given_up(redis_url, redis_client, tmp_path):
    """They belong to a process, and end with it."""
    bus = cache_bus(redis_url, [])
    async with running(bus):
        (group,) = (await bus.admin.topic("orders")).groups
        assert (group.name, group.broadcast, group.living) == (bus.consumers[0].subscription.group, "cache", 1)
        with pytest.raises(GroupInUse, match="belongs to one process of a broadcast, and ends with it"):
            await bus.admin.rename_group("orders", group.name, "other")
        with pytest.raises(GroupInUse, match="is served"):
            await bus.admin.abandon_group("orders", group.name)
        command = await Command.start("groups", "list", "orders", cwd=tmp_path, url=redis_url)
        assert f"{group.name} (a process of cache)" in (await command.ended()).out


async def test_its_groups_hold_back_trimming_while_they_live(redis_url, redis_client):
    """As any group; what is not settled is kept for it."""
    begun, go = asyncio.Event(), asyncio.Event()
    bus = EventBus(redis_url, service="shop", lease=30.0)

    @bus.subscribe(OrderCreated, group="cache", broadcast=True)
    async def refresh(event: OrderCreated) -> None:
        begun.set()
        await go.wait()

    async with running(bus) as run:
        await bus.publish_many(orders(5))
        await begun.wait()
        await redis_client.hdel(f"{{orders}}:group:{bus.consumers[0].subscription.group}", "begun", "begunat")
        trimmed = await bus.admin.trim("orders", max_len=1, exact=True)
        assert (trimmed.settled, trimmed.left) == (0, 5)
        go.set()
        await run.idle()
        assert (await bus.admin.trim("orders", max_len=1, exact=True)).left == 1


async def test_one_bus_serves_a_broadcast_beside_an_ordinary_group(redis_url, redis_client, caplog):
    """The events of the group are shared, those of the broadcast are not."""
    caplog.set_level(logging.WARNING)
    caches, charged = ([], []), []

    def make(seen):
        bus = cache_bus(redis_url, seen)

        @bus.subscribe(OrderCreated, group="charge")
        async def charge(event: OrderCreated) -> None:
            charged.append(event.order_id)

        return bus

    async with running(make(caches[0])) as one, running(make(caches[1])) as two:
        await one.bus.publish_many(orders(20))
        await one.idle()
        await two.idle()
    assert sorted(charged) == sorted(caches[0]) == sorted(caches[1])
    assert await instances(redis_client) == ["charge"]
