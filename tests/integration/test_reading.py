"""Tails and histories on a real Redis of both ages: what they see, what they say they missed, and how they end."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from eventbus import BackendRefused, BackendUnavailable, Event, EventBus, LifecycleError, Topic
from eventbus.streams import keys
from eventbus.streams.ranges import PAGE, PAGE_BYTES
from tests.support.events import OrderCreated, OrderPaid, orders
from tests.support.proxy import proxy_to
from tests.support.redis_hands import until


class Task(Event, topic=Topic("tasks", priorities=("high", "normal", "low"))):
    name: str


def names(events):
    return [event.order_id for event in events]


async def take(reading, count):
    return [await anext(reading) for _ in range(count)]


async def is_waiting(redis, count=1):
    await until(lambda: blocked(redis, count))


async def blocked(redis, count):
    return (await redis.info("clients"))["blocked_clients"] == count


async def counts_entries(redis):
    """Whether the server says how many entries a stream ever had: 7.0 and later."""
    return int((await redis.info("server"))["redis_version"].partition(".")[0]) >= 7


@pytest.fixture
async def bus(redis_url):
    async with EventBus(redis_url, service="reader") as bus:
        yield bus


# -- what a tail sees


async def test_a_tail_sees_what_is_published_after_it_began_and_nothing_before(bus):
    """It is an id from then on; entering the block is when it begins."""
    await bus.publish_many(orders(3))
    async with bus.tail(OrderCreated) as tail:
        await bus.publish(OrderCreated(order_id="new"))
        assert names(await take(tail, 1)) == ["new"]


async def test_a_tail_of_a_topic_that_does_not_exist_sees_its_first_event(bus, redis_client):
    """And makes no key."""
    async with bus.tail(OrderCreated) as tail:
        assert await redis_client.keys() == []
        await bus.publish(OrderCreated(order_id="first"))
        assert names(await take(tail, 1)) == ["first"]
        assert tail.gaps == 0


async def test_a_waiting_tail_is_woken_by_the_event(bus, redis_client):
    """It waits in Redis, not by looking again and again."""
    async with bus.tail(OrderCreated) as tail:
        waiting = asyncio.ensure_future(anext(tail))
        await is_waiting(redis_client)
        await bus.publish(OrderCreated(order_id="it"))
        assert (await waiting).order_id == "it"


@pytest.mark.parametrize("start", ["id", "time", "earliest", "place"])
async def test_a_tail_begins_where_it_is_told_to(bus, start):
    """After an id, from a time on, with everything, or where an earlier one was."""
    written = [await bus.publish(order) for order in orders(3)]
    async with bus.tail(OrderCreated, start="earliest") as earlier:
        await take(earlier, 2)
        place = earlier.place
    starts = {"id": written[0].entry_id, "time": datetime.now(UTC) - timedelta(hours=1), "earliest": "earliest", "place": place}
    expected = {"id": ["o-1", "o-2"], "time": ["o-0", "o-1", "o-2"], "earliest": ["o-0", "o-1", "o-2"], "place": ["o-2"]}[start]
    async with bus.tail(OrderCreated, start=starts[start]) as tail:
        assert names(await take(tail, len(expected))) == expected
        assert tail.entry_id == written[-1].entry_id


async def test_each_event_comes_with_its_place_and_its_envelope(bus):
    """As a handler's context shows it."""
    async with bus.tail(OrderCreated | OrderPaid) as tail:
        published = await bus.publish(OrderPaid(order_id="o-1"), headers={"tenant": "acme"})
        event = await anext(tail)
        assert isinstance(event, OrderPaid)
        assert (tail.entry_id, tail.envelope.id, tail.envelope.headers) == (published.entry_id, published.event_id, {"tenant": "acme"})


async def test_what_cannot_be_read_is_logged_with_its_id_and_counted_and_other_types_are_passed_over(bus, redis_client, caplog):
    """One entry does not end a tail, nor does it vanish."""
    async with bus.tail(OrderCreated) as tail:
        garbage = await redis_client.xadd("orders", {"card": "4111"})
        await bus.publish(OrderPaid(order_id="another type"))
        await bus.publish(OrderCreated(order_id="fine"))
        assert names(await take(tail, 1)) == ["fine"]
    assert (tail.undecodable, tail.skipped) == (1, 1)
    assert caplog.text.count(f"tail of 'orders': entry {garbage} is passed over: the entry has no specversion field") == 1
    assert "4111" not in caplog.text


