"""Events that are held until they are due, on a real Redis: where they are, who promotes them, and what may happen meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from eventbus import (
    BackendRefused,
    ConfigurationError,
    Context,
    DurabilityNotReached,
    Event,
    EventBus,
    LifecycleError,
    Replicated,
    Scheduled,
    Topic,
)
from eventbus.streams import Address, Connections, Schedule, Wire, keys
from eventbus.supervision import Supervisor
from tests.support.events import OrderCreated, orders
from tests.support.proxy import proxy_to

FAR = 3_600
EMPTY = {"scheduled": 0, "due": 0, "ids": 0}


class Tasked(Event, topic=Topic("tasks", priorities=("high", "normal", "low"))):
    """An event of a topic with priorities."""

    name: str


def milliseconds(moment):
    return round(moment.timestamp() * 1000)


def written(entry_id):
    return int(entry_id.partition("-")[0])


async def held(client, stream="orders"):
    """How much is scheduled, by each of the keys that know it."""
    return {
        "scheduled": await client.xlen(keys.scheduled(stream)),
        "due": await client.zcard(keys.scheduled_due(stream)),
        "ids": await client.hlen(keys.scheduled_ids(stream)),
    }


async def entries(client, stream, count):
    """The first entries of a stream, once there are so many."""
    found = []
    while len(found) < count:
        reply = await client.xread({stream: found[-1][0] if found else "0"}, block=10_000)
        assert reply, f"{len(found)} of {count} entries came to {stream}"
        found += reply[0][1]
    return found


@pytest.fixture
async def schedule(redis_url):
    """The commands about the topic `orders`."""
    wire = Wire(Connections(Address.parse(redis_url), name="test"), "testing")
    yield Schedule(wire, "orders")
    await wire.close()


def promote(schedule):
    return schedule.promote(["normal"], count=100, size=1 << 20)


async def make_due(client, stream="orders"):
    """All that is scheduled is due now, as if its time had passed."""
    for member in await client.zrange(keys.scheduled_due(stream), 0, -1):
        await client.zadd(keys.scheduled_due(stream), {member: 1})


# -- held, then promoted


async def test_a_delayed_event_is_held_and_then_stands_in_its_topic_as_it_was_published(redis_url, redis_client):
    """With its id, its time and its headers, and nothing of ours; not before it is due by Redis's clock."""
    async with EventBus(redis_url, service="shop") as bus:
        published = await bus.publish(OrderCreated(order_id="o-1"), delay=0.3, headers={"tenant": "acme"})
        assert isinstance(published, Scheduled)
        ((held_id, fields),) = await redis_client.xrange("{orders}:scheduled")
        assert held_id == published.entry_id
        ours = dict(list(fields.items())[-3:])
        assert ours == {"ebdue": str(milliseconds(published.due)), "ebpriority": "normal", "ebonce": ""}
        ((entry_id, promoted),) = await entries(redis_client, "orders", 1)
    assert promoted == {name: value for name, value in fields.items() if name not in ours}
    assert (promoted["id"], promoted["tenant"]) == (published.event_id, "acme")
    assert 0 <= written(entry_id) - milliseconds(published.due) < 1000
    assert await held(redis_client) == EMPTY


async def test_a_moment_is_the_same_for_every_clock(redis_url, redis_client):
    """Given with any zone; what is due is told in UTC."""
    async with EventBus(redis_url, service="shop") as bus:
        at = datetime.now(UTC) + timedelta(seconds=1)
        published = await bus.publish(OrderCreated(order_id="o-1"), at=at)
        assert timedelta() <= published.due - at <= timedelta(milliseconds=1)
        ((entry_id, _),) = await entries(redis_client, "orders", 1)
    assert written(entry_id) >= milliseconds(published.due)


