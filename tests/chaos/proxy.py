"""The way of one process to Redis: a proxy that cuts, delays, swallows, splits, and loses replies after their execution."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eventbus.streams import Address

SPLIT_AT_MOST: Final = 2_000
"""Bytes of a reply that are sent one by one; the rest follows at once, or a large reply would take the whole fault."""

IDLE_REPLY: Final = 60
"""Bytes below which the reply to a read holds no entry, so that losing it loses nothing."""


@dataclass(eq=False)
class _Pair:
    """A client's connection and the one made for it to Redis."""

    link: Link
    client: asyncio.Transport
    server: asyncio.Transport | None = None
    early: list[bytes] = field(default_factory=list)
    asked: bytes = b""
    waits: bool = False
    free_at: float = 0.0
    late: deque[bytes] = field(default_factory=deque)

    def abort(self) -> None:
        for transport in (self.client, self.server):
            if transport is not None:
                transport.abort()
        self.link.pairs.discard(self)

    def request(self, data: bytes) -> None:
        self.asked, self.waits = data, True
        if not self.link.asks(data):
            return
        if self.server is None:
            self.early.append(data)
        else:
            self.server.write(data)

    def reply(self, data: bytes) -> None:
        self.waits = False
        if self.link.answers(self, data):
            self._send_in_time(data)

    def _send_in_time(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        due = max(self.free_at, loop.time() + self.link.late_by)
        if due > loop.time():
            self.free_at = due  # what comes after a delay must not overtake it
            self.late.append(data)
            loop.call_at(due, self._send_late)
        else:
            self._send(data)

    def _send_late(self) -> None:
        self._send(self.late.popleft())  # timers of one moment may ring in any order

    def _send(self, data: bytes) -> None:
        if self.client.is_closing():
            return
        single = SPLIT_AT_MOST if self.link.splits else 0
        for at in range(min(single, len(data))):
            self.client.write(data[at : at + 1])
        self.client.write(data[single:])


class _Below(asyncio.Protocol):
    """The side of the client."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._pair = _Pair(self._link, transport)
        self._link.pairs.add(self._pair)
        self._link.connect(self._pair)

    def data_received(self, data: bytes) -> None:
        self._pair.request(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._pair.abort()


class _Above(asyncio.Protocol):
    """The side of Redis."""

    def __init__(self, pair: _Pair) -> None:
        self._pair = pair

    def data_received(self, data: bytes) -> None:
        self._pair.reply(data)

    def connection_lost(self, _: Exception | None) -> None:
        if not self._pair.link.swallows:
            self._pair.abort()


class Link:
    """The connections of one place, and what is done to them.

    Args:
        path: The unix socket on which its clients connect.
        server: Where Redis is.

    Attributes:
        pairs: Its connections.
        late_by: Seconds that replies are held back.
        splits: Replies are sent byte by byte.
        swallows: Nothing comes through, and nobody is told.
        hits: Replies that the present delay or split met.
    """

    def __init__(self, path: Path, server: Address) -> None:
        self.url = f"unix://{path}"
        self.pairs: set[_Pair] = set()
        self.late_by = 0.0
        self.splits = False
        self.swallows = False
        self.hits = 0
        self._path = path
        self._to = server
        self._trap: tuple[str, tuple[bytes, ...], Callable[[], None]] | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        self._listening = await asyncio.get_running_loop().create_unix_server(lambda: _Below(self), str(self._path))

    async def close(self) -> None:
        """End every connection."""
        if self._listening is not None:
            self._listening.close()
        self.cut()
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)

    def connect(self, pair: _Pair) -> None:
        """Make the connection to Redis for a new one of a client."""
        task = asyncio.get_running_loop().create_task(self._connect(pair))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, pair: _Pair) -> None:
        loop, to = asyncio.get_running_loop(), self._to
        try:
            if to.scheme == "unix":
                transport, _ = await loop.create_unix_connection(lambda: _Above(pair), to.path)
            else:
                transport, _ = await loop.create_connection(lambda: _Above(pair), to.host, to.port)
        except OSError:
            pair.abort()
            return
        pair.server = transport
        if pair.client.is_closing():
            pair.abort()
            return
        for data in pair.early:
            transport.write(data)
        pair.early.clear()

    # -- what is done to it

    def cut(self) -> int:
        """Cut every connection; returns on how many of them a reply was awaited."""
        waited = sum(pair.waits for pair in self.pairs)
        for pair in list(self.pairs):
            pair.abort()
        return waited

    def trap(self, kind: str, commands: tuple[bytes, ...], done: Callable[[], None]) -> None:
        """Wait for one of these commands; then cut every connection instead of sending it ("cut"), or lose its reply ("drop")."""
        self._trap = kind, commands, done

    def disarm(self) -> bool:
        """Wait no longer; whether the trap was still open."""
        still, self._trap = self._trap is not None, None
        return still

    def asks(self, data: bytes) -> bool:
        """Whether a request goes through."""
        if self.swallows:
            self.hits += 1
            return False
        if self._trap is not None and self._trap[0] == "cut" and any(command in data for command in self._trap[1]):
            self._spring()
            return False
        return True

    def answers(self, pair: _Pair, data: bytes) -> bool:
        """Whether a reply goes through."""
        if self.swallows:
            self.hits += 1
            return False
        if self._trap is not None and self._trap[0] == "drop" and self._matters(pair, data):
            self._spring()
            return False
        self.hits += self.splits or self.late_by > 0
        return True

    def _matters(self, pair: _Pair, data: bytes) -> bool:
        assert self._trap is not None
        if not any(command in pair.asked for command in self._trap[1]):
            return False
        return b"XREADGROUP" not in pair.asked or len(data) > IDLE_REPLY

    def _spring(self) -> None:
        assert self._trap is not None
        _, _, done = self._trap
        self._trap = None
        done()
        self.cut()
