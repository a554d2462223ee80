"""A simulated shop whose customers order: `eventbus run services.orders.shop:bus`. It handles nothing."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from uuid import uuid4

import anyio

from eventbus import EventBus
from services.ledger import audited
from services.orders.events import OrderCreated

PAUSE = 1.0
"""Seconds between two groups of customers."""

EXPRESS = 0.25
"""Share of the customers that pay for express."""

chance = random.Random()


def order() -> OrderCreated:
    """Make up an order of 5 to 500."""
    total = Decimal(chance.randint(500, 50_000)) / 100
    return OrderCreated(order_id=f"o-{uuid4().hex[:12]}", customer_id=f"c-{chance.randint(1, 200)}", total=total)


async def sell(bus: EventBus, stopping: anyio.Event) -> None:
    """Publish what a dozen customers order at a time, until asked to stop; never leaves in the middle of a publish."""
    while not stopping.is_set():
        customers = [chance.random() < EXPRESS for _ in range(chance.randint(8, 14))]
        await bus.publish_many([order() for express in customers if not express])
        await bus.publish_many([order() for express in customers if express], priority="high")
        with anyio.move_on_after(PAUSE):
            await stopping.wait()


@asynccontextmanager
async def selling(bus: EventBus) -> AsyncGenerator[None, None]:
    """Sell as long as the bus runs."""
    stopping = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sell, bus, stopping)
        yield
        stopping.set()


bus = audited(EventBus(service="shop", lifespan=selling))