@pytest.mark.parametrize("when", [{"delay": 0}, {"delay": timedelta(days=-1)}, {"at": datetime(1969, 1, 1, tzinfo=UTC)}])
async def test_what_is_due_already_is_published_at_once(redis_url, redis_client, when):
    """And nothing is left of having been asked for a time."""
    async with EventBus(redis_url, service="shop") as bus:
        published = await bus.publish(OrderCreated(order_id="o-1"), **when)
    assert (published.due, type(published).__name__) == (None, "Published")
    ((entry_id, _),) = await redis_client.xrange("orders")
    assert entry_id == published.entry_id
    assert await redis_client.keys() == ["orders"]


async def test_events_are_promoted_by_due_time_and_those_of_one_time_as_they_were_published(redis_url, redis_client):
    """Also where one millisecond held more than ten, whose ids sort otherwise as text."""
    async with EventBus(redis_url, service="shop") as bus:
        events, at = orders(200), datetime.now(UTC) + timedelta(seconds=1.5)
        await bus.publish_many(events[100:], at=at)
        await bus.publish_many(events[:100], at=at - timedelta(seconds=0.2))
        held_ids = [entry_id for entry_id, _ in await redis_client.xrange("{orders}:scheduled")]
        assert any(entry_id.endswith("-10") for entry_id in held_ids)
        found = await entries(redis_client, "orders", 200)
    assert [fields["partitionkey"] for _, fields in found] == [event.order_id for event in events]


async def test_a_priority_is_kept_and_found_by_whoever_promotes(redis_url, redis_client):
    """Also by a bus that knows the topic by its name alone."""
    async with EventBus(redis_url, service="shop") as bus:
        await bus.publish(Tasked(name="a"), delay=FAR, priority="high")
        await bus.publish(Tasked(name="b"), delay=FAR)
    await make_due(redis_client, "tasks")
    async with EventBus(redis_url, service="other", claim_interval=0.05) as bus:
        await bus.publish(OrderCreated(order_id="o-1"), topic="tasks")
        ((_, urgent),) = await entries(redis_client, "{tasks}:p:high", 1)
        assert '"a"' in urgent["data"]
        assert len(await entries(redis_client, "tasks", 2)) == 2


async def test_a_handler_gets_what_was_scheduled_at_any_priority(redis_url):
    """It is read from the stream of its priority."""
    bus, seen = EventBus(redis_url, service="billing"), asyncio.Queue()

    @bus.subscribe(Tasked, group="do")
    async def do(event: Tasked, ctx: Context) -> None:
        seen.put_nowait((event.name, ctx.id))

    async with bus.consuming():
        for priority in ("high", "low", "normal"):
            published = await bus.publish(Tasked(name=priority), delay=0.05, priority=priority)
            assert await seen.get() == (priority, published.event_id)


# -- by whom


async def test_a_bus_that_consumes_promotes_what_a_closed_one_scheduled(redis_url):
    """Nobody has to publish again."""
    async with EventBus(redis_url, service="shop") as publisher:
        await publisher.publish(OrderCreated(order_id="o-1"), delay=0.1)
    handled = asyncio.get_running_loop().create_future()
    bus = EventBus(redis_url, service="billing", claim_interval=0.1)

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        handled.set_result(event.order_id)

    async with bus.consuming():
        assert await handled == "o-1"


async def test_what_is_scheduled_elsewhere_wakes_whoever_promotes(redis_url, redis_client):
    """Though the one that scheduled it is gone, and nobody looks by himself for a minute."""
    async with EventBus(redis_url, service="shop", claim_interval=60) as bus:
        await bus.publish(OrderCreated(order_id="o-1"), delay=0.01)  # from now on it listens
        await entries(redis_client, "orders", 1)
        async with EventBus(redis_url, service="other", claim_interval=60) as other:
            await other.publish(OrderCreated(order_id="o-2"), delay=FAR)
            sooner = await other.publish(OrderCreated(order_id="o-3"), delay=0.2)
        found = await entries(redis_client, "orders", 2)
    assert found[1][1]["id"] == sooner.event_id
    assert 0 <= written(found[1][0]) - milliseconds(sooner.due) < 1000


