"""The least that consumes typed events on an event loop: what our own loop would be if it promised nothing.

Replies straight from the transport, standing coroutines that take entries from one queue, acknowledgements many at a
time on a second connection, the next read in flight while the last one is handled, publishes of one turn of the event
loop in one write. No leases, no retries, no reconnecting, no contexts, no metrics, no shutdown.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import hiredis

from benchmarks.peer import GROUP, Peer, Tally, Task, handler

pack: Any = hiredis.pack_command  # its stub takes tuples of one word

COUNT: Final = 500
"""Entries asked for at once."""

AHEAD: Final = 500
"""Entries that may wait for a coroutine when the next read is sent."""

CONCURRENCY: Final = 100
"""Standing coroutines, where the case does not say."""


class Pipe(asyncio.Protocol):
    """Commands in, replies out, in order."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=self)
        self._waiting: deque[asyncio.Future[Any] | None] = deque()
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not self:
            waiter = self._waiting.popleft()
            if isinstance(reply, Exception):
                raise reply
            if waiter is not None:
                waiter.set_result(reply)

    def send(self, packed: bytes) -> None:
        """Send a command whose reply nobody waits for."""
        self._waiting.append(None)
        self._transport.write(packed)

    def ask(self, packed: bytes) -> asyncio.Future[Any]:
        """Send a command; the reply comes later."""
        reply = self._loop.create_future()
        self._waiting.append(reply)
        self._transport.write(packed)
        return reply

    def write(self, packed: list[bytes], replies: list[asyncio.Future[Any]]) -> None:
        """Send many commands in one write."""
        self._waiting.extend(replies)
        self._transport.write(b"".join(packed))


async def connected(port: int) -> Pipe:
    """A new connection."""
    _, pipe = await asyncio.get_running_loop().create_connection(Pipe, "127.0.0.1", port)
    return pipe


class Library(Peer):
    """The bare loop."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        stream, name = task.stream.encode(), task.model.__name__.encode()
        self._before = pack(("XADD", stream, "*", "type", name, "data", "")).removesuffix(b"0\r\n\r\n")
        self._packed: list[bytes] = []
        self._replies: list[asyncio.Future[Any]] = []

    async def open(self) -> None:
        self._pipe = await connected(self.task.port)
        self._loop = asyncio.get_running_loop()

    def publish(self, event: Any) -> asyncio.Future[Any]:  # type: ignore[override] # a future can be awaited, and costs no coroutine
        data = event.__pydantic_serializer__.to_json(event)
        if not self._packed:
            self._loop.call_soon(self._flush)
        self._packed.append(b"%b%d\r\n%b\r\n" % (self._before, len(data), data))
        reply = self._loop.create_future()
        self._replies.append(reply)
        return reply

    def _flush(self) -> None:
        self._pipe.write(self._packed, self._replies)
        self._packed.clear()
        self._replies.clear()

    async def publish_many(self, events: list[Any]) -> None:
        await [self.publish(event) for event in events][-1]

    async def consume(self, tally: Tally) -> None:
        work = Work(self.task, tally, await connected(self.task.port))
        await work.run(await connected(self.task.port))


class Work:
    """A queue of entries, the coroutines that stand at it, and what they finished.

    Args:
        task: What to consume.
        tally: What handlers tell.
        acks: The connection for acknowledgements: a command behind a blocked read would wait for it.
    """

    def __init__(self, task: Task, tally: Tally, acks: Pipe) -> None:
        self._task = task
        self._handle = handler(task, tally)
        self._validate = task.model.__pydantic_validator__.validate_json
        self._acks = acks
        self._loop = asyncio.get_running_loop()
        self._queue: deque[list[Any]] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._done: list[bytes] = []
        self._short: asyncio.Future[None] | None = None

    async def run(self, reads: Pipe) -> None:
        """Read for ever; the coroutines do the rest."""
        standing = [asyncio.ensure_future(self._stand()) for _ in range(self._task.concurrency or CONCURRENCY)]
        read = pack(("XREADGROUP", "GROUP", GROUP, self._task.consumer, "COUNT", COUNT, "BLOCK", 1000, "STREAMS", self._task.stream, ">"))
        coming = reads.ask(read)
        while standing:
            found = await coming
            coming = reads.ask(read)  # in flight while these are handled
            for _, entries in found or ():
                self._queue.extend(entries)
            self._wake()
            if len(self._queue) > AHEAD:
                self._short = self._loop.create_future()
                await self._short

    def _wake(self) -> None:
        if self._queue and self._idle:
            self._idle.pop().set_result(None)

    async def _stand(self) -> None:
        queue, done, handle, validate = self._queue, self._done, self._handle, self._validate
        while True:
            if not queue:
                rest = self._loop.create_future()
                self._idle.append(rest)
                await rest
                self._wake()  # one wakes the next, so that handlers which never suspend wake one only
            while queue:
                entry_id, fields = queue.popleft()
                await handle(validate(fields[3]))
                if not done:
                    self._loop.call_later(0.001, self._acknowledge)
                done.append(entry_id)
                if len(done) >= COUNT:
                    self._acknowledge()
                if self._short is not None and len(queue) <= AHEAD:
                    self._short.set_result(None)
                    self._short = None

    def _acknowledge(self) -> None:
        if self._done:
            self._acks.send(pack(("XACK", self._task.stream, GROUP, *self._done)))
            self._done.clear()
