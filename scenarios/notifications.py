"""Notifications of three priorities: an alarm does not wait behind a newsletter.

Promised: every notification is pushed, and those that wait share the workers by weight, so that alarms overtake, and
newsletters go on all the same. A push is keyed by the event's id: a phone shows what comes twice once.

Look at `Topic(priorities=)`, at `weights=`, and at the order of the table in notifications.sqlite3.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from statistics import fmean

from eventbus import Context, Event, EventBus, Topic

DATABASE = Path(os.environ.get("SCENARIO_FOLDER", ".")) / "notifications.sqlite3"
NOTIFICATIONS = Topic("notifications", priorities=("high", "normal", "low"))  # the most urgent first
KINDS = {"high": "alarm", "normal": "reminder", "low": "newsletter"}


class Notification(Event, topic=NOTIFICATIONS, key="phone"):
    phone: str
    text: str


bus = EventBus(os.environ.get("EVENTBUS_URL") or "embedded://", service="phones")


@bus.subscribe(Notification, group="push", concurrency=2, weights={"high": 6, "normal": 3, "low": 1})
def push(notification: Notification, ctx: Context) -> None:
    """Push a notification to its phone."""
    show(notification.phone, notification.text, ctx.priority, push_id=ctx.id)


# -- stands for the phones


@contextmanager
def phones() -> Generator[sqlite3.Connection]:
    """Open what the phones show, for one transaction."""
    with closing(sqlite3.connect(DATABASE, timeout=30, isolation_level="IMMEDIATE")) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS shown (push_id TEXT UNIQUE, phone TEXT, text TEXT, priority TEXT)")
        yield db


def show(phone: str, text: str, priority: str, *, push_id: str) -> None:
    """Show a notification, and take a moment for it."""
    with phones() as db:
        db.execute("INSERT INTO shown VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (push_id, phone, text, priority))
    time.sleep(0.01)


def shown() -> list[tuple[str, str]]:
    """List ids and priorities of what was shown, in that order."""
    with phones() as db:
        return db.execute("SELECT push_id, priority FROM shown ORDER BY rowid").fetchall()


# -- the notifications


async def notify(bus: EventBus, each: int) -> list[str]:
    """Publish newsletters, as many reminders, and alarms, in this order. Returns the ids of the events."""
    ids: list[str] = []
    for priority, kind in reversed(KINDS.items()):
        events = [Notification(phone=f"+49-{number}", text=f"{kind} {number}") for number in range(each)]
        ids += [published.event_id for published in await bus.publish_many(events, priority=priority)]
    return ids


async def main() -> None:
    DATABASE.unlink(missing_ok=True)
    async with bus:
        published = await notify(bus, 60)
        async with bus.consuming():
            while len(shown()) < len(published):
                await asyncio.sleep(0.05)
    places = {priority: [place for place, (_, each) in enumerate(shown(), 1) if each == priority] for priority in KINDS}
    for priority, kind in KINDS.items():
        where = places[priority]
        print(f"{kind:10} {len(where)} shown, number {where[0]} to {where[-1]} of {len(published)}, on average {fmean(where):.0f}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
