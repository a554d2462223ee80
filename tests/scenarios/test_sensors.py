"""Statistics of sensors, added up while a worker is killed."""

from __future__ import annotations

from itertools import count, groupby
from statistics import fmean

import pytest

from scenarios import sensors
from tests.support.crew import crew, until


def expected(readings):
    """What `sensors.rolling` has to say of some readings, computed the long way."""
    place = {id(reading): (reading.sensor, reading.second // sensors.WINDOW * sensors.WINDOW) for reading in readings}
    ordered = sorted(readings, key=lambda reading: place[id(reading)])
    windows = {key: [each.celsius for each in group] for key, group in groupby(ordered, key=lambda reading: place[id(reading)])}
    for (sensor, start), values in windows.items():
        last_three = [value for back in range(3) for value in windows.get((sensor, start - back * sensors.WINDOW), [])]
        yield sensor, start, len(values), min(values), max(values), pytest.approx(fmean(last_three))


async def test_every_reading_counts_once_in_its_window(url, tmp_path, monkeypatch):
    """A batch that was added up and not acknowledged is not added up again."""
    monkeypatch.setattr(sensors, "DATABASE", tmp_path / "sensors.sqlite3")
    measured, windows = [], count(0, sensors.WINDOW)

    async def measure() -> set[str]:
        begin = next(windows)
        readings = sensors.readings(range(begin, begin + sensors.WINDOW), sensors=8)
        new = {record.event_id for record in await workers.bus.publish_many(readings)}
        measured.extend(readings)
        await until(lambda: new & sensors.counted())
        return sensors.counted()

    async with crew("sensors", url, tmp_path) as workers:
        await workers.joined("readings", "statistics")
        await workers.lose_one("readings", group="statistics", work=measure)
        await measure()
        await workers.settled("readings")
        await workers.leave()

    assert sensors.rolling() == list(expected(measured))
