"""Reads a topic as it grows, without a group: nothing is marked, nobody is disturbed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventbus.streams import Wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.streams import Connections

BLOCK: Final = 2.0
"""Seconds a read waits for entries. 6.2 lets a reader sleep on when its stream is deleted."""

MARGIN: Final = 3.0
"""Seconds beyond `BLOCK` after which a silent connection is given up."""

COUNT: Final = 100
"""Most entries of one reply."""


@dataclass(frozen=True, slots=True)
class Followed:
    """An entry of the topic.

    Attributes:
        id: The entry id.
        fields: Names and values in turn, raw.
    """

    id: str
    fields: Sequence[bytes]


class Follower:
    """Read what comes after an entry id, and remember how far.

    A read that fails or is cancelled loses nothing: the next one goes on after the last entry that was
    returned, on a new connection.

    Args:
        connections: Where Redis is.
        stream: The stream.
        after: The id after which to begin. Make "from now" an id by `last_id` first: `$` would mean another
            moment at every read, and skip what came in between.

    Redis cost:
        An XREAD every two seconds while nothing comes.
    """

    def __init__(self, connections: Connections, stream: str, after: str) -> None:
        self._wire = Wire(connections, f"following {stream!r}")
        self._stream = stream
        self.after = after

    async def read(self, count: int = COUNT) -> list[Followed]:
        """Wait for entries, at most `BLOCK` seconds; an empty list when none came.

        Raises:
            BackendUnavailable: No answer; reading on is safe.
            BackendRefused: Among others with code WRONGTYPE: the key is no stream.
        """
        reply = await self._wire.one(
            *("XREAD", "COUNT", count, "BLOCK", int(BLOCK * 1000), "STREAMS", self._stream, self.after),
            timeout=BLOCK + MARGIN,
        )
        entries = [Followed(entry_id.decode(), fields) for _, rows in reply or () for entry_id, fields in rows]
        if entries:
            self.after = entries[-1].id
        return entries

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()
