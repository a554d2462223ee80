"""Typed commands that change a whole group from outside: rename it, give it up."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from eventbus.streams import keys
from eventbus.streams.scripts import run_script

if TYPE_CHECKING:
    from eventbus.streams.group import Group
    from eventbus.streams.scripts import Caller

UNKNOWN_LEASE: Final = 30.0
"""Seconds of silence after which a member counts as gone where the group's hash has no lease: the default lease."""

_UNKNOWN: Final = int(UNKNOWN_LEASE * 1000)

COUNT_STEP: Final = 10_000
"""Entries one script counts: it reads them, payloads included, inside the server, which does nothing else meanwhile."""


class Renaming(Enum):
    """What came of a renaming."""

    RENAMED = 1
    MISSING = 2
    """There is no group of the old name."""
    FOREIGN = 3
    """The group was not made by eventbus."""
    LOST = 4
    """Its place on the stream is gone."""
    TAKEN = 5
    """Something of the new name exists already."""
    IN_USE = 6
    """A member lives, or it has something to do."""
    INSTANCE = 7
    """It is the group of one process of a broadcast."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """The answer to a renaming; the counts are those of what stands in its way."""

    result: Renaming
    living: tuple[str, ...]
    pending: int
    retry: int
    parked: int


class Abandoning(Enum):
    """What came of giving up a group."""

    ABANDONED = 1
    MISSING = 2
    """There is no such group."""
    FOREIGN = 3
    """The group was not made by eventbus."""
    SERVED = 4
    """A member lives."""
    UNKNOWN = 5
    """Redis refuses writes, heartbeats too: nobody can tell who lives."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The answer to giving up a group, with what it owed.

    Attributes:
        result: What came of it.
        living: Consumers that are alive.
        pending: Entries of the topic that were given to a consumer and are not settled.
        unread: Entries of the topic it was not given, at most the limit of the call; None where it is unknown.
        retry: Entries in its private stream.
        parked: Copies that waited for their time.
        dead: Dead letters.
    """

    result: Abandoning
    living: tuple[str, ...]
    pending: int
    unread: int | None
    retry: int
    parked: int
    dead: int


async def rename_group(wire: Caller, old: Group, new: Group, *, token: str, look_only: bool = False) -> Renamed:
    """Rename a group that is idle. One script; see `rename_group.lua`.

    Args:
        wire: Where to send it.
        old: The group.
        new: Its new name, on the same stream.
        token: A new random token. A call that is sent again with the same one finds its work done.
        look_only: Only say what would come of it.
    """
    names = (old.stream, keys.groups(old.stream), *_private(old), *_private(new), *_beside(old), *_beside(new), *old.order)
    code, living, *counts = await run_script(wire, "rename_group", names, (old.name, new.name, token, _UNKNOWN, "1" if look_only else "0"))
    return Renamed(Renaming(code), _names(living), *map(int, counts))


async def abandon_group(
    wire: Caller, group: Group, *, limit: int, look_only: bool = False, leaving: str = "", silence: float = 1.0
) -> Abandoned:
    """Give up a group that nobody serves. One script; see `abandon_group.lua`.

    Args:
        wire: Where to send it.
        group: The group.
        limit: Most unread entries to count where Redis does not know their number.
        look_only: Only say what it owes.
        leaving: The consumer that gives up its own group, an instance of a broadcast; default none.
        silence: Leases without a sign of life after which a member counts as gone. Default one.
    """
    names = (group.stream, keys.groups(group.stream), *_private(group), *_beside(group), *group.order)
    terms = (group.family, leaving, str(silence))
    reply = await run_script(wire, "abandon_group", names, (group.name, _UNKNOWN, limit, "1" if look_only else "0", *terms))
    code, living, pending, unread, retry, parked, dead = reply
    return Abandoned(Abandoning(code), _names(living), pending, None if unread < 0 else unread, retry, parked, dead)


async def count_range(wire: Caller, stream: str, begin: str, end: str) -> int:
    """Count a stream's entries between two ids (`(id` leaves the id itself out). One script for `COUNT_STEP` entries."""
    total = 0
    while True:
        reply = await run_script(wire, "count_range", (stream,), (begin, end, COUNT_STEP))
        count, last = int(reply[0]), reply[1]
        total += count
        if count < COUNT_STEP:
            return total
        begin = f"({last.decode()}"


def _private(group: Group) -> tuple[str, ...]:
    return (group.private, group.parked, group.due, group.dead, group.members, group.types, group.hash)


def _beside(group: Group) -> tuple[str, ...]:
    return (group.replay, group.done, group.doing)


def _names(found: list[bytes]) -> tuple[str, ...]:
    return tuple(sorted(name.decode(errors="backslashreplace") for name in found))
