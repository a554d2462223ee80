"""Facts about millions of events in a few bytes each: events are numbered from 0 without holes."""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Final

GROWTH: Final = 1 << 16


def digest(text: str) -> int:
    """Eight bytes that stand for an id; never 0, which stands for none. Two of 10 million meet once in 300,000 runs."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") | 1


class Flags:
    """A byte for each number."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __getitem__(self, number: int) -> int:
        """What was set; 0 for nothing."""
        return self._bytes[number] if number < len(self._bytes) else 0

    def __setitem__(self, number: int, value: int) -> None:
        """Set it, 255 at most."""
        if number >= len(self._bytes):
            self._bytes.extend(bytes(number + GROWTH - len(self._bytes)))
        self._bytes[number] = min(value, 255)

    def __len__(self) -> int:
        """A number above all that were set."""
        return len(self._bytes)

    def where(self, wanted: int) -> list[int]:
        """The numbers that have all of these bits."""
        return [number for number, value in enumerate(self._bytes) if value & wanted == wanted]


class Digests:
    """Eight bytes for each number."""

    def __init__(self) -> None:
        self._digests = array("Q")

    def __getitem__(self, number: int) -> int:
        """What was set; 0 for nothing."""
        return self._digests[number] if number < len(self._digests) else 0

    def __setitem__(self, number: int, value: int) -> None:
        """Set it."""
        if number >= len(self._digests):
            self._digests.frombytes(bytes(8 * (number + GROWTH - len(self._digests))))
        self._digests[number] = value
