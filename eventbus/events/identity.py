"""What makes an event itself: an id, and with it the time, made once."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Identity:
    """An event's id and time.

    Attributes:
        id: A UUIDv7 for events made here; whatever the publisher chose for others.
        time: RFC 3339, in UTC with milliseconds and `Z` for events made here; else as the publisher wrote
            it, and empty where it wrote none.
    """

    id: str
    time: str


def new_identity() -> Identity:
    """Make an identity now; the id's own timestamp is the time."""
    milliseconds = time.time_ns() // 1_000_000
    return Identity(uuid7(milliseconds, os.urandom(10)), written(milliseconds))


def uuid7(milliseconds: int, chance: bytes) -> str:
    """Make a UUID of version 7 (RFC 9562, section 5.7): 48 bits of time, 74 of chance.

    Args:
        milliseconds: Since 1970.
        chance: Ten random bytes, of which six bits are not used.
    """
    digits = chance.hex()
    variant = "89ab"[chance[1] & 3]  # two bits that no other digit shows
    moment = f"{milliseconds:012x}"
    return f"{moment[:8]}-{moment[8:]}-7{digits[:3]}-{variant}{digits[5:8]}-{digits[8:]}"


def written(milliseconds: int) -> str:
    """Write a time as it stands on the wire."""
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=2)  # a busy publisher makes thousands of times in one second
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[: -len("+00:00")]
