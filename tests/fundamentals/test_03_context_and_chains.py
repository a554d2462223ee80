"""3. The context: what a handler can learn about an event, and how events cause events."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime

from eventbus import Context, Event, EventBus
from eventbus.testing import running


class OrderCreated(Event, topic="orders", key="order_id"):
    order_id: str


class OrderPaid(Event, topic="payments", key="order_id"):
    order_id: str


class OrderShipped(Event, topic="shipments", key="order_id"):
    order_id: str


async def test_a_handler_asks_for_the_context_by_annotation():
    """The event holds what happened; the context holds the circumstances."""
    bus = EventBus("embedded://", service="billing")
    found = {}

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated, ctx: Context) -> None:
        found.update(id=ctx.id, type=ctx.type, topic=ctx.topic, group=ctx.group, key=ctx.key, headers=dict(ctx.headers))
        assert ctx.time <= datetime.now(UTC)
        assert ctx.attempt == 1
        ctx.log.info("charging")  # the record names topic, group, event id and type

    async with running(bus) as run:
        published = await bus.publish(OrderCreated(order_id="o-1"), headers={"tenant": "north"})
        await run.idle()

    assert found == {
        "id": published.event_id,
        "type": "OrderCreated",
        "topic": "orders",
        "group": "charge",
        "key": "o-1",
        "headers": {"tenant": "north"},
    }


async def test_events_that_handlers_publish_remember_where_they_come_from():
    """`ctx.publish` carries on the id of the event that caused the new one, and of the one that began the chain."""
    bus = EventBus("embedded://", service="shop")
    chain = {}

    @bus.subscribe(OrderCreated, group="payments")
    async def pay(event: OrderCreated, ctx: Context) -> None:
        await ctx.publish(OrderPaid(order_id=event.order_id))

    @bus.subscribe(OrderPaid, group="shipping")
    async def ship(event: OrderPaid, ctx: Context) -> None:
        chain["paid"] = ctx.id
        await ctx.publish(OrderShipped(order_id=event.order_id))

    @bus.subscribe(OrderShipped, group="mail")
    async def write(event: OrderShipped, ctx: Context) -> None:
        chain["began"], chain["caused by"] = ctx.correlation_id, ctx.causation_id

    async with running(bus) as run:
        created = await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()

    assert chain["began"] == created.event_id
    assert chain["caused by"] == chain["paid"]


async def test_what_a_service_holds_while_it_runs_is_the_state():
    """`lifespan` opens a database, a client, a model; handlers find it in `ctx.state`."""
    opened = []

    @asynccontextmanager
    async def lifespan(bus: EventBus):
        opened.append("ledger")
        yield {"ledger": []}
        opened.remove("ledger")  # after the last handler has ended

    bus = EventBus("embedded://", service="billing", lifespan=lifespan)

    @bus.subscribe(OrderPaid, group="ledger")
    async def enter(event: OrderPaid, ctx: Context) -> None:
        assert opened == ["ledger"]
        ctx.state["ledger"].append(event.order_id)

    async with running(bus) as run:
        await bus.publish(OrderPaid(order_id="o-1"))
        await run.idle()

    assert len(run.handled(OrderPaid)) == 1
    assert opened == []
