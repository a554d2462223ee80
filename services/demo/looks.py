"""What Redis itself says about the groups: lag, pending, and which process holds how much."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from eventbus.streams import keys
from services.demo.plan import Group

if TYPE_CHECKING:
    from redis.asyncio import Redis

MOST = 1000
"""Where the server cannot tell the lag (before Redis 7.0), entries are counted up to here."""


@dataclass(frozen=True, slots=True)
class Look:
    """One group at one moment.

    Attributes:
        lag: Entries nobody has read yet, up to `MOST` where they had to be counted.
        pending: Entries read and not acknowledged.
        held: How many of those each process holds, by process id.
        members: Processes that have joined.
    """

    lag: int = 0
    pending: int = 0
    held: dict[int, int] = field(default_factory=dict[int, int])
    members: frozenset[int] = frozenset()


async def look(redis: "Redis", group: Group) -> Look:
    """Ask about one group, at all priorities of its topic; one that does not exist yet is empty."""
    return joined([await _look(redis, stream, group.name) for stream in group.streams])


def joined(looks: Sequence[Look]) -> Look:
    """What was seen of each stream, added up; a process has joined once it reads all of them."""
    held = Counter[int]()
    for each in looks:
        held.update(each.held)
    members = frozenset[int].intersection(*(each.members for each in looks))
    return Look(sum(each.lag for each in looks), sum(each.pending for each in looks), dict(held), members)


async def _look(redis: "Redis", stream: str, group: str) -> Look:
    try:
        groups: list[dict[str, Any]] = await redis.xinfo_groups(stream)
        found = next((one for one in groups if one["name"] == group), None)
        if found is None:
            return Look()
        consumers: list[dict[str, Any]] = await redis.xinfo_consumers(stream, group)
    except ResponseError:
        return Look()
    lag = found.get("lag")
    if lag is None:
        unread: list[Any] = await redis.xrange(stream, f"({found['last-delivered-id']}", "+", count=MOST) or []
        lag = len(unread)
    # A consumer is listed from its first entry on only, a member from its first heartbeat.
    members: list[Any] = await redis.hkeys(keys.members(stream, group))
    return Look(int(lag), int(found["pending"]), held_by(consumers), frozenset(map(process_of, members)))


async def look_at_all(redis: "Redis", groups: Iterable[Group]) -> dict[Group, Look]:
    """Ask about every group."""
    return {group: await look(redis, group) for group in groups}


def held_by(consumers: Iterable[dict[str, Any]]) -> dict[int, int]:
    """Entries held, by the process id that a consumer's name carries: `service.host.pid.random`."""
    return {process_of(consumer["name"]): int(consumer["pending"]) for consumer in consumers}


def process_of(consumer: str) -> int:
    """The process id in a consumer's name."""
    return int(consumer.rsplit(".", 2)[1])
