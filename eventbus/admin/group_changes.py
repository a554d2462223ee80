"""Changes of whole groups: another name, or an end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING

from eventbus.admin.lag import LAG_LIMIT
from eventbus.admin.pacing import persistently
from eventbus.admin.records import Lag
from eventbus.errors import AdminError, GroupInUse, NotFound
from eventbus.streams import group_admin
from eventbus.streams.group_admin import Abandoned, Abandoning, Renamed, Renaming

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.streams import Group
    from eventbus.streams.scripts import Caller


@dataclass(frozen=True, slots=True)
class Owed:
    """What a group that is given up still owed.

    Attributes:
        pending: Entries of the topic that were given to a consumer and are not settled.
        unread: Entries of the topic it was not given; None where it is not known, since the group's place on
            the topic is lost.
        retry: Entries in its private stream, to be handled again.
        parked: Entries that waited for their time.
        dead: Its dead letters, which are kept.
    """

    pending: int
    unread: Lag | None
    retry: int
    parked: int
    dead: int


async def rename(wire: Caller, topic: str, pairs: Sequence[tuple[Group, Group]]) -> None:
    """Rename a group, which stands on each stream of its topic; see `Admin.rename_group`.

    Args:
        wire: Where to send it.
        topic: The topic's name.
        pairs: The group and what it is to be, on each stream.
    """
    token = token_hex(8)
    for done, (old, new) in enumerate(await _renamable(wire, topic, pairs)):
        answer, _ = await persistently(partial(group_admin.rename_group, wire, old, new, token=token))
        try:
            _check_renamed(answer, topic, old, new)
        except AdminError as error:
            raise _partly(error, done) from None


async def _renamable(wire: Caller, topic: str, pairs: Sequence[tuple[Group, Group]]) -> Sequence[tuple[Group, Group]]:
    """Where the group stands. Each is looked at first: what keeps one from being renamed keeps all of them."""
    if len(pairs) == 1:
        return pairs
    there: list[tuple[Group, Group]] = []
    for old, new in pairs:
        answer = await group_admin.rename_group(wire, old, new, token="", look_only=True)
        if answer.result is not Renaming.MISSING:
            _check_renamed(answer, topic, old, new)
            there.append((old, new))
    return there or pairs[:1]


def _partly(error: AdminError, done: int) -> AdminError:
    """Of a topic with priorities, something came between the look and the change."""
    return type(error)(f"{error}; at {done} other priorities of the topic it is done: the same call goes on") if done else error


def _check_renamed(answer: Renamed, topic: str, old: Group, new: Group) -> None:
    where = f"group {old.name!r} of topic {topic!r}"
    match answer.result:
        case Renaming.RENAMED:
            return
        case Renaming.MISSING:
            raise NotFound(f"there is no {where}: `eventbus groups list {topic}` names them")
        case Renaming.FOREIGN:
            raise GroupInUse(f"{where} was not made by eventbus, which cannot tell who uses it: create {new.name!r} by XGROUP CREATE")
        case Renaming.LOST:
            raise GroupInUse(f"{where} has lost its place on the stream: start a service that serves it, or abandon it")
        case Renaming.TAKEN:
            raise GroupInUse(f"topic {topic!r} has a group {new.name!r} already, or dead letters of one: choose another name")
        case Renaming.INSTANCE:
            raise GroupInUse(f"{where} belongs to one process of a broadcast, and ends with it: rename the subscription's group")
        case Renaming.IN_USE:
            raise GroupInUse(f"{where} cannot be renamed now: {_in_the_way(answer)}")


def _in_the_way(answer: Renamed) -> str:
    if answer.living:
        return f"{_living(answer.living)}; stop them, and wait for the lease"
    counts = {"pending": answer.pending, "in its retry stream": answer.retry, "parked": answer.parked}
    owed = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"it owes entries ({owed}), which would stay behind; let its service finish them, then stop it"


async def abandon(wire: Caller, topic: str, groups: Sequence[Group], *, dry_run: bool) -> Owed:
    """Give up a group, which stands on each stream of its topic; see `Admin.abandon_group`."""
    # Looked at first: when the answer of the second call is lost, this is what it owed.
    looks = [(group, await group_admin.abandon_group(wire, group, limit=LAG_LIMIT + 1, look_only=True)) for group in groups]
    there = [(group, look) for group, look in looks if look.result is not Abandoning.MISSING] or looks[:1]
    before = [(group, _checked(look, topic, group)) for group, look in there]
    if dry_run:
        return _sum([owed for _, owed in before])
    found: list[Owed] = []
    for group, owed in before:
        answer, again = await persistently(partial(group_admin.abandon_group, wire, group, limit=LAG_LIMIT + 1))
        try:
            found.append(owed if again and answer.result is Abandoning.MISSING else _checked(answer, topic, group))
        except AdminError as error:
            raise _partly(error, len(found)) from None
    return _sum(found)


def _sum(found: Sequence[Owed]) -> Owed:
    unread = [owed.unread for owed in found if owed.unread is not None]
    lag = Lag(sum(each.entries for each in unread), exact=all(each.exact for each in unread)) if len(unread) == len(found) else None
    counts = {name: sum(getattr(owed, name) for owed in found) for name in ("pending", "retry", "parked", "dead")}
    return Owed(unread=lag, **counts)


def _checked(answer: Abandoned, topic: str, group: Group) -> Owed:
    where = f"group {group.name!r} of topic {topic!r}"
    match answer.result:
        case Abandoning.ABANDONED:
            unread = answer.unread
            lag = None if unread is None else Lag(min(unread, LAG_LIMIT), exact=False) if unread == LAG_LIMIT + 1 else Lag(unread)
            return Owed(answer.pending, lag, answer.retry, answer.parked, answer.dead)
        case Abandoning.MISSING:
            raise NotFound(f"there is no {where}: `eventbus groups list {topic}` names them")
        case Abandoning.FOREIGN:
            raise GroupInUse(
                f"{where} was not made by eventbus, which cannot tell who uses it: remove it by XGROUP DESTROY {group.stream} {group.name}"
            )
        case Abandoning.SERVED:
            raise GroupInUse(f"{where} is served: {_living(answer.living)}; stop them, and wait for the lease")
        case Abandoning.UNKNOWN:
            raise GroupInUse(
                f"{where} may be served: Redis refuses writes now (maxmemory?), so that heartbeats are refused and nobody can tell who "
                f"lives: free memory first, then wait for a lease"
            )


def _living(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004 - as many as a sentence bears
    return f"{shown}{more} {'lives' if len(names) == 1 else 'live'}"
