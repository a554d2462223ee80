"""2. Groups: who sees an event, and who shares the work.

Every group sees every event of its topic. The workers of one group share its events among them.
"""

from eventbus import Event, EventBus
from eventbus.testing import running


class OrderCreated(Event, topic="orders"):
    order_id: str


class OrderPaid(Event, topic="orders"):
    order_id: str


async def test_each_group_sees_each_event():
    """Charging and notifying know nothing of each other; neither does the publisher know of them."""
    bus = EventBus("embedded://", service="billing")
    seen = []

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        seen.append("charge")

    @bus.subscribe(OrderCreated, group="notify")
    async def notify(event: OrderCreated) -> None:
        seen.append("notify")

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()

    assert sorted(seen) == ["charge", "notify"]


async def test_the_workers_of_one_group_share_its_events():
    """Two workers, each a process in real life: every event is handled by one of them."""

    def worker(handled: list[str]) -> EventBus:
        bus = EventBus("embedded://", service="billing")  # one process, one server: both buses use the same

        @bus.subscribe(OrderCreated, group="charge", concurrency=1, prefetch=1)
        async def charge(event: OrderCreated) -> None:
            handled.append(event.order_id)

        return bus

    handled_here, handled_there = [], []
    here, there = worker(handled_here), worker(handled_there)
    everything = [f"o-{number}" for number in range(100)]

    async with running(here) as run, running(there):
        await here.publish_many([OrderCreated(order_id=order_id) for order_id in everything])
        await run.idle()

    assert sorted(handled_here + handled_there) == sorted(everything)


async def test_handlers_of_one_group_divide_the_types_among_them():
    """Naming the same group joins handlers to one subscription: each event goes to the one whose class matches."""
    bus = EventBus("embedded://", service="billing")
    books = []

    @bus.subscribe(OrderCreated, group="books")
    async def open_account(event: OrderCreated) -> None:
        books.append(f"created {event.order_id}")

    @bus.subscribe(OrderPaid, group="books", concurrency=1)
    async def close_account(event: OrderPaid) -> None:
        books.append(f"paid {event.order_id}")

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await bus.publish(OrderPaid(order_id="o-1"))
        await run.idle()

    assert books == ["created o-1", "paid o-1"]


async def test_a_new_group_begins_at_the_earliest_entry_unless_told_otherwise():
    """What was published before anybody listened is not lost for a group that comes later."""
    async with EventBus("embedded://", service="shop") as shop:
        await shop.publish(OrderCreated(order_id="before"))

        bus = EventBus("embedded://", service="billing")
        seen = []

        @bus.subscribe(OrderCreated, group="everything")  # start="earliest"
        async def everything(event: OrderCreated) -> None:
            seen.append(("everything", event.order_id))

        @bus.subscribe(OrderCreated, group="news", start="latest")
        async def news(event: OrderCreated) -> None:
            seen.append(("news", event.order_id))

        async with running(bus) as run:
            await shop.publish(OrderCreated(order_id="after"))
            await run.idle()

    assert sorted(seen) == [("everything", "after"), ("everything", "before"), ("news", "after")]
