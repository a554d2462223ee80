"""7. Publishing: many events, from synchronous code, from a web application."""

import asyncio
from contextlib import asynccontextmanager

from eventbus import Event, EventBus
from eventbus.testing import running


class OrderCreated(Event, topic="orders"):
    order_id: str


async def test_publishes_made_together_travel_together():
    """No batching by hand: thousands of concurrent publishes share a few writes."""
    async with EventBus("embedded://", service="shop") as bus:
        events = [OrderCreated(order_id=f"o-{number}") for number in range(1000)]
        published = await asyncio.gather(*(bus.publish(event) for event in events))

    assert len({each.entry_id for each in published}) == 1000


async def test_a_list_of_events_gets_a_list_of_confirmations():
    """In order, in writes of bounded size. It is no transaction: if some fail, `PublishIncomplete` says which."""
    async with EventBus("embedded://", service="shop") as bus:
        published = await bus.publish_many([OrderCreated(order_id="o-1"), OrderCreated(order_id="o-2")])

    assert [each.topic for each in published] == ["orders", "orders"]


async def test_an_event_can_go_to_another_topic():
    """`topic=` takes the place of the class's own, for publishing and for subscribing."""
    bus = EventBus("embedded://", service="shop")

    @bus.subscribe(OrderCreated, group="charge", topic="orders.imported")
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        published = await bus.publish(OrderCreated(order_id="o-1"), topic="orders.imported")
        await run.idle()

    assert published.topic == "orders.imported"
    assert len(run.handled(OrderCreated)) == 1


def test_synchronous_code_publishes_too(tmp_path):
    """`blocking()` works in scripts, in threads, in synchronous web frameworks. A directory keeps the server's data."""
    bus = EventBus(f"embedded://{tmp_path}/redis", service="import")
    with bus.blocking() as publisher:
        publisher.publish(OrderCreated(order_id="o-1"))
        publisher.publish_many([OrderCreated(order_id="o-2"), OrderCreated(order_id="o-3")])

    @bus.subscribe(OrderCreated, group="charge", concurrency=1)
    async def charge(event: OrderCreated) -> None: ...

    async def consume() -> list[str]:
        async with running(bus) as run:
            await run.idle()
        return [event.order_id for event in run.handled(OrderCreated)]

    assert asyncio.run(consume()) == ["o-1", "o-2", "o-3"]


async def test_a_web_application_publishes_and_consumes_beside_its_requests():
    """`consuming()` lasts as long as the application and leaves signals to the framework."""
    bus = EventBus("embedded://", service="shop")
    charged = asyncio.Event()

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        charged.set()

    @asynccontextmanager
    async def lifespan(app):  # as FastAPI and Starlette take it
        async with bus.consuming():
            yield

    async def post_order(order_id: str) -> int:  # a request
        await bus.publish(OrderCreated(order_id=order_id))
        return 202

    async with lifespan(app=None):
        assert await post_order("o-1") == 202
        await charged.wait()
