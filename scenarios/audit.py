"""An audit log: one group hears everything that happens, whatever its topic, and writes it down as JSON lines.

Promised: an event is acknowledged when its line is on the disk, so that none is missing, whatever is killed. A batch whose
worker died after the write and before the acknowledgement is written again; its lines have ids that are there already.

Look at the base class that stands for every topic, at the one fsync of a batch, and at the activity feed: what happened
lately is read from the topics themselves.
"""

import asyncio
import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eventbus import Batch, BatchContext, Event, EventBus, History

LOG = Path(os.environ.get("SCENARIO_FOLDER", ".")) / "audit.jsonl"


class Audited(Event):
    """Whatever somebody may want to know of later. It has no topic: to subscribe to it means every class below it."""

    user: str


class LoggedIn(Audited, topic="logins", key="user"):
    device: str


class OrderPlaced(Audited, topic="shop", key="user"):
    order_id: str


class AddressChanged(Audited, topic="profiles", key="user"):
    city: str


bus = EventBus(os.environ.get("EVENTBUS_URL") or "embedded://", service="audit")


@bus.subscribe(Audited, group="audit", batch=Batch(max_size=100, max_wait=0.1))
def write(events: list[Audited], ctx: BatchContext) -> None:
    """Append a line for each event; returns when the disk has them."""
    lines = [json.dumps(line(event, ctx)) for event in events]
    with LOG.open("a", buffering=1 << 20) as log:  # one write, so that two workers never mix their lines
        log.write("\n" + "\n".join(lines))  # a line that was cut by a crash ends where the next one begins
        log.flush()
        os.fsync(log.fileno())


def line(event: Audited, ctx: BatchContext) -> dict[str, Any]:
    """What is written of an event: its fields stand apart, so that one of theirs that is called `id` does not take the event's place."""
    about = ctx.of(event)
    data = event.model_dump(mode="json")
    return {"id": about.id, "time": about.time.isoformat(), "type": about.type, "topic": about.topic, "data": data}


def read() -> tuple[dict[str, dict[str, Any]], int]:
    """Read the log: the lines by event id, and how many were there already, or were cut."""
    found: dict[str, dict[str, Any]] = {}
    repeated = 0
    for text in filter(None, LOG.read_text().splitlines() if LOG.exists() else []):
        try:
            record = json.loads(text)
        except ValueError:
            repeated += 1  # its event was not acknowledged, so that it was written again
            continue
        repeated += record["id"] in found
        found.setdefault(record["id"], record)
    return found, repeated


# -- what happens


def day(users: list[str]) -> list[Audited]:
    """What some users do on a day."""
    return [
        event
        for number, user in enumerate(users, 1)
        for event in (
            LoggedIn(user=user, device="phone"),
            OrderPlaced(user=user, order_id=f"o-{number}"),
            AddressChanged(user=user, city="Bergen"),
        )
    ]


def time_of(history: History[Audited]) -> datetime:
    """When the event that came last was published; the beginning of time where its publisher did not say."""
    return (history.envelope and history.envelope.time) or datetime.min.replace(tzinfo=UTC)


async def feed(bus: EventBus, user: str, *, since: datetime, most: int = 10) -> list[tuple[datetime, Audited]]:
    """What a user did since a time, the latest first."""
    found: list[tuple[datetime, Audited]] = []
    for kind in (LoggedIn, OrderPlaced, AddressChanged):
        history = bus.history(kind, from_=since, reverse=True)
        found += [(time_of(history), event) async for event in history if event.user == user]
    return sorted(found, key=lambda each: each[0], reverse=True)[:most]


async def main() -> None:
    LOG.unlink(missing_ok=True)
    began = datetime.now(UTC)
    async with bus.consuming():
        published = await bus.publish_many(day([f"user-{number}" for number in range(1, 41)]))
        while len(read()[0]) < len(published):
            await asyncio.sleep(0.05)
        activity = await feed(bus, "user-7", since=began)
    records, repeated = read()
    print(f"{len(published)} events of three topics, {len(records)} in {LOG}, {repeated} lines repeated; the last of them:")
    print(f"   {json.dumps(list(records.values())[-1])}")
    print("what user-7 did, the latest first:")
    for time, event in activity:
        print(f"   {time:%H:%M:%S} {event!r}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
