"""`eventbus scheduled`: what is held until it is due; lists it, or takes it back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from eventbus.cli.exits import say
from eventbus.cli.options import Output, administered
from eventbus.cli.render import document, line, seconds, table
from eventbus.delivery import timestamp
from eventbus.errors import NotFound

if TYPE_CHECKING:
    from eventbus.admin import ScheduledInfo


async def show_scheduled(topic: str, *, url: str | None, prefix: str, count: int, output: Output) -> None:
    """List what is scheduled on a topic, by due time."""
    async with administered(url, prefix) as admin:
        found = await admin.scheduled(topic, count=count)
    if output is Output.JSON:
        for event in found.events:
            document({"topic": topic, **asdict(event), "due": timestamp(event.due)})
    else:
        _show(found)
    more = found.total - len(found.events)
    if more > 0:
        say(f"{more} more are scheduled on {topic}: --count {found.total} shows them all")


async def cancel_scheduled(topic: str, event_id: str, *, url: str | None, prefix: str, output: Output) -> None:
    """Take a scheduled event back."""
    async with administered(url, prefix) as admin:
        if not await admin.cancel_scheduled(event_id, topic=topic):
            raise NotFound(f"no event {event_id!r} is scheduled on topic {topic!r}: it was published, was cancelled, or never was there")
    if output is Output.JSON:
        document({"topic": topic, "event_id": event_id, "cancelled": True})
    else:
        line(f"cancelled  topic {topic}  event {event_id}")


def _show(found: ScheduledInfo) -> None:
    rows = [
        (timestamp(event.due), "overdue" if event.wait < 0 else seconds(event.wait), event.type, event.event_id, event.priority)
        for event in found.events
    ]
    if rows:
        table(("DUE", "IN", "TYPE", "EVENT", "PRIORITY"), rows)
    else:
        line("nothing is scheduled")
