"""Whether each entry is accounted for, exactly once: handled, a dead letter with its raw fields, or skipped and counted. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fuzz.entries import KNOWN, UNKNOWN, Fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys, or what forges or hides a line of a log; the line feed alone ends one."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
"""What no type of an event has: it is damaged, and no other program's."""

SHOWN = 20


@dataclass
class Letter:
    """A dead letter: the original fields, as Redis keeps them and as the administrator reads them, and why it is dead."""

    raw: Fields
    read: Sequence[bytes]
    reason: str
    packed: bool


@dataclass
class Seen:
    """What became of the entries in one group, by entry id."""

    group: str
    types: frozenset[bytes]
    readers: bool
    handled: Counter[str] = field(default_factory=Counter)
    letters: dict[str, list[Letter]] = field(default_factory=dict)
    skipped: int = 0


@dataclass
class Tally:
    """What was seen so far, over all groups."""

    entries: int = 0
    handled: int = 0
    dead: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    lines: int = 0
    complaints: list[str] = field(default_factory=list)

    def complain(self, said: str) -> None:
        """Keep the first ones; one defect makes thousands."""
        if len(self.complaints) < SHOWN:
            self.complaints.append(said)

    def __str__(self) -> str:
        dead = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.dead.items())) or "none"
        return (
            f"{self.entries:,} entries: {self.handled:,} handled, {sum(self.dead.values()):,} dead letters ({dead}), "
            f"{self.skipped:,} skipped; {self.lines:,} log records; {len(self.complaints)} complaints"
        )


def account(tally: Tally, written: Mapping[str, Fields], seen: Seen) -> None:
    """Account for every entry in one group."""
    missing = 0
    for entry_id, fields in written.items():
        times, letters = seen.handled[entry_id], seen.letters.get(entry_id, [])
        where = f"{seen.group}: entry {entry_id} {fields[:12]!r:.300}"
        if times + len(letters) > 1:
            tally.complain(f"{where}: handled {times} times, {len(letters)} dead letters")
        elif times:
            _check_handled(tally, where, fields, seen)
        elif letters:
            _check_letter(tally, where, fields, letters[0])
        else:
            missing += 1
            if not may_be_skipped(fields, seen):
                tally.complain(f"{where}: neither handled nor dead, and it is none to be skipped")
    if missing != seen.skipped:
        tally.complain(f"{seen.group}: {missing} entries are neither handled nor dead, and {seen.skipped} were counted as skipped")
    for entry_id in (seen.handled.keys() | seen.letters.keys()) - written.keys():
        tally.complain(f"{seen.group}: {entry_id} was never written")
    tally.handled += seen.handled.total()
    tally.dead.update(letter.reason for letters in seen.letters.values() for letter in letters)
    tally.skipped += seen.skipped


def _check_handled(tally: Tally, where: str, fields: Fields, seen: Seen) -> None:
    named = first(fields)
    if b"specversion" in named and named.get(b"type") not in seen.types:
        tally.complain(f"{where}: handled, and its type is none of the group's")
    if b"specversion" not in named and not seen.readers:
        tally.complain(f"{where}: handled without an envelope, by a group that reads no such entries")


def _check_letter(tally: Tally, where: str, fields: Fields, letter: Letter) -> None:
    if not letter.packed and letter.raw[: len(fields)] != fields:
        tally.complain(f"{where}: its dead letter holds other fields: {letter.raw!r:.300}")
    if list(letter.read) != fields:
        tally.complain(f"{where}: its dead letter is read as other fields: {letter.read!r:.300}")
    if letter.reason not in {"undecodable", "newer"}:
        tally.complain(f"{where}: dead for {letter.reason!r}")
    if is_clean(fields):
        tally.complain(f"{where}: nothing is wrong with it, and it is dead")


def is_clean(fields: Fields) -> bool:
    """Whether it is one of those that nothing was done to; see `clean`."""
    return len(fields) == 12 and fields[3].startswith(b"clean-") and fields[5] in {KNOWN, UNKNOWN}


def may_be_skipped(fields: Fields, seen: Seen) -> bool:
    """Whether an envelope names a type that others may have and the group has not, or it is a tombstone of Debezium."""
    named = first(fields)
    if b"specversion" in named:
        event_type = named.get(b"type", b"")
        return event_type not in seen.types and not CONTROL.search(event_type.decode(errors="replace"))
    key, value = fields if len(fields) == 2 else (named.get(b"key"), named.get(b"value"))
    return (
        seen.readers and key is not None and key.strip().startswith(b"{") and value is not None and (value == b"default" or _is_null(value))
    )


def _is_null(value: bytes) -> bool:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return found is None or (isinstance(found, dict) and "schema" in found and found.get("payload", 0) is None)


def first(fields: Fields) -> dict[bytes, bytes]:
    """The values by their names; of a name that stands twice the first."""
    found: dict[bytes, bytes] = {}
    for at in range(0, len(fields), 2):
        found.setdefault(fields[at], fields[at + 1])
    return found
