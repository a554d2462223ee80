"""Readings of sensors, added up as they come: a batch at a time, in windows for each sensor, with a rolling mean.

Promised: each reading counts once, also where a worker dies between its transaction and the acknowledgement. The ids of
the events stand in the transaction that adds them up, so that those which come again are known. Drop ids once they are
older than any copy could be.

Look at `batch=`, at the one transaction for all of it, and at the tables in sensors.sqlite3.
"""

import asyncio
import math
import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from eventbus import Batch, BatchContext, Event, EventBus

DATABASE = Path(os.environ.get("SCENARIO_FOLDER", ".")) / "sensors.sqlite3"
WINDOW = 10
"""Seconds of one window."""

TABLES = """
    CREATE TABLE IF NOT EXISTS counted (event_id TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS windows (sensor TEXT, start INTEGER, count INTEGER, total REAL, low REAL, high REAL,
                                        PRIMARY KEY (sensor, start));
"""
COUNT = "INSERT INTO counted VALUES (?) ON CONFLICT DO NOTHING"
ADD = """
    INSERT INTO windows VALUES (:sensor, :start, 1, :celsius, :celsius, :celsius) ON CONFLICT (sensor, start) DO UPDATE
    SET count = count + 1, total = total + excluded.total, low = min(low, excluded.low), high = max(high, excluded.high)
"""
ROLLING = """
    SELECT sensor, start, count, low, high, sum(total) OVER last_three / sum(count) OVER last_three FROM windows
    WINDOW last_three AS (PARTITION BY sensor ORDER BY start ROWS 2 PRECEDING) ORDER BY sensor, start
"""


class Reading(Event, topic="readings", key="sensor"):
    sensor: str
    second: int
    celsius: float


bus = EventBus(os.environ.get("EVENTBUS_URL") or "embedded://", service="climate")


@bus.subscribe(Reading, group="statistics", batch=Batch(max_size=50, max_wait=0.1))
def add_up(readings: list[Reading], ctx: BatchContext) -> None:
    """Add a batch of readings to their windows, in one transaction; those that were counted before are left out."""
    with statistics() as db:
        for reading in readings:
            if db.execute(COUNT, (ctx.of(reading).id,)).rowcount:
                start = reading.second - reading.second % WINDOW
                db.execute(ADD, {"sensor": reading.sensor, "start": start, "celsius": reading.celsius})
    time.sleep(0.05)  # somebody's screen is refreshed


@contextmanager
def statistics() -> Generator[sqlite3.Connection]:
    """Open the statistics, for one transaction."""
    with closing(sqlite3.connect(DATABASE, timeout=30, isolation_level="IMMEDIATE")) as db, db:
        db.executescript(TABLES)
        yield db


def rolling() -> list[tuple[str, int, int, float, float, float]]:
    """List the windows: sensor, start, number of readings, lowest, highest, and the mean of the last three windows."""
    with statistics() as db:
        return db.execute(ROLLING).fetchall()


def counted() -> set[str]:
    """The ids of the readings that are in the windows."""
    with statistics() as db:
        return {event_id for (event_id,) in db.execute("SELECT event_id FROM counted")}


# -- the sensors


def readings(seconds: range, *, sensors: int = 3) -> list[Reading]:
    """What some sensors measure in these seconds."""
    return [
        Reading(sensor=f"room-{sensor}", second=second, celsius=round(20 + sensor + 2 * math.sin(second / 7), 2))
        for second in seconds
        for sensor in range(1, sensors + 1)
    ]


async def main() -> None:
    DATABASE.unlink(missing_ok=True)
    measured = readings(range(60))
    async with bus.consuming():
        await bus.publish_many(measured)
        while len(counted()) < len(measured):
            await asyncio.sleep(0.05)
    print("sensor   window    readings   low    high   rolling mean")
    for sensor, start, count, low, high, mean in rolling():
        print(f"{sensor:8} {start:2}-{start + WINDOW - 1:2} s {count:8} {low:8.2f} {high:6.2f} {mean:10.2f}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
