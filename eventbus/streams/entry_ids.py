"""Entry ids as numbers: as text, 9-0 would come after 10-0. Pure."""

from __future__ import annotations

from typing import Final, TypeAlias

EntryId: TypeAlias = tuple[int, int]
"""Milliseconds and sequence."""

LARGEST: Final = (1 << 64) - 1
"""Of either number."""

ZERO: Final[EntryId] = (0, 0)
"""Before every entry: none has this id."""


def parse_id(written: str | bytes) -> EntryId:
    """An id as Redis writes it; a missing sequence is 0."""
    text = written.decode() if isinstance(written, bytes) else written
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or "0")


def written_id(entry_id: EntryId) -> str:
    """An id as Redis writes it."""
    return f"{entry_id[0]}-{entry_id[1]}"


def id_before(entry_id: EntryId) -> EntryId:
    """The id just before one: who reads after it, reads from the given one on. Nothing is before 0-0."""
    milliseconds, sequence = entry_id
    if sequence:
        return milliseconds, sequence - 1
    return (milliseconds - 1, LARGEST) if milliseconds else ZERO


def id_after(entry_id: EntryId) -> EntryId:
    """The id just after one. Nothing is after the largest."""
    milliseconds, sequence = entry_id
    if sequence < LARGEST:
        return milliseconds, sequence + 1
    return (milliseconds + 1, 0) if milliseconds < LARGEST else entry_id
