"""`publish(durability=)` on real servers: replicas that are there, away or stopped; append-only files on, off and slow."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from eventbus import (
    BackendUnavailable,
    ConfigurationError,
    Context,
    DurabilityNotReached,
    EventBus,
    PublishIncomplete,
    Replicated,
)
from eventbus.publishing import durable
from tests.servers import newest_on_path, packaged, spelled
from tests.support.events import OrderCreated, orders
from tests.support.proxy import proxy_to
from tests.support.replicas import Following, Listening, wait_for_replicas

WAITAOF_SINCE = (7, 2, 0)

PROGRAMS = {program.version: program for program in (packaged(), newest_on_path()) if program}
"""The servers of this machine that can be given a replica; those that a variable names cannot."""


# -- replicas


@pytest.fixture(params=PROGRAMS.values(), ids=lambda program: spelled(program.version))
def replicated(request):
    """A primary and its one replica."""
    with ExitStack() as stack:
        primary, replica = Listening(request.param, keeps=True), Following(request.param)
        stack.callback(primary.stop)
        stack.callback(replica.stop)
        replica.follow(primary)
        wait_for_replicas(primary, 1)
        yield primary, replica


@asynccontextmanager
async def looking(server):
    async with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


async def ids(client):
    return [fields["id"] for _, fields in await client.xrange("orders")]


async def test_an_event_that_returns_replicated_stands_on_the_replica(replicated):
    """At that moment, not some time later."""
    primary, replica = replicated
    async with EventBus(primary.url, service="shop") as bus, looking(replica) as there:
        published = await bus.publish(OrderCreated(order_id="1"), durability=Replicated(1))
        assert await ids(there) == [published.event_id]
        records = await bus.publish_many(orders(1_200), durability=Replicated(1))
        assert (await ids(there))[1:] == [record.event_id for record in records]


@pytest.mark.parametrize("wanted", [1, 3])
async def test_without_enough_replicas_the_event_is_written_and_the_error_says_so(redis_url, redis_client, wanted):
    """This server has none; the same event is safe to publish again."""
    event = OrderCreated(order_id="1")
    async with EventBus(redis_url, service="shop") as bus:
        with pytest.raises(DurabilityNotReached, match="0 confirmed it") as caught:
            await bus.publish(event, durability=Replicated(wanted), timeout=0.4)
        ((entry_id, fields),) = await redis_client.xrange("orders")
        assert (caught.value.published.entry_id, caught.value.event_id) == (entry_id, fields["id"])
        assert (caught.value.wanted, caught.value.reached) == (Replicated(wanted), 0)
        assert (await bus.publish(event)).event_id == caught.value.event_id
        with pytest.raises(PublishIncomplete) as batch:
            await bus.publish_many(orders(3), durability=Replicated(wanted), timeout=0.4)
    assert [type(failed.error) for failed in batch.value.unknown] == [DurabilityNotReached] * 3


async def test_a_stopped_replica_is_not_counted_and_counts_again_when_it_goes_on(replicated):
    """One of two is named as reached; whoever has time left gets it later, and the event is written once."""
    primary, replica = replicated
    async with EventBus(primary.url, service="shop") as bus, looking(primary) as client:
        with pytest.raises(DurabilityNotReached, match="did not reach 2 replicas.*1 confirmed it") as caught:
            await bus.publish(OrderCreated(order_id="1"), durability=Replicated(2), timeout=5)
        assert caught.value.reached == 1
        replica.pause()
        with pytest.raises(DurabilityNotReached, match="did not reach 1 replica, its time was over: 0 confirmed it"):
            await bus.publish(OrderCreated(order_id="2"), durability=Replicated(1), timeout=0.5)
        waiting = asyncio.ensure_future(bus.publish(OrderCreated(order_id="3"), durability=Replicated(1), timeout=50))
        await written(client, 3)
        replica.resume()
        published = await waiting
        assert (await ids(client)).count(published.event_id) == 1


async def written(client, count):
    """Return when so many entries stand in the stream."""
    last = "0"
    for _ in range(count):
        ((_, ((last, _),)),) = await client.xread({"orders": last}, count=1, block=20_000)


async def test_a_wait_that_does_not_come_through_holds_up_nobody_else(replicated, monkeypatch):
    """Ordinary publishes and other durabilities go at once; those who want the same are written after a round."""
    monkeypatch.setattr(durable, "ROUND", 0.3)
    primary, replica = replicated
    async with EventBus(primary.url, service="shop") as bus, looking(primary) as client:
        replica.pause()
        first = asyncio.ensure_future(bus.publish(OrderCreated(order_id="1"), durability=Replicated(1), timeout=50))
        await written(client, 1)
        await bus.publish(OrderCreated(order_id="2"), timeout=0.5)
        second = asyncio.ensure_future(bus.publish(OrderCreated(order_id="3"), durability=Replicated(1), timeout=50))
        await asyncio.wait_for(written(client, 3), 10)
        assert not first.done()
        replica.resume()
        await asyncio.gather(first, second)
        assert len(await ids(client)) == 3


async def test_a_lost_answer_means_another_write_and_another_wait(replicated):
    """Two entries, one event id, and the second is on the replica."""
    primary, replica = replicated
    async with proxy_to(primary.url) as proxy, EventBus(proxy.url, service="shop") as bus, looking(replica) as there:
        proxy.lose_reply(to=b"WAIT")
        published = await bus.publish(OrderCreated(order_id="1"), durability=Replicated(1))
        assert proxy.lost.is_set()
        assert await ids(there) == [published.event_id] * 2


async def test_what_was_never_answered_is_unknown_and_not_merely_less_durable(replicated):
    """Nobody knows whether it was written."""
    primary, _ = replicated
    async with proxy_to(primary.url) as proxy, EventBus(proxy.url, service="shop") as bus:
        proxy.lose_reply(to=b"XADD")
        lost = asyncio.ensure_future(bus.publish(OrderCreated(order_id="1"), durability=Replicated(1), timeout=0.5))
        await proxy.lost.wait()
        proxy.refusing = True
        with pytest.raises(BackendUnavailable, match="may or may not"):
            await lost


async def test_a_primary_that_is_demoted_under_the_wait_does_not_count(replicated):
    """It ends the WAIT with an error; the event is written again, once it is primary again."""
    primary, replica = replicated
    async with EventBus(primary.url, service="shop") as bus, looking(primary) as client:
        replica.pause()
        task = asyncio.ensure_future(bus.publish(OrderCreated(order_id="1"), durability=Replicated(1), timeout=50))
        await written(client, 1)
        await client.replicaof("127.0.0.1", 1)  # where nobody listens: it keeps its data
        assert not task.done()
        await client.replicaof("NO", "ONE")
        replica.resume()
        published = await task
        assert await ids(client) == [published.event_id] * 2
        async with looking(replica) as there:
            assert published.entry_id in [entry_id for entry_id, _ in await there.xrange("orders")]


async def test_a_primary_that_was_killed_under_the_wait_is_written_to_again(replicated):
    """What it kept stands there twice, under one id."""
    primary, replica = replicated
    async with EventBus(primary.url, service="shop") as bus:
        async with looking(primary) as client:
            replica.pause()
            task = asyncio.ensure_future(bus.publish(OrderCreated(order_id="1"), durability=Replicated(1), timeout=50))
            await written(client, 1)
        primary.kill()
        primary.restart()
        replica.resume()
        published = await task
        async with looking(primary) as client:
            assert await ids(client) == [published.event_id] * 2


# -- the disk


@pytest.fixture
async def appending(redis_client):
    """Sets what the server does about its append-only file; afterwards it is as before."""
    before = {name: (await redis_client.config_get(name))[name] for name in ("appendonly", "appendfsync")}

    async def append(appendonly, appendfsync=before["appendfsync"]):
        await redis_client.config_set("appendfsync", appendfsync)
        await redis_client.config_set("appendonly", appendonly)

    yield append
    for name, value in before.items():
        await redis_client.config_set(name, value)


async def able(client):
    """Whether this server has WAITAOF, and how it is named."""
    version = (await client.info("server"))["redis_version"]
    return tuple(map(int, version.split("."))) >= WAITAOF_SINCE, version


@pytest.mark.parametrize("policy", ["always", "everysec"])
async def test_fsync_is_waited_for_where_redis_can_and_refused_by_version_where_it_cannot(redis_url, redis_client, appending, policy):
    """Old servers: before anything is written. Newer ones: the server itself says that it is on its disk."""
    await appending("yes", policy)
    can, version = await able(redis_client)
    async with EventBus(redis_url, service="shop") as bus:
        if not can:
            with pytest.raises(ConfigurationError, match=f"{version.replace('.', '[.]')}; nothing was written"):
                await bus.publish(OrderCreated(order_id="1"), durability="fsync")
            with pytest.raises(ConfigurationError, match="7.2"):
                await bus.publish_many(orders(3), durability="fsync")
            assert await redis_client.exists("orders") == 0
            return
        published = await bus.publish(OrderCreated(order_id="1"), durability="fsync")
        assert await ids(redis_client) == [published.event_id]
        records = await bus.publish_many(orders(1_200), durability="fsync")
        assert (await ids(redis_client))[1:] == [record.event_id for record in records]


async def test_a_file_that_is_never_synced_does_not_count(redis_url, redis_client, appending):
    """`appendfsync no` leaves it to the operating system, which tells nobody."""
    await appending("yes", "no")
    can, _ = await able(redis_client)
    async with EventBus(redis_url, service="shop") as bus:
        with pytest.raises(DurabilityNotReached if can else ConfigurationError) as caught:
            await bus.publish(OrderCreated(order_id="1"), durability="fsync", timeout=1.5)
    assert await redis_client.xlen("orders") == (1 if can else 0)
    if can:
        assert (caught.value.wanted, caught.value.reached) == ("fsync", 0)
        assert "appendfsync no" in str(caught.value)


async def test_without_a_file_nothing_is_written_and_with_it_again_it_goes_on(redis_url, redis_client, appending):
    """Also when it is switched off under an open connection: then the event was written, once, and the error says so."""
    can, _ = await able(redis_client)
    await appending("no")
    async with EventBus(redis_url, service="shop") as bus:
        with pytest.raises(ConfigurationError, match="append-only file is off: set `appendonly yes`" if can else "needs WAITAOF"):
            await bus.publish(OrderCreated(order_id="1"), durability="fsync")
        assert await redis_client.exists("orders") == 0
        await appending("yes", "always")
        if not can:
            return
        await bus.publish(OrderCreated(order_id="1"), durability="fsync")
        await appending("no")
        with pytest.raises(DurabilityNotReached, match="append-only file is off") as caught:
            await bus.publish(OrderCreated(order_id="2"), durability="fsync")
        assert caught.value.published.entry_id == (await redis_client.xrevrange("orders", count=1))[0][0]
        with pytest.raises(ConfigurationError, match="nothing was written"):
            await bus.publish(OrderCreated(order_id="3"), durability="fsync")
        assert await redis_client.xlen("orders") == 2


# -- from everywhere


async def test_a_handler_publishes_durably_by_its_context(redis_url, redis_client):
    """As the bus does; without a replica it is told so."""
    bus, told = EventBus(redis_url, service="shop"), asyncio.get_running_loop().create_future()

    @bus.subscribe(OrderCreated, group="forward")
    async def forward(event: OrderCreated, ctx: Context):
        with pytest.raises(DurabilityNotReached) as caught:
            await ctx.publish(OrderCreated(order_id="2"), topic="elsewhere", durability=Replicated(1), timeout=0.3)
        told.set_result(caught.value)

    async with bus, bus.consuming():
        await bus.publish(OrderCreated(order_id="1"))
        error = await asyncio.wait_for(told, 20)
    assert error.published.topic == "elsewhere"
    assert await redis_client.xlen("elsewhere") == 1


def test_synchronous_code_publishes_durably(redis_url):
    """By the same argument."""
    with EventBus(redis_url, service="shop").blocking() as bus:
        with pytest.raises(DurabilityNotReached):
            bus.publish(OrderCreated(order_id="1"), durability=Replicated(1), timeout=0.3)
        with pytest.raises(PublishIncomplete):
            bus.publish_many(orders(2), durability=Replicated(1), timeout=0.3)
