"""Stands for a time-series database."""

import asyncio
import random

from services.sensors.events import SensorReading


async def store(reading: SensorReading) -> None:
    """Write a reading; the same reading written twice is there once."""
    del reading
    await asyncio.sleep(random.uniform(0.005, 0.02))