@pytest.mark.parametrize("read", ["tail", "history"])
async def test_a_key_that_is_no_stream_is_refused_by_its_name_before_anything_else(bus, redis_client, read):
    """Nothing is waited for, nothing is written."""
    await redis_client.set("orders", "a string")
    with pytest.raises(BackendRefused, match="key 'orders' holds a Redis string, not a stream") as caught:
        await anext(getattr(bus, read)(OrderCreated))
    assert caught.value.code == "WRONGTYPE"
    assert await redis_client.keys() == ["orders"]


async def test_a_key_that_becomes_another_type_ends_the_tail(bus, redis_client):
    """That does not pass by itself."""
    async with bus.tail(OrderCreated) as tail:
        await redis_client.set("orders", "a string")
        with pytest.raises(BackendRefused, match="WRONGTYPE"):
            await anext(tail)


# -- what it survives


async def test_a_tail_goes_on_across_cut_connections_and_passes_nothing_over(redis_url, bus, caplog):
    """From the last id it saw, on a new connection; said once for each outage."""
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="reader") as reader, reader.tail(OrderCreated) as tail:
        for number in range(5):
            await bus.publish_many([OrderCreated(order_id=f"{number}-{each}") for each in range(100)])
            assert len(await take(tail, 50)) == 50
            proxy.cut()
        rest = await take(tail, 250)
        assert rest[-1].order_id == "4-99"
        assert tail.gaps == 0


async def test_a_lost_reply_passes_nothing_over(redis_url, bus):
    """Its entries were given to nobody; they are read again."""
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="reader") as reader, reader.tail(OrderCreated) as tail:
        proxy.lose_reply(to=b"EVALSHA", containing=b"o-0")
        await bus.publish_many(orders(20))
        assert names(await take(tail, 20)) == names(orders(20))
        assert proxy.lost.is_set()


async def test_an_outage_is_said_once_and_its_end(redis_url, bus, caplog):
    """Not once a try."""
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="reader") as reader, reader.tail(OrderCreated) as tail:
        waiting = asyncio.ensure_future(anext(tail))
        proxy.refusing = True
        proxy.cut()
        await until(lambda: tail._failures >= 3)
        proxy.refusing = False
        await bus.publish(OrderCreated(order_id="after"))
        assert (await waiting).order_id == "after"
    assert caplog.text.count("tail of 'orders' waits for Redis") == 1
    assert caplog.text.count("tail of 'orders' goes on after") == 1


async def test_a_tail_goes_on_when_redis_was_killed_and_restarted(redis_server, caplog):
    """With what its append-only file kept, and what comes then; `$` would have skipped what came before the tail was back."""
    async with EventBus(redis_server.url, service="shop") as bus, bus.tail(OrderCreated) as tail:
        await bus.publish_many(orders(10))
        assert len(await take(tail, 4)) == 4
        waiting = asyncio.ensure_future(take(tail, 7))
        redis_server.kill()
        await asyncio.to_thread(redis_server.restart)
        await bus.publish(OrderCreated(order_id="after"))
        assert names(await waiting) == [*(f"o-{number}" for number in range(4, 10)), "after"]
        assert tail.gaps == 0


# -- what it missed


async def test_a_tail_that_fell_behind_trimming_says_so_with_the_number_where_the_server_counts(bus, redis_client, caplog):
    """It was at its end when more came than was kept."""
    async with bus.tail(OrderCreated) as tail:
        waiting = asyncio.ensure_future(anext(tail))
        await is_waiting(redis_client)
        await bus.publish(OrderCreated(order_id="seen"))
        await waiting
        last = tail.entry_id
        written = await bus.publish_many(orders(10))
        await redis_client.xtrim("orders", maxlen=3, approximate=False)
        assert names(await take(tail, 3)) == ["o-7", "o-8", "o-9"]
    counted = await counts_entries(redis_client)
    assert (tail.gaps, tail.missed) == (1, 7 if counted else 0)
    number = "7 entries" if counted else "entries"
    assert f"tail of 'orders' fell behind: {number} after {last} and before {written[7].entry_id}" in caplog.text


async def test_what_was_trimmed_after_it_was_read_is_no_gap(bus, redis_client, caplog):
    """As the janitor trims what every group has settled; where the server counts, even with the last entry."""
    async with bus.tail(OrderCreated) as tail:
        keep = 0 if await counts_entries(redis_client) else 1
        for number in range(5):
            await bus.publish(OrderCreated(order_id=f"o-{number}"))
            assert names(await take(tail, 1)) == [f"o-{number}"]
            await redis_client.xtrim("orders", maxlen=keep, approximate=False)
    assert (tail.gaps, tail.missed, caplog.text) == (0, 0, "")