async def test_a_second_topic_is_listened_to_as_well(redis_url, redis_client):
    """The read that waits for the first one is given up for it."""
    async with EventBus(redis_url, service="shop", claim_interval=60) as bus, EventBus(redis_url, service="other") as other:
        for topic in ("first", "second"):
            await bus.publish(OrderCreated(order_id="o-1"), delay=0.01, topic=topic)
            await entries(redis_client, topic, 1)
        for topic in ("first", "second"):
            await other.publish(OrderCreated(order_id="o-2"), delay=FAR, topic=topic)
            await make_due(redis_client, topic)
            await redis_client.xadd(keys.scheduled_wake(topic), {"due": "1"})
            await entries(redis_client, topic, 2)


async def test_many_promote_side_by_side_and_each_event_comes_once(redis_url, redis_client):
    """Whoever comes first."""
    buses = [EventBus(redis_url, service=f"s{number}", claim_interval=0.05) for number in range(4)]
    for bus in buses:
        await bus.open()
    await asyncio.gather(*(bus.publish(OrderCreated(order_id=f"o-{n}"), delay=0.2 + n % 7 / 100) for n, bus in enumerate(buses * 100)))
    found = await entries(redis_client, "orders", 400)
    for bus in buses:
        await bus.close()
    assert len({fields["id"] for _, fields in found}) == len(found) == await redis_client.xlen("orders") == 400


async def test_a_bus_that_never_schedules_opens_no_connection_for_it(redis_url, redis_client):
    """It asks whether a key exists, now and then."""
    async with EventBus(redis_url, service="shop", claim_interval=0.05) as bus:
        await bus.publish(OrderCreated(order_id="o-1"))
        for _ in range(3):
            await bus.runtime.promotion.run_once()
        assert bus.runtime.promotion._reader.opened == 0
        assert await redis_client.keys() == ["orders"]


# -- once


async def test_one_event_is_scheduled_once_though_its_answer_was_lost(redis_url, redis_client):
    """It is found by its id."""
    async with proxy_to(redis_url) as proxy, EventBus(proxy.url, service="shop") as bus:
        proxy.lose_reply(to=b"EVAL")
        published = await bus.publish(OrderCreated(order_id="o-1"), delay=FAR)
        assert proxy.lost.is_set()
    ((entry_id, _),) = await redis_client.xrange("{orders}:scheduled")
    assert published.entry_id == entry_id
    assert await held(redis_client) == {"scheduled": 1, "due": 1, "ids": 1}


async def test_of_two_times_for_one_event_the_first_counts(redis_url, redis_client):
    """To change it, cancel it and publish it again."""
    event = OrderCreated(order_id="o-1")
    async with EventBus(redis_url, service="shop") as bus:
        first = await bus.publish(event, delay=FAR)
        assert await bus.publish(event, delay=1) == first
        assert await bus.cancel_scheduled(first.event_id, topic="orders")
        later = await bus.publish(event, delay=2 * FAR)
    assert (later.event_id, later.due > first.due) == (first.event_id, True)


async def test_a_key_counts_for_what_is_scheduled_too_and_its_window_begins_when_it_is_due(redis_url, redis_client):
    """A second publish is told of the first one's time."""
    async with EventBus(redis_url, service="shop") as bus:
        first = await bus.publish(OrderCreated(order_id="o-1"), delay=FAR, idempotency_key="k", idempotency_window=60)
        assert await bus.publish(OrderCreated(order_id="o-2"), idempotency_key="k") == first
    assert await redis_client.exists("orders") == 0
    assert (FAR + 50) * 1000 < await redis_client.pttl("{orders}:once:k") <= (FAR + 60) * 1000


# -- cancelled


async def test_what_is_cancelled_in_time_never_comes(redis_url, redis_client):
    """Nothing is left of it, its idempotency key included."""
    async with EventBus(redis_url, service="shop", prefix="x.") as bus:
        published = await bus.publish(OrderCreated(order_id="o-1"), delay=FAR, idempotency_key="k")
        assert await bus.cancel_scheduled(published.event_id, topic=OrderCreated)
        assert not await bus.cancel_scheduled(published.event_id, topic=Topic("orders"))
        assert await held(redis_client, "x.orders") == EMPTY
        assert (await bus.publish(OrderCreated(order_id="o-2"), idempotency_key="k")).due is None


