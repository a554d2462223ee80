"""Handlers do whatever they like; the others, and the bus, go on."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from eventbus import EventBus, LifecycleError
from eventbus.testing import running
from tests.support.events import OrderCreated, orders


class Odd(BaseException):
    """What no `except Exception` sees."""


async def cancels_itself_and_waits():
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def cancels_itself_and_returns():
    asyncio.current_task().cancel()


async def swallows_its_own_cancel():
    asyncio.current_task().cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)


async def raises_what_is_no_exception():
    raise Odd


async def closes_a_generator():
    raise GeneratorExit


@pytest.mark.parametrize(
    "misbehave",
    [cancels_itself_and_waits, cancels_itself_and_returns, swallows_its_own_cancel, raises_what_is_no_exception, closes_a_generator],
)
async def test_a_misbehaving_handler_costs_its_own_event_at_most(redis_url, misbehave):
    """More of them than there are executors, and every good event is still handled once."""
    bus = EventBus(redis_url, service="billing")
    handled = []

    @bus.subscribe(OrderCreated, group="charge", concurrency=2)
    async def charge(event: OrderCreated) -> None:
        if int(event.order_id.removeprefix("o-")) % 2:
            await misbehave()
        await asyncio.sleep(0)
        handled.append(event.order_id)

    async with running(bus):
        await bus.publish_many(orders(20))
        (consumer,) = bus.consumers
        counts = consumer.counts
        while counts.handled + counts.failed < 20 or consumer.in_hand:
            await asyncio.sleep(0)
        assert {loop.health.value for loop in bus.loops} <= {"running", "starting"}
    assert {f"o-{number}" for number in range(0, 20, 2)} <= set(handled)
    assert len(handled) == len(set(handled)) == counts.handled


async def test_a_bus_is_not_closed_by_one_of_its_handlers(redis_url):
    """It would wait for itself."""
    bus = EventBus(redis_url, service="billing")
    said = []

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        try:
            await bus.close()
        except LifecycleError as error:
            said.append(str(error))

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="1"))
        await run.idle()
    assert "the bus is consuming" in said[0]


async def test_a_handler_that_ignores_its_cancel_is_counted_and_the_shutdown_ends(redis_url, monkeypatch, caplog):
    """Nothing but the end of the process can end it."""
    monkeypatch.setattr("eventbus.supervision.home.STUCK", 0.05)
    monkeypatch.setattr("eventbus.supervision.shift.GRACE", 0.2)
    bus = EventBus(redis_url, service="billing", drain=0.05)
    started, release, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        done.set()

    async with bus:
        await bus.publish(OrderCreated(order_id="1"))
        async with bus.consuming():
            await started.wait()
        assert bus.stuck == 1
    assert "ignore that they were cancelled" in caplog.text
    release.set()
    await done.wait()
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)


async def test_a_thread_past_the_drain_is_counted_and_its_entry_stays_pending(redis_url, redis_client, monkeypatch, caplog):
    """It cannot be stopped, and what it still does is nobody's success."""
    monkeypatch.setattr("eventbus.supervision.shift.GRACE", 0.2)
    bus = EventBus(redis_url, service="billing", drain=0.05)
    started, release = threading.Event(), threading.Event()

    @bus.subscribe(OrderCreated, group="charge")
    def charge(event: OrderCreated) -> None:
        started.set()
        release.wait(10)

    async with bus:
        await bus.publish(OrderCreated(order_id="1"))
        async with bus.consuming():
            while not started.is_set():
                await asyncio.sleep(0)
        assert bus.stuck == 1
        assert (await redis_client.xpending("orders", "charge"))["pending"] == 1
        release.set()
    assert "threads of handler" in caplog.text
