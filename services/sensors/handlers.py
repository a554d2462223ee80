"""What the monitor does."""

from typing import TYPE_CHECKING

from eventbus import Context, Router
from services.sensors.events import SensorReading, TemperatureAlert
from services.sensors.storage import store

if TYPE_CHECKING:
    from services.sensors.statistics import Statistics

router = Router()


@router.subscribe(SensorReading, group="monitor")
async def watch(reading: SensorReading, ctx: Context) -> None:
    """Store a reading, and raise an alert where it stands out from those before it."""
    statistics: Statistics = ctx.state
    await store(reading)
    recent = statistics[reading.sensor_id]
    if recent.stands_out(reading.celsius):
        alert = TemperatureAlert(sensor_id=reading.sensor_id, celsius=reading.celsius, usual=round(recent.mean, 2))
        await ctx.publish(alert)
    recent.add(reading.celsius)
