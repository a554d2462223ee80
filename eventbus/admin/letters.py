"""Dead letters as they are read: what was written about them, apart from what they carry. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import orjson

from eventbus.admin.replies import before
from eventbus.delivery import split
from eventbus.delivery.carried import MOST, block_at, number
from eventbus.errors import ConfigurationError
from eventbus.events import NORMAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.streams.dead_letters import LetterRow

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ID: Final = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?", re.ASCII)
_TEXTS: Final = ("type", "reason", "error", "message", "group", "consumer", "failed")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What is known about a dead letter, without its payload.

    Attributes:
        id: Its id among the group's dead letters.
        entry: The entry id in the topic, where the event was first read; "" where nobody wrote it down.
        event_id: The event's id, "" where the entry has none.
        type: The event's type, "" where it is not known.
        reason: Why it is dead: `attempts`, `rejected`, `never`, `crashes`, `undecodable`, `newer`, `unhandled`,
            `trimmed`.
        error: The exception's class with its module, "" where none was raised.
        message: The exception's message, cut at 1,000 characters. It may quote the payload.
        attempts: Runs of the handler that failed and were counted.
        crashes: Starts that were lost with their process.
        deliveries: How often Redis handed it over, the last time it was pending.
        redrives: How often it came back from the dead letters before.
        group: The group as it was called then.
        consumer: Who wrote it off.
        failed: When, as RFC 3339.
        size: Bytes of all its names and values.
        trimmed: It is a tombstone: its entry was cut from the topic before anybody handled it.
    """

    id: str
    entry: str
    event_id: str
    type: str
    reason: str
    error: str
    message: str
    attempts: int
    crashes: int
    deliveries: int
    redrives: int
    group: str
    consumer: str
    failed: str
    size: int
    trimmed: bool


@dataclass(frozen=True, slots=True)
class DeadEntry:
    """A whole dead letter.

    Attributes:
        letter: What is known about it.
        traceback: The end of the exception's traceback, "" where none was raised.
        fields: The original names and values in turn, raw; empty for a tombstone.
        block: Names and values that eventbus wrote behind them, raw.
    """

    letter: DeadLetter
    traceback: str
    fields: Sequence[bytes]
    block: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters are meant; `Filter()` means all.

    Attributes:
        type: Only events of this type.
        error: Only those whose exception is of this class, with or without its module.
        reason: Only those that are dead for this reason.
        since: Only those that died at this time or later, by the server's clock.
        until: Only those that died before this time.

    Raises:
        ConfigurationError: A time has no zone.
    """

    type: str | None = None
    error: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for name, moment in (("since", self.since), ("until", self.until)):
            if moment is not None and moment.tzinfo is None:
                raise ConfigurationError(f"Filter({name}={moment}): the time has no zone: add one, such as tzinfo=UTC")

    def matches(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is meant, its time apart: that is a range of ids."""
        error = self.error is None or letter.error == self.error or letter.error.endswith(f".{self.error}")
        return error and self.type in (None, letter.type) and self.reason in (None, letter.reason)

    @property
    def all(self) -> bool:
        """Whether it means every dead letter."""
        return self == Filter()

    def ids(self) -> tuple[str, str]:
        """The first and the last id that may be meant, as Redis writes ranges."""
        begin = "-" if self.since is None else f"{_milliseconds(self.since)}-0"
        return begin, "+" if self.until is None else before(f"{_milliseconds(self.until)}-0")


def _milliseconds(moment: datetime) -> int:
    return max(0, -((_EPOCH - moment) // timedelta(milliseconds=1)))


def check_id(dead_id: str) -> str:
    """The id of a dead letter, written out.

    Raises:
        ConfigurationError: It is none.
    """
    found = _ID.fullmatch(dead_id)
    if not found or any(int(part or 0) >= 1 << 64 for part in found.groups()):
        raise ConfigurationError(f"dead letter {dead_id!r}: an id looks like 1763709419123-0; `eventbus dead list` shows them")
    return f"{int(found[1])}-{int(found[2] or 0)}"


def read_row(row: LetterRow) -> DeadLetter:
    """A dead letter from its description."""
    return _letter(row.id, row.block, type_=row.type, event_id=row.event_id, size=row.size, trimmed=row.originals == 0)


def read_entry(entry_id: bytes, fields: Sequence[bytes]) -> DeadEntry:
    """A dead letter from all its names and values."""
    at = block_at(fields)
    original, block = split(fields)[0], list(fields[at:])
    # Of a name that stands twice the first counts in an event, the last in what is ours.
    first = dict(reversed(list(zip(original[::2], original[1::2], strict=False))))
    letter = _letter(
        entry_id,
        block,
        type_=first.get(b"type", b""),
        event_id=first.get(b"id", b""),
        size=sum(map(len, fields)),
        trimmed=at == 0,
    )
    return DeadEntry(letter, _text(_named(block).get(b"ebtraceback", b"")), original, block)


def described(entry: DeadEntry, topic: str, priority: str = NORMAL) -> dict[str, object]:
    """A whole dead letter for JSON.

    What is known about it stands first; `fields` are the original names and values in their order, `block` are
    those of eventbus. Bytes that are not UTF-8 stand as base64 in `name_base64` and `value_base64`: nothing is lost.
    """
    parts = {"traceback": entry.traceback, "fields": pairs_of(entry.fields), "block": pairs_of(entry.block)}
    return {"topic": topic, "priority": priority, **asdict(entry.letter), **parts}


def as_line(entry: DeadEntry, topic: str, priority: str = NORMAL) -> bytes:
    """The same as one line."""
    return orjson.dumps(described(entry, topic, priority)) + b"\n"


def pairs_of(fields: Sequence[bytes]) -> list[dict[str, str]]:
    """Names and values for JSON."""
    return [_part("name", name) | _part("value", value) for name, value in zip(fields[::2], fields[1::2], strict=True)]


def _part(label: str, raw: bytes) -> dict[str, str]:
    try:
        return {label: raw.decode()}
    except UnicodeDecodeError:
        return {f"{label}_base64": b64encode(raw).decode()}


def _letter(entry_id: bytes, block: Sequence[bytes], *, type_: bytes, event_id: bytes, size: int, trimmed: bool) -> DeadLetter:
    named, (_, carried) = _named(block), split(block)
    texts = {name: _text(named.get(b"eb" + name.encode(), b"")) for name in _TEXTS}
    return DeadLetter(
        id=entry_id.decode(),
        entry=carried.entry,
        event_id=_text(event_id),
        attempts=carried.attempts,
        crashes=carried.crashes or 0,
        redrives=carried.redrives,
        deliveries=number(named.get(b"ebdeliveries"), MOST) or 0,
        size=size,
        trimmed=trimmed,
        **{**texts, "type": texts["type"] or _text(type_)},
    )


def _named(block: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(block[::2], block[1::2], strict=False))


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")
