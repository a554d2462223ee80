"""Change data capture: what changes in a database's table is published, and rebuilds the table elsewhere.

Promised: no change is left out and none stands twice, wherever a feeder is killed, and though each worker here has a
feeder: triggers number the changes, the number is the entry's id, and Redis takes each id once and in their order. The
error for one that comes too late says where to go on, so that a feeder keeps no place of its own. The changes of a row
are applied in their order; the last one may be applied again, which changes nothing.

Look at `entry_id=`, at `EntryIdTooLow.last`, at `ordered=True`, and at the two databases.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import anyio

from eventbus import BackendError, EntryIdTooLow, Event, EventBus

_log = logging.getLogger("changes")

FOLDER = Path(os.environ.get("SCENARIO_FOLDER", "."))
ROWS = "CREATE TABLE IF NOT EXISTS customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);"
CHANGES = """
    CREATE TABLE IF NOT EXISTS changes (number INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER, name TEXT, city TEXT);
    CREATE TRIGGER IF NOT EXISTS inserted AFTER INSERT ON customers BEGIN
        INSERT INTO changes (id, name, city) VALUES (new.id, new.name, new.city); END;
    CREATE TRIGGER IF NOT EXISTS updated AFTER UPDATE ON customers BEGIN
        INSERT INTO changes (id, name, city) VALUES (new.id, new.name, new.city); END;
    CREATE TRIGGER IF NOT EXISTS deleted AFTER DELETE ON customers BEGIN
        INSERT INTO changes (id) VALUES (old.id); END;
"""
UPSERT = "INSERT INTO customers VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, city = excluded.city"


class CustomerChanged(Event, topic="customers", key="customer_id"):
    """A row as it is now; without a name it was deleted."""

    customer_id: int
    name: str | None
    city: str | None


# -- from the source to Redis


async def feed(bus: EventBus, stopping: anyio.Event) -> None:
    """Publish the changes one by one, until asked to stop."""
    last = 0  # Redis knows better, and will say so
    while not stopping.is_set():
        pause = 0.05
        for number, change in await asyncio.to_thread(changes_after, last):
            try:
                await bus.publish(change, entry_id=f"{number}-0")
                last = number
            except EntryIdTooLow as error:  # published before, by a feeder that died or by the one beside this
                last = told_by(error)
                break
            except BackendError as error:  # refused; or perhaps it was written: that will be seen when it is published again
                _log.warning("change %d waits: %s", number, error)
                pause = 1.0
                break
        with anyio.move_on_after(pause):
            await stopping.wait()


def told_by(error: EntryIdTooLow) -> int:
    """The last change that Redis has."""
    last = int(error.last.partition("-")[0])
    if last > highest():
        raise RuntimeError(f"the topic is at change {last}, and this database has not come so far: it is another one") from error
    return last


@asynccontextmanager
async def feeding(bus: EventBus) -> AsyncGenerator[None]:
    """Feed as long as the bus consumes."""
    stopping = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed, bus, stopping)
        yield
        stopping.set()


bus = EventBus(os.environ.get("EVENTBUS_URL") or "embedded://", service="replication", lifespan=feeding)


# -- from Redis to the replica


@bus.subscribe(CustomerChanged, group="replica", ordered=True, concurrency=4)
def apply(change: CustomerChanged) -> None:
    """Do to the replica what was done to the source."""
    with opened("replica") as db:
        if change.name is None:
            db.execute("DELETE FROM customers WHERE id = ?", (change.customer_id,))
        else:
            db.execute(UPSERT, (change.customer_id, change.name, change.city))


# -- the two databases


@contextmanager
def opened(name: str) -> Generator[sqlite3.Connection]:
    """Open the source or the replica, for one transaction."""
    with closing(sqlite3.connect(FOLDER / f"{name}.sqlite3", timeout=30, isolation_level="IMMEDIATE")) as db, db:
        db.executescript(ROWS + CHANGES if name == "source" else ROWS)
        yield db


def changes_after(number: int, *, most: int = 100) -> list[tuple[int, CustomerChanged]]:
    """Read changes of the source with their numbers, which ascend as they are committed: SQLite has one writer at a time."""
    with opened("source") as db:
        found = db.execute("SELECT * FROM changes WHERE number > ? ORDER BY number LIMIT ?", (number, most)).fetchall()
    return [(number, CustomerChanged(customer_id=row, name=name, city=city)) for number, row, name, city in found]


def highest() -> int:
    """The number of the last change of the source; 0 where nothing has changed yet."""
    with opened("source") as db:
        return int(db.execute("SELECT coalesce(max(number), 0) FROM changes").fetchone()[0])


def customers(name: str) -> list[tuple[int, str, str]]:
    """List the rows of the source or the replica."""
    with opened(name) as db:
        return db.execute("SELECT id, name, city FROM customers ORDER BY id").fetchall()


def edit(first: int, count: int) -> None:
    """Insert, move and delete some customers of the source: 2.5 changes for each."""
    numbers = range(first, first + count)
    with opened("source") as db:
        db.executemany("INSERT INTO customers VALUES (?, ?, 'Bergen')", [(number, f"customer {number}") for number in numbers])
        db.executemany("UPDATE customers SET city = 'Oslo' WHERE id = ?", [(number,) for number in numbers])
        db.executemany("DELETE FROM customers WHERE id = ?", [(number,) for number in numbers if number % 2])


async def main() -> None:
    async with bus.consuming():
        for _ in range(5):
            edit(1 + max((row for row, *_ in customers("source")), default=0), 20)
            await asyncio.sleep(0.1)
        while customers("replica") != customers("source"):
            await asyncio.sleep(0.05)
    print(f"{highest()} changes; the source and its replica have the same {len(customers('replica'))} rows:")
    for number, customer, city in customers("replica")[:3]:
        print(f"   {number:3} {customer:14} {city}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
