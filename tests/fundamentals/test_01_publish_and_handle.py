"""1. An event is published, handled, acknowledged.

This folder is a tutorial: read the files in order. It uses what any program can import, and nothing else. Every
test runs on a real Redis server: `embedded://` starts one for this process and ends it with the bus.
"""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from eventbus import Event, EventBus
from eventbus.testing import running


class OrderCreated(Event, topic="orders", key="order_id"):
    """What happened, in the past tense. `topic` is where it goes, `key` names what it belongs to."""

    order_id: str
    total: Decimal


async def test_a_published_event_reaches_its_handler():
    """A bus has a url and a service's name; a handler subscribes; `publish` waits for Redis's confirmation."""
    bus = EventBus("embedded://", service="billing")
    charged = []

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        charged.append(event.order_id)

    # In a service: `asyncio.run(bus.run())`. In a test, `running` opens the bus and lets it consume.
    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1", total=Decimal("9.99")))
        await run.idle()  # nothing unread, nothing pending

    assert charged == ["o-1"]


async def test_publishing_tells_where_the_event_is():
    """The event's id is its own; the entry id is its place in the topic."""
    async with EventBus("embedded://", service="shop") as bus:  # publishing needs no handlers
        event = OrderCreated(order_id="o-1", total=Decimal(1))
        first = await bus.publish(event)
        second = await bus.publish(event)

    assert first.topic == "orders"
    assert first.event_id == second.event_id  # one event, although it was published twice
    assert first.entry_id < second.entry_id


def test_an_event_is_checked_when_it_is_made_and_never_changes():
    """A wrong event cannot be made, so it cannot be published. The error does not show what was in it."""
    with pytest.raises(ValidationError) as mistake:
        OrderCreated(order_id="o-1", total="nine ninety-nine")
    assert "nine" not in str(mistake.value)

    event = OrderCreated(order_id="o-1", total=Decimal(1))
    with pytest.raises(ValidationError):
        event.total = Decimal(2)
