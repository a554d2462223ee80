"""What travels with a copy in a group's private streams: its history, in fields of ours behind the original ones."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ORIGIN: Final = b"ebentry"
"""The field our block begins with. What a publisher calls by one of our names stands before it, and is not read."""

REST: Final = b"ebrest"
"""The field of our block that holds the original names and values which did not fit into one write, as a JSON list of base64
texts (see `streams/packing.py`)."""

MOST: Final = 1_000_000
"""What every larger count stands for: nobody counts that far, but somebody may write it."""

LATEST: Final = 253_402_300_799_000
"""The last millisecond of the year 9999."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The history of an event within one group.

    Attributes:
        entry: Its entry id in the topic, where it was first read.
        attempts: Runs of its handler that failed and were counted.
        crashes: Starts that were lost, with their process or its lease; None while it was never claimed.
        hops: How often it was parked because the member that read it does not know its type.
        hopped: When that was first so, in the server's milliseconds; 0 for never.
        redrives: How often it came back from the dead letters.
        replayed: A replay copied it out of the topic, after the group had been given it.
    """

    entry: str = ""
    attempts: int = 0
    crashes: int | None = None
    hops: int = 0
    hopped: int = 0
    redrives: int = 0
    replayed: bool = False

    def fields(self) -> list[bytes]:
        """Our block as names and values; what is zero is left out."""
        block = [ORIGIN, self.entry.encode()]
        for name in ("attempts", "crashes", "hops", "hopped", "redrives", "replayed"):
            value = getattr(self, name)
            if value or (name == "crashes" and value is not None):
                block += (b"eb" + name.encode(), b"%d" % value)
        return block


FRESH: Final = Carried()
"""What an entry of a topic carries: nothing."""


def split(fields: Sequence[bytes]) -> tuple[list[bytes], Carried]:
    """Part a copy into the original fields and what we wrote behind them.

    A copy without our block (somebody wrote it by hand) carries nothing; a damaged number counts as none.
    """
    at = block_at(fields)
    if at == len(fields):
        return list(fields), FRESH
    return [*fields[:at], *_rest(fields[at:])], _read(fields[at:])


def block_at(fields: Sequence[bytes]) -> int:
    """Where in a copy our block begins; the number of its fields where there is none."""
    return next((at for at in range(len(fields) - 2, -1, -2) if fields[at] == ORIGIN), len(fields))


def _rest(block: Sequence[bytes]) -> list[bytes]:
    packed = dict(zip(block[::2], block[1::2], strict=False)).get(REST)
    if packed is None:
        return []
    try:
        found = [b64decode(text, validate=True) for text in json.loads(packed)]
    except (ValueError, TypeError, RecursionError):  # written by another hand
        return []
    return found if len(found) % 2 == 0 else []


def _read(block: Sequence[bytes]) -> Carried:
    found = dict(zip(block[::2], block[1::2], strict=False))
    return Carried(
        entry=found.get(ORIGIN, b"").decode(errors="replace"),
        attempts=number(found.get(b"ebattempts"), MOST) or 0,
        crashes=number(found.get(b"ebcrashes"), MOST),
        hops=number(found.get(b"ebhops"), MOST) or 0,
        hopped=number(found.get(b"ebhopped"), LATEST) or 0,
        redrives=number(found.get(b"ebredrives"), MOST) or 0,
        replayed=bool(number(found.get(b"ebreplayed"), 1)),
    )


def number(value: bytes | None, most: int) -> int | None:
    """A number as we write them, `most` at the most; None where there is none, or something else."""
    return min(most, int(value)) if value is not None and value.isdigit() and len(value) <= len(str(1 << 63)) else None
