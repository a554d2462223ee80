"""Typed commands about the entries of one group: settle them, renew their leases, take them over."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from eventbus.streams.packing import packed
from eventbus.streams.scripts import run_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from eventbus.streams.group import Group
    from eventbus.streams.scripts import Caller

RawEntry: TypeAlias = "tuple[bytes, list[bytes] | None]"
"""An entry id and its flat fields; None where the entry was cut from the stream while it was pending."""

HandedOver: TypeAlias = "tuple[bytes, list[bytes] | None, int]"
"""An entry that was handed over before: the same, and Redis's delivery count."""

PENDING_PAGE: Final = 500
"""Own pending rows of one reply, some 100 bytes each: so that a long list does not hold up the heartbeat behind it."""

WINDOW: Final = 1000
"""Rows of the pending list that one claim looks at: about 2 ms of the server's time."""

CLAIM_BYTES: Final = 4 << 20
"""Bytes after which a claim or a recovery takes no more, so that its reply does not hold up the heartbeat behind it."""


class Moved(Enum):
    """What became of one entry that was to be moved or dropped."""

    DONE = 1
    """It was."""
    TAKEN = 2
    """Its row is another consumer's: nothing was written."""
    GONE = 3
    """It has no row any more: nothing was written."""
    DECLARED = 4
    """A member of the group knows its type: nothing was written."""


class Destination(Enum):
    """The streams of a group that copies are moved to."""

    RETRY = "retry"
    PARKED = "parked"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy on its way into one of the group's streams.

    Attributes:
        entry_id: The entry it is made of.
        fields: Its names and values, our block last.
        delay: Seconds until it is due; None where no time is kept.
        unless: An event type and version; when a member declared them nothing is written. None: no condition.
    """

    entry_id: bytes
    fields: Sequence[bytes]
    delay: float | None = None
    unless: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Beaten:
    """The answer to a beat.

    Attributes:
        kept: Entries whose lease was renewed.
        cut: Entries that are still this consumer's but were cut from the stream.
    """

    kept: frozenset[bytes]
    cut: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to one claim.

    Attributes:
        cursor: The id after which the next one goes on; empty at the end of the pending list.
        token: The group's token; empty when it is missing.
        entries: What was taken.
        own: Stale entries of this consumer itself: id and idle seconds.
        cut: Entries that were cut from the stream while they were pending; they are dead letters now.
    """

    cursor: bytes
    token: str
    entries: Sequence[HandedOver]
    own: Sequence[tuple[bytes, float]]
    cut: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Promoted:
    """The answer to one promotion.

    Attributes:
        promoted: Copies that stand in the private stream now.
        wait: Seconds until the next is due; None for none.
        given: Entries that this consumer was given with it.
        missing: Due times whose copy is gone.
        dropped: Copies that were dropped, since nobody ever declared their type.
        newer: Copies that were dead-lettered: nobody declared their version.
        unhandled: Copies that were dead-lettered: no member that declares their type took them in time.
        spoiled: Copies that no script can move, since they have too many fields; they are looked at in a minute again.
    """

    promoted: int
    wait: float | None
    given: Sequence[RawEntry]
    missing: int
    dropped: int
    newer: int
    unhandled: int
    spoiled: int


