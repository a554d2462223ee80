"""Typed commands about one consumer group: its keys, its members, its place on the topic."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from eventbus.errors import BackendRefused
from eventbus.streams import keys
from eventbus.streams.bookmarks import Bookmark, StreamFacts
from eventbus.streams.entry_ids import parse_id
from eventbus.streams.ranges import read_facts
from eventbus.streams.scripts import run_script

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from eventbus.streams.scripts import Caller

COUNT_LIMIT: Final = 10_000
"""Entries after which counting what waits for a new group stops: whether there are more changes nobody's mind."""

MEND_PAGE: Final = 500
"""Parked copies one script looks at, so that many of them do not hold up the server."""

MEND_BYTES: Final = 1 << 20
"""Bytes after which such a script stops."""


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group of one stream, with the keys that belong to it.

    Attributes:
        stream: The stream.
        name: The group's name.
        family: Of an instance of a broadcast, which is a group of one process, the name that all of them share. Their
            dead letters stand under it, since they outlive the process. Default "": an ordinary group.
    """

    stream: str
    name: str
    family: str = ""

    @property
    def private(self) -> str:
        """The group's private stream."""
        return keys.retry(self.stream, self.name)

    @property
    def hash(self) -> str:
        """The group's hash."""
        return keys.group(self.stream, self.name)

    @property
    def members(self) -> str:
        """The group's heartbeats."""
        return keys.members(self.stream, self.name)

    @property
    def parked(self) -> str:
        """Copies that wait for their time."""
        return keys.parked(self.stream, self.name)

    @property
    def due(self) -> str:
        """When they are due."""
        return keys.due(self.stream, self.name)

    @property
    def dead(self) -> str:
        """The group's dead letters."""
        return keys.dead(self.stream, self.family or self.name)

    @property
    def replay(self) -> str:
        """The group's replay."""
        return keys.replay(self.stream, self.name)

    @property
    def types(self) -> str:
        """The event types the group's members declared."""
        return keys.types(self.stream, self.name)

    @property
    def done(self) -> str:
        """The events that the group has finished, where it remembers them."""
        return keys.done(self.stream, self.name)

    @property
    def doing(self) -> str:
        """The events in progress, likewise."""
        return keys.doing(self.stream, self.name)

    @property
    def owner(self) -> str:
        """Who alone reads and settles, where the group is ordered."""
        return keys.owner(self.stream, self.name)

    @property
    def free(self) -> str:
        """The list that wakes who stands by."""
        return keys.free(self.stream, self.name)

    @property
    def order(self) -> tuple[str, ...]:
        """What only an ordered group has."""
        return (self.owner, self.free, self.attempts(private=False), self.attempts(private=True))

    def attempts(self, *, private: bool) -> str:
        """The attempts of a stream's entries, where the group is ordered."""
        return keys.attempts(self.source(private=private), self.name)

    def source(self, *, private: bool) -> str:
        """The stream an entry stands in."""
        return self.private if private else self.stream


@dataclass(frozen=True, slots=True)
class Ensured:
    """What `GroupCommands.ensure` found or made.

    Attributes:
        token: The group's token; another one means that the group began anew.
        created: The topic's group did not exist before this call.
        known: The group was there before, so `created` means that it was lost.
        lease: The group's lease in seconds: the largest of its members'.
    """

    token: str
    created: bool
    known: bool
    lease: float


