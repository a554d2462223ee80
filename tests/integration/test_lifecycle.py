"""Opening, consuming and closing, cancelled and repeated at the worst moments: nothing runs on afterwards."""

from __future__ import annotations

import asyncio
import gc
import os
import signal

import pytest

from eventbus import EventBus, LifecycleError
from tests.support.events import OrderCreated


def billing(url, handler=None, **options):
    bus = EventBus(url, service="billing", **options)

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        if handler is not None:
            await handler(event)

    return bus


async def alone():
    """Wait until this task is the only one; the test's timeout bounds it."""
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)


async def test_two_consuming_at_once_is_one_too_many(redis_url):
    """Also when the second comes while the first is still joining its groups."""
    bus = billing(redis_url)

    async def consume():
        async with bus.consuming():
            await asyncio.sleep(0)

    async with bus:
        results = await asyncio.gather(consume(), consume(), return_exceptions=True)
        assert sorted(type(result) for result in results if result) == [LifecycleError]
    await alone()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89])
async def test_cancelled_at_any_moment_run_leaves_nothing_behind(redis_url, redis_client, turns):
    """While it opens, joins, begins, consumes, drains or closes: once and again."""
    bus = billing(redis_url)
    running = asyncio.ensure_future(bus.run())
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await alone()
    assert bus.loops == ()
    for group in await redis_client.xinfo_groups("orders") if await redis_client.exists("orders") else []:
        assert group["consumers"] == 0


async def test_a_drain_that_is_cancelled_is_still_carried_through(redis_url):
    """`asyncio.timeout` around a service cancels its task, not its promise."""
    started, release, handled = asyncio.Event(), asyncio.Event(), []

    async def slow(event):
        started.set()
        await release.wait()
        handled.append(event)

    bus = billing(redis_url, slow)

    async def serve():
        async with bus.consuming():
            await bus.publish(OrderCreated(order_id="1"))
            await started.wait()

    serving = asyncio.ensure_future(serve())
    await started.wait()
    for _ in range(5):
        await asyncio.sleep(0)
        serving.cancel()
    assert not serving.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert len(handled) == 1
    await alone()


async def test_one_signal_stops_every_bus_of_a_process(redis_url):
    """`asyncio.gather(one.run(), other.run())` is a service too."""
    one, other = billing(redis_url), EventBus(redis_url, service="other")
    running = asyncio.gather(one.run(), other.run())
    while len(one.consumers) != 1 or not other.loops:
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    await alone()
    assert (one.loops, other.loops) == ((), ())


async def test_a_second_run_is_refused_and_takes_no_signal_away(redis_url):
    """The first one still hears its SIGTERM."""
    bus = billing(redis_url)
    running = asyncio.ensure_future(bus.run())
    while not bus.consumers:
        await asyncio.sleep(0)
    with pytest.raises(LifecycleError, match="consumes already"):
        await bus.run()
    os.kill(os.getpid(), signal.SIGTERM)
    await running


async def test_a_signal_while_redis_is_waited_for_ends_at_once(tmp_path):
    """Nobody waits for a Redis that is not there after being told to stop."""
    bus = billing(f"unix://{tmp_path}/nobody.sock")
    running = asyncio.ensure_future(bus.run())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    await alone()
    assert bus.loops == ()


async def test_an_applications_own_signal_handlers_are_put_back(redis_url):
    """Also those it gave the loop."""
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, heard.set)
    bus = billing(redis_url)
    running = asyncio.ensure_future(bus.run())
    while not bus.consumers:
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert not heard.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    await heard.wait()
    loop.remove_signal_handler(signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_bus_left_open_on_a_loop_that_ended_may_be_opened_on_another(redis_url):
    """And says so to who uses it without opening it."""
    bus = EventBus(redis_url, service="shop")

    async def forget():
        await bus.open()
        # Its tasks end with the loop, as everything on it does.

    async def use():
        with pytest.raises(LifecycleError, match="another event loop"):
            await bus.publish(OrderCreated(order_id="1"))
        async with bus:
            assert (await bus.publish(OrderCreated(order_id="1"))).topic == "orders"

    asyncio.run(forget())
    asyncio.run(use())
    gc.collect()  # Python warns of what the first loop left open; here, where it is expected


async def test_a_consumer_whose_reader_lost_redis_finds_the_group_gone_and_heals_it(own_server):
    """Restarted without its data, Redis knows neither stream nor group."""
    server, handled = own_server(keeps=False), []

    async def note(event):
        handled.append(event.order_id)

    bus = billing(server.url, note)
    async with bus, bus.consuming():
        (fetch,) = [loop for loop in bus.loops if loop.name.startswith("fetching")]
        server.kill()
        while not fetch.failures:
            await asyncio.sleep(0)
        server.restart()
        await bus.publish(OrderCreated(order_id="after"))
        while not handled:
            await asyncio.sleep(0)
        assert bus.consumers[0].counts.regrouped >= 1
