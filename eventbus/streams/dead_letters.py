"""Typed commands about the dead letters of one group."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from eventbus.streams import keys
from eventbus.streams.scripts import run_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.streams.group import Group
    from eventbus.streams.scripts import Caller

PAGE_BYTES: Final = 16 << 20
"""Bytes of dead letters that one description reads inside the server: some ten milliseconds."""

REDRIVE_BYTES: Final = 4 << 20
"""Bytes after which a redrive leaves the rest to the next call, so that nobody waits long behind it."""


class Redrive(Enum):
    """What became of one dead letter that was to be redriven."""

    DONE = 1
    """It stands in the group's private stream now."""
    GONE = 2
    """There is no such dead letter."""
    TOMBSTONE = 3
    """Its entry was cut from the topic before anybody handled it: there is nothing to redrive."""
    LARGE = 4
    """It has more fields than a script can copy."""


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter without its payload.

    Attributes:
        id: Its id among the dead letters.
        block: Names and values of ours, without the traceback.
        type: The original field `type`, or empty.
        event_id: The original field `id`, or empty.
        originals: How many original names and values it has; 0 for a tombstone.
        size: Bytes of all its names and values.
    """

    id: bytes
    block: list[bytes]
    type: bytes
    event_id: bytes
    originals: int
    size: int


@dataclass(frozen=True, slots=True)
class LetterPage:
    """Some dead letters in a row; `more` is False where they are known to be the last."""

    rows: list[LetterRow]
    more: bool


class DeadLetterCommands:
    """Scripts and commands about one group's dead letters.

    Args:
        wire: A connection that may wait for slow commands.
        group: The group.

    Raises:
        BackendUnavailable: In any call: no answer, it may or may not have been executed.
        BackendRefused: In any call: Redis answered with an error.
    """

    def __init__(self, wire: Caller, group: Group) -> None:
        self._wire = wire
        self.group = group

    async def length(self) -> int:
        """Count the dead letters."""
        return int(await self._wire.one("XLEN", self.group.dead))

    async def last_id(self) -> str | None:
        """The id of the newest dead letter, or None."""
        rows = await self._wire.one("XREVRANGE", self.group.dead, "+", "-", "COUNT", 1)
        return rows[0][0].decode() if rows else None

    async def exists(self) -> bool:
        """Whether the group has dead letters, is known to eventbus, or stands on the topic."""
        group = self.group
        if await self._wire.one("EXISTS", group.dead, group.hash):
            return True
        return bool(await self._wire.one("SISMEMBER", keys.groups(group.stream), group.name))

    async def page(self, begin: str, end: str, *, newest: bool, count: int) -> LetterPage:
        """Describe some dead letters; with `newest` the later end is the beginning. One script."""
        arguments = (begin, end, "1" if newest else "0", count, PAGE_BYTES)
        rows, more = await run_script(self._wire, "list_dead", (self.group.dead,), arguments)
        return LetterPage([LetterRow(*row) for row in rows], bool(more))

    async def entries(self, begin: str, end: str, *, count: int, newest: bool = False) -> list[tuple[bytes, list[bytes]]]:
        """Read whole dead letters: ids, names and values."""
        command = "XREVRANGE" if newest else "XRANGE"
        rows = await self._wire.one(command, self.group.dead, begin, end, "COUNT", count)
        return [(row[0], row[1]) for row in rows]

    async def redrive(self, ids: Sequence[str], *, look_only: bool = False) -> list[Redrive] | None:
        """Put dead letters back into the group's private stream. One script; see `redrive.lua`.

        Returns:
            What became of each of the first ones; those beyond `REDRIVE_BYTES` wait for the next call. None
            where nobody ever served the group, or it was abandoned.
        """
        group = self.group
        names = (group.dead, group.private, group.hash, keys.groups(group.stream))
        arguments = (group.name, "1" if look_only else "0", REDRIVE_BYTES, *ids)
        reply = await run_script(self._wire, "redrive", names, arguments)
        return None if reply == -1 else [Redrive(code) for code in reply]

    async def discard(self, ids: Sequence[str]) -> int:
        """Delete dead letters for good; returns how many there were."""
        return int(await self._wire.one("XDEL", self.group.dead, *ids))
