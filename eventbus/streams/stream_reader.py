"""Reads streams without a group: pages of bounded size, and a wait for more; on a connection of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from eventbus.errors import BackendRefused
from eventbus.streams.entry_ids import written_id
from eventbus.streams.ranges import read_facts, read_pages
from eventbus.streams.reader import BLOCK, READ_MARGIN
from eventbus.streams.wire import Wire, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.streams.bookmarks import StreamFacts
    from eventbus.streams.connections import Connections
    from eventbus.streams.entry_ids import EntryId
    from eventbus.streams.ranges import Page, Range


class StreamReader:
    """Reads some streams of one hash slot without a group.

    Whoever is cancelled while it waits may wait again: the wait that Redis was asked for goes on.

    Args:
        connections: Where the connection comes from.
        streams: The streams.

    Raises:
        BackendUnavailable: In any call: no answer. Reading on is safe.
        BackendRefused: In any call: Redis answered with an error.
    """

    def __init__(self, connections: Connections, streams: Sequence[str]) -> None:
        self._wire = Wire(connections, f"reading {streams[0]!r}", silence=BLOCK + READ_MARGIN)
        self._streams = streams
        self._bell: asyncio.Future[None] | None = None
        self._rung: list[Any] = []

    async def check(self) -> None:
        """Refuse a key that is no stream, by name; one that is not there yet is none.

        Raises:
            BackendRefused: With code WRONGTYPE.
        """
        for key in self._streams:
            kind = (await self._wire.one("TYPE", key)).decode()
            if kind not in ("none", "stream"):
                raise BackendRefused(f"key {key!r} holds a Redis {kind}, not a stream: it cannot be read as a topic", code="WRONGTYPE")

    async def facts(self) -> list[StreamFacts]:
        """Ask every stream about itself. One script."""
        return await read_facts(self._wire, self._streams)

    async def pages(self, ranges: Sequence[Range], *, newest: bool = False) -> list[Page]:
        """Read the beginning of a range of each stream, with `newest` its end, backwards. One script."""
        return await read_pages(self._wire, self._streams, ranges, newest=newest)

    async def wait(self, after: Sequence[EntryId]) -> None:
        """Wait until one of the streams has an entry after an id, `BLOCK` seconds at most. One XREAD."""
        if self._bell is None:
            await self._wire.connect()
            self._rung = []
            words: list[str | int] = ["XREAD", "COUNT", 1, "BLOCK", int(BLOCK * 1000), "STREAMS", *self._streams, *map(written_id, after)]
            self._bell = self._wire.send([pack(*words)], self._rung.extend)
            self._bell.add_done_callback(_retrieve)
        await asyncio.shield(self._bell)
        self._bell = None
        if isinstance(self._rung[0], BackendRefused):
            raise self._rung[0]

    def abort(self) -> None:
        """Close the connection now; whoever waits for an answer hears that none will come. A later call opens a new one."""
        self._wire.abort()
        self._bell = None


def _retrieve(bell: asyncio.Future[None]) -> None:
    """Take note of how it ended, where whoever waited was cancelled and never came back."""
    _ = bell.cancelled() or bell.exception()
