"""`eventbus pending`: what was handed out and is not settled."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from eventbus.cli.exits import say
from eventbus.cli.options import Output, administered
from eventbus.cli.render import document, line, seconds, table
from eventbus.errors import NotFound
from eventbus.events import NORMAL

if TYPE_CHECKING:
    from eventbus.admin import PendingInfo


async def show_pending(topic: str, group: str, *, url: str | None, prefix: str, consumer: str | None, count: int, output: Output) -> None:
    """List a group's pending entries, of the topic and of its retry stream."""
    async with administered(url, prefix) as admin:
        found = await admin.pending(topic, group, consumer=consumer, count=count)
    if found is None:
        raise NotFound(f"there is no group {group!r} on topic {topic!r}: `eventbus info {topic}` names them")
    if output is Output.JSON:
        for info in found:
            for entry in info.entries:
                document({"stream": info.stream, "priority": info.priority, **asdict(entry)})
    else:
        _show(found)
    for info in found:
        more = info.total - len(info.entries)
        if more > 0:
            say(f"{more} more are pending in {info.stream}: --count {info.total} shows them all")


def _stream(info: PendingInfo) -> str:
    kind = "retry" if info.retry else "topic"
    return kind if info.priority == NORMAL else f"{kind} ({info.priority})"


def _show(found: list[PendingInfo]) -> None:
    rows = [(_stream(info), entry.id, entry.consumer, seconds(entry.idle), entry.deliveries) for info in found for entry in info.entries]
    if rows:
        table(("STREAM", "ENTRY", "CONSUMER", "IDLE", "DELIVERIES"), rows)
    else:
        line("nothing is pending")
