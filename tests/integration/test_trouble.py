"""Lost replies, cut connections, lost groups: single schedules; `trouble/` asks the same of every trouble under load."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from redis.asyncio import Redis

from eventbus import BackendRefused, EventBus
from eventbus.delivery import Health
from eventbus.testing import running
from tests.support.events import OrderCreated, orders
from tests.support.proxy import proxy_to


def charging_bus(url, seen, **options):
    """A bus with one handler that notes the ids of its orders."""
    bus = EventBus(url, service="billing")

    @bus.subscribe(OrderCreated, group="charge", **options)
    async def charge(event: OrderCreated) -> None:
        await asyncio.sleep(0)
        seen[event.order_id] += 1

    return bus


async def until(condition):
    """Let the loop turn until a condition holds; the test's timeout bounds it."""
    while not condition():
        await asyncio.sleep(0.001)


async def test_a_lost_read_reply_is_recovered_and_each_event_is_handled_once(redis_url, redis_client):
    """The entries are pending for this consumer, which has never seen them."""
    seen = Counter()
    async with proxy_to(redis_url) as proxy, EventBus(redis_url, service="shop") as shop:
        bus = charging_bus(proxy.url, seen)
        async with running(bus) as run:
            proxy.lose_reply(to=b"XREADGROUP", containing=b"o-0")
            await shop.publish_many(orders(20))
            await proxy.lost.wait()
            await run.idle(timeout=20)
            assert bus.consumers[0].counts.recovered > 0
    assert seen == Counter({f"o-{number}": 1 for number in range(20)})


async def test_a_lost_ack_reply_is_sent_again_and_nothing_runs_twice(redis_url, redis_client):
    """What was handled stays in hand until Redis answered."""
    seen = Counter()
    async with proxy_to(redis_url) as proxy:
        bus = charging_bus(proxy.url, seen)
        async with running(bus) as run:
            await bus.publish(OrderCreated(order_id="first"))
            await run.idle()
            proxy.lose_reply(to=b"EVALSHA", containing=b":1")
            await bus.publish(OrderCreated(order_id="second"))
            await proxy.lost.wait()
            await run.idle(timeout=20)
            await until(lambda: not bus.consumers[0].in_hand)
            assert bus.consumers[0].counts.late_acks == 1
    assert seen == {"first": 1, "second": 1}


async def test_every_connection_cut_again_and_again_loses_and_doubles_nothing(redis_url, redis_client):
    """Own recovery sees to it: an entry is read again only where it was never seen."""
    seen = Counter()
    async with proxy_to(redis_url) as proxy, EventBus(redis_url, service="shop") as shop:
        bus = charging_bus(proxy.url, seen)
        async with running(bus) as run:
            for number in range(10):
                await shop.publish_many([OrderCreated(order_id=f"{number}-{each}") for each in range(30)])
                proxy.cut()
            await run.idle(timeout=30)
    assert len(seen) == 300
    assert set(seen.values()) == {1}


async def test_a_dead_connection_is_said_once_and_shown_in_the_loops_health(redis_url, caplog):
    """One warning an outage, not one a try; and one line when it goes on."""
    seen = Counter()
    async with proxy_to(redis_url) as proxy:
        bus = charging_bus(proxy.url, seen)
        async with running(bus) as run:
            (fetch,) = [loop for loop in bus.loops if loop.name.startswith("fetching")]
            await until(lambda: fetch.health is Health.RUNNING or fetch.health is Health.STARTING)
            proxy.refusing = True
            proxy.cut()
            await until(lambda: fetch.failures >= 3)
            assert fetch.health is Health.FAILING
            proxy.refusing = False
            await bus.publish(OrderCreated(order_id="1"))
            await run.idle(timeout=20)
            await until(lambda: fetch.health is Health.RUNNING)
    assert caplog.text.count("fetching orders/charge waits for Redis") == 1
    assert caplog.text.count("fetching orders/charge goes on") == 1


