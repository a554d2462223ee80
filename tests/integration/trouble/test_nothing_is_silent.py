"""Nothing disappears silently: whatever is not handled has a metric and a log line."""

from __future__ import annotations

import asyncio
import json
import logging
import threading

import pytest
from prometheus_client import CollectorRegistry

from eventbus import Event, EventBus, Retry, Topic
from eventbus.admin import Census
from eventbus.observe.prometheus import instrument
from eventbus.streams import Address, Connections, Wire, keys
from tests.support.events import OrderCreated
from tests.support.measured import FakeBus, subscription
from tests.support.ordeal import until

pytestmark = pytest.mark.promise(8)

PLACE = {"topic": "orders", "group": "charge"}


class Reading(Event, topic=Topic("readings", max_len=5, hard=True)):
    number: int


@pytest.fixture(autouse=True)
def _listens(caplog):
    caplog.set_level(logging.INFO, "eventbus")


@pytest.fixture
def bus(redis_url):
    return EventBus(redis_url, service="billing", lease=1, claim_interval=0.1, drain=0.2)


@pytest.fixture
def value(bus):
    """The value of a metric of the bus."""
    registry = CollectorRegistry()
    instrument(bus, registry)

    def ask(name, place=PLACE, **labels):
        return registry.get_sample_value(f"eventbus_{name}", place | labels)

    return ask


async def test_an_entry_that_was_cut_while_it_was_pending_leaves_a_dead_letter(bus, value, redis_client, caplog):
    """Nobody can handle it any more: its group is told which one it was."""

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    entry_id = await redis_client.xadd("orders", {"type": "OrderCreated"})
    await redis_client.xgroup_create("orders", "charge", "0")
    await redis_client.xreadgroup("charge", "dead", {"orders": ">"})
    await redis_client.xclaim("orders", "charge", "dead", 0, [entry_id], idle=3_600_000)
    await redis_client.xdel("orders", entry_id)
    async with bus, bus.consuming():
        await until(lambda: value("trimmed_pending_total"))
    (letter,) = await redis_client.xrange(keys.dead("orders", "charge"))
    assert letter[1]["ebreason"] == "trimmed"
    assert letter[1]["ebentry"] == entry_id
    assert f"entry {entry_id} was cut from the stream while it was pending" in caplog.text


async def test_an_entry_that_was_cut_while_it_was_in_hand_is_handled_and_said(bus, value, redis_client, caplog):
    """Only this process has the event now."""
    release, handled = asyncio.Event(), []

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        await release.wait()
        handled.append(event.order_id)

    async with bus, bus.consuming():
        published = await bus.publish(OrderCreated(order_id="1"))
        await until(lambda: bus.consumers[0].in_hand)
        await redis_client.xdel("orders", published.entry_id)
        await until(lambda: value("trimmed_pending_total"))
        release.set()
        await until(lambda: handled)
    assert "only this process can still handle its event" in caplog.text


async def test_a_parked_event_that_was_deleted_is_counted(bus, value, redis_client, caplog):
    """Its time comes, and it is not there."""

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(backoff=[0.3], jitter=0))
    async def charge(event: OrderCreated) -> None:
        raise ValueError("again")

    async with bus, bus.consuming():
        await bus.publish(OrderCreated(order_id="1"))
        await until(lambda: value("handled_total", outcome="retry"))
        await redis_client.delete(keys.parked("orders", "charge"))
        await until(lambda: value("trimmed_pending_total"))
    assert "1 parked events were deleted before they were due" in caplog.text


async def test_a_type_that_nobody_declared_is_skipped(bus, value, redis_client, caplog):
    """The group has no work with it; that is said once a type."""

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    other = {"specversion": "1.0", "id": "x", "type": "OrderShipped", "source": "/shop", "data": "{}"}
    async with bus, bus.consuming():
        for _ in range(2):
            await redis_client.xadd("orders", other)
        await until(lambda: value("handled_total", outcome="skip") == 2)
    assert caplog.text.count("skipped, here and from now on") == 1


UNREADABLE = {
    "undecodable": {"data": "no JSON"},
    "newer": {"data": '{"order_id":"1"}', "dataversion": "7"},
}


@pytest.mark.parametrize("reason", UNREADABLE)
async def test_what_no_member_can_read_is_a_dead_letter(bus, value, redis_client, caplog, reason):
    """Once, with its reason."""

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    envelope = {"specversion": "1.0", "id": "x", "type": "OrderCreated", "source": "/shop"}
    async with bus, bus.consuming():
        await redis_client.xadd("orders", envelope | UNREADABLE[reason])
        await until(lambda: value("dead_letters_total", reason=reason))
    assert f"is a dead letter now ({reason})" in caplog.text
    assert await redis_client.xlen(keys.dead("orders", "charge")) == 1


async def test_a_handler_that_nothing_can_end_is_stuck(bus, value, caplog):
    """A thread goes on after the drain, and its entry stays pending."""
    started, release = threading.Event(), threading.Event()

    @bus.subscribe(OrderCreated, group="charge")
    def charge(event: OrderCreated) -> None:
        started.set()
        release.wait()

    try:
        async with bus:
            async with bus.consuming():
                await bus.publish(OrderCreated(order_id="1"))
                await until(started.is_set)
            assert value("stuck_handlers", {}) == 1
    finally:
        release.set()
    assert "threads of handler" in caplog.text
    assert "1 entries stay pending for this consumer" in caplog.text


async def test_what_a_hard_cap_cut_unsettled_is_counted(bus, value, caplog):
    """The user asked for it, and still wants to know."""

    @bus.subscribe(Reading, group="charge", concurrency=1, prefetch=1)
    async def read(event: Reading) -> None:
        await asyncio.sleep(3600)

    async with bus, bus.consuming():
        await bus.publish_many([Reading(number=number) for number in range(1000)])
        await until(lambda: value("trimmed_unsettled_total", {}))
    assert "its hard cap cut" in caplog.text


async def test_a_lag_that_nobody_knows_is_said(redis_url, redis_client, caplog):
    """Not 0, and not as often as somebody asks."""
    ids = [await redis_client.xadd("orders", {"n": n}) for n in range(1003)]
    await redis_client.xgroup_create("orders", "charge", "0")
    await redis_client.xdel("orders", ids[500])
    await alive(redis_client, "a")
    census, registry = Census(lambda: [subscription()]), CollectorRegistry()
    wire = Wire(Connections(Address.parse(redis_url), name="test"), "testing")
    for _ in range(2):
        await census.run_once(wire, "a")
    await wire.close()
    instrument(FakeBus(groups=census.groups), registry)
    assert registry.get_sample_value("eventbus_group_lag_unknown", PLACE) == 1
    assert caplog.text.count("lag") == 1


async def alive(client, name):
    """Write a heartbeat as a member of the group does: one of them counts for all."""
    seconds, _ = await client.time()
    record = {"service": "billing", "host": "h", "pid": 1, "lease": 30.0, "time": seconds * 1000}
    await client.hset(keys.members("orders", "charge"), name, json.dumps(record))