class EntryCommands:
    """Scripts about the entries of one group, sent on a connection that never blocks.

    What writes is one script, atomic; all but `rescue` (which may then write a second copy) are safe to send again. The
    head of each file says why.

    Args:
        wire: The command connection, shared with other groups.
        group: The group.
        consumer: This process's consumer name.

    Raises:
        BackendUnavailable: In any call: no answer, it may or may not have been executed.
        BackendRefused: In any call: Redis answered with an error. What a script had done before it stays.
    """

    def __init__(self, wire: Caller, group: Group, consumer: str) -> None:
        self._wire = wire
        self.group = group
        self.consumer = consumer
        self._fence = group.hash  # where the token stands that everything is settled under

    def on(self, wire: Caller) -> EntryCommands:
        """The same commands on another connection."""
        return type(self)(wire, self.group, self.consumer)

    async def ack(self, ids: Sequence[bytes], *, private: bool, token: str) -> int | None:
        """Acknowledge handled entries, whoever owns them by now.

        Returns:
            How many rows were still pending, or None when the group is another one now.
        """
        source = self.group.source(private=private)
        flag = "1" if private else "0"
        names = (source, self._fence, *self._attempts(private=private))
        count = await run_script(self._wire, "ack", names, (self.group.name, token, flag, *ids))
        return None if count < 0 else int(count)

    async def move(self, copies: Sequence[Copy], destination: Destination, *, private: bool, token: str) -> list[Moved] | None:
        """Move entries that are still this consumer's into another of the group's streams.

        Returns:
            What became of each, or None when the group is another one now.
        """
        group = self.group
        source, attempts = group.source(private=private), self._attempts(private=private)
        names = (source, self._fence, self._key(destination), group.due, group.types, group.hash, *attempts)
        arguments: list[str | bytes | int] = [group.name, self.consumer, token, "1" if private else "0"]
        for copy in copies:
            fields, (name, version) = packed(copy.fields), copy.unless or ("", 0)
            arguments += (copy.entry_id, _milliseconds(copy.delay), name, version, len(fields), *fields)
        return _moved(await run_script(self._wire, "move", names, arguments))

    async def drop(self, entries: Iterable[tuple[bytes, str]], *, private: bool, token: str) -> list[Moved] | None:
        """Settle entries, each with its event type, that no member of the group ever declared.

        Returns:
            As `move`.
        """
        group = self.group
        pairs = [part for entry in entries for part in entry]
        arguments = (group.name, self.consumer, token, "1" if private else "0", *pairs)
        names = (group.source(private=private), self._fence, group.types, group.hash, *self._attempts(private=private))
        return _moved(await run_script(self._wire, "drop", names, arguments))

    async def rescue(self, copies: Sequence[Copy], destination: Destination) -> None:
        """Write copies without a fence: their group was lost, and they are all there is of their events."""
        arguments: list[str | bytes | int] = []
        for copy in copies:
            fields = packed(copy.fields)
            arguments += (_milliseconds(copy.delay), len(fields), *fields)
        await run_script(self._wire, "rescue", (self._key(destination), self.group.due), arguments)

    async def beat(self, ids: Sequence[bytes], *, private: bool, token: str) -> Beaten | None:
        """Renew the leases of entries; those that are in neither part of the answer are lost.

        Returns:
            None when the group is another one now.
        """
        reply = await self._fenced("beat", ids, private=private, token=token)
        return None if reply == -1 else Beaten(frozenset(reply[0]), frozenset(reply[1]))

    async def mark(self, entries: Iterable[tuple[bytes, int]], *, private: bool, token: str) -> frozenset[bytes] | None:
        """Count the start of entries, each given with the delivery count it came with, and renew their leases.

        Returns:
            Those that are this consumer's, or None when the group is another one now.
        """
        pairs = [part for entry in entries for part in entry]
        reply = await self._fenced("mark", pairs, private=private, token=token)
        return None if reply == -1 else frozenset(reply)

    async def _fenced(self, name: str, ids: Sequence[bytes | int], *, private: bool, token: str) -> Any:
        source = self.group.source(private=private)
        return await run_script(self._wire, name, (source, self._fence), (self.group.name, self.consumer, token, *ids))

    def _attempts(self, *, private: bool) -> tuple[str, ...]:
        """Where the attempts of a stream's entries are kept, which go with their settlement; most groups keep none."""
        del private
        return ()

    async def clock(self) -> float:
        """The server's time in seconds since 1970; refused by a server that takes no writes now."""
        seconds, microseconds = await run_script(self._wire, "clock", (self.group.source(private=False),), (self.group.name,))
        return int(seconds) + int(microseconds) / 1_000_000

    async def claim(
        self,
        *,
        private: bool,
        cursor: bytes,
        lease: float,
        room: int,
        lasts: int,
        count: int,
        now: str,
        latest: float,
    ) -> Claimed | None:
        """Take over stale entries of others from one window of the pending list.

        Args:
            private: From the private stream; else from the topic.
            cursor: Where the last call ended; empty for the beginning.
            lease: This member's lease in seconds; the group's counts where it is longer.
            room: Most entries to take, at least 1.
            lasts: Most of those that were handed over `count` times.
            count: That number.
            now: The time for tombstones, RFC 3339.
            latest: The server's time after which it is not to be executed any more.

        Returns:
            None when it came too late: nothing was taken.
        """
        group = self.group
        arguments = (
            *(group.name, self.consumer, int(lease * 1000), cursor, WINDOW, room, CLAIM_BYTES),
            *(lasts, count, "1" if private else "0", now, int(latest * 1000)),
        )
        reply = await run_script(self._wire, "claim", (group.source(private=private), group.hash, group.dead), arguments)
        if reply == -1:
            return None
        after, token, taken, own, cut = reply
        return Claimed(after, token.decode(), _handed_over(taken), [(row[0], row[1] / 1000) for row in own], cut)

    async def held(self, *, private: bool, after: bytes | None) -> list[bytes]:
        """A page of the ids pending for this consumer, in order, after the given one."""
        source = self.group.source(private=private)
        start = b"-" if after is None else b"(" + after
        rows = await self._wire.one("XPENDING", source, self.group.name, start, "+", PENDING_PAGE, self.consumer)
        return [row[0] for row in rows]

    async def recover(self, ids: Sequence[bytes], *, private: bool) -> tuple[int, list[HandedOver]]:
        """Read own pending entries again, keeping their delivery count.

        Returns:
            How many of the ids were looked at (at least one; the rest is for another call), and what was found.
        """
        source = self.group.source(private=private)
        arguments: list[str | bytes | int] = [self.group.name, self.consumer, CLAIM_BYTES, *ids]
        looked_at, rows = await run_script(self._wire, "recover", (source,), arguments)
        return int(looked_at), _handed_over(rows)

    async def promote(self, types: Mapping[str, int], *, count: int, credit: int, unhandled: float, now: str) -> Promoted:
        """Promote parked copies that are due.

        Args:
            types: The event types this member knows, with their highest versions.
            count: Most copies to look at.
            credit: Most entries this consumer may be given: copies that need a member that knows their type.
            unhandled: Seconds after its first hop at which such a copy is dead-lettered.
            now: The time for dead letters, RFC 3339.
        """
        group = self.group
        names = (group.parked, group.due, group.private, group.dead, group.types, group.hash)
        pairs = [part for pair in types.items() for part in pair]
        arguments = (group.name, self.consumer, count, credit, int(unhandled * 1000), now, *pairs)
        promoted, wait, given, *counts = await run_script(self._wire, "promote", names, arguments)
        entries = [(row[0], row[1]) for row in given]
        return Promoted(int(promoted), None if wait < 0 else wait / 1000, entries, *map(int, counts))

    def _key(self, destination: Destination) -> str:
        group = self.group
        return {
            Destination.RETRY: group.private,
            Destination.PARKED: group.parked,
            Destination.DEAD: group.dead,
        }[destination]


def _handed_over(rows: Iterable[Any]) -> list[HandedOver]:
    return [(row[0], row[1], int(row[2])) for row in rows]


def _milliseconds(delay: float | None) -> int:
    return -1 if delay is None else int(delay * 1000)


def _moved(reply: Any) -> list[Moved] | None:
    return None if reply == -1 else [Moved(code) for code in reply]
