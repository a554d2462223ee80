"""Typed commands about the replay of one group: what it would find, how it begins, a step of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from eventbus.errors import BackendRefused
from eventbus.streams import keys
from eventbus.streams.clock import server_time
from eventbus.streams.scripts import run_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventbus.streams.group import Group
    from eventbus.streams.scripts import Caller

STEP_BYTES: Final = 4 << 20
"""Bytes after which a step leaves the rest to the next call, so that nobody waits long behind it."""

LOOK_STEP: Final = 2_000
"""Entries one look reads inside the server, payloads included, which does nothing else meanwhile."""

KEPT: Final = 86_400.0
"""Seconds for which a replay that is done is remembered: whoever asks for the same again, not knowing that it was done, is
told so."""


class At(Enum):
    """What a step found, or came to."""

    MORE = 1
    """There is more to copy."""
    DONE = 2
    """All of the range was copied."""
    OTHER = 3
    """Another replay stands there, or none."""
    UNSERVED = 4
    """Nobody ever served the group, or it was abandoned."""
    LOST = 5
    """The group's place on the topic is lost."""


@dataclass(frozen=True, slots=True)
class Step:
    """The answer to a step.

    Attributes:
        at: What it came to.
        waiting: Entries in the group's private stream now.
        facts: The replay as it is noted, by name; empty where it is none of this id.
    """

    at: At
    waiting: int
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Look:
    """What a range holds for a replay: entries to copy, entries still pending, ids of entries too large for a script."""

    copied: int
    pending: int
    large: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a topic and a group of it stand.

    Attributes:
        now: The server's clock in milliseconds.
        length: Entries in the topic.
        first: The first entry kept, None where there is none.
        last: The last entry kept, None where there is none.
        newest: The highest id ever given.
        removed: Entries that were added and are not there any more; None where the server (before Redis 7.0) does not say.
        given: The last id the group was given; None where it has no place on the topic.
        ours: The group was made by eventbus.
    """

    now: int
    length: int
    first: str | None
    last: str | None
    newest: str
    removed: int | None
    given: str | None
    ours: bool


class ReplayCommands:
    """Scripts and commands about the replay of one group.

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

    async def place(self) -> Place | None:
        """Look where the topic and the group stand; None where there is no such stream. Five commands."""
        group = self.group
        try:
            about = _pairs(await self._wire.one("XINFO", "STREAM", group.stream))
        except BackendRefused as error:
            if error.code != "ERR":
                raise
            return None
        rows = [_pairs(row) for row in await self._wire.one("XINFO", "GROUPS", group.stream)]
        given = next((row["last-delivered-id"].decode() for row in rows if row["name"] == group.name.encode()), None)
        ours = await self._wire.one("SISMEMBER", keys.groups(group.stream), group.name)
        added = about.get("entries-added")
        return Place(
            now=await server_time(self._wire),
            length=about["length"],
            first=_id(about["first-entry"]),
            last=_id(about["last-entry"]),
            newest=about["last-generated-id"].decode(),
            removed=None if added is None else max(0, added - about["length"]),
            given=given,
            ours=bool(ours) or bool(await self._wire.one("HEXISTS", group.hash, "token")),
        )

    async def noted(self) -> dict[str, str]:
        """The replay that is noted for the group, by name; empty where there is none."""
        return _texts(await self._wire.one("HGETALL", self.group.replay))

    async def first_from(self, begin: str, end: str) -> str | None:
        """The id of the first entry between two ids, or None. Its payload comes along."""
        rows = await self._wire.one("XRANGE", self.group.stream, begin, end, "COUNT", 1)
        return rows[0][0].decode() if rows else None

    async def begin(self, facts: Mapping[str, str], *, instead_of: str) -> bool:
        """Note that a replay begins. One script; see `begin_replay.lua`.

        Args:
            facts: The whole replay, by name, its `id` among them.
            instead_of: The id of the one that was seen there, "" for none.

        Returns:
            False where another one stands there by now.
        """
        seen = instead_of.encode(errors="surrogateescape")
        arguments: Sequence[str | bytes] = (seen, "begun", *(part for pair in facts.items() for part in pair))
        return bool(await run_script(self._wire, "begin_replay", (self.group.replay,), arguments))

    async def step(self, replay: str, *, count: int, ahead: int | None) -> Step:
        """Copy the next entries. One script; see `replay.lua`.

        Args:
            replay: The id of the replay.
            count: Most entries to look at.
            ahead: Entries in the private stream from which on nothing is copied; None for no bound.
        """
        group = self.group
        names = (group.stream, group.private, group.replay, group.hash, keys.groups(group.stream))
        arguments = (group.name, replay, count, STEP_BYTES, -1 if ahead is None else ahead, int(KEPT * 1000))
        code, waiting, flat = await run_script(self._wire, "replay", names, arguments)
        return Step(At(code), waiting, _texts(flat))

    async def look(self, begin: str, end: str) -> Look | None:
        """Say what a range holds; None where the group's place is lost. One script for `LOOK_STEP` entries."""
        copied, pending, large = 0, 0, list[bytes]()
        while True:
            reply = await run_script(self._wire, "look_replay", (self.group.stream,), (self.group.name, begin, end, LOOK_STEP))
            if reply == -1:
                return None
            copied, pending, large = copied + reply[0], pending + reply[1], large + reply[2]
            if not reply[4]:
                return Look(copied, pending, tuple(each.decode() for each in large))
            begin = f"({reply[3].decode()}"

    async def count(self, begin: str, end: str, *, limit: int) -> int:
        """Count the entries between two ids, up to a limit. One script."""
        return int((await run_script(self._wire, "count_range", (self.group.stream,), (begin, end, limit)))[0])


def _pairs(flat: list[Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _texts(flat: list[bytes]) -> dict[str, str]:
    """What another hand wrote may be no text, and has to be named again as it is."""
    return {
        name.decode(errors="surrogateescape"): value.decode(errors="surrogateescape")
        for name, value in zip(flat[::2], flat[1::2], strict=True)
    }


def _id(entry: list[Any] | None) -> str | None:
    return entry[0].decode() if entry else None
