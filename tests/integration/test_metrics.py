"""Metrics and probes, on a real Redis and over real HTTP: they say what is so."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from eventbus import EventBus, Retry
from eventbus.admin import Census, Lag
from eventbus.admin.counting import count_group, find_unserved
from eventbus.observe.health import readiness
from eventbus.observe.prometheus import instrument
from eventbus.streams import Address, Connections, Wire, keys
from eventbus.testing import running
from tests.support.events import OrderCreated, orders
from tests.support.measured import FakeBus, subscription

PLACE = {"topic": "orders", "group": "charge"}
DAY = 86_400.0
LEASE = 30.0


async def until(condition):
    """Wait for something to become true; the test's timeout bounds it."""
    while not (found := condition()):
        await asyncio.sleep(0.005)
    return found


async def until_equal(ask, expected):
    """Wait for an answer of Redis to be as expected."""
    while await ask() != expected:
        await asyncio.sleep(0.005)


def measured(url, handler=None, lease=None, **options):
    bus = EventBus(url, service="billing", lease=lease)
    registry = CollectorRegistry()

    @bus.subscribe(OrderCreated, group="charge", **options)
    async def charge(event: OrderCreated) -> None:
        if handler is not None:
            await handler(event)

    instrument(bus, registry)
    return bus, registry


@pytest_asyncio.fixture
async def wire(redis_url):
    wire = Wire(Connections(Address.parse(redis_url), name="test"), "testing")
    yield wire
    await wire.close()


@asynccontextmanager
async def wires(url, count):
    found = [Wire(Connections(Address.parse(url), name="test"), "testing") for _ in range(count)]
    try:
        yield found
    finally:
        for each in found:
            await each.close()


