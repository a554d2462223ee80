"""Where to read: entry ids, times and words, as they are given, checked and turned into ids. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from eventbus.errors import ConfigurationError
from eventbus.streams import END, ZERO, Bookmark, EntryId, Range, id_before, parse_id, written_id
from eventbus.streams.entry_ids import LARGEST

if TYPE_CHECKING:
    from collections.abc import Sequence

Place: TypeAlias = str | datetime
"""An entry id, or a time with its zone."""

_ID: Final = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOOKS: Final = "an entry id such as '1763709419123-0', both numbers below 2^64, or a datetime with its zone"


def start_of(start: object, priorities: Sequence[str]) -> list[Bookmark] | None:
    """Where to begin in the stream of each priority; None for "latest", which is to be asked for.

    Raises:
        ConfigurationError: It is none.
    """
    if start == "latest":
        return None
    if start == "earliest":
        return [Bookmark(ZERO) for _ in priorities]
    if isinstance(start, datetime):
        return [Bookmark(id_before((_milliseconds("start", start), 0))) for _ in priorities]
    if isinstance(start, str) and _is_id(start):
        # The place of one priority says nothing about the others: they may have ended before it.
        return [Bookmark(parse_id(start), known=len(priorities) == 1) for _ in priorities]
    if isinstance(start, str) and (found := _places(start, priorities)) is not None:
        return found
    raise ConfigurationError(f"start={start!r}: give 'latest', 'earliest', {_LOOKS}, or what `place` was")


def place_of(bookmarks: Sequence[Bookmark], priorities: Sequence[str]) -> str:
    """What `start_of` makes these bookmarks of again: an entry id, or one for each priority."""
    if len(bookmarks) == 1:
        return written_id(bookmarks[0].at)
    return ",".join(f"{name}={written_id(bookmark.at)}" for name, bookmark in zip(priorities, bookmarks, strict=True))


def _places(start: str, priorities: Sequence[str]) -> list[Bookmark] | None:
    pairs = [part.rpartition("=") for part in start.split(",")]
    if len(pairs) != len(priorities) or any(name != mine for (name, _, _), mine in zip(pairs, priorities, strict=True)):
        return None
    if not all(_is_id(written) for _, _, written in pairs):
        return None
    return [Bookmark(at, known=at != ZERO) for at in (parse_id(written) for _, _, written in pairs)]


def range_of(begin: object, end: object) -> Range:
    """The ids between two places; None is the end of the stream on its side.

    Raises:
        ConfigurationError: One of them is no place, or the first is not before the second.
    """
    first = ZERO if begin is None else _edge("from_", begin, 0)
    last = END if end is None else _edge("to", end, LARGEST)
    if first > last:
        raise ConfigurationError(
            f"from_={_shown(begin)} is not before to={_shown(end)}: give the earlier one first, and reverse=True to read backwards"
        )
    return Range(first, last)


def _edge(name: str, given: object, sequence: int) -> EntryId:
    """An id without a sequence means all of its millisecond, a time as the end what was written before it."""
    if isinstance(given, datetime):
        at = (_milliseconds(name, given), 0)
        return id_before(at) if name == "to" else at
    found = _ID.fullmatch(given) if isinstance(given, str) else None
    if found is None or not _is_id(found[0]):
        raise ConfigurationError(f"{name}={given!r}: give {_LOOKS}")
    return int(found[1]), sequence if found[2] is None else int(found[2])


def _milliseconds(name: str, moment: datetime) -> int:
    """Of what was written at that moment or later; Redis keeps no less than milliseconds."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ConfigurationError(f"{name}={_shown(moment)}: the time has no zone: add one, such as tzinfo=UTC")
    return max(0, -((_EPOCH - moment) // timedelta(milliseconds=1)))


def _is_id(text: str) -> bool:
    found = _ID.fullmatch(text)
    return found is not None and all(int(part or 0) <= LARGEST for part in found.groups())


def _shown(place: object) -> str:
    return str(place) if isinstance(place, datetime) else repr(place)