async def test_no_key_remembers_what_was_cancelled(redis_url, redis_client):
    """Not one either that came with a later publish of the same event: what is published with it would never come."""
    event = OrderCreated(order_id="o-1")
    async with EventBus(redis_url, service="shop") as bus:
        published = await bus.publish(event, delay=FAR)
        assert await bus.publish(event, delay=FAR, idempotency_key="k") == published
        assert await bus.publish(OrderCreated(order_id="o-2"), idempotency_key="k") == published
        assert await bus.cancel_scheduled(published.event_id, topic="orders")
        assert (await bus.publish(OrderCreated(order_id="o-2"), idempotency_key="k")).due is None
    assert await redis_client.xlen("orders") == 1


async def test_cancelling_comes_too_late_for_what_is_in_its_topic(redis_url, redis_client):
    """It says so; the key still holds."""
    async with EventBus(redis_url, service="shop") as bus:
        published = await bus.publish(OrderCreated(order_id="o-1"), delay=0.01, idempotency_key="k")
        await entries(redis_client, "orders", 1)
        assert not await bus.cancel_scheduled(published.event_id, topic="orders")
        assert await redis_client.exists("{orders}:once:k")
        assert not await bus.cancel_scheduled("never-there", topic="orders")


@pytest.mark.parametrize("event_id", ["", "\ud800", 7, None], ids=range(4))
async def test_what_is_no_event_id_is_refused(redis_url, event_id):
    """By whichever call."""
    async with EventBus(redis_url, service="shop") as bus:
        for call in (bus.cancel_scheduled, bus.admin.cancel_scheduled):
            with pytest.raises(ConfigurationError, match="give the event's id"):
                await call(event_id, topic="orders")


def test_synchronous_code_schedules_and_cancels(redis_url):
    """The same calls."""
    with EventBus(redis_url, service="shop").blocking() as bus:
        published = bus.publish(OrderCreated(order_id="o-1"), delay=FAR)
        assert bus.cancel_scheduled(published.event_id, topic="orders")


async def test_a_bus_that_is_not_open_cancels_nothing(redis_url):
    """As for everything else."""
    with pytest.raises(LifecycleError):
        await EventBus(redis_url, service="shop").cancel_scheduled("e", topic="orders")


# -- what may happen meanwhile


async def test_what_is_scheduled_outlives_a_restart_of_redis(redis_server):
    """Due while nobody was there, it comes at once when Redis is back."""
    async with EventBus(redis_server.url, service="shop") as bus, Redis.from_url(redis_server.url, decode_responses=True) as client:
        published = await bus.publish(OrderCreated(order_id="o-1"), delay=0.2)
        redis_server.kill()
        await asyncio.to_thread(redis_server.restart)
        ((_, fields),) = await entries(client, "orders", 1)
        assert fields["id"] == published.event_id
        assert await held(client) == EMPTY


async def test_after_an_outage_promoters_ask_again_within_half_a_second(redis_url, monkeypatch):
    """What is due shall not wait for as long as the loops of leases may."""
    started = {}

    def start(supervisor, name, body, stopping=None, *, backoff=None):
        started[name] = backoff
        ordinary(supervisor, name, body, stopping, backoff=backoff)

    ordinary = Supervisor.start
    monkeypatch.setattr(Supervisor, "start", start)
    async with EventBus(redis_url, service="shop"):
        asked = [started[name] for name in ("promoting scheduled events", "waiting for scheduled events")]
    assert max(backoff.delay(failures, chance=1.0) for backoff in asked for failures in range(1, 50)) <= 0.5


