"""6. What happens today when something goes wrong.

Retries, dead letters and the takeover of a crashed worker's entries are designed and come next. Until then what was
not handled stays pending in its group: logged, counted, shown by `eventbus pending`, and never acknowledged.
"""

import asyncio
import logging

import pytest

from eventbus import EncodeError, Event, EventBus, EventTooLarge, LifecycleError, Retry
from eventbus.testing import running


class OrderCreated(Event, topic="orders"):
    order_id: str


async def test_an_event_whose_handler_raised_stays_pending(caplog):
    """It is logged with its traceback, and the group goes on with the next one."""
    bus = EventBus("embedded://", service="billing")
    passed = asyncio.Event()

    @bus.subscribe(OrderCreated, group="charge", concurrency=1, retry=Retry(attempts=5))  # kept for when retries exist
    async def charge(event: OrderCreated) -> None:
        if event.order_id == "wrong":
            raise ValueError("no such account")
        passed.set()

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="wrong"))
        await bus.publish(OrderCreated(order_id="right"))
        await passed.wait()

        with pytest.raises(TimeoutError, match="orders/charge has 1 entry pending, of which this process left 1: handlers raised"):
            await run.idle(timeout=0.5)  # never idle: one event is still owed

    assert run.handled(OrderCreated) == [OrderCreated(order_id="right")]
    [record] = [record for record in caplog.records if record.exc_info]
    assert "charge raised for event" in record.getMessage()
    assert "no such account" in str(record.exc_info[1])


class WithNumber(Event, topic="orders", type="OrderCreated"):
    """Another program's idea of the same type: it has no `order_id`."""

    number: int


class OrderCreatedNext(Event, topic="orders", type="OrderCreated", version=2):
    """What the next release publishes. Its data could be read, but may mean something else."""

    order_id: str
    number: int


@pytest.mark.parametrize(
    ("theirs", "counted"),
    [(WithNumber(number=7), "undecodable"), (OrderCreatedNext(order_id="o-2", number=7), "newer")],
)
async def test_an_event_that_this_program_cannot_read_stays_pending(caplog, theirs, counted):
    """Old workers in a rolling deployment must not destroy what the new ones publish."""
    bus = EventBus("embedded://", service="billing")
    passed = asyncio.Event()

    @bus.subscribe(OrderCreated, group="charge", concurrency=1)
    async def charge(event: OrderCreated) -> None:
        passed.set()

    with caplog.at_level(logging.ERROR, logger="eventbus"):
        async with running(bus) as run:
            await bus.publish(theirs)
            await bus.publish(OrderCreated(order_id="o-1"))
            await passed.wait()
            assert getattr(bus.consumers[0].counts, counted) == 1

    assert run.handled(OrderCreated) == [OrderCreated(order_id="o-1")]
    assert "stays pending" in caplog.text


async def test_what_cannot_be_published_is_said_before_anything_is_written():
    """Each mistake has an error of its own, which names it and what to do."""

    class Abstract(Event):
        name: str

    bus = EventBus("embedded://", service="shop", max_event_bytes=500)
    async with bus:
        with pytest.raises(EncodeError, match="Abstract names no topic"):
            await bus.publish(Abstract(name="x"))
        with pytest.raises(EventTooLarge, match="publish a reference to what is large"):
            await bus.publish(OrderCreated(order_id="o" * 500))
        with pytest.raises(EncodeError, match="header 'Tenant'"):
            await bus.publish(OrderCreated(order_id="o-1"), headers={"Tenant": "north"})

    with pytest.raises(LifecycleError, match="the bus is closed"):
        await bus.publish(OrderCreated(order_id="o-1"))
