"""Which priorities a topic has, written where everybody finds it who only knows the topic's name."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from eventbus.errors import BackendRefused
from eventbus.events import NORMAL
from eventbus.streams import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.streams.scripts import Caller


async def known_levels(wire: Caller, stream: str) -> tuple[str, ...]:
    """The priorities that a topic is known to have, the most urgent first; none for a topic of one stream. One command."""
    return tuple(name.decode(errors="backslashreplace") for name in await wire.one("ZRANGE", keys.levels(stream), 0, -1))


async def note_levels(wire: Caller, stream: str, priorities: Sequence[str]) -> tuple[str, ...]:
    """Write down which priorities a topic has.

    Nothing is taken away: another program may serve what this one does not know. At `maxmemory` nothing is written; it is
    tried again by whoever comes next.

    Args:
        wire: Where to send it.
        stream: The topic's own stream.
        priorities: Those that are declared here, the most urgent first; none for a topic of one stream.

    Returns:
        Others, which somebody else declared.

    Redis cost:
        One command; another one where something is to be written.
    """
    known = await known_levels(wire, stream)
    missing = [part for place, name in enumerate(priorities) if name not in known for part in (place, name)]
    if missing:
        with suppress(BackendRefused):
            await wire.one("ZADD", keys.levels(stream), *missing)
    return tuple(name for name in known if name not in (NORMAL, *priorities))
