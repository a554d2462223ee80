"""Reads new entries of a group, on a connection of its own that may block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from eventbus.streams.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventbus.streams.connections import Connections
    from eventbus.streams.entries import RawEntry
    from eventbus.streams.group import Group

BLOCK: Final = 2.0
"""Seconds a read waits for entries. 6.2 lets a reader sleep on when its stream is deleted, so that this
is also how long a lost group may go unnoticed there; never above 5."""

READ_MARGIN: Final = 3.0
"""Seconds beyond `BLOCK` after which a silent connection is given up."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one stream that came in one reply."""

    private: bool
    entries: Sequence[RawEntry]


class GroupReader:
    """Reads new entries of a group on a connection of its own, which may block.

    Never cancel a task that awaits `read`: entries would be pending for this consumer, and nobody would
    have seen them. End a read with `GroupCommands.unblock(reader.client_id)`.

    Args:
        connections: Where the connection comes from.
        group: The group.
        consumer: This process's consumer name.
    """

    def __init__(self, connections: Connections, group: Group, consumer: str) -> None:
        self._wire = Wire(connections, f"reading {group.stream!r} as group {group.name!r}")
        self._group = group
        self._consumer = consumer
        self._private = group.private.encode()
        self.client_id = 0

    @property
    def received(self) -> int:
        """Bytes that came on the connection so far."""
        return self._wire.received

    async def connect(self) -> None:
        """Open a new connection; what the old one was still to bring is for `recover`."""
        await self._wire.close()
        self.client_id = int(await self._wire.one("CLIENT", "ID"))

    async def read(self, count: int, take: Callable[[Batch], None], *, few: int) -> int:
        """Read entries nobody of the group was given yet, from the topic and the private stream; waits `BLOCK` seconds for one.

        Args:
            count: Most entries per stream, at least 1 (Redis reads 0 as "no limit").
            take: Called once with each batch; those of few entries come first.
            few: A batch of at most so many entries is handed over in the moment it comes, a turn of the event loop before
                this returns, so that their handlers need not wait until the next read is written.

        Returns:
            How many entries came, of both streams.

        Raises:
            BackendUnavailable: No answer; entries may be pending for this consumer unseen.
            BackendRefused: Among others with code NOGROUP: the group is gone.
        """

        def arrived(replies: list[Any]) -> None:
            for batch in self._batches(*replies):
                if len(batch.entries) <= few:
                    take(batch)

        reply = await self._wire.one(
            *("XREADGROUP", "GROUP", self._group.name, self._consumer, "COUNT", count, "BLOCK", int(BLOCK * 1000)),
            *("STREAMS", self._group.stream, self._group.private, ">", ">"),
            timeout=BLOCK + READ_MARGIN,
            arrived=arrived,
        )
        batches = self._batches(reply)
        for batch in batches:
            if len(batch.entries) > few:
                take(batch)
        return sum(len(batch.entries) for batch in batches)

    def _batches(self, reply: Any) -> list[Batch]:
        """What is in a reply: nothing in a refusal, or where no entry came in time."""
        if not isinstance(reply, list):
            return []
        parts = cast("list[tuple[bytes, Sequence[Any]]]", reply)
        return [Batch(stream == self._private, entries) for stream, entries in parts]

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()
        self.client_id = 0
