"""What a service does when it is asked to end, seen from outside and inside."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from eventbus import Context, EventBus
from tests.support.events import OrderCreated, orders


async def state_of(redis_client):
    """(pending rows, consumers) of the group under test."""
    groups = await redis_client.xinfo_groups("orders")
    return [(group["pending"], group["consumers"]) for group in groups]


async def published(url, count):
    async with EventBus(url, service="shop") as shop:
        await shop.publish_many(orders(count))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_run_ends_on_a_signal_after_what_runs_and_releases_what_never_started(redis_url, redis_client, number):
    """The rest begins elsewhere, uncounted; the consumer leaves nothing behind, not even its name."""
    bus = EventBus(redis_url, service="billing")
    handled, started = [], asyncio.Semaphore(0)

    @bus.subscribe(OrderCreated, group="charge", concurrency=2, prefetch=8)
    async def charge(event: OrderCreated) -> None:
        started.release()
        if event.order_id == "o-1":
            os.kill(os.getpid(), number)
        while len(await released(redis_client)) < 3:  # while handlers run, not after them
            await asyncio.sleep(0.001)
        handled.append(event.order_id)

    await published(redis_url, 5)  # half of the credit for 10
    before = signal.getsignal(number)
    await bus.run()
    assert sorted(handled) == ["o-0", "o-1"]
    assert sorted(await released(redis_client)) == ["o-2", "o-3", "o-4"]
    assert await state_of(redis_client) == [(0, 0)]
    assert signal.getsignal(number) is before
    assert await redis_client.hlen("{orders}:members:charge") == 0


async def released(redis_client):
    """The orders that wait in the group's private stream, and nobody has read."""
    return [json.loads(fields["data"])["order_id"] for _, fields in await redis_client.xrange("{orders}:retry:charge")]


async def test_what_one_worker_releases_another_starts_while_the_first_still_drains(redis_url):
    """In well under a second, and as its first attempt."""
    first, second = (EventBus(redis_url, service="billing") for _ in range(2))
    started, release = asyncio.Event(), asyncio.Event()
    seen, now, times = {}, asyncio.get_running_loop().time, []

    @first.subscribe(OrderCreated, group="charge", concurrency=1, prefetch=9)
    async def charge(event: OrderCreated) -> None:
        started.set()
        await release.wait()

    @second.subscribe(OrderCreated, group="charge")
    async def charge_elsewhere(event: OrderCreated, ctx: Context) -> None:
        seen[event.order_id] = ctx.attempt
        times.append(now())
        if len(seen) == 4:
            release.set()

    await published(redis_url, 5)
    async with first, second:
        async with first.consuming():
            await started.wait()
            (consumer,) = first.consumers
            while len(consumer.in_hand) < 5:
                await asyncio.sleep(0)
            beside = second.consuming()
            await beside.__aenter__()
            since = now()
        await beside.__aexit__(None, None, None)
    assert max(times) - since < 1
    assert seen == {f"o-{number}": 1 for number in range(1, 5)}
    assert consumer.counts.handled == 1
    assert consumer.counts.released >= 4  # its last read may bring some of them back: they are released again


async def test_a_second_signal_ends_without_waiting_and_what_ran_is_released_uncounted(redis_url, redis_client):
    """Cancelled handlers have no success, and no failure either."""
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
    assert sorted(cancelled) == sorted(await released(redis_client)) == ["o-0", "o-1"]
    assert await state_of(redis_client) == [(0, 0)]
    for _, fields in await redis_client.xrange("{orders}:retry:charge"):
        assert [name for name in fields if name.startswith("eb")] == ["ebentry"]


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
    assert await released(redis_client) == ["o-0"]
    assert await state_of(redis_client) == [(0, 0)]


async def test_the_drain_deadline_cuts_what_still_runs(redis_url, redis_client, caplog):
    """Within the time the service was given, and said; it starts elsewhere."""
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
        while len(consumer.in_hand) < 2:
            await asyncio.sleep(0)
    assert consumer.counts.handled == 0
    assert consumer.counts.released == len(await released(redis_client)) >= 2
    assert "o-0" in await released(redis_client)
    assert await state_of(redis_client) == [(0, 0)]
    assert "the drain ended with 1 entries in hand" in caplog.text


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
