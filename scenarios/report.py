"""A long background task, ten leases long, with progress that others may watch.

Promised: a worker that lives keeps its report however long it takes, so that nobody else begins it beside; one that dies
loses it within a lease and a sweep, and another one goes on at the checkpoint. A page that is written is never written
again, since page and checkpoint are one transaction.

Look at `prefetch=1`, without which a worker would keep further reports waiting for it, at the checkpoint, and at the tail
that watches. The lease is a second here, so that this takes ten; leave it at its 30 seconds.
"""

import asyncio
import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from eventbus import Context, Event, EventBus

DATABASE = Path(os.environ.get("SCENARIO_FOLDER", ".")) / "report.sqlite3"
LEASE = 1.0
PAGES = 40
PAGE = 10 * LEASE / PAGES
"""Seconds that a page takes."""


class ReportOrdered(Event, topic="reports", key="report_id"):
    report_id: str
    pages: int


class ReportProgressed(Event, topic="report-progress", key="report_id"):
    report_id: str
    written: int


bus = EventBus(os.environ.get("EVENTBUS_URL") or "embedded://", service="reports", lease=LEASE, claim_interval=0.2)


@bus.subscribe(ReportOrdered, group="write", concurrency=1, prefetch=1)
async def write(report: ReportOrdered, ctx: Context) -> None:
    """Write a report, from the page on that its last worker did not get to."""
    worker = os.getpid()
    written = await asyncio.to_thread(begin, report.report_id, worker)
    await ctx.publish(ReportProgressed(report_id=report.report_id, written=written))
    for page in range(written + 1, report.pages + 1):
        await asyncio.sleep(PAGE)  # the work. What blocks or computes belongs in a thread: this event loop renews the lease
        await asyncio.to_thread(save, report.report_id, page, worker)
        await ctx.publish(ReportProgressed(report_id=report.report_id, written=page))


# -- where the pages are kept


@contextmanager
def archive() -> Generator[sqlite3.Connection]:
    """Open the archive, for one transaction."""
    with closing(sqlite3.connect(DATABASE, timeout=30, isolation_level="IMMEDIATE")) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS runs (report_id TEXT, worker INTEGER, first_page INTEGER)")
        db.execute("CREATE TABLE IF NOT EXISTS pages (report_id TEXT, page INTEGER, worker INTEGER, UNIQUE (report_id, page))")
        yield db


def begin(report_id: str, worker: int) -> int:
    """Note that a worker begins, and return the checkpoint: how many pages are written."""
    with archive() as db:
        (written,) = db.execute("SELECT count(*) FROM pages WHERE report_id = ?", (report_id,)).fetchone()
        db.execute("INSERT INTO runs VALUES (?, ?, ?)", (report_id, worker, written + 1))
    return int(written)


def save(report_id: str, page: int, worker: int) -> None:
    """Write a page, which is the checkpoint, too."""
    with archive() as db:
        db.execute("INSERT INTO pages VALUES (?, ?, ?)", (report_id, page, worker))


def runs() -> list[tuple[int, int]]:
    """List who began, at which page."""
    with archive() as db:
        return db.execute("SELECT worker, first_page FROM runs ORDER BY rowid").fetchall()


def pages() -> list[tuple[int, int]]:
    """List the pages, and who wrote each."""
    with archive() as db:
        return db.execute("SELECT page, worker FROM pages ORDER BY page").fetchall()


async def main() -> None:
    DATABASE.unlink(missing_ok=True)
    async with bus.consuming(), bus.tail(ReportProgressed) as progress:
        await bus.publish(ReportOrdered(report_id="year", pages=PAGES))
        async for so_far in progress:
            print(f"\r[{'#' * so_far.written:{PAGES}}] page {so_far.written} of {PAGES}", end="", flush=True)
            if so_far.written == PAGES:
                break
    for worker, first in runs():
        print(f"\nworker {worker} began at page {first}", end="")
    print(f"\n{len(pages())} pages are written")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
