"""Troubles as operators meet them, brought about on a real server: `docs/howto/troubleshooting.md` shows what is printed in them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from eventbus import Event, EventBus, Retry, Topic
from eventbus.streams import keys
from eventbus.testing import running
from tests.support.redis_hands import expire, read_as, until

if TYPE_CHECKING:
    from redis.asyncio import Redis

DAY = 86_400_000  # milliseconds


class OrderCreated(Event, topic=Topic("orders", max_len=3), key="order_id"):
    order_id: str
    total: str = "9.99"


class OrderPaid(Event, topic="orders", key="order_id"):
    order_id: str


class CardNetworkDown(Exception): ...


async def charge(event: OrderCreated) -> None:
    """Handle an order; what its id begins with says how that ends."""
    if event.order_id.startswith("waits"):
        await asyncio.Event().wait()
    if event.order_id.startswith("fails"):
        raise CardNetworkDown("no answer in 10 s")


@dataclass
class Shop:
    """A server and the services around it, none of which runs yet."""

    url: str
    redis: Redis

    def worker(self, group="charge", *, lease=1.0, drain=25.0, **options) -> EventBus:
        """The service that handles orders."""
        bus = EventBus(self.url, service="billing", lease=lease, claim_interval=0.05, drain=drain)
        bus.subscribe(OrderCreated, group=group, **{"retry": Retry(attempts=2, backoff=[0.01]), **options})(charge)
        return bus

    async def publish(self, *order_ids, **options) -> None:
        """Publish orders from a process that ends at once."""
        async with EventBus(self.url, service="shop") as bus:
            for order_id in order_ids:
                await bus.publish(OrderCreated(order_id=order_id), **options)

    async def handled(self, *order_ids, **options) -> None:
        """Publish orders and let a worker handle them, which then ends."""
        async with running(self.worker(**options)) as run:
            await self.publish(*order_ids)
            await run.idle()

    async def pending(self, group="charge") -> int:
        """How many entries of the topic are pending."""
        return (await self.redis.xpending("orders", group))["pending"]

    async def dead(self) -> int:
        """How many dead letters there are."""
        return await self.redis.xlen(keys.dead("orders", "charge"))


@asynccontextmanager
async def never_served(shop: Shop):
    """Orders are published, and no worker was ever started."""
    await shop.publish("o-1", "o-2", "o-3")
    yield


@asynccontextmanager
async def worker_gone(shop: Shop):
    """A worker handled some orders and ended; more came."""
    await shop.handled("o-1", "o-2", "o-3")
    await shop.publish("o-4", "o-5")
    yield


@asynccontextmanager
async def began_at_the_end(shop: Shop):
    """The group was made with `start="latest"` when orders stood there already."""
    await shop.publish("o-1", "o-2", "o-3")
    async with running(shop.worker(start="latest")) as run:
        await run.idle()
        yield


@asynccontextmanager
async def type_unknown(shop: Shop):
    """An event of a type that no handler of the group names."""
    async with running(shop.worker()) as run:
        async with EventBus(shop.url, service="shop") as bus:
            await bus.publish(OrderPaid(order_id="o-1"))
        await run.idle()
        yield


@asynccontextmanager
async def all_busy(shop: Shop):
    """Both handlers that may run wait for something that does not come."""
    await shop.publish(*(f"waits-{number}" for number in range(6)))
    bus = shop.worker(concurrency=2, prefetch=2, drain=0.01)
    async with bus, bus.consuming():
        await until(lambda: _equals(shop.pending(), 3))
        yield


@asynccontextmanager
async def group_lost(shop: Shop):
    """Somebody destroyed the group twice: while its worker lived, which made it anew, and when none did."""
    async with running(shop.worker()) as run:
        await shop.publish("o-1", "o-2")
        await run.idle()
        await shop.redis.xgroup_destroy("orders", "charge")
        await until(lambda: shop.redis.xinfo_groups("orders"))
        await run.idle()
    await shop.redis.xgroup_destroy("orders", "charge")
    yield


@asynccontextmanager
async def unserved(shop: Shop):
    """The handler of "reports" was removed from the program nine days ago; its group is still there."""
    await shop.handled("o-1", group="reports")
    await shop.redis.hset(keys.group("orders", "reports"), "served", int((await shop.redis.time())[0]) * 1000 - 9 * DAY)
    await shop.handled("o-2", "o-3", "o-4", "o-5", "o-6")
    yield


@asynccontextmanager
async def foreign_group(shop: Shop):
    """Another program made a group, read one entry and stopped."""
    await shop.redis.xgroup_create("orders", "analytics", "0", mkstream=True)
    await shop.publish("o-1")
    await read_as(shop.redis, "analytics-1", 1, stream="orders", group="analytics")
    await shop.handled("o-2", "o-3", "o-4", "o-5", "o-6")
    yield


@asynccontextmanager
async def parked_for_another(shop: Shop):
    """A member knew the type and is gone; those that live do not."""
    known = EventBus(shop.url, service="billing", lease=1, claim_interval=0.05)

    @known.subscribe(OrderPaid, group="charge")
    async def close(event: OrderPaid) -> None: ...

    async with running(known) as run:
        await run.idle()
    async with running(shop.worker()):
        async with EventBus(shop.url, service="shop") as bus:
            await bus.publish(OrderPaid(order_id="o-1"))
        await until(lambda: _equals(shop.redis.xlen(keys.parked("orders", "charge")), 1))
        yield


@asynccontextmanager
async def overdue(shop: Shop):
    """What is scheduled came to its time when no bus of the topic was open any more."""
    await shop.publish("o-1", delay=timedelta(seconds=1))  # it would be promoted by this very bus, if that were not closed by then
    ((_, due),) = await shop.redis.zrange(keys.scheduled_due("orders"), 0, -1, withscores=True)
    await until(lambda: _past(shop.redis, due))
    yield


@asynccontextmanager
async def full(shop: Shop):
    """Redis is at its `maxmemory` and evicts nothing."""
    await shop.handled("o-1")
    await shop.redis.config_set("maxmemory-policy", "noeviction")
    await shop.redis.config_set("maxmemory", "1mb")
    yield
    await shop.redis.config_set("maxmemory", 0)


@asynccontextmanager
async def evicting(shop: Shop):
    """A limit with a policy that may evict streams, found when a bus opens."""
    await shop.redis.config_set("maxmemory", "1gb")
    await shop.redis.config_set("maxmemory-policy", "allkeys-lru")
    await shop.handled("o-1")
    yield
    await shop.redis.config_set("maxmemory-policy", "noeviction")
    await shop.redis.config_set("maxmemory", 0)


@asynccontextmanager
async def dying(shop: Shop):
    """A worker died while it held two entries; in the end another one takes them over."""
    await shop.handled("o-1")
    await shop.publish("o-2", "o-3")
    assert len(await read_as(shop.redis, "billing.vm.4711.0a1b2c3d", 2, stream="orders", group="charge")) == 2
    await expire(shop.redis, "billing.vm.4711.0a1b2c3d", stream="orders", group="charge", seconds=252)
    yield
    async with running(shop.worker()):
        await until(lambda: _equals(shop.pending(), 0))


@asynccontextmanager
async def failing(shop: Shop):
    """A handler that raises as often as it may."""
    async with running(shop.worker()) as run:
        await shop.publish("o-1", "fails-1")
        await until(lambda: _equals(shop.dead(), 1))
        await run.idle()
        yield


@asynccontextmanager
async def failing_for_now(shop: Shop):
    """A handler raised, and its event waits for its next attempt."""
    async with running(shop.worker(retry=Retry(attempts=5, backoff=[3600]))):
        await shop.publish("fails-1")
        await until(lambda: _equals(shop.redis.xlen(keys.parked("orders", "charge")), 1))
        yield


@asynccontextmanager
async def published_twice(shop: Shop):
    """A publisher sent the same event again, after an answer that was lost."""
    order = OrderCreated(order_id="o-1")
    async with EventBus(shop.url, service="shop") as bus:
        await bus.publish(order)
        await bus.publish(order)
    yield


@asynccontextmanager
async def other_type(shop: Shop):
    """The topic's name is the key of something else."""
    await shop.redis.hset("orders", "o-1", "9.99")
    yield


