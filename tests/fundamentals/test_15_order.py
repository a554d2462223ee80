"""15. Order per key: events that belong together are handled one after the other.

A group's events are handled side by side, and what fails is handled again later: two updates of one order may change
places. `ordered=True` keeps the events of one key in line: one at a time, in the order in which they were published.
Different keys are handled side by side as ever.
"""

import asyncio
from contextlib import AsyncExitStack

import pytest

from eventbus import ConfigurationError, Context, Event, EventBus, Reject, Retry, Topic
from eventbus.observe.health import readiness
from eventbus.testing import running


class StockMoved(Event, topic="stock", key="sku"):
    sku: str
    number: int


def moves(sku, count):
    return [StockMoved(sku=sku, number=number) for number in range(count)]


async def test_events_with_one_key_are_handled_one_at_a_time_and_in_order():
    """The next one starts when the one before is settled in Redis; other keys do not wait for it."""
    bus = EventBus("embedded://", service="warehouse")
    started, busy, most = [], {"apples": 0, "pears": 0}, 0

    @bus.subscribe(StockMoved, group="book", ordered=True)
    async def book(event: StockMoved) -> None:
        nonlocal most
        started.append((event.sku, event.number))
        busy[event.sku] += 1
        most = max(most, sum(busy.values()))
        assert busy[event.sku] == 1
        await asyncio.sleep(0.01)
        busy[event.sku] -= 1

    async with running(bus) as run:
        await bus.publish_many([*moves("apples", 5), *moves("pears", 5)])
        await run.idle()

    assert [number for sku, number in started if sku == "apples"] == [0, 1, 2, 3, 4]
    assert [number for sku, number in started if sku == "pears"] == [0, 1, 2, 3, 4]
    assert most == 2  # both keys at once


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("block", [(0, 1), (0, 2), (1, 1), (2, 1)]), ("overtake", [(0, 1), (1, 1), (2, 1), (0, 2)])],
)
async def test_a_key_waits_for_what_failed_or_lets_the_following_ones_overtake_it(policy, expected):
    """`ordered=True` is "block": the key waits for the next attempt, the other keys go on. "overtake" parks it as everywhere."""
    bus = EventBus("embedded://", service="warehouse")
    runs = []

    @bus.subscribe(StockMoved, group="book", ordered=policy, retry=Retry(backoff=[0.05]))
    async def book(event: StockMoved, ctx: Context) -> None:
        runs.append((event.number, ctx.attempt))
        if event.number == 0 and ctx.attempt == 1:
            raise ConnectionError("the store does not answer")

    async with running(bus) as run:
        await bus.publish_many(moves("apples", 3))
        await run.idle()

    assert runs == expected


async def test_a_dead_letter_lets_its_key_go_on():
    """An event that is given up keeps nobody waiting: what follows it is handled, and must be able to."""
    bus = EventBus("embedded://", service="warehouse")
    runs = []

    @bus.subscribe(StockMoved, group="book", ordered=True)
    async def book(event: StockMoved) -> None:
        runs.append(event.number)
        if event.number == 0:
            raise Reject("there is no such shelf")

    async with running(bus) as run:
        await bus.publish_many(moves("apples", 2))
        await run.idle()
        [letter] = await bus.admin.dead_letters("stock", "book").page()

    assert runs == [0, 1]
    assert letter.reason == "rejected"


async def test_one_process_handles_an_ordered_group_and_the_others_stand_by(redis_url):
    """They are ready, and one takes over when the owner ends, in order; what it had not started stays where it is."""
    handled, done = [], asyncio.Event()

    def instance(name):
        bus = EventBus(redis_url, service="warehouse")

        @bus.subscribe(StockMoved, group="book", ordered=True)
        async def book(event: StockMoved) -> None:
            handled.append((name, event.number))
            await asyncio.sleep(0.01)
            if event.number == 3:
                done.set()

        return bus

    one, two = instance("one"), instance("two")
    async with two, AsyncExitStack() as later:
        async with running(one) as run:
            await later.enter_async_context(two.consuming())
            await one.publish_many(moves("apples", 3))
            await run.idle()
            assert readiness(two).ready
            assert [loop.health for loop in two.loops if loop.name == "fetching stock/book"] == ["standby"]
            [group] = (await one.admin.topic("stock")).groups
            assert group.owner.startswith("warehouse.")
        await two.publish(StockMoved(sku="apples", number=3))
        await done.wait()

    assert handled == [("one", 0), ("one", 1), ("one", 2), ("two", 3)]


async def test_events_without_a_key_are_one_line_and_a_warning_says_so(caplog):
    """Nothing tells them apart, so that they wait for each other."""

    class Counted(Event, topic="inventory"):
        shelf: int

    bus = EventBus("embedded://", service="warehouse")
    running_now, handled = 0, []

    @bus.subscribe(Counted, group="book", ordered=True)
    async def book(event: Counted) -> None:
        nonlocal running_now
        running_now += 1
        assert running_now == 1
        await asyncio.sleep(0.01)
        running_now -= 1
        handled.append(event.shelf)

    async with running(bus) as run:
        await bus.publish_many([Counted(shelf=number) for number in range(3)])
        await run.idle()

    assert handled == [0, 1, 2]
    assert "Counted has no key" in caplog.text


async def test_what_cannot_be_in_order_is_refused_before_anything_is_read():
    """Priorities are there to change the order."""
    bus = EventBus("embedded://", service="warehouse")

    @bus.subscribe(StockMoved, group="book", topic=Topic("tasks", priorities=("high", "normal")), ordered=True)
    async def book(event: StockMoved) -> None: ...

    with pytest.raises(ConfigurationError, match="do not go together"):
        async with bus:
            pass
