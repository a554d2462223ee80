"""The monitor: `eventbus run services.sensors.app:bus`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from eventbus import EventBus
from services.ledger import audited
from services.sensors.handlers import router
from services.sensors.statistics import Statistics


@asynccontextmanager
async def statistics(_: EventBus) -> AsyncGenerator[Statistics, None]:
    """Give handlers the statistics of this process as `ctx.state`."""
    yield Statistics()


bus = audited(EventBus(service="sensors", lifespan=statistics))
bus.include(router)
