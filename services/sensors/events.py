"""What sensors and their monitor say."""

from pydantic import AwareDatetime

from eventbus import Event


class SensorReading(Event, topic="sensors", key="sensor_id"):
    """A sensor has measured a temperature."""

    sensor_id: str
    celsius: float
    measured_at: AwareDatetime


class TemperatureAlert(Event, topic="alerts", key="sensor_id"):
    """A reading stood out from those before it."""

    sensor_id: str
    celsius: float
    usual: float
