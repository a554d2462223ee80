"""Typed commands about the events of a topic that are not due yet, and about publishing more specially than by XADD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventbus.streams import keys
from eventbus.streams.scripts import load_script, run_script, script
from eventbus.streams.wire import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.streams.scripts import Caller

BLOCK_LENGTH: Final = 6
"""Names and values of ours at the end of a scheduled entry: `ebdue`, `ebpriority`, `ebonce`."""


def store(
    stream: str,
    fields: Sequence[bytes],
    *,
    event_id: str,
    priority: str,
    key: str | None,
    window: int,
    wait: int,
    moment: int,
    entry_id: str | None,
    known: bool,
) -> bytes:
    """The command that stores an event in one script; see `publish.lua`.

    Args:
        stream: The topic's stream.
        fields: Names and values of the entry.
        event_id: The event's id.
        priority: Its priority.
        key: Its idempotency key; None for none.
        window: Milliseconds for which that is remembered.
        wait: Milliseconds until it is due.
        moment: The milliseconds since 1970 at which it is due, in place of that; 0 for none.
        entry_id: The entry's id; None for Redis's own.
        known: Whether the server knows the script, by an earlier such command or `load_store`; else its text is sent along,
            which also loads it.
    """
    text = script("publish")
    names = (
        keys.level(stream, priority),
        stream if key is None else keys.once(stream, key),
        keys.scheduled(stream),
        keys.scheduled_due(stream),
        keys.scheduled_ids(stream),
        keys.scheduled_wake(stream),
    )
    arguments = (event_id, priority, key or "", window, wait, moment, entry_id or "*")
    return pack(*(("EVALSHA", text.sha) if known else ("EVAL", text.source)), len(names), *names, *arguments, *fields)


async def load_store(wire: Caller) -> None:
    """Make the script of `store` known to the server a connection leads to."""
    await load_script(wire, "publish")


@dataclass(frozen=True, slots=True)
class Advanced:
    """The answer to one promotion.

    Attributes:
        promoted: Entries that stand in the streams of their priorities now.
        wait: Seconds until the next is due; None for none.
        missing: Due times whose entry was gone.
        unknown: Priorities of due entries that were not among those given.
        woken: The last id of what wakes promoters.
    """

    promoted: int
    wait: float | None
    missing: int
    unknown: tuple[str, ...]
    woken: str


@dataclass(frozen=True, slots=True)
class ScheduledRow:
    """An event that is not due yet.

    Attributes:
        entry_id: Its id among the scheduled ones.
        due: The milliseconds since 1970 at which it is due.
        priority: The priority it is to have.
        key: Its idempotency key; empty for none.
        fields: Its original names and values.
    """

    entry_id: str
    due: int
    priority: str
    key: str
    fields: Sequence[bytes]


class Schedule:
    """Commands about what is scheduled on one topic.

    Args:
        wire: A connection that never blocks.
        stream: The topic's stream.

    Raises:
        BackendUnavailable: In any call: no answer, it may or may not have been executed.
        BackendRefused: In any call: Redis answered with an error.
    """

    def __init__(self, wire: Caller, stream: str) -> None:
        self._wire = wire
        self._stream = stream
        self._keys = (keys.scheduled(stream), keys.scheduled_due(stream), keys.scheduled_ids(stream))

    async def promote(self, priorities: Sequence[str], *, count: int, size: int) -> Advanced:
        """Promote what is due. One script; see `promote_scheduled.lua`.

        Args:
            priorities: The names of those that are known.
            count: Most entries to look at.
            size: Bytes after which no more are promoted.
        """
        names = (*self._keys, keys.scheduled_wake(self._stream), *(keys.level(self._stream, each) for each in priorities))
        promoted, wait, missing, unknown, woken = await run_script(self._wire, "promote_scheduled", names, (count, size, *priorities))
        others = tuple(each.decode() for each in unknown)
        return Advanced(int(promoted), None if wait < 0 else wait / 1000, int(missing), others, woken.decode())

    async def cancel(self, event_id: str) -> bool:
        """Take an event back; whether it came in time. A read of the entry, then one script."""
        member = await self._wire.one("HGET", self._keys[2], event_id)
        if member is None:
            return False
        rows = await self._wire.one("XRANGE", self._keys[0], _plain(member), _plain(member))
        key = _row(_plain(member), rows[0][1]).key if rows else ""
        once = keys.once(self._stream, key) if key else self._keys[0]
        return bool(await run_script(self._wire, "cancel_scheduled", (*self._keys, once), (event_id, key)))

    async def length(self) -> int:
        """Count what is scheduled. One ZCARD."""
        return int(await self._wire.one("ZCARD", self._keys[1]))

    async def page(self, *, skip: int, count: int) -> list[ScheduledRow]:
        """Read some in the order of their due times, payloads included. One ZRANGE, and one XRANGE for each."""
        pairs = await self._wire.one("ZRANGE", self._keys[1], skip, skip + count - 1, "WITHSCORES")
        found: list[ScheduledRow] = []
        for member in pairs[::2]:
            rows = await self._wire.one("XRANGE", self._keys[0], _plain(member), _plain(member))
            found += [_row(_plain(member), row[1]) for row in rows]  # none: it was promoted meanwhile
        return found


def _plain(member: bytes) -> str:
    """An id as Redis writes it."""
    milliseconds, _, number = member.decode().partition("-")
    return f"{milliseconds}-{int(number)}"


def _row(entry_id: str, fields: Sequence[bytes]) -> ScheduledRow:
    if fields[-BLOCK_LENGTH::2] != [b"ebdue", b"ebpriority", b"ebonce"]:  # written by another hand
        return ScheduledRow(entry_id, 0, "normal", "", fields)
    due, priority, key = fields[1 - BLOCK_LENGTH :: 2]
    return ScheduledRow(entry_id, int(due), priority.decode(), key.decode(), fields[:-BLOCK_LENGTH])
