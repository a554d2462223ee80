"""What `publish` promises, on a real Redis."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

from eventbus import (
    BackendRefused,
    BackendUnavailable,
    ConfigurationError,
    EncodeError,
    Event,
    EventBus,
    EventTooLarge,
    LifecycleError,
    PublishIncomplete,
    Topic,
)
from tests.support.events import OrderCreated, orders
from tests.support.proxy import proxy_to


async def test_a_confirmed_event_stands_in_its_stream_under_the_returned_ids(redis_url, redis_client):
    """`Published` names what redis-cli finds."""
    async with EventBus(redis_url, service="shop") as bus:
        published = await bus.publish(OrderCreated(order_id="o-1"), headers={"tenant": "acme"})
    ((entry_id, fields),) = await redis_client.xrange("orders")
    assert (entry_id, fields["id"]) == (published.entry_id, published.event_id)
    assert (fields["source"], fields["type"], fields["tenant"]) == ("/shop", "OrderCreated", "acme")
    assert published.topic == "orders"


async def test_a_gather_of_ten_thousand_is_written_in_few_writes_and_in_order(redis_url, redis_client):
    """Publishes made together travel together."""
    events = orders(10_000)
    async with EventBus(redis_url, service="shop") as bus:
        published = await asyncio.gather(*(bus.publish(event) for event in events))
        writes = bus._runtime.publisher.counts.writes
    assert writes <= 21
    stored = await redis_client.xrange("orders")
    assert [entry_id for entry_id, _ in stored] == [record.entry_id for record in published]
    assert len({record.event_id for record in published}) == len(events)


async def test_publish_many_returns_a_record_per_event_in_order(redis_url, redis_client):
    """The records are those of the events, one by one."""
    async with EventBus(redis_url, service="shop") as bus:
        records = await bus.publish_many(orders(1_200))
    stored = {fields["id"]: entry_id for entry_id, fields in await redis_client.xrange("orders")}
    assert [stored[record.event_id] for record in records] == [record.entry_id for record in records]
    assert len(records) == 1_200


async def test_one_wrong_event_in_a_batch_means_that_nothing_is_written(redis_url, redis_client):
    """A batch is encoded before its first write."""
    events = [*orders(3), OrderCreated(order_id="x" * 2_000)]
    async with EventBus(redis_url, service="shop", max_event_bytes=1_000) as bus:
        with pytest.raises(EventTooLarge):
            await bus.publish_many(events)
    assert await redis_client.exists("orders") == 0


async def test_an_event_without_topic_is_refused_unless_one_is_named(redis_url, redis_client):
    """An abstract event has no place of its own."""

    class Abstract(Event):
        n: int

    async with EventBus(redis_url, service="shop") as bus:
        with pytest.raises(EncodeError, match="Abstract names no topic"):
            await bus.publish(Abstract(n=1))
        published = await bus.publish(Abstract(n=1), topic="elsewhere")
    assert published.topic == "elsewhere"
    assert await redis_client.keys() == ["elsewhere"]


async def test_what_is_no_event_is_refused_by_name(redis_url):
    """A dict is not published by accident."""
    async with EventBus(redis_url, service="shop") as bus:
        with pytest.raises(EncodeError, match="dict is no event"):
            await bus.publish({"order_id": "1"})  # type: ignore[arg-type]


async def test_a_stream_of_another_redis_type_is_a_named_refusal(redis_url, redis_client):
    """WRONGTYPE says what to do."""
    await redis_client.set("orders", "a string")
    async with EventBus(redis_url, service="shop") as bus:
        with pytest.raises(BackendRefused, match="another topic name") as caught:
            await bus.publish(OrderCreated(order_id="1"))
    assert caught.value.code == "WRONGTYPE"


async def test_publish_many_tells_refused_events_from_written_ones(redis_url, redis_client):
    """A batch that Redis refuses says which events are certainly not written."""
    await redis_client.set("orders", "a string")
    async with EventBus(redis_url, service="shop") as bus:
        with pytest.raises(PublishIncomplete) as caught:
            await bus.publish_many(orders(3))
    assert [failed.index for failed in caught.value.refused] == [0, 1, 2]
    assert caught.value.written == caught.value.unknown == ()


async def test_a_lost_answer_is_repeated_under_the_same_event_id(redis_url, redis_client):
    """The event may stand twice, and consumers can tell: the id is one."""
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="shop") as bus:
        proxy.lose_reply(to=b"XADD")
        published = await bus.publish(OrderCreated(order_id="1"))
        assert proxy.lost.is_set()
    stored = await redis_client.xrange("orders")
    assert [fields["id"] for _, fields in stored] == [published.event_id] * 2
    assert stored[-1][0] == published.entry_id


async def test_without_an_answer_the_event_is_unknown_and_the_error_carries_its_id(redis_url, redis_client):
    """A timed-out publish is not a failed one."""
    event = OrderCreated(order_id="1")
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="shop") as bus:
        await bus.publish(OrderCreated(order_id="0"))
        proxy.lose_reply(to=b"XADD")
        proxy.refusing = True
        with pytest.raises(BackendUnavailable, match="may or may not") as caught:
            await bus.publish(event, timeout=0.3)
        assert caught.value.maybe_executed
        proxy.refusing = False
        published = await bus.publish(event)
    assert published.event_id == caught.value.event_id
    assert [fields["id"] for _, fields in await redis_client.xrange("orders")][1:] == [published.event_id] * 2


async def test_an_event_that_never_left_is_known_not_to_be_written(redis_url, redis_client):
    """Where Redis cannot be reached, nothing was executed."""
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="shop") as bus:
        proxy.refusing = True
        proxy.cut()
        with pytest.raises(BackendUnavailable, match="it was not written") as caught:
            await bus.publish(OrderCreated(order_id="1"), timeout=0.2)
        with pytest.raises(PublishIncomplete) as batch:
            await bus.publish_many(orders(2), timeout=0.2)
    assert not caught.value.maybe_executed
    assert len(batch.value.refused) == 2
    assert await redis_client.exists("orders") == 0


async def test_a_cancelled_publish_that_was_not_sent_is_not_written(redis_url, redis_client):
    """Its caller is gone; so is the event."""
    async with EventBus(redis_url, service="shop") as bus:
        task = asyncio.ensure_future(bus.publish(OrderCreated(order_id="1")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await bus.publish(OrderCreated(order_id="2"))
    assert [fields["data"] for _, fields in await redis_client.xrange("orders")] == ['{"order_id":"2","total":"9.99"}']


async def test_a_bus_says_in_which_order_it_is_to_be_used(redis_url):
    """Before, twice, after: each has its sentence."""
    bus = EventBus(redis_url, service="shop")
    with pytest.raises(LifecycleError, match="not open yet"):
        await bus.publish(OrderCreated(order_id="1"))
    async with bus:
        with pytest.raises(LifecycleError, match="open already"):
            await bus.open()
    with pytest.raises(LifecycleError, match="closed"):
        await bus.publish(OrderCreated(order_id="1"))


async def test_closing_waits_for_publishes_under_way(redis_url, redis_client):
    """Whoever published before the close gets an answer."""
    bus = EventBus(redis_url, service="shop")
    async with bus:
        tasks = [asyncio.ensure_future(bus.publish(event)) for event in orders(50)]
        await asyncio.sleep(0)
    assert len([await task for task in tasks]) == await redis_client.xlen("orders") == 50


async def test_another_thread_publishes_on_the_loop_of_the_bus(redis_url):
    """As with any coroutine; it begins there, where it is awaited."""
    async with EventBus(redis_url, service="shop") as bus:
        loop = asyncio.get_running_loop()

        def elsewhere():
            return asyncio.run_coroutine_threadsafe(bus.publish(OrderCreated(order_id="1")), loop).result(10)

        record = await asyncio.to_thread(elsewhere)
    assert record.topic == "orders"


async def test_a_publish_begins_when_it_is_called(redis_url, redis_client):
    """Also where nobody awaits it; closing waits for it."""
    async with EventBus(redis_url, service="shop") as bus:
        _ = bus.publish(OrderCreated(order_id="1"))
    assert await redis_client.xlen("orders") == 1


def test_synchronous_code_publishes_from_any_thread(redis_url):
    """`bus.blocking()` brings its own loop."""
    with EventBus(redis_url, service="shop").blocking() as bus:
        one = bus.publish(OrderCreated(order_id="1"))
        many = bus.publish_many(orders(3))
    assert len({record.event_id for record in (one, *many)}) == 4


async def test_blocking_is_refused_on_a_running_loop(redis_url):
    """It would block every other task."""
    with pytest.raises(LifecycleError, match="would block the running event loop"), EventBus(redis_url, service="shop").blocking():
        pass


class Tasked(Event, topic=Topic("tasks", priorities=("high", "normal", "low"))):
    """An event of a topic with priorities."""

    name: str


async def test_each_priority_has_a_stream_that_redis_cli_finds(redis_url, redis_client):
    """One at a time, many, and from synchronous code."""
    async with EventBus(redis_url, service="shop", prefix="x.") as bus:
        urgent = await bus.publish(Tasked(name="a"), priority="high")
        await bus.publish_many([Tasked(name="b"), Tasked(name="c")], priority="low")
        await bus.publish(Tasked(name="d"))
        with pytest.raises(ConfigurationError, match="'high', 'normal', 'low'"):
            await bus.publish(Tasked(name="e"), priority="urgent")
    ((entry_id, fields),) = await redis_client.xrange("{x.tasks}:p:high")
    assert (entry_id, fields["id"]) == (urgent.entry_id, urgent.event_id)
    assert [await redis_client.xlen(key) for key in ("{x.tasks}:p:low", "x.tasks")] == [2, 1]


def test_synchronous_code_gives_a_priority_too(redis_url):
    """The same argument."""
    with EventBus(redis_url, service="shop").blocking() as bus:
        bus.publish(Tasked(name="a"), priority="high")
        bus.publish_many([Tasked(name="a")], priority="high")
    with Redis.from_url(redis_url) as client:
        assert client.xlen("{tasks}:p:high") == 2
