"""13. Tails, histories and broadcasts: reading without sharing.

A group shares its events among its workers, and answers for each of them. Sometimes that is not what is wanted: somebody
watches what happens (a tail), somebody asks what happened (a history), or every process has to hear of every event (a
broadcast).
"""

from datetime import UTC, datetime, timedelta

import pytest

from eventbus import ConfigurationError, Event, EventBus, Topic
from eventbus.testing import running


class OrderCreated(Event, topic="orders"):
    order_id: str


class OrderPaid(Event, topic="orders"):
    order_id: str


async def test_a_tail_follows_a_topic_without_a_group():
    """Nothing is acknowledged, nobody is disturbed. Entering the block begins: what comes after that is seen."""
    async with EventBus("embedded://", service="watch") as bus:
        await bus.publish(OrderCreated(order_id="before"))
        seen = []

        async with bus.tail(OrderCreated) as tail:
            await bus.publish(OrderCreated(order_id="o-1"))
            await bus.publish(OrderPaid(order_id="o-1"))  # of another type: passed over
            await bus.publish(OrderCreated(order_id="o-2"))
            async for event in tail:
                seen.append(event.order_id)
                if len(seen) == 2:
                    break

    assert seen == ["o-1", "o-2"]


async def test_a_tail_tells_its_place_and_another_one_goes_on_there():
    """After each event: its entry id, its envelope, and where a later tail has to begin."""
    async with EventBus("embedded://", service="watch") as bus:
        async with bus.tail(OrderCreated | OrderPaid) as tail:
            published = await bus.publish(OrderCreated(order_id="o-1"))
            await bus.publish(OrderPaid(order_id="o-1"))
            await anext(tail)
            assert tail.entry_id == published.entry_id
            assert tail.envelope.id == published.event_id
            place = tail.place  # keep it, and go on tomorrow

        async for event in bus.tail(OrderCreated | OrderPaid, start=place):
            assert event == OrderPaid(order_id="o-1")
            break  # breaking out closes the tail: nobody holds it any more


async def test_a_tail_may_begin_earlier():
    """With everything that is kept, after an entry id, or from a time on."""
    async with EventBus("embedded://", service="watch") as bus:
        first = await bus.publish(OrderCreated(order_id="o-1"))
        await bus.publish(OrderCreated(order_id="o-2"))
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)

        for start, expected in [("earliest", "o-1"), (first.entry_id, "o-2"), (an_hour_ago, "o-1")]:
            async with bus.tail(OrderCreated, start=start) as tail:
                assert (await anext(tail)).order_id == expected


async def test_a_tail_that_fell_behind_says_so():
    """Nothing is kept back for a tail. What was trimmed before it was read is counted, and logged."""
    async with EventBus("embedded://", service="watch") as bus, bus.tail(OrderCreated) as tail:
        await bus.publish(OrderCreated(order_id="o-0"))
        await anext(tail)
        await bus.publish_many([OrderCreated(order_id=f"o-{number}") for number in range(1, 100)])
        await bus.admin.trim("orders", max_len=10, hard=True, exact=True)

        assert (await anext(tail)).order_id == "o-90"
        assert tail.gaps == 1  # and from Redis 7.0 on `tail.missed == 89`


async def test_a_history_reads_what_is_there_and_ends():
    """Page by page, typed, forwards or backwards, between two ids or times."""
    async with EventBus("embedded://", service="report") as bus:
        written = [await bus.publish(OrderCreated(order_id=f"o-{number}")) for number in range(5)]
        today = datetime.now(UTC) - timedelta(days=1)

        assert [event.order_id async for event in bus.history(OrderCreated, from_=today)] == ["o-0", "o-1", "o-2", "o-3", "o-4"]

        between = bus.history(OrderCreated, from_=written[1].entry_id, to=written[3].entry_id)
        assert [event.order_id async for event in between] == ["o-1", "o-2", "o-3"]

        async for event in bus.history(OrderCreated, reverse=True):
            assert event.order_id == "o-4"  # the newest
            break


async def test_a_broadcast_gives_every_process_every_event():
    """Each process is a group of its own. It begins with what comes from now on; its group ends with it."""

    def process(cache: set[str]) -> EventBus:
        bus = EventBus("embedded://", service="shop")  # a process in real life

        @bus.subscribe(OrderCreated, group="cache", broadcast=True)
        async def remember(event: OrderCreated) -> None:
            cache.add(event.order_id)

        return bus

    here, there = set(), set()
    async with EventBus("embedded://", service="watch") as watch:
        async with running(process(here)) as one, running(process(there)) as two:
            await one.bus.publish_many([OrderCreated(order_id=f"o-{number}") for number in range(10)])
            await one.idle()
            await two.idle()

            groups = (await watch.admin.topic("orders")).groups
            assert [group.broadcast for group in groups] == ["cache", "cache"]

        assert here == there
        assert len(here) == 10
        assert (await watch.admin.topic("orders")).groups == ()


async def test_what_cannot_be_read_that_way_is_refused():
    """At once, by its name."""

    class Refund(Event, topic="refunds"):
        order_id: str

    async with EventBus("embedded://", service="watch") as bus:
        with pytest.raises(ConfigurationError, match="the time has no zone"):
            bus.tail(OrderCreated, start=datetime(2026, 11, 21))  # noqa: DTZ001 - that is what is refused
        with pytest.raises(ConfigurationError, match="is not before to="):
            bus.history(OrderCreated, from_="1700000000001-0", to="1700000000000-0")
        with pytest.raises(ConfigurationError, match="events in several topics"):
            bus.tail(OrderCreated | Refund)
        assert bus.tail(OrderCreated, topic=Topic("orders", max_age=timedelta(days=1))).entry_id == ""
