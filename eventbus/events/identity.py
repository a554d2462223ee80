"""What makes an event itself: an id, and with it the time, made once."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """An event's id and time.

    Attributes:
        id: A UUIDv7 for events made here; whatever the publisher chose for others.
        time: RFC 3339 in UTC with milliseconds and `Z`, or what the publisher wrote.
    """

    id: str
    time: str


def new_identity() -> Identity:
    """Make an identity now; the id's own timestamp is the time."""
    milliseconds = time.time_ns() // 1_000_000
    return Identity(uuid7(milliseconds, os.urandom(10)), written(milliseconds))


def uuid7(milliseconds: int, chance: bytes) -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): 48 bits of time, 74 of chance."""
    bits = int.from_bytes(chance, "big")
    number = milliseconds << 80 | 0x7000 << 64 | (bits >> 64 & 0x0FFF) << 64 | 0b10 << 62 | bits & 0x3FFF_FFFF_FFFF_FFFF
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def written(milliseconds: int) -> str:
    """A time as it stands on the wire."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
