"""Typed commands of an ordered group: who owns it, and what only its owner may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eventbus.errors import BackendRefused
from eventbus.streams.entries import Beaten, EntryCommands
from eventbus.streams.group import GroupCommands
from eventbus.streams.marks import MarkCommands
from eventbus.streams.reader import READ_MARGIN, Batch, GroupReader
from eventbus.streams.scripts import run_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eventbus.streams.entries import Promoted
    from eventbus.streams.group import Group
    from eventbus.streams.scripts import Caller

PAGE: Final = 500
"""Rows of the pending list that one take-over looks at."""

PAGE_BYTES: Final = 4 << 20
"""Bytes after which it takes no more, so that its reply does not hold up the renewal behind it."""

BLOCK: Final = 2.0
"""Seconds that an owner waits for entries; never above 5: a stream that is deleted wakes nobody."""

ANOTHER_READING: Final = "EARLIER"
"""The code of the refusal of a read whose reading is not the owner's latest: a new one has to begin."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to whoever wants to own a group.

    Attributes:
        taken: It is the asker's now.
        regrouped: The group is another one by now; nothing was taken.
        owner: Whose it is.
        left: Seconds until the owner's lease runs out; 0 where it has.
        now: The server's time, in seconds since 1970.
    """

    taken: bool
    regrouped: bool
    owner: str
    left: float
    now: float


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A page of what was pending.

    Attributes:
        cursor: The id after which the next goes on; empty at the end.
        entries: What was taken, in order: id, fields, delivery count, and the attempts that failed.
        cut: Entries that were cut from the stream while they were pending; they are dead letters now.
    """

    cursor: bytes
    entries: Sequence[tuple[bytes, list[bytes], int, int]]
    cut: Sequence[bytes]


class OwnedGroupCommands(GroupCommands):
    """As `GroupCommands`, and who owns the group."""

    async def take(self, epoch: str, *, lease: float, token: str, latest: float) -> Taken:
        """Become the owner where there is none, or where its lease ran out.

        Args:
            epoch: What the ownership is called: random, never used before.
            lease: Seconds for which it holds without being renewed.
            token: The group's token.
            latest: The server's time, seconds since 1970, after which nothing is taken from an owner whose lease ran out.
        """
        group = self.group
        arguments = (self.consumer, epoch, int(lease * 1000), token, int(latest * 1000))
        code, owner, left, now = await run_script(self._wire, "take_ownership", (group.owner, group.hash, group.free), arguments)
        return Taken(code == 1, code == -1, owner.decode(errors="replace"), left / 1000, now / 1000)

    async def release(self, epoch: str, *, silence: float) -> bool:
        """Give the group up and wake one who stands by; whether it was owned under this epoch."""
        names = (self.group.owner, self.group.free)
        return bool(await run_script(self._wire, "release_ownership", names, (epoch, int(silence * 1000))))

    async def stands(self, entry_id: bytes, fields: Sequence[bytes], *, private: bool) -> bool:
        """Whether an entry with these fields, and perhaps more behind them, still has its place in its stream."""
        found = await self._wire.one("XRANGE", self.group.source(private=private), entry_id, entry_id)
        return bool(found) and list(found[0][1][: len(fields)]) == list(fields)


