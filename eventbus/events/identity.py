"""What makes an event itself: an id, and with it the time, made once."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

CHANCE_BITS: Final = 74
"""Random bits of a UUIDv7: 12 behind the version, 62 behind the variant."""

# Seeded by the operating system, once: asking it for each id costs 0.4 µs and more. Apart from the `random` module's
# own, which programs seed for their tests and simulations; a forked child must not go on where its parent was.
_chance = random.Random()  # noqa: S311 - an id is no secret
os.register_at_fork(after_in_child=_chance.seed)


@dataclass(slots=True)  # not frozen: that would cost each event 0.2 µs. Nobody writes to it
class Identity:
    """An event's id and time. Read only.

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
    return Identity(uuid7(milliseconds, _chance.getrandbits(CHANCE_BITS)), written(milliseconds))


def uuid7(milliseconds: int, chance: int) -> str:
    """Make a UUID of version 7 (RFC 9562, section 5.7).

    Args:
        milliseconds: Since 1970, 48 bits.
        chance: 74 random bits.
    """
    # The variant's two bits stand before the lower 62.
    return "%s%03x-%04x-%012x" % (_beginning(milliseconds), chance >> 62, chance >> 48 & 0x3FFF | 0x8000, chance & 0xFFFF_FFFF_FFFF)  # noqa: UP031 - an f-string takes a third longer


@lru_cache(maxsize=2)  # a busy publisher makes dozens in one millisecond
def _beginning(milliseconds: int) -> str:
    """Of a UUIDv7: the time and the version."""
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}-7"


@lru_cache(maxsize=2)  # as above
def written(milliseconds: int) -> str:
    """Write a time as it stands on the wire."""
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=2)  # a busy publisher makes thousands of times in one second
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[: -len("+00:00")]