@asynccontextmanager
async def replica(shop: Shop):
    """The server follows another one, as after a failover."""
    await shop.handled("o-1")
    await shop.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    yield
    await shop.redis.execute_command("REPLICAOF", "NO", "ONE")


@asynccontextmanager
async def forbidden(shop: Shop):
    """The Redis user may not write to the topic."""
    await shop.redis.execute_command("ACL", "SETUSER", "shop", "on", ">secret", "~invoices", "+@all")
    yield
    await shop.redis.acl_deluser("shop")


async def _past(redis, due) -> bool:
    seconds, micros = await redis.time()
    return seconds * 1000 + micros // 1000 > due


async def _equals(reading, number) -> bool:
    return await reading == number


TROUBLES = {
    "No worker was ever started": never_served,
    "The worker is gone": worker_gone,
    "The worker looks elsewhere": worker_gone,
    "The group began at the end": began_at_the_end,
    "No handler names the type": type_unknown,
    "Every handler is busy": all_busy,
    "The group was lost": group_lost,
    "A group that nobody serves": unserved,
    "A group of another program": foreign_group,
    "Events for a member that is gone": parked_for_another,
    "Scheduled events that are overdue": overdue,
    "Redis is full": full,
    "Redis may evict streams": evicting,
    "A worker died": dying,
    "It waits for its next attempt": failing_for_now,
    "The publisher sent it twice": published_twice,
    "The handler fails": failing,
    "The key is something else": other_type,
    "The server is a replica": replica,
    "The user may not": forbidden,
}
"""The headings of the page under which commands are shown, and what makes them print that."""
