"""Typed commands about one consumer group, and the reader of its entries."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from eventbus.errors import BackendRefused
from eventbus.streams import keys
from eventbus.streams.scripts import run_script
from eventbus.streams.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from eventbus.streams.connections import Connections

RawEntry: TypeAlias = "tuple[bytes, list[bytes] | None]"
"""An entry id and its flat fields; None where the entry was trimmed while it was pending."""

BLOCK: Final = 2.0
"""Seconds a read waits for entries. 6.2 lets a reader sleep on when its stream is deleted, so that this
is also how long a lost group may go unnoticed there; never above 5."""

READ_MARGIN: Final = 3.0
"""Seconds beyond `BLOCK` after which a silent connection is given up."""

PENDING_PAGE: Final = 500
COUNT_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group of one stream, with the keys that belong to it."""

    stream: str
    name: str

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

    def source(self, *, private: bool) -> str:
        """The stream an entry stands in."""
        return self.private if private else self.stream


@dataclass(frozen=True, slots=True)
class Ensured:
    """What `GroupCommands.ensure` found or made.

    Attributes:
        token: The group's token; another one means that the group began anew.
        created: The topic's group did not exist before this call.
        known: The group had a token before, so `created` means that it was lost.
    """

    token: str
    created: bool
    known: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one stream that came in one reply."""

    private: bool
    entries: Sequence[RawEntry]


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a group has still to do.

    Attributes:
        unread: There are entries that nobody of the group was given yet.
        pending: Entries that were given to a consumer and are not settled.
    """

    unread: bool
    pending: int


class GroupCommands:
    """Scripts and commands about one group, sent on a connection that never blocks.

    Args:
        wire: The command connection, shared with other groups.
        group: The group.
        consumer: This process's consumer name.
    """

    def __init__(self, wire: Wire, group: Group, consumer: str) -> None:
        self._wire = wire
        self.group = group
        self.consumer = consumer

    async def check(self) -> None:
        """Look whether the group's keys are free or of the right type. Four commands; nothing is written.

        Raises:
            BackendUnavailable: No answer.
            BackendRefused: With code WRONGTYPE: one of them holds something else.
        """
        group = self.group
        kinds = {group.stream: "stream", group.private: "stream", group.hash: "hash", keys.groups(group.stream): "set"}
        for key, kind in kinds.items():
            found = (await self._wire.one("TYPE", key)).decode()
            if found not in ("none", kind):
                raise BackendRefused(
                    f"group {group.name!r} cannot be served: key {key!r} holds a Redis {found}, not a {kind}: "
                    f"choose another topic name, or delete the key",
                    code="WRONGTYPE",
                )

    async def ensure(self, *, start: str, service: str) -> Ensured:
        """Create what is missing of the group, adopt what exists. One script; see `ensure_group.lua`."""
        group = self.group
        names = (group.stream, group.private, group.hash, keys.groups(group.stream))
        reply = await run_script(self._wire, "ensure_group", names, (group.name, start, token_hex(8), service))
        return Ensured(reply[0].decode(), bool(reply[1]), bool(reply[2]))

    async def ack(self, ids: Sequence[bytes], *, private: bool, token: str) -> int | None:
        """Acknowledge handled entries. One script for all of them.

        Returns:
            How many rows were still pending, or None when the group is another one now.
        """
        source = self.group.source(private=private)
        flag = "1" if private else "0"
        count = await run_script(self._wire, "ack", (source, self.group.hash), (self.group.name, token, flag, *ids))
        return None if count < 0 else int(count)

    async def held(self, *, private: bool, after: bytes | None) -> list[bytes]:
        """A page of the ids pending for this consumer, in order, after the given one."""
        source = self.group.source(private=private)
        start = b"-" if after is None else b"(" + after
        rows = await self._wire.one("XPENDING", source, self.group.name, start, "+", PENDING_PAGE, self.consumer)
        return [row[0] for row in rows]

    async def recover(self, ids: Sequence[bytes], *, private: bool) -> list[RawEntry]:
        """Read own pending entries again, keeping their delivery count. One script; see `recover.lua`."""
        source = self.group.source(private=private)
        rows = await run_script(self._wire, "recover", (source,), (self.group.name, self.consumer, *ids))
        return [(row[0], row[1]) for row in rows]

    async def unblock(self, client_id: int) -> None:
        """End a blocked read of another connection; its reply may still bring entries."""
        await self._wire.one("CLIENT", "UNBLOCK", client_id)

    async def announce(self, member: bytes) -> None:
        """Write this consumer's heartbeat; `member` is a JSON object, the time is added by the server."""
        await run_script(self._wire, "announce", (self.group.members,), (self.consumer, member))

    async def leave(self) -> int:
        """Remove this consumer if it owes nothing; returns how many entries it still owes."""
        group = self.group
        names = (group.stream, group.private, group.members)
        return int(await run_script(self._wire, "leave", names, (group.name, self.consumer)))

    async def waiting_after(self, entry_id: str) -> int:
        """Count the topic's entries after an id, at most `COUNT_LIMIT` + 1 of them. Only the number is sent."""
        most = COUNT_LIMIT + 1
        if entry_id == "0":
            return min(most, int(await self._wire.one("XLEN", self.group.stream)))
        return int(await run_script(self._wire, "waiting", (self.group.stream,), (entry_id, most)))

    async def unserved(self, service: str, *, silence: float, besides: Collection[str] = ()) -> list[str]:
        """Name other groups of this service on the topic whose members all fell silent.

        Args:
            service: The service's name, as its groups recorded it.
            silence: Seconds without a heartbeat after which a member counts as gone.
            besides: Groups that are not asked about. Default none.
        """
        stream, everyone = self.group.stream, keys.groups(self.group.stream)
        found = [name.decode() for name in await self._wire.one("SMEMBERS", everyone)]
        others = sorted(name for name in found if name != self.group.name and name not in besides)
        pairs = [key for name in others for key in (keys.group(stream, name), keys.members(stream, name))]
        arguments = (service, int(silence * 1000), *others)
        names = await run_script(self._wire, "unserved", (everyone, *pairs), arguments)
        return [name.decode() for name in names]

    async def backlog(self) -> Backlog:
        """Count what the group has still to do, in both its streams.

        Raises:
            BackendUnavailable: No answer.
            BackendRefused: Among others with code NOGROUP: the group is gone, and what it has to do with it.
        """
        parts = [await self._backlog(self.group.source(private=private)) for private in (False, True)]
        return Backlog(any(part.unread for part in parts), sum(part.pending for part in parts))

    async def _backlog(self, source: str) -> Backlog:
        row = await self._row(source)
        last = await self._wire.one("XREVRANGE", source, "+", "-", "COUNT", 1)
        unread = bool(last) and _order(last[0][0]) > _order(row[b"last-delivered-id"])
        return Backlog(unread, row[b"pending"])

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