async def test_a_bookmark_that_is_no_longer_kept_is_told(bus, redis_client, caplog):
    """How many entries stood behind it, nobody knows."""
    written = await bus.publish_many(orders(10))
    await redis_client.xtrim("orders", maxlen=2, approximate=False)
    async with bus.tail(OrderCreated, start=written[3].entry_id) as tail:
        assert names(await take(tail, 2)) == ["o-8", "o-9"]
        assert (tail.gaps, tail.missed) == (1, 0)
    assert "may have been trimmed unread" in caplog.text


@pytest.mark.parametrize("how", ["flush", "delete"])
async def test_a_stream_that_began_anew_is_read_from_its_beginning(bus, redis_client, caplog, how):
    """Its ids may be lower than the last one seen: waiting for higher ones would be waiting for ever."""
    async with bus.tail(OrderCreated) as tail:
        await bus.publish(OrderCreated(order_id="old"))
        await anext(tail)
        waiting = asyncio.ensure_future(anext(tail))
        await is_waiting(redis_client)
        await (redis_client.flushall() if how == "flush" else redis_client.delete("orders"))
        fields = {"specversion": "1.0", "id": "x", "type": "OrderCreated", "source": "/shop", "data": '{"order_id":"new"}'}
        await redis_client.xadd("orders", fields, id="5-0")
        assert (await waiting).order_id == "new"
        assert tail.gaps == 1
    assert "the stream was deleted or flushed after entry" in caplog.text


@pytest.mark.parametrize("read", ["tail", "history"])
async def test_a_stream_that_began_anew_unseen_and_grew_further_is_never_a_negative_number(bus, redis_client, read):
    """Its ids went on behind the place, as those of a topic do that is deleted, or renamed, and published to."""
    await bus.publish_many(orders(PAGE + 10))
    reading = bus.tail(OrderCreated, start="earliest") if read == "tail" else bus.history(OrderCreated)
    await take(reading, PAGE)
    await redis_client.rename("orders", "old")
    await bus.publish_many(orders(PAGE + 10))
    if read == "tail":
        assert names(await take(reading, PAGE + 10)) == names(orders(PAGE + 10))
    else:
        assert names([event async for event in reading]) == []
    assert (reading.gaps, reading.missed) == (1, 0)


# -- how it ends


async def connections(redis):
    return sum(client["name"].startswith("reader.") for client in await redis.client_list())


async def test_breaking_out_of_the_loop_leaves_no_connection(bus, redis_client):
    """Nobody holds the tail any more; nobody has to close it."""
    await bus.publish_many(orders(3))
    before = await connections(redis_client)
    async for _ in bus.tail(OrderCreated, start="earliest"):
        assert await connections(redis_client) == before + 1
        break
    async for _ in bus.history(OrderCreated):
        break
    gc.collect()
    await until(lambda: same(redis_client, before))


async def same(redis, count):
    return await connections(redis) == count


async def test_a_history_that_was_read_to_its_end_has_closed_its_connection(bus, redis_client):
    """While somebody still holds it."""
    await bus.publish_many(orders(3))
    before = await connections(redis_client)
    history = bus.history(OrderCreated)
    assert len([event async for event in history]) == 3
    await until(lambda: same(redis_client, before))
    assert [event async for event in history] == []


async def test_leaving_the_block_ends_the_iteration(bus):
    """As an asynchronous generator that was closed."""
    async with bus.tail(OrderCreated) as tail:
        pass
    assert [event async for event in tail] == []


@pytest.mark.parametrize("waits", [True, False])
async def test_closing_the_bus_ends_a_tail_with_an_error_that_says_so(redis_url, redis_client, waits):
    """Also one that waits for an event just then."""
    async with EventBus(redis_url, service="reader") as bus:
        tail = bus.tail(OrderCreated)
        waiting = asyncio.ensure_future(anext(tail)) if waits else None
        if waits:
            await is_waiting(redis_client)
    with pytest.raises(LifecycleError, match="the bus was closed under the tail of 'orders'"):
        await (waiting or anext(tail))
    assert await connections(redis_client) == 0


@pytest.mark.parametrize("read", ["tail", "history"])
async def test_what_was_closed_cannot_be_entered(bus, read):
    """Its loop would end at once, as if nothing was there."""
    reading = getattr(bus, read)(OrderCreated)
    await reading.aclose()
    with pytest.raises(LifecycleError, match=rf"the {read} of 'orders' was closed: open another one"):
        async with reading:
            pass


