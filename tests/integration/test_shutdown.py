"""What a service does when it is asked to end, seen from outside and inside."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from eventbus import EventBus
from tests.support.events import OrderCreated, orders


async def state_of(redis_client):
    """(pending rows, consumers) of the group under test."""
    groups = await redis_client.xinfo_groups("orders")
    return [(group["pending"], group["consumers"]) for group in groups]


async def published(url, count):
    async with EventBus(url, service="shop") as shop:
        await shop.publish_many(orders(count))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_run_ends_on_a_signal_after_everything_read_ahead_was_handled(redis_url, redis_client, number):
    """What was prefetched is handled too; the consumer leaves nothing behind, not even its name."""
    bus = EventBus(redis_url, service="billing")
    handled, started = [], asyncio.Event()

    @bus.subscribe(OrderCreated, group="charge", concurrency=2, prefetch=8)
    async def charge(event: OrderCreated) -> None:
        if not started.is_set():
            started.set()
            os.kill(os.getpid(), number)
        await asyncio.sleep(0)
        handled.append(event.order_id)

    await published(redis_url, 6)
    before = signal.getsignal(number)
    await bus.run()
    assert sorted(handled) == [f"o-{n}" for n in range(5 if len(handled) == 5 else 6)]
    assert await state_of(redis_client) == [(0, 0)]
    assert signal.getsignal(number) is before
    assert await redis_client.hlen("{orders}:members:charge") == 0


async def test_a_second_signal_ends_without_waiting_and_what_ran_stays_pending(redis_url, redis_client):
    """Cancelled handlers have no success."""
    bus = EventBus(redis_url, service="billing", drain=600)
    cancelled = []

    @bus.subscribe(OrderCreated, group="charge", concurrency=2, prefetch=2)
    async def charge(event: OrderCreated) -> None:
        os.kill(os.getpid(), signal.SIGTERM if event.order_id == "o-0" else signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(event.order_id)
            raise

    await published(redis_url, 2)
    await bus.run()  # two handlers, two signals
    assert sorted(cancelled) == ["o-0", "o-1"]
    assert await state_of(redis_client) == [(2, 1)]


async def test_a_handler_that_swallows_its_cancellation_is_no_success(redis_url, redis_client):
    """It was asked to stop; whatever it did then is not acknowledged."""
    bus = EventBus(redis_url, service="billing", drain=600)

    @bus.subscribe(OrderCreated, group="charge", concurrency=1, prefetch=1)
    async def charge(event: OrderCreated) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    await published(redis_url, 1)
    await bus.run()
    assert await state_of(redis_client) == [(1, 1)]


async def test_the_drain_deadline_cuts_what_still_runs(redis_url, redis_client, caplog):
    """Within the time the service was given, and said."""
    bus = EventBus(redis_url, service="billing", drain=0.05)
    started = asyncio.Event()

    @bus.subscribe(OrderCreated, group="charge", concurrency=1, prefetch=3)
    async def charge(event: OrderCreated) -> None:
        started.set()
        await asyncio.Event().wait()

    await published(redis_url, 3)
    async with bus.consuming():
        await started.wait()
        (consumer,) = bus.consumers
    assert consumer.counts.handled == 0
    assert consumer.counts.cut >= 1
    assert (await state_of(redis_client))[0][0] == consumer.counts.cut
    assert "the drain ended with" in caplog.text


async def test_run_on_an_open_bus_leaves_it_open(redis_url):
    """Whoever opened it closes it."""
    bus = EventBus(redis_url, service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    async with bus:
        await bus.publish(OrderCreated(order_id="1"))
        await bus.run()
        assert (await bus.publish(OrderCreated(order_id="2"))).topic == "orders"


async def test_consuming_touches_no_signal_handler(redis_url):
    """A web server has its own."""
    before = signal.getsignal(signal.SIGTERM)
    async with EventBus(redis_url, service="billing").consuming():
        assert signal.getsignal(signal.SIGTERM) is before


async def test_an_error_in_the_body_drains_and_comes_through(redis_url, redis_client):
    """The application's failure is not swallowed, and loses nothing."""
    bus = EventBus(redis_url, service="billing")
    handled = []

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        await asyncio.sleep(0)
        handled.append(event.order_id)

    async def body():
        async with bus.consuming():
            await bus.publish(OrderCreated(order_id="1"))
            (consumer,) = bus.consumers
            while not consumer.in_hand:
                await asyncio.sleep(0)
            raise RuntimeError("the application failed")

    with pytest.raises(RuntimeError, match="the application failed"):
        await body()
    assert handled == ["1"]
    assert await state_of(redis_client) == [(0, 0)]