async def test_without_memory_nothing_is_scheduled_or_promoted_and_nothing_is_lost(redis_server):
    """XADD is refused before anything changed."""
    async with (
        EventBus(redis_server.url, service="shop", claim_interval=60) as bus,
        Redis.from_url(redis_server.url, decode_responses=True) as client,
    ):
        published = await bus.publish(OrderCreated(order_id="o-1"), delay=FAR)
        await make_due(client)
        await client.config_set("maxmemory", "1")
        with pytest.raises(BackendRefused) as caught:
            await bus.publish(OrderCreated(order_id="o-2"), delay=FAR)
        assert caught.value.code == "OOM"
        with pytest.raises(BackendRefused, match="OOM"):
            await bus.publish(OrderCreated(order_id="o-3"), idempotency_key="k")
        with pytest.raises(BackendRefused, match="OOM"):
            await promote(Schedule(bus.runtime.wire, "orders"))
        assert await held(client) == {"scheduled": 1, "due": 1, "ids": 1}
        assert await client.exists("orders", "{orders}:once:k") == 0
        await client.config_set("maxmemory", "0")
        await promote(Schedule(bus.runtime.wire, "orders"))
        ((_, fields),) = await entries(client, "orders", 1)
        assert fields["id"] == published.event_id


async def test_a_key_of_another_type_is_found_before_anything_is_written(redis_url, redis_client):
    """Else each try would leave a copy."""
    async with EventBus(redis_url, service="shop") as bus:
        for key in (
            "orders",
            keys.scheduled_due("orders"),
            keys.scheduled_ids("orders"),
            keys.scheduled_wake("orders"),
            keys.once("orders", "k"),
        ):
            await redis_client.set(key, "x") if "once" not in key else await redis_client.lpush(key, "x")
            with pytest.raises(BackendRefused, match="WRONGTYPE"):
                await bus.publish(OrderCreated(order_id="o-1"), delay=FAR, idempotency_key="k")
            await redis_client.delete(key)
    assert await redis_client.exists("{orders}:scheduled") == 0


async def test_a_server_that_forgot_its_scripts_learns_them_again(redis_url, redis_client):
    """Those who publish plainly meanwhile notice nothing."""
    async with EventBus(redis_url, service="shop") as bus:
        await bus.publish(OrderCreated(order_id="o-1"), delay=FAR)
        await redis_client.script_flush()
        await asyncio.gather(bus.publish(OrderCreated(order_id="o-2"), delay=FAR), bus.publish(OrderCreated(order_id="o-3")))
        await bus.publish(OrderCreated(order_id="o-4"), delay=FAR)
    assert await held(redis_client) == {"scheduled": 3, "due": 3, "ids": 3}
    assert await redis_client.xlen("orders") == 1


async def test_a_flush_takes_what_was_scheduled_and_the_next_is_promoted_all_the_same(redis_url, redis_client):
    """Whoever listens goes on."""
    async with EventBus(redis_url, service="shop", claim_interval=60) as bus:
        await bus.publish(OrderCreated(order_id="o-1"), delay=FAR)
        await redis_client.flushall()
        published = await bus.publish(OrderCreated(order_id="o-2"), delay=0.05)
        ((_, fields),) = await entries(redis_client, "orders", 1)
    assert fields["id"] == published.event_id


async def test_what_another_hand_deleted_is_counted_and_does_not_keep_the_others(schedule, redis_url, redis_client, caplog):
    """Its due time goes; what was to come is said to be missing."""
    async with EventBus(redis_url, service="shop", claim_interval=60) as bus:
        first = await bus.publish(OrderCreated(order_id="o-1"), delay=FAR)
        await bus.publish(OrderCreated(order_id="o-2"), delay=FAR)
        await redis_client.xdel("{orders}:scheduled", first.entry_id)
        await make_due(redis_client)
        done = await promote(schedule)
    assert (done.promoted, done.missing, done.wait) == (1, 1, None)
    assert await redis_client.zcard(keys.scheduled_due("orders")) == 0


