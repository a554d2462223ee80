"""`eventbus groups` and `eventbus trim`: what the commands do, and how they show it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

from eventbus.cli.asking import confirm
from eventbus.cli.exits import say
from eventbus.cli.options import Output, administered
from eventbus.cli.render import NOTHING, document, line, seconds, table, with_priority
from eventbus.events import NORMAL
from eventbus.streams import UNSERVED

if TYPE_CHECKING:
    from eventbus.admin import GroupInfo, Owed, TopicInfo
    from eventbus.streams import Trimmed

COLUMNS = ("TOPIC", "GROUP", "LAG", "PENDING", "RETRY", "PARKED", "DUE", "DEAD", "LIVING", "SERVED")


async def list_groups(topic: str | None, *, url: str | None, prefix: str, output: Output) -> None:
    """List the groups of a topic, or of all topics that have any."""
    async with administered(url, prefix) as admin:
        names = [each.topic for each in await admin.topics()] if topic is None else [topic]
        topics = [info for name in dict.fromkeys(names) if (info := await admin.topic(name)) is not None]
        if topic is not None and not topics:
            raise admin.no_topic(topic)
    found = [level for info in topics for level in (info, *info.levels)]
    if output is Output.JSON:
        for info in found:
            _documents(info)
    else:
        _table(found)
    for info in found:
        _warn(info)


async def rename(topic: str, old: str, new: str, *, url: str | None, prefix: str, output: Output) -> None:
    """Give a group another name."""
    async with administered(url, prefix) as admin:
        await admin.rename_group(topic, old, new)
    if output is Output.JSON:
        document({"topic": topic, "old": old, "new": new})
    else:
        line(f"renamed  topic {topic}  group {old} is {new} now")


async def abandon(topic: str, group: str, *, url: str | None, prefix: str, output: Output, dry_run: bool, yes: bool) -> None:
    """Give up a group that nobody serves."""
    async with administered(url, prefix) as admin:
        owed = await admin.abandon_group(topic, group, dry_run=True)
        if not dry_run:
            confirm(f"group {group!r} of topic {topic!r} will be given up with what it owes ({_owed(owed)})", yes=yes)
            owed = await admin.abandon_group(topic, group)
    if output is Output.JSON:
        document({"topic": topic, "group": group, "dry_run": dry_run, **asdict(owed)})
        return
    line(f"{'would abandon' if dry_run else 'abandoned'}  topic {topic}  group {group}  it owed: {_owed(owed)}")
    if owed.dead:
        line(f"its dead letters are kept ({owed.dead}): eventbus dead list {topic} {group}")


async def trim(
    topic: str,
    *,
    max_len: int | None,
    max_age: float | None,
    hard: bool,
    exact: bool,
    dry_run: bool,
    yes: bool,
    priority: str,
    url: str | None,
    prefix: str,
    output: Output,
) -> None:
    """Remove old entries of a topic, or of one of its priorities."""
    async with administered(url, prefix) as admin:
        if hard and not dry_run and not yes:
            planned = await admin.trim(topic, max_len=max_len, max_age=max_age, hard=True, dry_run=True, priority=priority)
            if planned.unsettled:
                confirm(f"{planned.unsettled} entries of topic {topic!r} that are not handled by every group will be lost", yes=yes)
        found = await admin.trim(topic, max_len=max_len, max_age=max_age, hard=hard, exact=exact, dry_run=dry_run, priority=priority)
        others = [each for each in await admin.priorities(topic) if each != priority]
    if output is Output.JSON:
        document({"topic": topic, "priority": priority, "dry_run": dry_run, **asdict(found)})
    else:
        _show_trimmed(topic if priority == NORMAL else f"{topic} ({priority})", found, dry_run=dry_run)
    if others:
        say(f"the other priorities of the topic are streams of their own: --priority {', --priority '.join(others)}")
    if found.missing:
        names = ", ".join(found.missing)
        say(f"lost groups stop trimming: {names}; start a service that serves them, or: eventbus groups abandon {topic} GROUP")


def _show_trimmed(topic: str, found: Trimmed, *, dry_run: bool) -> None:
    verb = "would trim" if dry_run else "trimmed"
    line(f"{verb}  topic {topic}  removed {found.settled} settled, {found.unsettled} unsettled  left {found.left}")
    if found.watermark is None:
        line("no group: nothing is settled, only --hard removes entries")
    elif found.holding:
        line(f"settled before {found.watermark}, where {', '.join(found.holding)} stand{'s' if len(found.holding) == 1 else ''}")


def _documents(info: TopicInfo) -> None:
    for group in info.groups:
        document({"topic": info.topic, "priority": info.priority, "lost": False, **asdict(group)})
    for name in info.lost_groups:
        document({"topic": info.topic, "priority": info.priority, "lost": True, "name": name})


def _table(found: list[TopicInfo]) -> None:
    levels = any(info.priority != NORMAL for info in found)
    rows = [with_priority(_row(info.topic, group), levels, info.priority) for info in found for group in info.groups]
    if rows:
        table(with_priority(COLUMNS, levels), rows)
    for topic, group in [(info.topic, group) for info in found for group in info.groups]:
        if group.owner is not None:
            line(f"owner  topic {topic}  group {group.name}, which is ordered: {group.owner}")
    for info in found:
        for name in info.lost_groups:
            line(f"lost  topic {_where(info)}  group {name}: eventbus made it, and Redis does not have it any more")
    if not rows and not any(info.lost_groups for info in found):
        line("no groups")


def _row(topic: str, group: GroupInfo) -> tuple[object, ...]:
    served = NOTHING if group.served is None else f"{seconds(group.served)} ago"
    counts = (group.lag, group.pending, group.retry_entries, group.parked, group.due, group.dead, group.living)
    name = f"{group.name} (a process of {group.broadcast})" if group.broadcast else group.name
    return (topic, name, *counts, served)


def _warn(info: TopicInfo) -> None:
    """Name what holds back trimming because nobody cares for it."""
    for group in info.groups:
        if group.ours and not group.living and (group.served is None or group.served >= UNSERVED):
            since = "ever, as far as is known" if group.served is None else f"for {seconds(group.served)}"
            say(
                f"nobody has served group {group.name!r} of topic {_where(info)!r} {since}; it holds back trimming: "
                f"start its service, or: eventbus groups abandon {info.topic} {group.name}"
            )
        if not group.ours and (group.pending or group.lag.entries) and (idle := _idle(group)) >= UNSERVED:
            since = "ever, as far as is known" if idle == math.inf else f"for {seconds(idle)}"
            say(
                f"group {group.name!r} of another program on topic {_where(info)!r} is behind, and gave no sign {since}; it holds back "
                f"trimming: start its consumers, or, if nobody uses it any more: XGROUP DESTROY {info.stream} {group.name}"
            )


def _idle(group: GroupInfo) -> float:
    """Seconds since any consumer of it did something."""
    return min((each.idle for each in group.consumers), default=math.inf)


def _where(info: TopicInfo) -> str:
    return info.topic if info.priority == NORMAL else f"{info.topic} ({info.priority})"


def _owed(owed: Owed) -> str:
    unread = "an unknown number" if owed.unread is None else f"{owed.unread}"
    return f"{unread} unread, {owed.pending} pending, {owed.retry} to retry, {owed.parked} parked"
