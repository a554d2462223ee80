"""Typed commands about the instances of a broadcast: groups of one process each, which end with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventbus.delivery.carried import LATEST, number
from eventbus.errors import BackendRefused
from eventbus.streams import keys
from eventbus.streams.clock import server_time
from eventbus.streams.group import COUNT_LIMIT, Group
from eventbus.streams.group_admin import Abandoned, Abandoning, abandon_group
from eventbus.streams.wire import pack

if TYPE_CHECKING:
    from eventbus.streams.wire import Wire

SILENT: Final = 10.0
"""Leases without a sign of life after which an instance counts as gone: five minutes by default, so that no pause of a machine
and no partition that heals ends a group that its process wakes up for. Until then its group holds back trimming."""


async def leave(wire: Wire, group: Group, consumer: str) -> Abandoned:
    """End this process's own instance, whatever it still owes. One script; see `abandon_group.lua`."""
    return await abandon_group(wire, group, limit=COUNT_LIMIT + 1, leaving=consumer)


async def end_silent(wire: Wire, group: Group, *, lease: float) -> dict[str, Abandoned]:
    """End the other instances of a broadcast that were silent for `SILENT` leases, their own and this one.

    Args:
        wire: Where to send it.
        group: This process's own instance.
        lease: Its lease in seconds.

    Returns:
        Those that were ended, with what they owed.

    Redis cost:
        Two commands, one an instance, and a script for each that is silent.

    Raises:
        BackendUnavailable: No answer.
        BackendRefused: Redis refused it for one of them, and no other was ended.
    """
    ended: dict[str, Abandoned] = {}
    refusals: list[BackendRefused] = []
    for other in await _silent(wire, group, lease):
        try:
            answer = await abandon_group(wire, other, limit=COUNT_LIMIT + 1, silence=SILENT)
        except BackendRefused as error:  # of one of them: the others shall not hold back trimming for it
            refusals.append(error)
            continue
        if answer.result is Abandoning.ABANDONED:
            ended[other.name] = answer
    if refusals and not ended:
        raise refusals[0]
    return ended


async def _silent(wire: Wire, group: Group, lease: float) -> list[Group]:
    """Those whose last heartbeat is so old; whether somebody lives is looked at again in the step that ends them."""
    # A name that is no text was not made by us.
    names = sorted(name.decode(errors="replace") for name in await wire.one("SMEMBERS", keys.groups(group.stream)))
    others = [Group(group.stream, name, group.family) for name in names if name.startswith(f"{group.family}.") and name != group.name]
    if not others:
        return []
    now = await server_time(wire)
    replies = await wire.call([pack("HMGET", other.hash, "broadcast", "served", "lease") for other in others])
    return [other for other, reply in zip(others, replies, strict=True) if _is_silent(reply, group, now, lease * 1000)]


def _is_silent(reply: Any, group: Group, now: int, lease: float) -> bool:
    if isinstance(reply, BackendRefused) or reply[0] != group.family.encode():
        return False
    served, theirs = (number(value, LATEST) or 0 for value in reply[1:])
    return now - served >= SILENT * max(lease, theirs)
