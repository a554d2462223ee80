"""A payments service that takes its time, so that orders are under way whenever the demo is asked to end."""

import asyncio
from typing import Any

from eventbus import Context, EventBus
from services.ledger import audited
from services.payments.handlers import router


async def slowly(event: Any, ctx: Context, call_next: Any) -> None:
    """Wait before every charge."""
    await asyncio.sleep(2)
    await call_next(event, ctx)


bus = audited(EventBus(service="payments", middleware=[slowly]))
bus.include(router)
