"""Counts what one group owes: read-only commands in one write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventbus.admin.asking import ABSENT, ask
from eventbus.admin.lag import lag_of
from eventbus.admin.replies import pairs, seconds_since, text
from eventbus.streams import UNSERVED, foreign_silences, keys, silences

if TYPE_CHECKING:
    from eventbus.admin.records import Lag
    from eventbus.delivery import Subscription
    from eventbus.streams import Wire

CENSUS_LIMIT: Final = 1_000
"""Entries after which counting a lag stops. Less than `eventbus info` counts, since this comes again and again."""

CENSUS_PAGE: Final = 100
"""Entries fetched at a time: at most 100 MiB where every entry is as large as they may be."""


@dataclass(frozen=True, slots=True)
class GroupCensus:
    """What one group owes.

    Attributes:
        topic: The topic.
        group: The group.
        length: Entries in the topic's stream.
        lag: Entries of the topic it was not given yet; inexact where counting stopped.
        pending: Entries that were given to a consumer and are not settled, those of the retry stream included.
        oldest_pending: Seconds since the oldest of them was written to its stream; 0 where nothing is pending.
        retry_entries: Entries in its retry stream: released, redriven, or due again.
        parked: Entries that wait for their time.
        due: Those of them whose time has come.
        dead_letters: Its dead letters.
        cut: Entries a hard cap cut before it had settled them, ever.
        priority: At which priority of the topic; None where it has none.
        scheduled: Events of the topic that are not due yet.
    """

    topic: str
    group: str
    length: int
    lag: Lag
    pending: int
    oldest_pending: float
    retry_entries: int
    parked: int
    due: int
    dead_letters: int
    cut: int
    priority: str | None = None
    scheduled: int = 0


@dataclass(frozen=True, slots=True)
class Unserved:
    """A group that nobody has served for a day; it holds back trimming.

    Attributes:
        topic: The topic.
        group: The group.
        seconds: How long ago any consumer of it last gave a sign.
        priority: At which priority of the topic; None where it has none.
    """

    topic: str
    group: str
    seconds: float
    priority: str | None = None


async def count_group(wire: Wire, subscription: Subscription, now: int) -> GroupCensus | None:
    """Count what one group owes; None where the group is not there (somebody will make it anew).

    Args:
        wire: Where to ask.
        subscription: Whose group.
        now: The server's time in milliseconds.

    Raises:
        BackendRefused: A key is of another type, or the user may not look.
    """
    stream, group = subscription.stream, subscription.group
    private = keys.retry(stream, group)
    rows, topic, retry, *numbers = await ask(
        wire,
        ("XINFO", "GROUPS", stream),
        ("XPENDING", stream, group),
        ("XPENDING", private, group),
        ("XLEN", stream),
        ("XLEN", private),
        ("XLEN", keys.parked(stream, group)),
        ("ZCOUNT", keys.due(stream, group), "-inf", now),
        ("XLEN", keys.dead(stream, subscription.label)),
        ("HGET", keys.group(stream, group), "cut"),
        ("ZCARD", keys.scheduled_due(stream)),
        passing_over=ABSENT,
    )
    row = next((row for row in map(pairs, rows or ()) if text(row["name"]) == group), None)
    if row is None or topic is None:
        return None
    length, retry_entries, parked, due, dead, cut, scheduled = (int(number or 0) for number in numbers)
    both = [pending for pending in (topic, retry) if pending is not None]
    return GroupCensus(
        topic=subscription.topic,
        group=subscription.label,
        length=length,
        lag=await lag_of(wire, stream, row, limit=CENSUS_LIMIT, page=CENSUS_PAGE),
        pending=sum(pending[0] for pending in both),
        oldest_pending=max((seconds_since(pending[1].decode(), now) for pending in both if pending[0]), default=0.0),
        retry_entries=retry_entries,
        parked=parked,
        due=due,
        dead_letters=dead,
        cut=cut,
        priority=subscription.priority,
        scheduled=scheduled,
    )


async def find_unserved(wire: Wire, subscription: Subscription) -> list[Unserved]:
    """Name the other groups of a topic that nobody has served for a day; not those of which no sign is known.

    Of groups of other programs, which send no heartbeats, those that are behind.
    """
    found = await silences(wire, subscription.stream) | await foreign_silences(wire, subscription.stream)
    others = {group: silent for group, silent in found.items() if group != subscription.group and silent is not None}
    return [Unserved(subscription.topic, group, silent, subscription.priority) for group, silent in others.items() if silent >= UNSERVED]