async def test_a_flush_while_a_handler_runs_writes_nothing_for_the_old_entry(redis_url, redis_client):
    """Its acknowledgement would settle another event, should the id be used again."""
    started, release = asyncio.Event(), asyncio.Event()
    bus = EventBus(redis_url, service="billing")
    seen = []

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        seen.append(event.order_id)
        if event.order_id == "old":
            started.set()
            await release.wait()

    async with running(bus) as run:
        old = await bus.publish(OrderCreated(order_id="old"))
        await started.wait()
        await redis_client.flushall()
        other = {"specversion": "1.0", "id": "x", "type": "OrderCreated", "source": "/shop", "data": '{"order_id":"new"}'}
        await redis_client.xadd("orders", other, id=old.entry_id)
        await until(lambda: "new" in seen)
        release.set()
        await run.idle()
        counts = bus.consumers[0].counts
        await until(lambda: counts.orphaned == 1)
        assert counts.acknowledged == 1
    assert seen == ["old", "new"]


async def test_a_destroyed_group_restarts_at_the_earliest_entry(redis_url, redis_client):
    """Nobody knows what others had settled: events may be handled again, none is passed over."""
    seen = Counter()
    bus = charging_bus(redis_url, seen)
    async with running(bus) as run:
        await bus.publish_many(orders(3))
        await run.idle()
        await redis_client.xgroup_destroy("orders", "charge")
        await until(lambda: sum(seen.values()) == 6)
        await run.idle()
    assert seen == {"o-0": 2, "o-1": 2, "o-2": 2}


async def test_a_deleted_token_is_made_anew_and_the_running_handler_keeps_its_entry(redis_url, redis_client):
    """The rows are still ours: they are adopted under the new token, not run again."""
    started, release = asyncio.Event(), asyncio.Event()
    bus = EventBus(redis_url, service="billing")
    seen = Counter()

    @bus.subscribe(OrderCreated, group="charge", concurrency=2)
    async def charge(event: OrderCreated) -> None:
        seen[event.order_id] += 1
        if event.order_id == "slow":
            started.set()
            await release.wait()

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="slow"))
        await started.wait()
        await redis_client.delete("{orders}:group:charge")
        await bus.publish(OrderCreated(order_id="quick"))
        await until(lambda: bus.consumers[0].counts.recovered == 1)  # the quick one, whose ack was refused
        release.set()
        await run.idle(timeout=10)
    assert seen == {"slow": 1, "quick": 2}


async def test_at_maxmemory_a_worker_still_starts_and_works_off_what_is_there(own_server):
    """Publishing is refused by name; reading and acknowledging need no memory."""
    server = own_server()
    seen = Counter()
    async with EventBus(server.url, service="shop") as shop, Redis.from_url(server.url) as client:
        async with running(charging_bus(server.url, seen)):
            pass
        await shop.publish_many(orders(3))
        await client.config_set("maxmemory", "1")
        with pytest.raises(BackendRefused, match="maxmemory") as caught:
            await shop.publish(OrderCreated(order_id="too much"))
        assert caught.value.code == "OOM"
        async with running(charging_bus(server.url, seen)) as run:
            await run.idle()
        await client.config_set("maxmemory", "0")
    assert seen == {"o-0": 1, "o-1": 1, "o-2": 1}


async def test_a_group_of_another_client_is_adopted_where_it_is(redis_url, redis_client):
    """Fifty lines of redis-py made it; its position counts."""
    async with EventBus(redis_url, service="shop") as shop:
        await shop.publish_many(orders(3))
        await redis_client.xgroup_create("orders", "charge", id="0")
        await redis_client.xreadgroup("charge", "theirs", {"orders": ">"}, count=2)
        seen = Counter()
        async with running(charging_bus(redis_url, seen)):
            await until(lambda: seen["o-2"])
    assert seen == {"o-2": 1}


@pytest.mark.parametrize("lose", ["flushall", "xgroup_destroy"])
async def test_a_test_may_wait_until_idle_right_after_the_group_was_lost(redis_url, redis_client, lose):
    """The bus is busy until the worker has made the group anew."""
    seen = Counter()
    bus = charging_bus(redis_url, seen)
    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="1"))
        await run.idle()
        await getattr(redis_client, lose)(*([] if lose == "flushall" else ["orders", "charge"]))
        await run.idle(timeout=20)
        assert bus.consumers[0].counts.regrouped == 1