class OwnedEntryCommands(EntryCommands):
    """As `EntryCommands`; what they take for the group's token is the epoch of its owner."""

    def __init__(self, wire: Caller, group: Group, consumer: str) -> None:
        super().__init__(wire, group, consumer)
        self._fence = group.owner

    async def renew(self, epoch: str) -> bool:
        """Renew the ownership's lease; False when the epoch is another's or gone."""
        return bool(await run_script(self._wire, "renew_ownership", (self.group.owner,), (epoch,)))

    async def foreign_rows(self) -> bool:
        """Whether anything is pending for another consumer than this one, in either stream. Two commands."""
        for private in (False, True):
            *_, shares = await self._wire.one("XPENDING", self.group.source(private=private), self.group.name)
            if any(name != self.consumer.encode() for name, _ in shares or ()):
                return True
        return False

    async def beat(self, ids: Sequence[bytes], *, private: bool, token: str) -> Beaten | None:
        """Renew the ownership, which is the lease of everything that is held under it."""
        del private
        return Beaten(frozenset(ids), frozenset()) if await self.renew(token) else None

    async def mark(self, entries: Iterable[tuple[bytes, int]], *, private: bool, token: str) -> frozenset[bytes] | None:
        """Renew the ownership, and count the start of entries; see `EntryCommands.mark`."""
        return await super().mark(entries, private=private, token=token) if await self.renew(token) else None

    async def promote(self, types: Mapping[str, int], *, count: int, credit: int, unhandled: float, now: str) -> Promoted:
        """Promote what is due; nobody is given anything with it, since the owner alone reads, by scripts that check that it is."""
        del credit
        return await super().promote(types, count=count, credit=-1, unhandled=unhandled, now=now)

    async def take_over(
        self, epoch: str, reading: str, *, private: bool, after: bytes, most: int, now: str, begins: bool
    ) -> TakenOver | None:
        """Take over a page of what is pending, whoever it was given to.

        Args:
            epoch: Under which the group is owned.
            reading: What the walk, and the reads that follow it, are called.
            private: From the private stream; else from the topic.
            after: Where the last page ended; empty for the beginning.
            most: Most rows to look at, at least 1.
            now: The time for tombstones, RFC 3339.
            begins: It is the first page: reads of earlier readings are refused from here on.

        Returns:
            None when the epoch is another's or gone.
        """
        group = self.group
        names = (group.source(private=private), group.owner, group.dead, group.attempts(private=private))
        arguments = (group.name, self.consumer, epoch, reading, after, min(most, PAGE), PAGE_BYTES, now, "1" if begins else "0")
        reply = await run_script(self._wire, "take_over", names, arguments)
        if reply == -1:
            return None
        cursor, rows, cut = reply
        return TakenOver(cursor, [(row[0], row[1], int(row[2]), int(row[3])) for row in rows], cut)

    async def count_attempts(self, attempts: Iterable[tuple[bytes, int, int]], *, private: bool, token: str) -> int | None:
        """Keep how often the handler of pending entries failed, and take back the counts of these starts, which were not lost.

        Args:
            attempts: Ids, runs that failed, and the delivery counts they came with.
            private: They stand in the private stream; else in the topic.
            token: The epoch.

        Returns:
            For how many it was, or None when the epoch is another's or gone.
        """
        group = self.group
        names = (group.source(private=private), group.owner, group.attempts(private=private))
        words = [part for each in attempts for part in each]
        kept = int(await run_script(self._wire, "count_attempts", names, (group.name, self.consumer, token, *words)))
        return None if kept < 0 else kept

    def _attempts(self, *, private: bool) -> tuple[str, ...]:
        return (self.group.attempts(private=private),)


class OwnedMarkCommands(MarkCommands):
    """As `MarkCommands`; what they take for the group's token is the epoch of its owner."""

    def __init__(self, wire: Caller, group: Group, consumer: str, *, beside: Iterable[Group] = ()) -> None:
        super().__init__(wire, group, consumer, beside=beside)
        self._fence = group.owner

    def _attempts(self, *, private: bool) -> tuple[str, ...]:
        return (self.group.attempts(private=private),)


class OwnedReader(GroupReader):
    """Reads as the owner of a group, by a script; what blocks takes nothing in hand.

    Attributes:
        epoch: Under which it reads.
        reading: What its reads are called since the last take-over.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.epoch = self.reading = ""

    async def read(self, count: int, take: Callable[[Batch], None], *, few: int) -> int:
        """Read entries nobody of the group was given yet; without any, wait `BLOCK` seconds for one, which another read brings.

        Args:
            count: Most entries per stream, at least 1.
            take: Called once with each batch.
            few: Not used: no read waits while others are handled.

        Raises:
            BackendUnavailable: As `GroupReader.read`.
            BackendRefused: With code NOGROUP: the group is gone, or owned under another epoch. With code EARLIER: another reading
                began.
        """
        del few
        group = self._group
        names = (group.stream, group.private, group.owner)
        arguments = (group.name, self._consumer, self.epoch, self.reading, count)
        reply = await run_script(self._wire, "read_owned", names, arguments)
        if isinstance(reply, int):
            raise _refusal(reply, group)
        for private in (False, True):
            if reply[private]:
                take(Batch(private, reply[private]))
        brought = len(reply[0]) + len(reply[1])
        if not brought:
            await self._wait(reply[2], reply[3])
        return brought

    async def wait_until_free(self, seconds: float) -> None:
        """Wait until the group is given up, for so many seconds; ended by `GroupCommands.unblock`, too."""
        await self._wire.one("BLPOP", self._group.free, f"{seconds:.3f}", timeout=seconds + READ_MARGIN)

    async def _wait(self, last: bytes, last_private: bytes) -> None:
        await self._wire.one(
            *("XREAD", "COUNT", 1, "BLOCK", int(BLOCK * 1000), "STREAMS"),
            *(self._group.stream, self._group.private, last, last_private),
            timeout=BLOCK + READ_MARGIN,
        )


def _refusal(code: int, group: Group) -> BackendRefused:
    if code == -1:
        return BackendRefused(f"the group {group.name!r} of {group.stream!r} is owned by another", code="NOGROUP")
    return BackendRefused("a later reading of this consumer began", code=ANOTHER_READING)
