"""Pages of streams, read without a group, with what the stream says about itself at that moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eventbus.streams.bookmarks import StreamFacts
from eventbus.streams.entry_ids import LARGEST, ZERO, EntryId, parse_id, written_id
from eventbus.streams.scripts import run_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.streams.scripts import Caller

PAGE: Final = 500
"""Most entries of one stream in a page."""

PAGE_BYTES: Final = 1 << 20
"""Bytes of one stream after which a page ends; it may be one entry more."""

END: Final[EntryId] = (LARGEST, LARGEST)
"""After every entry."""


@dataclass(frozen=True, slots=True)
class Range:
    """Entries of a stream between two ids, both included."""

    first: EntryId = ZERO
    last: EntryId = END


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of one stream, with what it said about itself at that moment.

    Attributes:
        facts: What it said.
        entries: Ids with names and values, in the order asked for.
        more: There may be more of the range.
    """

    facts: StreamFacts
    entries: Sequence[tuple[EntryId, list[bytes]]]
    more: bool


async def read_pages(
    wire: Caller, streams: Sequence[str], ranges: Sequence[Range], *, newest: bool = False, count: int = PAGE
) -> list[Page]:
    """Read the beginning of a range of each stream. One script; see `read_range.lua`.

    Args:
        wire: Where to send it.
        streams: Of one hash slot.
        ranges: One for each.
        newest: Read the end instead, backwards.
        count: Most entries of each; 0 for none.
    """
    bounds = [written_id(each) for one in ranges for each in ((one.last, one.first) if newest else (one.first, one.last))]
    arguments = (count, PAGE_BYTES, "1" if newest else "0", *bounds)
    return [_page(row) for row in await run_script(wire, "read_range", streams, arguments)]


async def read_facts(wire: Caller, streams: Sequence[str]) -> list[StreamFacts]:
    """Ask each stream about itself. One script."""
    return [page.facts for page in await read_pages(wire, streams, [Range()] * len(streams), count=0)]


def _page(row: Sequence[Any]) -> Page:
    last, first, added, length, deleted, entries, more = row
    facts = StreamFacts(
        parse_id(last) if last else ZERO,
        parse_id(first) if first else None,
        None if added < 0 else added,
        length,
        parse_id(deleted) if deleted else ZERO,
    )
    return Page(facts, [(parse_id(entry_id), fields) for entry_id, fields in entries], bool(more))