@dataclass(frozen=True, slots=True)
class Member:
    """What a consumer tells the others of its group.

    Attributes:
        service: The bus's service.
        lease: Its lease in seconds.
        types: The event types it knows, with their highest versions.
        about: Its heartbeat: a JSON object.
        ordered: It takes part in an ordered group.
    """

    service: str
    lease: float
    types: Mapping[str, int]
    about: bytes
    ordered: bool = False

    def declared(self) -> list[str | int]:
        """Types and versions in turn."""
        return [part for pair in self.types.items() for part in pair]


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a group has still to do.

    Attributes:
        unread: There are entries that nobody of the group was given yet.
        pending: Entries that were given to a consumer and are not settled.
        parked: Copies that wait for their time.
    """

    unread: bool
    pending: int
    parked: int


class GroupCommands:
    """Scripts and commands about one group, sent on a connection that never blocks.

    Args:
        wire: The command connection, shared with other groups.
        group: The group.
        consumer: This process's consumer name.
    """

    def __init__(self, wire: Caller, group: Group, consumer: str) -> None:
        self._wire = wire
        self.group = group
        self.consumer = consumer

    async def check(self) -> None:
        """Look whether the group's keys are free or of the right type. Six commands; nothing is written.

        Raises:
            BackendUnavailable: No answer.
            BackendRefused: With code WRONGTYPE: one of them holds something else.
        """
        group = self.group
        kinds = {group.stream: "stream", group.private: "stream", group.hash: "hash", keys.groups(group.stream): "set"}
        kinds |= {group.done: "zset", group.doing: "hash"}  # else an idempotent subscription would wait for ever to start
        for key, kind in kinds.items():
            found = (await self._wire.one("TYPE", key)).decode()
            if found not in ("none", kind):
                raise BackendRefused(
                    f"group {group.name!r} cannot be served: key {key!r} holds a Redis {found}, not a {kind}: "
                    f"choose another topic name, or delete the key",
                    code="WRONGTYPE",
                )

    async def ensure(self, member: Member, *, start: str, lost: str = "") -> Ensured:
        """Create what is missing of the group, adopt what exists. One script; see `ensure_group.lua`.

        Args:
            member: Who asks: its types are declared and its lease counts from here on.
            start: Where a group that is new begins; an instance of a broadcast also one that was lost.
            lost: The token it had; empty (the default) for a member that only starts.
        """
        group = self.group
        names = (group.stream, group.private, group.hash, keys.groups(group.stream), group.types, group.members, *group.order)
        order = "1" if member.ordered else ""
        terms = (token_hex(8), member.service, int(member.lease * 1000), lost, group.family, order, self.consumer)
        arguments = (group.name, start, *terms)
        reply = await run_script(self._wire, "ensure_group", names, (*arguments, *member.declared()))
        return Ensured(reply[0].decode(), bool(reply[1]), bool(reply[2]), reply[3] / 1000)

    async def unblock(self, client_id: int) -> None:
        """End a blocked read of another connection; its reply may still bring entries."""
        await self._wire.one("CLIENT", "UNBLOCK", client_id)

    async def announce(self, member: Member, *, token: str) -> float | None:
        """Write this consumer's heartbeat and declare its types. One script.

        Returns:
            The group's lease in seconds, or None when the group is another one now.
        """
        group = self.group
        names = (group.members, group.hash, group.types, keys.groups(group.stream))
        arguments = (self.consumer, member.about, int(member.lease * 1000), group.name, token, *member.declared())
        reply = await run_script(self._wire, "announce", names, arguments)
        return None if reply == -1 else int(reply) / 1000

    async def retire(self, *, silence: float) -> list[str]:
        """Remove consumers that were silent for so many seconds and owe nothing; returns their names. One script."""
        group = self.group
        names = (group.stream, group.private, group.members)
        return [name.decode(errors="replace") for name in await run_script(self._wire, "retire", names, (group.name, int(silence * 1000)))]

    async def mend_due(self) -> int:
        """Give parked copies that have no due time one; returns how many had none. One script where none is missing."""
        mended, cursor = 0, b""
        while True:
            cursor, count = await run_script(self._wire, "mend_due", (self.group.parked, self.group.due), (cursor, MEND_PAGE, MEND_BYTES))
            mended += int(count)
            if not cursor:
                return mended

    async def leave(self) -> int:
        """Remove this consumer if it owes nothing; returns how many entries it still owes."""
        group = self.group
        names = (group.stream, group.private, group.members)
        return int(await run_script(self._wire, "leave", names, (group.name, self.consumer)))

    async def bookmark(self) -> Bookmark:
        """The group's place on the topic: what it was given. One XINFO and one script."""
        at = parse_id((await self._row(self.group.stream))[b"last-delivered-id"])
        facts = await self.facts()
        return Bookmark(at, known=True, added=facts.added if at == facts.last else None)

    async def facts(self) -> StreamFacts:
        """What the topic's stream says about itself. One script."""
        (facts,) = await read_facts(self._wire, (self.group.stream,))
        return facts

    async def waiting_after(self, entry_id: str) -> int:
        """Count the topic's entries after an id, at most `COUNT_LIMIT` + 1 of them. Only the number is sent."""
        most = COUNT_LIMIT + 1
        if entry_id == "0":
            return min(most, int(await self._wire.one("XLEN", self.group.stream)))
        count, _ = await run_script(self._wire, "count_range", (self.group.stream,), (f"({entry_id}", "+", most))
        return int(count)

    async def unserved(self, service: str, *, silence: float, besides: Collection[str] = ()) -> list[str]:
        """Name other groups of this service on the topic whose members all fell silent.

        Args:
            service: The service's name, as its groups recorded it.
            silence: Seconds without a heartbeat after which a member counts as gone, unless its own lease is longer.
            besides: Groups that are not asked about. Default none.
        """
        stream, everyone = self.group.stream, keys.groups(self.group.stream)
        found = [name.decode(errors="replace") for name in await self._wire.one("SMEMBERS", everyone)]
        others = sorted(name for name in found if name != self.group.name and name not in besides)
        pairs = [key for name in others for key in (keys.group(stream, name), keys.members(stream, name))]
        arguments = (service, int(silence * 1000), *others)
        names = await run_script(self._wire, "unserved", (everyone, *pairs), arguments)
        return [name.decode(errors="replace") for name in names]

    async def backlog(self) -> Backlog:
        """Count what the group has still to do, in both its streams.

        Raises:
            BackendUnavailable: No answer.
            BackendRefused: Among others with code NOGROUP: the group is gone, and what it has to do with it.
        """
        parts = [await self._backlog(self.group.source(private=private)) for private in (False, True)]
        parked = int(await self._wire.one("XLEN", self.group.parked))
        return Backlog(any(unread for unread, _ in parts), sum(pending for _, pending in parts), parked)

    async def _backlog(self, source: str) -> tuple[bool, int]:
        row = await self._row(source)
        last = await self._wire.one("XREVRANGE", source, "+", "-", "COUNT", 1)
        unread = bool(last) and parse_id(last[0][0]) > parse_id(row[b"last-delivered-id"])
        return unread, int(row[b"pending"])

    async def _row(self, source: str) -> dict[bytes, Any]:
        rows: list[Any] = []
        try:
            rows = await self._wire.one("XINFO", "GROUPS", source)
        except BackendRefused as error:
            if error.code != "ERR":  # else "no such key"
                raise
        for row in map(_pairs, rows):
            if row[b"name"] == self.group.name.encode():
                return row
        raise BackendRefused(f"the consumer group {self.group.name!r} is gone from {source!r}", code="NOGROUP")


def _pairs(flat: Sequence[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
