"""`eventbus info`: what is there, and who is behind."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from eventbus.cli.options import Output, administered
from eventbus.cli.render import NOTHING, document, line, seconds, size, table, with_priority
from eventbus.events import NORMAL

if TYPE_CHECKING:
    from eventbus.admin import GroupInfo, ServerInfo, TopicInfo, TopicSummary
    from eventbus.admin.records import Entry


async def show_topics(*, url: str | None, prefix: str, output: Output) -> None:
    """List the topics and the server's memory."""
    async with administered(url, prefix) as admin:
        server, topics = await admin.server(), await admin.topics()
    if output is Output.JSON:
        document({"server": server, "topics": topics})
        return
    line(_server(server))
    if topics:
        levels = any(each.priority != NORMAL for each in topics)
        columns = with_priority(("TOPIC", "ENTRIES", "GROUPS", "PENDING", "NEWEST", "MEMORY"), levels)
        table(columns, (with_priority(_summary(each), levels, each.priority) for each in topics))
    else:
        line("no topic has a group; one that was only published to is shown by: eventbus info TOPIC")


async def show_topic(topic: str, *, url: str | None, prefix: str, output: Output) -> None:
    """Show one topic with its groups and their consumers."""
    async with administered(url, prefix) as admin:
        found = await admin.topic(topic)
        if found is None:
            raise admin.no_topic(topic)
        server = await admin.server()
    if output is Output.JSON:
        document({"server": server, **asdict(found)})
        return
    _show(found, server)
    for level in found.levels:
        line("")
        line(f"priority {level.priority}")
        _show(level)


def _show(found: TopicInfo, server: ServerInfo | None = None) -> None:
    named = "" if found.stream == found.topic else f"  (stream {found.stream})"
    line(f"topic   {found.topic}{named}")
    line(f"length  {found.length}")
    line(f"first   {_edge(found.first)}")
    line(f"last    {_edge(found.last)}")
    line(f"memory  {size(found.memory)}")
    if server is not None:
        line(_server(server))
    for name in found.lost_groups:
        line(f"lost    group {name}: eventbus made it, and Redis does not have it any more")
    if not found.groups:
        line("no groups: nobody consumes this topic")
        return
    line("")
    table(
        ("GROUP", "LAG", "PENDING", "RETRY", "PARKED", "DUE", "DEAD", "CONSUMERS", "LAST DELIVERED"),
        map(_group, found.groups),
    )
    for group in found.groups:
        if group.owner is not None:
            line(f"owner   of group {group.name}, which is ordered: {group.owner}")
    rows = [
        (group.name, each.name, each.pending, each.retry_pending, seconds(each.idle)) for group in found.groups for each in group.consumers
    ]
    if rows:
        line("")
        table(("GROUP", "CONSUMER", "PENDING", "RETRY", "IDLE"), rows)


def _group(group: GroupInfo) -> tuple[object, ...]:
    owed = (group.lag, group.pending, group.retry_entries, group.parked, group.due, group.dead)
    return (group.name, *owed, len(group.consumers), group.last_delivered)


def _server(server: ServerInfo) -> str:
    limit = f" of {size(server.memory_limit)}" if server.memory_limit else ", no limit"
    return f"server  {server.product} {server.version}, {size(server.memory)} in use{limit}"


def _edge(entry: Entry | None) -> str:
    return f"{entry.id}  {seconds(entry.age)} ago" if entry else NOTHING


def _summary(topic: TopicSummary) -> tuple[object, ...]:
    newest = f"{seconds(topic.last.age)} ago" if topic.last else NOTHING
    length = "gone" if topic.length is None else topic.length
    return (topic.topic, length, topic.groups, topic.pending, newest, size(topic.memory))
