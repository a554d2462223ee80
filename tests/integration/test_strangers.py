"""Workers of other programs in one group with ours, as `docs/wire.md` lets them: what one leaves the other takes up."""

from __future__ import annotations

import asyncio
import time

import pytest
import pytest_asyncio

from eventbus import Context, Event, EventBus
from eventbus.testing import running
from tests.support.stranger import Stranger


class OrderCreated(Event, topic="orders"):
    order_id: str


class OrderPaid(Event, topic="orders"):
    order_id: str


FIELDS = ["specversion", "1.0", "id", "e-1", "type", "OrderCreated", "source", "/till", "data", '{"order_id":"o-1"}']


class Seen(list):
    """What our handler was given, as tuples; wait for the next."""

    def __init__(self):
        super().__init__()
        self.came = asyncio.Event()

    def add(self, *row):
        self.append(row)
        self.came.set()

    async def first(self):
        async with asyncio.timeout(20):
            await self.came.wait()
        return self[0]


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def ours(redis_url, seen):
    """A worker of ours that knows `OrderCreated` alone."""
    bus = EventBus(redis_url, service="billing", lease=1, claim_interval=0.1)

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated, ctx: Context):
        seen.add(event.order_id, ctx.attempt, ctx.entry_id)

    return bus


@pytest_asyncio.fixture
async def stranger(redis_url):
    """It knows both types."""
    made = Stranger(redis_url, "orders", "charge", "strangers.h.1.aa", OrderCreated=1, OrderPaid=1)
    yield made
    await made.redis.aclose()


async def grow_stale(redis, stream, consumer, entry_id):
    """As if its owner had been silent for a minute."""
    await redis.execute_command("XCLAIM", stream, "charge", consumer, 0, entry_id, "IDLE", 60_000, "JUSTID")


async def parked(redis, *, hops=False):
    """The one copy that waits; it is due now."""
    async with asyncio.timeout(20):
        while not (found := await redis.zrange("{orders}:due:charge", 0, -1)):
            await asyncio.sleep(0.005)
    await redis.zadd("{orders}:due:charge", {found[0]: 1})
    ((_, fields),) = await redis.xrange("{orders}:parked:charge")
    assert ("ebhops" in fields) == hops
    return fields


async def test_what_a_stranger_died_with_we_take_over(ours, stranger, redis_client, seen):
    """Its row is stale, as that of a worker of ours would be."""
    await stranger.join(lease=1_000)
    origin = await redis_client.execute_command("XADD", "orders", "*", *FIELDS)
    ((_, entry_id, _),) = await stranger.read()
    await grow_stale(redis_client, "orders", stranger.me, entry_id)
    async with running(ours) as service:
        assert await seen.first() == ("o-1", 1, origin)
        await service.idle()
        assert service.bus.consumers[0].counts.claimed == 1
    assert await stranger.leave() == 0


async def test_what_another_died_with_a_stranger_takes_over_and_its_failure_counts_with_us(ours, stranger, redis_client, seen):
    """A start of it is marked; the copy that it parks carries the attempt, and comes to us when it is due."""
    await stranger.join()
    origin = await redis_client.execute_command("XADD", "orders", "*", *FIELDS)
    await redis_client.execute_command("XREADGROUP", "GROUP", "charge", "dead.h.1.bb", "STREAMS", "orders", ">")
    await grow_stale(redis_client, "orders", "dead.h.1.bb", origin)

    ((entry_id, copy, count),) = await stranger.claim("orders")
    assert (entry_id.decode(), [part.decode() for part in copy], count) == (origin, FIELDS, 1)
    assert await stranger.mark("orders", entry_id, count) == [entry_id]
    assert (await redis_client.xpending_range("orders", "charge", "-", "+", 1))[0]["times_delivered"] == 2
    block = [b"ebentry", entry_id, b"ebattempts", b"1", b"ebcrashes", b"0"]
    assert await stranger.move("orders", entry_id, "parked", [*copy, *block], delay=0) == [1]
    async with running(ours) as service:
        assert await seen.first() == ("o-1", 2, origin)
        await service.idle()
    assert await redis_client.xlen("{orders}:retry:charge") == 0


async def test_a_type_that_only_a_stranger_knows_waits_for_it(ours, stranger, redis_client, seen):
    """We park it; nobody else is given it; and it settles what it was given as its own."""
    await stranger.join()
    async with running(ours) as service:
        await service.bus.publish(OrderPaid(order_id="o-7"))
        fields = await parked(redis_client, hops=True)
        async with asyncio.timeout(20):
            while not (given := await stranger.promote()):
                await asyncio.sleep(0.005)
        ((entry_id, copy),) = given
        assert copy[copy.index(b"type") + 1] == b"OrderPaid"
        assert fields["ebhops"] == "1"
        assert await stranger.ack("{orders}:retry:charge", entry_id) == 1
        await service.idle()
    assert seen == []
    assert await redis_client.xlen("{orders}:retry:charge") == 0


async def test_a_type_that_only_we_know_a_stranger_parks_for_us(ours, stranger, redis_client, seen):
    """It may not skip it, though our worker has ended; when one is back it is handled."""
    async with running(ours) as service:
        await service.idle()
    stranger.types = ["OrderPaid", 1]
    await stranger.join(lease=1_000)
    await redis_client.execute_command("XADD", "orders", "*", *FIELDS)
    ((stream, entry_id, copy),) = await stranger.read()
    assert await stranger.drop(stream, entry_id, "OrderCreated") == [4]
    block = [b"ebentry", entry_id, b"ebhops", b"1", b"ebhopped", b"%d" % (time.time() * 1000)]
    assert await stranger.move(stream, entry_id, "parked", [*copy, *block], delay=0) == [1]
    assert await stranger.promote() == []
    assert await stranger.drop(stream, entry_id, "OrderCreated") == [3]
    async with running(ours) as service:
        assert await seen.first() == ("o-1", 1, entry_id.decode())
        await service.idle()
