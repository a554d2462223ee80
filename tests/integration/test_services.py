"""The services, talking to each other by events alone."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from eventbus import Context, EventBus
from eventbus.testing import running
from services.notifications.app import bus as notifications
from services.orders.app import bus as orders
from services.orders.events import OrderCancelled, OrderCompleted, OrderCreated, OrderEvent
from services.payments.app import bus as payments
from services.sensors.app import bus as sensors
from services.sensors.events import SensorReading, TemperatureAlert
from services.shipping.app import bus as shipping


@pytest.fixture(autouse=True)
def _environment(redis_url, monkeypatch):
    """One variable is all a service needs."""
    monkeypatch.setenv("EVENTBUS_URL", redis_url)


@asynccontextmanager
async def services(*buses):
    async with AsyncExitStack() as stack:
        for bus in buses:
            await stack.enter_async_context(bus.consuming())
        yield


def observer(*event_classes):
    """A bus that puts what it sees of some classes, with the chain it belongs to, into a queue."""
    bus, seen = EventBus(service="observer"), asyncio.Queue()

    async def see(event, ctx: Context) -> None:
        seen.put_nowait((event, ctx.correlation_id))

    for event_class in event_classes:
        bus.subscribe(event_class, group="observer")(see)
    return bus, seen


@pytest.mark.parametrize(("total", "last"), [("99.99", OrderCompleted), ("499.00", OrderCancelled)])
async def test_an_order_is_brought_to_its_end_by_events_alone(total, last):
    """Paid and shipped, or declined and cancelled; every event of it carries the id of the first on."""
    bus, seen = observer(OrderEvent)
    async with services(orders, payments, shipping, notifications, bus):
        order = OrderCreated(order_id="o-1", customer_id="c-1", total=Decimal(total))
        published = await bus.publish(order)
        assert await seen.get() == (order, published.event_id)
        end, correlation_id = await seen.get()
    assert (type(end), end.order_id, correlation_id) == (last, "o-1", published.event_id)


def reading(celsius):
    return SensorReading(sensor_id="roof-1", celsius=celsius, measured_at=datetime.now(UTC))


async def test_the_monitor_raises_an_alert_for_a_reading_that_stands_out():
    """Steady readings raise none."""
    bus, seen = observer(TemperatureAlert)
    async with running(sensors) as run, bus.consuming():
        await bus.publish_many([reading(20.0) for _ in range(12)])
        await run.idle()
        published = await bus.publish(reading(35.5))
        alert, correlation_id = await seen.get()
        await run.idle()
    assert alert == TemperatureAlert(sensor_id="roof-1", celsius=35.5, usual=20.0)
    assert correlation_id == published.event_id
    assert run.published(TemperatureAlert) == [alert]
