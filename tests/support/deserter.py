"""A payments service that leaves on SIGTERM at once, with whatever it holds: what the demo has to notice."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from eventbus import EventBus
from services.ledger import audited
from services.payments.handlers import router


@asynccontextmanager
async def deserting(_: EventBus) -> AsyncGenerator[None, None]:
    """Take the signal away from the bus, which would drain."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    yield


bus = audited(EventBus(service="payments", lifespan=deserting))
bus.include(router)
