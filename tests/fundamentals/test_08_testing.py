"""8. Testing your own service: a real server, no sleeps, and handlers that stay plain functions."""

import pytest

from eventbus import ConfigurationError, Context, Event, EventBus, Router
from eventbus.testing import running


class OrderCreated(Event, topic="orders"):
    order_id: str


class InvoiceWritten(Event, topic="invoices"):
    order_id: str


router = Router()  # as a service's handlers.py declares it, without a bus


@router.subscribe(OrderCreated, group="invoices")
async def write_invoice(event: OrderCreated, ctx: Context) -> None:
    await ctx.publish(InvoiceWritten(order_id=event.order_id))


@router.subscribe(InvoiceWritten, group="letters")
def send_letter(event: InvoiceWritten) -> str:
    """A synchronous handler: it runs in a thread, so that it may block."""
    return f"Dear customer of {event.order_id}"


@pytest.fixture
def bus():
    """A bus of the test's own, on a server of its own."""
    bus = EventBus("embedded://", service="billing")
    bus.include(router)
    return bus


async def test_the_decorator_returns_the_function_unchanged():
    """So a handler's work can be tested without any bus."""
    assert send_letter(InvoiceWritten(order_id="o-1")) == "Dear customer of o-1"


async def test_a_whole_chain_of_events_is_over_when_the_bus_is_idle(bus):
    """`idle` waits until no group has anything unread or pending, also what handlers published meanwhile."""
    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()

        assert run.published(InvoiceWritten) == [InvoiceWritten(order_id="o-1")]
        assert run.handled(InvoiceWritten) == [InvoiceWritten(order_id="o-1")]
        assert len(run.handled(Event)) == 2


async def test_middleware_can_watch_or_replace_handlers():
    """A layer around every handler; one that does not call the next replaces it."""
    letters = []

    async def no_letters(event, ctx, call_next):
        if isinstance(event, InvoiceWritten):
            letters.append(event.order_id)
        else:
            await call_next(event, ctx)

    bus = EventBus("embedded://", service="billing", middleware=[no_letters])
    bus.include(router)
    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()

    assert letters == ["o-1"]


async def test_wiring_is_checked_when_the_bus_opens(bus):
    """A test that only opens the bus finds wrong signatures, conflicts and missing topics."""

    @bus.subscribe(OrderCreated, group="wrong")
    async def wrong(event: OrderCreated, database: object) -> None: ...

    with pytest.raises(ConfigurationError, match="parameter 'database' with annotation object; after the event only `ctx: Context`"):
        await bus.open()