async def test_a_tail_that_is_closed_while_it_begins_says_so(redis_url, caplog):
    """To whoever enters it."""
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="reader") as bus:
        tail = bus.tail(OrderCreated)
        proxy.refusing = True
        entering = asyncio.ensure_future(tail.__aenter__())
        while "waits for Redis" not in caplog.text:
            await asyncio.sleep(0)
        await tail.aclose()
        with pytest.raises(LifecycleError, match="the tail of 'orders' was closed: open another one"):
            await entering


async def test_closing_the_bus_ends_a_tail_that_waits_for_redis(redis_url):
    """Not after its backoff, and it does not come back."""
    async with proxy_to(redis_url) as proxy:
        async with EventBus(proxy.url, service="reader") as bus:
            tail = bus.tail(OrderCreated)
            waiting = asyncio.ensure_future(anext(tail))
            proxy.refusing = True
            proxy.cut()
            await until(lambda: tail._failures >= 2)
        with pytest.raises(LifecycleError, match="the bus was closed"):
            await waiting


async def test_a_bus_that_is_not_open_has_no_tails():
    """As for publishing."""
    bus = EventBus("redis://nowhere", service="reader")
    with pytest.raises(LifecycleError, match="not open yet"):
        bus.tail(OrderCreated)
    with pytest.raises(LifecycleError, match="not open yet"):
        bus.history(OrderCreated)


async def test_a_cancelled_wait_loses_nothing_and_is_gone_on_with(bus, redis_client):
    """However often somebody looks whether there is something: Redis is asked to wait once."""
    async with bus.tail(OrderCreated) as tail:
        await redis_client.config_resetstat()
        for _ in range(20):
            waiting = asyncio.ensure_future(anext(tail))
            await is_waiting(redis_client)
            waiting.cancel()
            await asyncio.wait([waiting])
        await bus.publish(OrderCreated(order_id="it"))
        assert names(await take(tail, 1)) == ["it"]
        assert (await redis_client.info("commandstats"))["cmdstat_xread"]["calls"] <= 3  # one may have ended by itself


async def test_two_tasks_cannot_read_one_tail(bus, redis_client):
    """Each would get half of it."""
    async with bus.tail(OrderCreated) as tail:
        first = asyncio.ensure_future(anext(tail))
        await is_waiting(redis_client)
        with pytest.raises(LifecycleError, match="read by another task: open one for each"):
            await anext(tail)
        await bus.publish(OrderCreated(order_id="it"))
        assert (await first).order_id == "it"


# -- many, slow, large


async def test_many_tails_see_every_event_each(bus, redis_client):
    """None of them takes anything from another, and the bus goes on publishing while all of them wait."""
    async with AsyncExitStack() as stack:
        tails = [await stack.enter_async_context(bus.tail(OrderCreated)) for _ in range(50)]
        taking = [asyncio.ensure_future(take(tail, 20)) for tail in tails]
        await is_waiting(redis_client, 50)
        await bus.publish_many(orders(20))
        for events in await asyncio.gather(*taking):
            assert names(events) == names(orders(20))


async def test_a_slow_reader_holds_a_page_and_no_more(bus):
    """What it has not asked for stays in Redis."""
    await bus.publish_many(orders(3 * PAGE))
    async with bus.tail(OrderCreated, start="earliest") as tail:
        await anext(tail)
        assert len(tail._waiting) == PAGE - 1
        assert len(await take(tail, 3 * PAGE - 1)) == 3 * PAGE - 1


async def test_a_page_is_bounded_in_bytes(bus):
    """A topic of large events is not read by the hundred."""
    size = PAGE_BYTES // 4
    await bus.publish_many([OrderCreated(order_id=str(number) + "x" * size) for number in range(30)])
    async with bus.tail(OrderCreated, start="earliest") as tail:
        await anext(tail)
        assert len(tail._waiting) < 8
        assert len(await take(tail, 29)) == 29


# -- priorities


async def publish_at(redis, priority, name, entry_id="*"):
    fields = {"specversion": "1.0", "id": name, "type": "Task", "source": "/test", "data": f'{{"name":"{name}"}}'}
    return await redis.xadd(keys.level("tasks", priority), fields, id=entry_id)


async def test_a_tail_reads_every_priority_and_goes_on_in_each(bus, redis_client):
    """Its place is one id for each of them: one id could pass over what another stream got in the same millisecond."""
    async with bus.tail(Task) as tail:
        waiting = asyncio.ensure_future(anext(tail))
        await is_waiting(redis_client)
        await publish_at(redis_client, "low", "a", "1000-7")
        assert (await waiting).name == "a"
        place = tail.place
    assert place == "high=0-0,normal=0-0,low=1000-7"
    await publish_at(redis_client, "high", "b", "1000-3")
    async with bus.tail(Task, start=place) as tail:
        assert (await anext(tail)).name == "b"
        assert tail.gaps == 0


