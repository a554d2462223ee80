"""Typed commands about the events of a topic that are not due yet, and about publishing more specially than by XADD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventbus.delivery.carried import LATEST, number
from eventbus.errors import ConfigurationError
from eventbus.events import check_name
from eventbus.events.envelope import is_attribute
from eventbus.streams import keys
from eventbus.streams.group import MEND_BYTES, MEND_PAGE
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
        lost: Entries are left that have no due time.
    """

    promoted: int
    wait: float | None
    missing: int
    unknown: tuple[str, ...]
    woken: str
    lost: bool


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
        names = (*self._keys, keys.scheduled_wake(self._stream), *(self._level(each) for each in priorities))
        asked: Sequence[str | bytes | int] = (count, size, *(each.encode(errors="surrogateescape") for each in priorities))
        promoted, wait, missing, unknown, woken, lost = await run_script(self._wire, "promote_scheduled", names, asked)
        others = tuple(each.decode(errors="surrogateescape") for each in unknown)
        return Advanced(int(promoted), None if wait < 0 else wait / 1000, int(missing), others, woken.decode(), bool(lost))

    async def mend(self) -> int:
        """Give entries that have no due time theirs again; returns how many had none. One script for 1,000 entries."""
        mended, cursor = 0, b""
        while True:
            cursor, count = await run_script(self._wire, "mend_scheduled", self._keys, (cursor, MEND_PAGE, MEND_BYTES))
            mended += int(count)
            if not cursor:
                return mended

    def _level(self, priority: str) -> str:
        """The stream of a priority; the topic's own for what cannot be one's name: another hand wrote it."""
        try:
            return keys.level(self._stream, check_name("priority", priority))
        except ConfigurationError:
            return self._stream

    async def cancel(self, event_id: str) -> bool:
        """Take an event back; whether it came in time. A read of the entry, then one script.

        Raises:
            ConfigurationError: It is no event's id.
        """
        if not is_attribute(event_id):
            raise ConfigurationError(f"cancel_scheduled({event_id!r}): give the event's id, as its Scheduled has it")
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
    """An id as Redis writes it; one before all entries for what is none, which another hand wrote."""
    milliseconds, _, second = member.partition(b"-")
    return f"{milliseconds.decode()}-{int(second)}" if milliseconds.isdigit() and second.isdigit() else "0-0"


def _row(entry_id: str, fields: Sequence[bytes]) -> ScheduledRow:
    if fields[-BLOCK_LENGTH::2] != [b"ebdue", b"ebpriority", b"ebonce"]:  # written by another hand
        return ScheduledRow(entry_id, 0, "normal", "", fields)
    due, priority, key = fields[1 - BLOCK_LENGTH :: 2]
    written = (priority.decode(errors="replace"), key.decode(errors="replace"))
    return ScheduledRow(entry_id, number(due, LATEST) or 0, *written, fields[:-BLOCK_LENGTH])
