"""Simulated sensors: `eventbus run services.sensors.devices:bus`. They publish, and handle nothing."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio

from eventbus import EventBus
from services.ledger import audited
from services.sensors.events import SensorReading

ROOMS = ("cellar", "hall", "kitchen", "roof", "server-room")
PER_ROOM = 4
PAUSE = 0.5
"""Seconds between two rounds of readings."""

JUMPS = 0.01
"""Share of the readings that are far from usual."""

chance = random.Random()


class Device:
    """One sensor, whose temperature wanders slowly and rarely jumps."""

    def __init__(self, sensor_id: str) -> None:
        self.sensor_id = sensor_id
        self._celsius = chance.uniform(16, 24)

    def read(self) -> SensorReading:
        """Measure now."""
        self._celsius += chance.gauss(0, 0.1)
        jump = 12.0 if chance.random() < JUMPS else 0.0
        return SensorReading(sensor_id=self.sensor_id, celsius=round(self._celsius + jump, 2), measured_at=datetime.now(UTC))


async def measure(bus: EventBus, stopping: anyio.Event) -> None:
    """Publish rounds of readings until asked to stop; never leaves in the middle of a publish."""
    devices = [Device(f"{room}-{number}") for room in ROOMS for number in range(1, PER_ROOM + 1)]
    while not stopping.is_set():
        await bus.publish_many([device.read() for device in devices])
        with anyio.move_on_after(PAUSE):
            await stopping.wait()


@asynccontextmanager
async def measuring(bus: EventBus) -> AsyncGenerator[None, None]:
    """Measure as long as the bus runs."""
    stopping = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(measure, bus, stopping)
        yield
        stopping.set()


bus = audited(EventBus(service="devices", lifespan=measuring))
