"""What is scheduled on a topic: listed without payloads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from eventbus.events.envelope import by_name
from eventbus.streams import Schedule, server_time

if TYPE_CHECKING:
    from eventbus.streams import ScheduledRow, Wire

PAGE: Final = 100
"""Scheduled events read at a time: at most 100 MiB where every one is as large as they may be."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ScheduledEvent:
    """An event that is held until it is due.

    Attributes:
        event_id: Its id, by which it can be cancelled.
        type: Its type.
        due: When it is due, in UTC, by Redis's clock.
        wait: Seconds until then; below 0 where it is overdue: nobody who publishes to the topic or consumes it is open.
        priority: The priority it is to have.
        key: Its idempotency key; None without.
    """

    event_id: str
    type: str
    due: datetime
    wait: float
    priority: str
    key: str | None


@dataclass(frozen=True, slots=True)
class ScheduledInfo:
    """What is scheduled on a topic.

    Attributes:
        total: How much of it there is.
        events: The first of it, by due time.
    """

    total: int
    events: tuple[ScheduledEvent, ...]


async def list_scheduled(wire: Wire, stream: str, *, count: int) -> ScheduledInfo:
    """List what is due first."""
    schedule = Schedule(wire, stream)
    now, total = await server_time(wire), await schedule.length()
    found: list[ScheduledRow] = []
    for skip in range(0, min(count, total), PAGE):
        found += await schedule.page(skip=skip, count=min(PAGE, count - skip))
    return ScheduledInfo(total, tuple(_described(row, now) for row in found))


def _described(row: ScheduledRow, now: int) -> ScheduledEvent:
    values = by_name(row.fields)
    event_id, kind = (values.get(name, b"").decode(errors="replace") for name in (b"id", b"type"))
    due = _EPOCH + timedelta(milliseconds=row.due)
    return ScheduledEvent(event_id, kind, due, (row.due - now) / 1000, row.priority, row.key or None)
