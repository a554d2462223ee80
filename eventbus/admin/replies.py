"""Raw replies of Redis, read. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from eventbus.streams import id_before, parse_id, written_id

if TYPE_CHECKING:
    from collections.abc import Sequence


class Heartbeat(NamedTuple):
    """When a member last said that it lives (the server's milliseconds), and for how long that stands (seconds)."""

    time: float
    lease: float

    @classmethod
    def read(cls, raw: bytes) -> Heartbeat | None:
        """Read one as it stands in Redis; None where it is not one of ours."""
        try:
            found = json.loads(raw)
            return cls(float(found["time"]), float(found["lease"]))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None


def pairs(flat: Sequence[Any]) -> dict[str, Any]:
    """A flat list of names and values, as XINFO answers."""
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def text(value: bytes) -> str:
    """A name as text. Names of other programs need not be UTF-8: what is not stays visible."""
    return value.decode(errors="backslashreplace")


def before(entry_id: str) -> str:
    """The id just before one: who reads after it, reads from the given one on. Nothing is before 0-0."""
    return written_id(id_before(parse_id(entry_id)))


def seconds_since(entry_id: str, now_ms: int) -> float:
    """The age of an entry. A server whose clock went back writes ids of the future: not below 0."""
    return max(0, now_ms - parse_id(entry_id)[0]) / 1000


def glob_escaped(name: str) -> str:
    """A name as a MATCH pattern that means only itself."""
    return "".join(f"\\{character}" if character in "*?[]\\^-" else character for character in name)
