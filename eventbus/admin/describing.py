"""Looks at streams as wholes: how long they are, where they begin and end, who reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventbus.admin.groups import STREAM, describe_groups, kind_of
from eventbus.admin.records import Entry, TopicInfo, TopicSummary
from eventbus.admin.replies import pairs, seconds_since, text
from eventbus.errors import BackendRefused
from eventbus.streams import keys

if TYPE_CHECKING:
    from eventbus.streams import Wire


async def describe(wire: Wire, stream: str, topic: str, priority: str, now: int) -> TopicInfo | None:
    """Describe one stream; None where there is none.

    Args:
        wire: Where to ask.
        stream: The stream.
        topic: Its topic's name.
        priority: Its priority.
        now: The server's clock in milliseconds.
    """
    if await kind_of(wire, stream) == "none":
        return None
    ours = {text(name) for name in await wire.one("SMEMBERS", keys.groups(stream))}
    groups = await describe_groups(wire, stream, ours, now=now)
    return TopicInfo(
        topic=topic,
        stream=stream,
        length=await wire.one("XLEN", stream),
        first=await edge(wire, stream, now, newest=False),
        last=await edge(wire, stream, now, newest=True),
        memory=await _memory(wire, stream),
        groups=groups,
        lost_groups=tuple(sorted(ours - {group.name for group in groups})),
        priority=priority,
    )


async def summarise(wire: Wire, stream: str, topic: str, priority: str, now: int) -> TopicSummary:
    """One stream in a list; arguments as `describe`."""
    if await kind_of(wire, stream) != STREAM:
        return TopicSummary(topic, None, None, None, 0, 0, priority)
    rows = [pairs(row) for row in await wire.one("XINFO", "GROUPS", stream)]
    return TopicSummary(
        topic=topic,
        length=await wire.one("XLEN", stream),
        last=await edge(wire, stream, now, newest=True),
        memory=await _memory(wire, stream),
        groups=len(rows),
        pending=sum(row["pending"] for row in rows),
        priority=priority,
    )


async def edge(wire: Wire, stream: str, now: int, *, newest: bool) -> Entry | None:
    """The first or the last entry of a stream; None where it is empty."""
    command = ("XREVRANGE", stream, "+", "-") if newest else ("XRANGE", stream, "-", "+")
    rows = await wire.one(*command, "COUNT", 1)
    return Entry(rows[0][0].decode(), seconds_since(rows[0][0].decode(), now)) if rows else None


async def _memory(wire: Wire, stream: str) -> int | None:
    try:
        used: int | None = await wire.one("MEMORY", "USAGE", stream)
    except BackendRefused:
        return None  # managed Redis may not allow it; everything else is still worth showing
    return used