async def test_a_history_merges_priorities_in_the_order_of_their_ids_across_pages(bus, redis_client):
    """A page of one stream may end long before that of another."""
    pipe = redis_client.pipeline()
    fields = {"specversion": "1.0", "id": "x", "type": "Task", "source": "/test"}
    for number in range(1, 3 * PAGE):
        level = ("low" if number % 50 == 0 else "high") if number > PAGE else "normal"
        pipe.xadd(keys.level("tasks", level), {**fields, "data": f'{{"name":"{number}"}}'}, id=f"{number}-0")
    await pipe.execute()
    everything = [str(number) for number in range(1, 3 * PAGE)]
    assert [event.name async for event in bus.history(Task)] == everything
    assert [event.name async for event in bus.history(Task, reverse=True)] == everything[::-1]
    async with bus.tail(Task, start="earliest") as tail:
        assert [event.name for event in await take(tail, len(everything))] == everything


# -- histories


async def test_a_history_reads_a_range_forwards_and_backwards(bus):
    """Both ids are part of it."""
    written = await bus.publish_many(orders(10))
    ids = [each.entry_id for each in written]
    assert names([event async for event in bus.history(OrderCreated, from_=ids[2], to=ids[5])]) == ["o-2", "o-3", "o-4", "o-5"]
    assert names([event async for event in bus.history(OrderCreated, from_=ids[7], reverse=True)]) == ["o-9", "o-8", "o-7"]
    assert names([event async for event in bus.history(OrderCreated, to=ids[1])]) == ["o-0", "o-1"]


async def test_a_history_reads_between_two_times(bus, redis_client):
    """From the first on, before the second."""
    day = datetime(2026, 1, 2, tzinfo=UTC)
    for hours in (-1, 0, 23, 24):
        moment = int((day + timedelta(hours=hours)).timestamp() * 1000)
        await redis_client.xadd(
            "orders",
            {"specversion": "1.0", "id": str(hours), "type": "OrderCreated", "source": "/test", "data": f'{{"order_id":"{hours}"}}'},
            id=f"{moment}-0",
        )
    assert names([event async for event in bus.history(OrderCreated, from_=day, to=day + timedelta(days=1))]) == ["0", "23"]


async def test_a_history_ends_although_more_is_published_while_it_is_read(bus):
    """A busy topic would never end."""
    await bus.publish_many(orders(2 * PAGE))
    history = bus.history(OrderCreated)
    await anext(history)
    await bus.publish(OrderCreated(order_id="later"))
    assert names([event async for event in history]) == names(orders(2 * PAGE))[1:]


async def test_a_history_of_a_topic_that_does_not_exist_has_no_events(bus, redis_client):
    """And makes no key."""
    assert [event async for event in bus.history(OrderCreated)] == []
    assert [event async for event in bus.history(OrderCreated, reverse=True)] == []
    assert await redis_client.keys() == []


@pytest.mark.parametrize("reverse", [False, True])
async def test_what_is_trimmed_while_a_history_is_read_is_told(bus, redis_client, caplog, reverse):
    """Else it would look as if there had been nothing."""
    await bus.publish_many(orders(2 * PAGE))
    history = bus.history(OrderCreated, reverse=reverse)
    await anext(history)
    await redis_client.xtrim("orders", maxlen=PAGE // 2 if not reverse else PAGE + 100, approximate=False)
    rest = [event async for event in history]
    assert len(rest) == (PAGE - 1 + PAGE // 2 if not reverse else PAGE + 99)
    assert history.gaps == 1
    assert history.missed == (PAGE // 2 if not reverse and await counts_entries(redis_client) else 0)
    assert "history of 'orders' fell behind" in caplog.text


async def test_a_history_whose_redis_is_gone_says_so_and_can_be_gone_on_with(redis_url, bus):
    """A report is not to hang; nor to begin anew."""
    await bus.publish_many(orders(2 * PAGE))
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="reader") as reader:
        history = reader.history(OrderCreated)
        seen = await take(history, PAGE)
        proxy.cut()
        proxy.refusing = True
        with pytest.raises(BackendUnavailable):
            await anext(history)
        proxy.refusing = False
        seen += [event async for event in history]
    assert names(seen) == names(orders(2 * PAGE))