async def test_what_another_hand_wrote_is_promoted_as_it_stands(schedule, redis_client):
    """It has no block of ours."""
    entry_id = await redis_client.xadd("{orders}:scheduled", {"order_id": "o-1"})
    await redis_client.zadd("{orders}:scheduled:due", {entry_id: 1})
    done = await promote(schedule)
    ((_, fields),) = await redis_client.xrange("orders")
    assert (done.promoted, fields) == (1, {"order_id": "o-1"})


@pytest.mark.parametrize("member", ["garbage", "5", "5-x", b"\xff\xfe", "99999999999999999999-0"], ids=range(5))
async def test_a_due_time_of_what_is_no_entry_keeps_nothing_back(redis_url, redis_client, member):
    """Another hand wrote it; it goes, and is counted as missing."""
    await redis_client.zadd(keys.scheduled_due("orders"), {member: 1})
    async with EventBus(redis_url, service="shop") as bus:
        await bus.publish(OrderCreated(order_id="o-1"), delay=0.05)
        await entries(redis_client, "orders", 1)
        assert bus.runtime.promotion.counts.missing == 1
    assert await held(redis_client) == EMPTY


async def test_a_priority_that_cannot_be_one_is_promoted_into_the_topic_itself(schedule, redis_client):
    """Not even text: another hand wrote it. It keeps nothing back, and is listed all the same."""
    for priority in (b"\xff", "a}b", "a:b c"):
        entry_id = await redis_client.xadd("{orders}:scheduled", {"n": "1", "ebdue": "9" * 30, "ebpriority": priority, "ebonce": b"\xff"})
        await redis_client.zadd("{orders}:scheduled:due", {entry_id: 1})
    assert [row.due for row in await schedule.page(skip=0, count=10)] == [0, 0, 0]
    first = await promote(schedule)
    assert (first.promoted, len(first.unknown)) == (0, 3)
    assert (await schedule.promote(["normal", *first.unknown], count=100, size=1 << 20)).promoted == 3
    assert [fields for _, fields in await redis_client.xrange("orders")] == [{"n": "1"}] * 3


async def test_what_a_stream_refuses_waits_and_keeps_no_other_priority_back(redis_url, redis_client):
    """It is said, stays in its order, and comes when the stream takes it."""
    async with EventBus(redis_url, service="shop", claim_interval=60) as bus:
        for number in range(2):
            await bus.publish(Tasked(name=f"urgent-{number}"), delay=FAR, priority="high")
        await bus.publish(Tasked(name="b"), delay=FAR)
        schedule = Schedule(bus.runtime.wire, "tasks")
        await redis_client.set("{tasks}:p:high", "no stream")
        await make_due(redis_client, "tasks")
        assert (await schedule.promote(["high", "normal"], count=100, size=1 << 20)).promoted == 1
        with pytest.raises(BackendRefused, match="WRONGTYPE") as caught:
            await schedule.promote(["high", "normal"], count=100, size=1 << 20)
        assert caught.value.code == "WRONGTYPE"
        await redis_client.delete("{tasks}:p:high")
        assert (await schedule.promote(["high", "normal"], count=100, size=1 << 20)).promoted == 2
    assert ["urgent-0" in fields["data"] for _, fields in await redis_client.xrange("{tasks}:p:high")] == [True, False]
    assert await held(redis_client, "tasks") == EMPTY


async def test_an_entry_with_more_fields_than_a_script_can_write_waits_alone(schedule, redis_url, redis_client):
    """Another hand wrote it: no publish takes so many."""
    entry_id = await redis_client.xadd("{orders}:scheduled", {f"n{number}": "x" for number in range(4_000)})
    await redis_client.zadd("{orders}:scheduled:due", {entry_id: 1})
    async with EventBus(redis_url, service="shop") as bus:
        await bus.publish(OrderCreated(order_id="o-1"), delay=0.05)
        await entries(redis_client, "orders", 1)
        with pytest.raises(BackendRefused, match="more fields than a script can write"):
            await promote(schedule)
    assert (await redis_client.xrange("{orders}:scheduled"))[0][0] == entry_id


