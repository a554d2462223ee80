"""Processes of a crowd: `python -m tests.support.crowd publish|consume …`, with EVENTBUS_URL in the environment."""

from __future__ import annotations

import asyncio
import os
import sys

from eventbus import Context, EventBus
from tests.support.events import OrderCreated


async def publish(name: str, count: int, path: str) -> None:
    """Publish so many events at once, and write the ids that were confirmed."""
    events = [OrderCreated(order_id=f"{name}-{number}") for number in range(count)]
    async with EventBus(service="shop") as bus:
        records = await asyncio.gather(*(bus.publish(event, timeout=50) for event in events))
    with open(path, "x") as confirmed:  # noqa: PTH123
        confirmed.writelines(f"{record.event_id}\n" for record in records)


async def consume(group: str, path: str) -> None:
    """Write the id of each event handled to a file, and then a dot to whoever waits; until SIGTERM."""
    handled = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND)
    bus = EventBus(service="billing")

    @bus.subscribe(OrderCreated, group=group)
    async def handle(event: OrderCreated, ctx: Context) -> None:
        os.write(handled, f"{ctx.id}\n".encode())  # one write: what a killed process handled is there
        os.write(sys.stdout.fileno(), b".")

    await bus.run()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["publish", name, count, path]:
            asyncio.run(publish(name, int(count), path))
        case ["consume", group, path]:
            asyncio.run(consume(group, path))
        case arguments:
            sys.exit(f"not understood: {arguments}")