async def counted(wire, group="charge"):
    seconds, microseconds = await wire.one("TIME")
    return await count_group(wire, subscription(group=group), int(seconds) * 1000 + int(microseconds) // 1000)


async def serve(client, name, *, age=0.0, group="charge", lease=LEASE):
    """Write a heartbeat as a member of the group does."""
    seconds, microseconds = await client.time()
    when = seconds * 1000 + microseconds // 1000 - int(age * 1000)
    record = {"service": "billing", "host": "h", "pid": 1, "lease": lease, "time": when}
    await client.hset(keys.members("orders", group), name, json.dumps(record))


# -- what a process does


async def test_counters_are_true_after_known_work(redis_url):
    """Published, handled, timed, on their way: what happened is what a scrape says."""
    bus, registry = measured(redis_url)
    async with running(bus) as run:
        await bus.publish_many(orders(7))
        await run.idle()
        value = registry.get_sample_value
        assert value("eventbus_published_total") == 7
        assert value("eventbus_fetched_total", PLACE) == 7
        assert value("eventbus_handled_total", PLACE | {"outcome": "ack"}) == 7
        assert value("eventbus_handler_failures_total", PLACE) == 0
        labels = PLACE | {"type": "OrderCreated"}
        assert value("eventbus_handler_duration_seconds_count", labels) == 7
        assert value("eventbus_end_to_end_latency_seconds_count", labels) == 7
        assert 0 < value("eventbus_end_to_end_latency_seconds_sum", labels) < 60
        assert value("eventbus_in_hand", PLACE) == 0
    assert registry.get_sample_value("eventbus_handled_total", PLACE | {"outcome": "ack"}) == 7


async def test_handlers_that_fail_are_counted_as_retried_and_in_the_end_as_dead(redis_url, redis_client):
    """Two runs each: a failure and a retry, then a failure and a dead letter."""

    async def fail(event):
        raise ValueError(event.order_id)

    bus, registry = measured(redis_url, fail, retry=Retry(attempts=2, backoff=[0.01], jitter=0))
    async with bus, bus.consuming():
        await bus.publish_many(orders(3))
        value = registry.get_sample_value
        await until(lambda: value("eventbus_dead_letters_total", PLACE | {"reason": "attempts"}) == 3)
        assert value("eventbus_handler_failures_total", PLACE) == 6
        assert value("eventbus_promoted_total", PLACE) == 3
        assert value("eventbus_handled_total", PLACE | {"outcome": "retry"}) == 3
        assert value("eventbus_handled_total", PLACE | {"outcome": "dead_letter"}) == 3
        assert value("eventbus_handler_duration_seconds_count", PLACE | {"type": "OrderCreated"}) == 6
        await until_equal(lambda: redis_client.xlen(keys.dead("orders", "charge")), 3)


async def test_what_runs_and_what_is_in_hand_is_shown_while_it_is_so(redis_url):
    """And both fall back to 0."""
    go, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def hold(event):
        begun.release()
        await go.wait()

    bus, registry = measured(redis_url, hold, concurrency=2, prefetch=4)
    async with running(bus) as run:
        await bus.publish_many(orders(3))
        for _ in range(2):
            await begun.acquire()
        value = registry.get_sample_value
        assert value("eventbus_handlers_running", PLACE) == 2
        await until(lambda: value("eventbus_in_hand", PLACE) == 3)
        go.set()
        await run.idle()
        assert value("eventbus_handlers_running", PLACE) == 0
        await until(lambda: value("eventbus_in_hand", PLACE) == 0)


async def test_counters_go_on_when_the_bus_consumes_again(redis_url):
    """A counter that falls looks like a restart of the process."""
    bus, registry = measured(redis_url)
    for number in (1, 2):
        async with running(bus) as run:
            await bus.publish_many(orders(5))
            await run.idle()
            assert registry.get_sample_value("eventbus_handled_total", PLACE | {"outcome": "ack"}) == 5 * number
            assert registry.get_sample_value("eventbus_published_total") == 5 * number


# -- what groups owe


async def test_every_number_of_a_group_is_what_redis_holds(wire, redis_client):
    """Counted from keys that were filled by hand."""
    ids = [await redis_client.xadd("orders", {"n": n}) for n in range(9)]
    await redis_client.xgroup_create("orders", "charge", "0")
    await redis_client.xreadgroup("charge", "a", {"orders": ">"}, count=4)
    await redis_client.xack("orders", "charge", ids[0])
    retry, parked, due = (key("orders", "charge") for key in (keys.retry, keys.parked, keys.due))
    await redis_client.xgroup_create(retry, "charge", "0", mkstream=True)
    await redis_client.xadd(retry, {"n": 1})
    await redis_client.xadd(retry, {"n": 2})
    await redis_client.xreadgroup("charge", "a", {retry: ">"}, count=1)
    now = (await redis_client.time())[0] * 1000
    await redis_client.zadd(
        due, {await redis_client.xadd(parked, {"n": n}): now + distance for n, distance in enumerate((-1000, -1, 60_000))}
    )
    for _ in range(5):
        await redis_client.xadd(keys.dead("orders", "charge"), {"n": 1})
    await redis_client.hset(keys.group("orders", "charge"), "cut", 11)

    found = await counted(wire)
    assert (found.topic, found.group, found.length, found.lag) == ("orders", "charge", 9, Lag(5))
    assert (found.pending, found.retry_entries, found.parked, found.due, found.dead_letters, found.cut) == (4, 2, 3, 2, 5, 11)
    assert 0 <= found.oldest_pending < 60


async def test_the_oldest_pending_entry_is_dated_by_its_id(wire, redis_client):
    """By the server's clock, which wrote the ids."""
    now = (await redis_client.time())[0] * 1000
    for age in (500, 100):
        await redis_client.xadd("orders", {"n": 1}, id=f"{now - age * 1000}-0")
    await redis_client.xgroup_create("orders", "charge", "0")
    assert (await counted(wire)).oldest_pending == 0
    await redis_client.xreadgroup("charge", "a", {"orders": ">"})
    assert 500 <= (await counted(wire)).oldest_pending < 560


async def test_a_group_that_is_not_there_has_no_numbers(wire, redis_client):
    """Neither before the first entry nor after a flush; a 0 would say that all is done."""
    assert await counted(wire) is None
    await redis_client.xadd("orders", {"n": 1})
    assert await counted(wire) is None


async def test_a_lag_that_redis_does_not_know_is_counted(wire, redis_client):
    """6.2 never knows it, later ones not after the XDEL of an entry that was not delivered."""
    ids = [await redis_client.xadd("orders", {"n": n}) for n in range(8)]
    await redis_client.xgroup_create("orders", "charge", "0")
    await redis_client.xreadgroup("charge", "a", {"orders": ">"}, count=2)
    await redis_client.xdel("orders", ids[5])
    assert (await redis_client.xinfo_groups("orders"))[0].get("lag") is None
    assert (await counted(wire)).lag == Lag(5)


async def test_a_lag_too_long_to_be_counted_is_unknown_and_never_0(redis_url, redis_client):
    """Absent in the metrics, with the number at which counting stopped beside it."""
    ids = [await redis_client.xadd("orders", {"n": n}) for n in range(1003)]
    await redis_client.xgroup_create("orders", "charge", "0")
    await redis_client.xdel("orders", ids[500])
    await serve(redis_client, "a")
    census, registry = Census(lambda: [subscription()]), CollectorRegistry()
    async with wires(redis_url, 1) as (wire,):
        await census.run_once(wire, "a")
    instrument(FakeBus(groups=census.groups), registry)
    assert registry.get_sample_value("eventbus_group_lag", PLACE) is None
    assert registry.get_sample_value("eventbus_group_lag_unknown", PLACE) == 1
    assert registry.get_sample_value("eventbus_group_lag_at_least", PLACE) == 1000
    assert registry.get_sample_value("eventbus_topic_length", {"topic": "orders"}) == 1002


async def test_a_group_that_nobody_served_for_a_day_is_named(wire, redis_client):
    """With how long; younger silences and the group itself are not."""
    now = (await redis_client.time())[0] * 1000
    for group, age in {"old": 2 * DAY, "rested": DAY - 60, "charge": 3 * DAY}.items():
        await redis_client.sadd(keys.groups("orders"), group)
        await redis_client.hset(keys.group("orders", group), "served", now - int(age * 1000))
    await redis_client.sadd(keys.groups("orders"), "never told")
    (found,) = await find_unserved(wire, subscription())
    assert (found.topic, found.group) == ("orders", "old")
    assert found.seconds == pytest.approx(2 * DAY, abs=1)


async def test_of_three_members_exactly_one_counts(redis_url, redis_client):
    """And when it dies another, once its heartbeat is a lease old."""
    await redis_client.xadd("orders", {"n": 1})
    await redis_client.xgroup_create("orders", "charge", "0")
    names = ["billing.h.1.aa", "billing.h.2.bb", "billing.h.3.cc"]
    for name in names:
        await serve(redis_client, name)
    everyone = {name: Census(lambda: [subscription()]) for name in names}

    async def those_who_count():
        async with wires(redis_url, 3) as found:
            for wire, (name, census) in zip(found, everyone.items(), strict=True):
                await census.run_once(wire, name)
        return [name for name, census in everyone.items() if census.groups]

    assert await those_who_count() == names[:1]
    await serve(redis_client, names[0], age=LEASE + 1)
    assert await those_who_count() == names[1:2]
    await redis_client.hdel(keys.members("orders", "charge"), names[1])  # it left
    assert await those_who_count() == names[2:]


async def test_of_three_buses_exactly_one_shows_what_their_group_owes(redis_url):
    """As they really run, each with heartbeats of its own."""
    buses = [measured(redis_url) for _ in range(3)]
    for bus, _ in buses:
        bus.census()._interval = 0.02

    async def consume(bus, stop):
        async with bus, bus.consuming():
            await stop.wait()

    def showing():
        return [registry for _, registry in buses if registry.get_sample_value("eventbus_group_pending", PLACE) is not None]

    async def counted_again():
        before = [bus.census()._taken for bus, _ in buses]
        await until(lambda: all(bus.census()._taken is not old for (bus, _), old in zip(buses, before, strict=True)))

    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for bus, _ in buses:
            tasks.create_task(consume(bus, stop))
        await until(lambda: all(bus.consumers for bus, _ in buses))
        smallest = min(buses, key=lambda each: each[0].runtime.name)[1]
        await until(lambda: showing() == [smallest])
        for _ in range(3):
            await counted_again()
            assert showing() == [smallest]
        stop.set()


async def test_numbers_that_are_too_old_are_not_shown(redis_url, redis_client):
    """A process that cannot reach Redis does not go on saying what was."""
    now = 0.0
    await redis_client.xadd("orders", {"n": 1})
    await redis_client.xgroup_create("orders", "charge", "0")
    await serve(redis_client, "a")
    census = Census(lambda: [subscription()], clock=lambda: now)
    async with wires(redis_url, 1) as (wire,):
        await census.run_once(wire, "a")
    now = 44.0
    assert len(census.groups) == 1
    now = 45.0
    assert census.groups == ()


async def test_a_process_that_does_not_consume_any_more_shows_no_numbers(redis_url, redis_client):
    """At once, not when they are too old: somebody else is elected by then."""
    await redis_client.xgroup_create("orders", "charge", "0", mkstream=True)
    await serve(redis_client, "a")
    consumed = [subscription()]
    census = Census(lambda: consumed)
    async with wires(redis_url, 1) as (wire,):
        await census.run_once(wire, "a")
    assert len(census.groups) == 1
    consumed.clear()
    assert census.groups == ()


async def test_a_group_that_cannot_be_counted_does_not_hide_the_others(redis_url, redis_client, caplog):
    """Said once; here a key of another type is in its way."""
    for group in ("charge", "notify"):
        await redis_client.xgroup_create("orders", group, "0", mkstream=True)
        await serve(redis_client, "a", group=group)
    await redis_client.set(keys.dead("orders", "charge"), "not a stream")
    census = Census(lambda: [subscription(group="charge"), subscription(group="notify")])
    async with wires(redis_url, 1) as (wire,):
        for _ in range(2):
            await census.run_once(wire, "a")
    assert [each.group for each in census.groups] == ["notify"]
    assert len([record for record in caplog.records if "cannot be counted" in record.getMessage()]) == 1


@pytest.mark.parametrize("trouble", ["killed", "frozen"])
async def test_without_redis_a_bus_is_not_ready_and_its_metrics_go_on(redis_server, trouble):
    """Killed or frozen; ready again when it is back, without the process being restarted."""
    bus, registry = measured(redis_server.url)
    async with bus, bus.consuming():
        await bus.publish(OrderCreated(order_id="1"))
        value = registry.get_sample_value
        ack = PLACE | {"outcome": "ack"}
        await until(lambda: readiness(bus).ready and value("eventbus_handled_total", ack) == 1)
        redis_server.kill() if trouble == "killed" else redis_server.pause()
        found = await until(lambda: (now := readiness(bus)).ready is False and now)
        assert found.reason.startswith("failing: ")
        assert any(loop.health == "failing" and loop.last_error.startswith("Backend") for loop in found.loops)
        assert value("eventbus_handled_total", ack) == 1
        redis_server.restart() if trouble == "killed" else redis_server.resume()
        await until(lambda: readiness(bus).ready)
        await bus.publish(OrderCreated(order_id="2"))
        await until(lambda: value("eventbus_handled_total", ack) == 2)
        assert value("eventbus_reconnects_total") >= (1 if trouble == "killed" else 0)  # frozen, it need not have been asked
