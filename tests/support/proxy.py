"""A proxy in front of Redis that loses replies after the server has executed the command."""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hiredis

from eventbus.streams import Address

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator


@dataclass(eq=False)
class _Link:
    """One client's connection through the proxy."""

    writer: asyncio.StreamWriter
    upstream: asyncio.StreamWriter
    asked: hiredis.Reader = field(default_factory=hiredis.Reader)
    answered: hiredis.Reader = field(default_factory=hiredis.Reader)
    requests: deque[bytes] = field(default_factory=deque)
    unfinished: bytes = b""

    def ask(self, data: bytes) -> None:
        """Note the requests in what a client sent: they are answered in this order."""
        self.requests.extend(hiredis.pack_command(tuple(request)) for request in _parts(self.asked, data))

    def answer(self, data: bytes) -> tuple[bytes, bytes]:
        """The requests whose replies end in what the server sent, and these replies as far as they are known."""
        replies, self.unfinished = self.unfinished + data, b""
        requests = b"".join(self.requests.popleft() for _ in _parts(self.answered, data))
        if not requests:
            self.unfinished = replies
        return requests, replies

    def cut(self) -> None:
        self.writer.close()
        self.upstream.close()


@dataclass
class Proxy:
    """Forwards bytes; on demand loses a reply and cuts the connection it would have come on.

    Attributes:
        url: Where clients connect.
        lost: Set when a reply was lost.
    """

    address: Address
    url: str = ""
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    refusing: bool = False
    _lose: tuple[bytes, bytes] | None = None
    _links: set[_Link] = field(default_factory=set)

    def lose_reply(self, *, to: bytes, containing: bytes = b"") -> None:
        """Lose the next reply that contains some bytes and answers a request that contains others."""
        self.lost.clear()
        self._lose = (to, containing)

    def cut(self) -> None:
        """Cut every connection."""
        for link in list(self._links):
            link.cut()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.close()
            return
        above, below = await self._connect()
        link = _Link(writer, below)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requests(reader, link))
                tasks.create_task(self._replies(above, link))
        finally:
            link.cut()
            self._links.discard(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.address.scheme == "unix":
            return await asyncio.open_unix_connection(self.address.path)
        return await asyncio.open_connection(self.address.host, self.address.port)

    async def _requests(self, reader: asyncio.StreamReader, link: _Link) -> None:
        while data := await _read(reader):
            link.ask(data)
            link.upstream.write(data)
        link.cut()

    async def _replies(self, reader: asyncio.StreamReader, link: _Link) -> None:
        while data := await _read(reader):
            requests, replies = link.answer(data)
            if self._lose and self._lose[0] in requests and self._lose[1] in replies:
                self._lose = None
                self.lost.set()
                break
            link.writer.write(data)
        link.cut()


def _parts(reader: hiredis.Reader, data: bytes) -> Iterator[Any]:
    reader.feed(data)
    while (part := reader.gets()) is not False:
        yield part


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1 << 20)
    except OSError:
        return b""


@asynccontextmanager
async def tls_proxy_to(url: str, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Run a proxy that speaks TLS in front of the server at a url; yields its port on 127.0.0.1."""
    proxy = Proxy(Address.parse(url))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await _ended(proxy)


async def _ended(proxy: Proxy) -> None:
    proxy.cut()
    while proxy._links:
        await asyncio.sleep(0)


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """Run a proxy in front of the server at a url."""
    proxy = Proxy(Address.parse(url))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "proxy.sock"
        server = await asyncio.start_unix_server(proxy.serve, str(path))
        suffix = f"?db={proxy.address.db}" if proxy.address.db else ""
        proxy.url = f"unix://{path}{suffix}"
        try:
            yield proxy
        finally:
            server.close()
            await _ended(proxy)