async def test_due_times_that_are_lost_are_given_again(redis_url, redis_client, caplog):
    """Each entry knows its own; in their order, and what is not due yet still can be cancelled."""
    async with EventBus(redis_url, service="shop", claim_interval=0.1) as bus:
        far = await bus.publish(OrderCreated(order_id="o-0"), delay=FAR)
        soon = datetime.now(UTC) + timedelta(seconds=3)  # later than the last of them is written, on a slow machine too
        events = orders(1_100)
        await bus.publish_many(events[550:], at=soon + timedelta(milliseconds=1))
        await bus.publish_many(events[:550], at=soon)
        await redis_client.delete("{orders}:scheduled:due", "{orders}:scheduled:ids")
        found = await entries(redis_client, "orders", 1_100)
        assert [fields["partitionkey"] for _, fields in found] == [event.order_id for event in events]
        assert await redis_client.zscore("{orders}:scheduled:due", f"{far.entry_id[:-1]}000000000{far.entry_id[-1]}") == milliseconds(
            far.due
        )
        assert await bus.cancel_scheduled(far.event_id, topic="orders")
        assert bus.runtime.promotion.counts.mended > 1_000
    assert "scheduled events had lost their due times" in caplog.text


async def test_one_promotion_is_bounded_by_entries_and_bytes(schedule, redis_url, redis_client):
    """The rest is due at once for the next."""
    async with EventBus(redis_url, service="shop", claim_interval=60) as bus:
        await bus.publish_many(orders(30), delay=FAR)
    await make_due(redis_client)
    done = await schedule.promote(["normal"], count=10, size=1 << 20)
    assert (done.promoted, done.wait) == (10, 0.0)
    done = await schedule.promote(["normal"], count=10, size=1)
    assert (done.promoted, done.wait) == (1, 0.0)


async def test_a_group_sees_promoted_events_like_any_other(redis_url, redis_client):
    """They are trimmed and counted by their place in the topic, not by their time."""
    bus, seen = EventBus(redis_url, service="billing"), asyncio.Queue()

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated, ctx: Context) -> None:
        seen.put_nowait((event.order_id, ctx.id, ctx.time, ctx.headers, ctx.entry_id))

    async with bus.consuming():
        published = await bus.publish(OrderCreated(order_id="o-1"), delay=0.1)
        order_id, event_id, time, headers, entry_id = await seen.get()
    assert (order_id, event_id, dict(headers)) == ("o-1", published.event_id, {})
    assert milliseconds(time) < milliseconds(published.due) <= written(entry_id)


async def test_a_durability_is_waited_for_by_what_is_scheduled_too(redis_url, redis_client):
    """On a connection that knows the script as well."""
    async with EventBus(redis_url, service="shop") as bus:
        with pytest.raises(DurabilityNotReached) as caught:
            await bus.publish(OrderCreated(order_id="o-1"), delay=FAR, durability=Replicated(1), timeout=0.5)
    assert isinstance(caught.value.published, Scheduled)
    assert (await held(redis_client))["scheduled"] == 1


# -- looked at


async def test_what_is_scheduled_is_listed_by_due_time_without_its_payload(redis_url):
    """And cancelled by whoever looks after the topic."""
    async with EventBus(redis_url, service="shop") as bus:
        later = await bus.publish(Tasked(name="a"), delay=2 * FAR, priority="high", idempotency_key="k")
        sooner = await bus.publish(Tasked(name="b"), delay=FAR)
        found = await bus.admin.scheduled("tasks")
        assert [(each.event_id, each.type, each.due, each.priority, each.key) for each in found.events] == [
            (sooner.event_id, "Tasked", sooner.due, "normal", None),
            (later.event_id, "Tasked", later.due, "high", "k"),
        ]
        assert FAR - 60 < found.events[0].wait <= FAR
        assert [each.event_id for each in (await bus.admin.scheduled("tasks", count=1)).events] == [sooner.event_id]
        assert await bus.admin.cancel_scheduled(later.event_id, topic="tasks")
        assert (await bus.admin.scheduled("tasks")).total == 1
        assert (await bus.admin.scheduled("orders")).total == 0
