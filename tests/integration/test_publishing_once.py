"""Publishes that are stored once for a key, or under an entry id of their own, on a real Redis that loses answers."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from eventbus import BackendRefused, BackendUnavailable, EncodeError, EntryIdTooLow, Event, EventBus, PublishIncomplete, Topic
from eventbus.streams import keys
from tests.support.events import OrderCreated, orders
from tests.support.proxy import proxy_to


class Tasked(Event, topic=Topic("tasks", priorities=("high", "normal"))):
    """An event of a topic with priorities."""

    name: str


# -- once for a key


async def test_a_second_publish_with_a_key_is_told_of_the_first(redis_url, redis_client):
    """Whoever published it, whatever event it was."""
    async with EventBus(redis_url, service="shop") as bus, EventBus(redis_url, service="other") as other:
        first = await bus.publish(OrderCreated(order_id="o-1"), idempotency_key="order 1 {of} today")
        assert await other.publish(OrderCreated(order_id="o-2"), idempotency_key="order 1 {of} today") == first
        await other.publish(OrderCreated(order_id="o-3"), idempotency_key="order 3")
    assert [fields["partitionkey"] for _, fields in await redis_client.xrange("orders")] == ["o-1", "o-3"]


async def test_an_event_whose_answer_was_lost_is_stored_once(redis_url, redis_client):
    """The entry id is that of the try that nobody heard of."""
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="shop") as bus:
        for number in range(3):
            proxy.lose_reply(to=b"EVAL")
            published = await bus.publish(OrderCreated(order_id=f"o-{number}"), idempotency_key=True)
            assert proxy.lost.is_set()
            assert (await redis_client.xrange("orders"))[-1][0] == published.entry_id
    assert await redis_client.xlen("orders") == 3


async def test_a_publish_that_was_given_up_is_found_by_the_next(redis_url, redis_client):
    """The program tries again, and nothing stands twice."""
    event = OrderCreated(order_id="o-1")
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="shop") as bus:
        await bus.publish(OrderCreated(order_id="o-0"))
        proxy.lose_reply(to=b"EVAL")
        proxy.refusing = True
        with pytest.raises(BackendUnavailable, match="may or may not"):
            await bus.publish(event, idempotency_key=True, timeout=0.3)
        proxy.refusing = False
        published = await bus.publish(event, idempotency_key=True)
    assert [entry_id for entry_id, _ in await redis_client.xrange("orders")][1:] == [published.entry_id]


async def test_of_a_crowd_with_one_key_one_is_stored(redis_url, redis_client):
    """All are told of the same."""
    async with EventBus(redis_url, service="shop") as bus, EventBus(redis_url, service="other") as other:
        told = await asyncio.gather(
            *((bus, other)[n % 2].publish(OrderCreated(order_id=f"o-{n}"), idempotency_key="k", priority="normal") for n in range(200))
        )
    assert len(set(told)) == 1
    assert await redis_client.xlen("orders") == 1


@pytest.mark.parametrize("asked", [{"idempotency_key": "k"}, {"entry_id": "5-1"}, {"delay": 60}], ids=repr)
async def test_what_a_demoted_primary_refuses_is_tried_again(redis_server, asked):
    """As a plain publish is; by its word, which 6.2 wraps."""
    async with (
        EventBus(redis_server.url, service="shop") as bus,
        Redis.from_url(redis_server.url) as client,
        asyncio.timeout(20),
    ):
        await client.replicaof("127.0.0.1", "1")
        published = asyncio.ensure_future(bus.publish(OrderCreated(order_id="o-1"), **asked))
        while not bus.runtime.publisher.counts.retries:
            await asyncio.sleep(0)
        await client.replicaof("NO", "ONE")
        assert (await published).topic == "orders"


@pytest.mark.parametrize("asked", [{"idempotency_key": "k"}, {"entry_id": "5-1"}, {"delay": 60}], ids=repr)
async def test_without_memory_it_is_refused_by_that_word(redis_server, asked):
    """Whatever a publish asks for."""
    async with EventBus(redis_server.url, service="shop") as bus, Redis.from_url(redis_server.url) as client:
        await client.config_set("maxmemory", "1")
        with pytest.raises(BackendRefused) as caught:
            await bus.publish(OrderCreated(order_id="o-1"), **asked)
    assert caught.value.code == "OOM"


@pytest.mark.parametrize(
    "value",
    ["abc 12 e", b"\xff 5 \xff", b"1-0 5 \xff", "1-0 " + "9" * 30 + " e", "1-0 999999999999999 e", "1-0 9999999999999 e", "", "x"],
    ids=range(8),
)
async def test_what_another_hand_wrote_under_a_key_costs_nobody_his_publishes(redis_url, redis_client, value):
    """An answer that could not be read would end the connection that all of them share, at each try again."""
    await redis_client.set(keys.once("orders", "k"), value)
    async with EventBus(redis_url, service="shop") as bus:
        keyed, plain = await asyncio.gather(
            bus.publish(OrderCreated(order_id="o-1"), idempotency_key="k"), bus.publish(OrderCreated(order_id="o-2"))
        )
        assert bus.runtime.publisher.counts.retries == 0
    assert (keyed.topic, plain.topic) == ("orders", "orders")
    assert plain.entry_id in [entry_id for entry_id, _ in await redis_client.xrange("orders")]


async def test_a_key_is_remembered_for_its_window(redis_url, redis_client):
    """A day, unless it is said."""
    async with EventBus(redis_url, service="shop") as bus:
        await bus.publish(OrderCreated(order_id="o-1"), idempotency_key="day")
        await bus.publish(OrderCreated(order_id="o-1"), idempotency_key="minute", idempotency_window=60)
        assert 86_000_000 < await redis_client.pttl("{orders}:once:day") <= 86_400_000
        assert 50_000 < await redis_client.pttl("{orders}:once:minute") <= 60_000
        await redis_client.pexpire("{orders}:once:minute", 0)
        await bus.publish(OrderCreated(order_id="o-2"), idempotency_key="minute")
    assert await redis_client.xlen("orders") == 3


async def test_a_key_belongs_to_its_topic_whatever_the_priority(redis_url, redis_client):
    """Another topic has keys of its own."""
    async with EventBus(redis_url, service="shop") as bus:
        first = await bus.publish(Tasked(name="a"), idempotency_key="k", priority="high")
        assert await bus.publish(Tasked(name="b"), idempotency_key="k") == first
        await bus.publish(Tasked(name="c"), idempotency_key="k", topic="elsewhere")
    assert [await redis_client.xlen(key) for key in ("{tasks}:p:high", "tasks", "elsewhere")] == [1, 0, 1]


async def test_each_event_of_a_batch_is_stored_once_by_its_own_id(redis_url, redis_client):
    """A batch that failed may be published again as a whole."""
    events = orders(1_000)
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="shop") as bus:
        await bus.publish(OrderCreated(order_id="o"), topic="elsewhere")
        proxy.lose_reply(to=b"EVAL")
        proxy.refusing = True
        with pytest.raises(PublishIncomplete):
            await bus.publish_many(events, idempotency_key=True, timeout=0.5)
        proxy.refusing = False
        records = await bus.publish_many(events, idempotency_key=True)
        assert await bus.publish_many(events, idempotency_key=True) == records
    assert [entry_id for entry_id, _ in await redis_client.xrange("orders")] == [record.entry_id for record in records]


async def test_the_longest_key_is_taken(redis_url, redis_client):
    """512 bytes, whatever they are."""
    key = "é" * 256
    async with EventBus(redis_url, service="shop") as bus:
        await bus.publish(OrderCreated(order_id="o-1"), idempotency_key=key)
    assert await redis_client.exists(f"{{orders}}:once:{key}")


async def test_an_event_with_more_attributes_than_a_script_can_write_is_refused(redis_url, redis_client):
    """Before anything is written; a plain publish takes it."""
    headers = {f"h{number}": "x" for number in range(4_000)}
    async with EventBus(redis_url, service="shop") as bus:
        with pytest.raises(EncodeError, match="attributes"):
            await bus.publish(OrderCreated(order_id="o-1"), headers=headers, idempotency_key="k")
        assert await redis_client.keys() == []
        few = dict(list(headers.items())[:3_400])
        await bus.publish(OrderCreated(order_id="o-1"), headers=few, delay=0.01)
        await redis_client.xread({"orders": "0"}, block=10_000)
        await bus.publish(OrderCreated(order_id="o-1"), headers=headers)


# -- entry ids of their own


async def test_an_entry_has_the_id_that_was_given(redis_url, redis_client):
    """Without its second number it is the first of its millisecond."""
    async with EventBus(redis_url, service="shop") as bus:
        told = [await bus.publish(OrderCreated(order_id="o"), entry_id=each) for each in ("0-1", "5", "5-3", "1526919030474-55")]
    assert [each.entry_id for each in told] == ["0-1", "5-0", "5-3", "1526919030474-55"]
    assert [entry_id for entry_id, _ in await redis_client.xrange("orders")] == [each.entry_id for each in told]


@pytest.mark.parametrize("entry_id", ["5-0", "5", "4-99", "0-1"])
async def test_an_id_that_is_not_above_the_last_is_refused_and_the_last_is_told(redis_url, redis_client, entry_id):
    """Also where the entry of that id is deleted: the stream remembers."""
    async with EventBus(redis_url, service="shop") as bus:
        await bus.publish(OrderCreated(order_id="o-1"), entry_id="5-0")
        with pytest.raises(EntryIdTooLow, match="not above 5-0") as caught:
            await bus.publish(OrderCreated(order_id="o-2"), entry_id=entry_id)
        assert (caught.value.last, caught.value.code) == ("5-0", "IDTOOLOW")
        await redis_client.xdel("orders", "5-0")
        with pytest.raises(EntryIdTooLow):
            await bus.publish(OrderCreated(order_id="o-2"), entry_id=entry_id, idempotency_key="k")
    assert await redis_client.exists("{orders}:once:k") == 0


async def test_an_entry_whose_answer_was_lost_is_found_under_its_id(redis_url, redis_client):
    """It is no error that it is not above the last: it is the last, or was."""
    event = OrderCreated(order_id="o-1")
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="shop") as bus:
        proxy.lose_reply(to=b"EVAL")
        published = await bus.publish(event, entry_id="5-1")
        assert (proxy.lost.is_set(), published.entry_id) == (True, "5-1")
        await bus.publish(OrderCreated(order_id="o-2"), entry_id="6-0")
        assert await bus.publish(event, entry_id="5-1") == published
    assert await redis_client.xlen("orders") == 2


async def test_ids_and_keys_go_together(redis_url, redis_client):
    """The key is looked at first."""
    async with EventBus(redis_url, service="shop") as bus:
        first = await bus.publish(OrderCreated(order_id="o-1"), entry_id="5-1", idempotency_key="k")
        assert await bus.publish(OrderCreated(order_id="o-1"), entry_id="4-1", idempotency_key="k") == first


async def test_the_last_id_there_can_be_is_the_last(redis_url, redis_client):
    """What Redis says then is passed on."""
    last = f"{2**64 - 1}-{2**64 - 1}"
    async with EventBus(redis_url, service="shop") as bus:
        await bus.publish(OrderCreated(order_id="o-1"), entry_id=last)
        with pytest.raises(EntryIdTooLow) as caught:
            await bus.publish(OrderCreated(order_id="o-2"), entry_id="7-1")
    assert caught.value.last == last