def _order(entry_id: bytes) -> tuple[int, int]:
    """Ids are compared as numbers: as text 9-0 would come after 10-0."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)


class GroupReader:
    """Reads new entries of a group on a connection of its own, which may block.

    Never cancel a task that awaits `read`: entries would be pending for this consumer, and nobody would
    have seen them. End a read with `GroupCommands.unblock(reader.client_id)`.

    Args:
        connections: Where the connection comes from.
        group: The group.
        consumer: This process's consumer name.
    """

    def __init__(self, connections: Connections, group: Group, consumer: str) -> None:
        self._wire = Wire(connections, f"reading {group.stream!r} as group {group.name!r}")
        self._group = group
        self._consumer = consumer
        self._private = group.private.encode()
        self.client_id = 0

    async def connect(self) -> None:
        """Open a new connection; what the old one was still to bring is for `recover`."""
        await self._wire.close()
        self.client_id = int(await self._wire.one("CLIENT", "ID"))

    async def read(self, count: int, *, block: float = BLOCK) -> list[Batch]:
        """Read entries nobody of the group was given yet, from the topic and the private stream.

        Args:
            count: Most entries per stream, at least 1 (Redis reads 0 as "no limit").
            block: Seconds to wait when there is none.

        Raises:
            BackendUnavailable: No answer; entries may be pending for this consumer unseen.
            BackendRefused: Among others with code NOGROUP: the group is gone.
        """
        reply = await self._wire.one(
            *("XREADGROUP", "GROUP", self._group.name, self._consumer, "COUNT", count, "BLOCK", int(block * 1000)),
            *("STREAMS", self._group.stream, self._group.private, ">", ">"),
            timeout=block + READ_MARGIN,
        )
        return [self._batch(*part) for part in reply or ()]

    def _batch(self, stream: bytes, entries: Sequence[Any]) -> Batch:
        return Batch(stream == self._private, entries)

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()
        self.client_id = 0
