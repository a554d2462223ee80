"""A blocking socket and the C parser, without an event loop: as fast as one Python process can talk to Redis.

Consuming decodes each event and calls the handler; one write acknowledges 500 events and asks for the next 500.
"""

from __future__ import annotations

import socket
from typing import Any, Final

import hiredis

from benchmarks.peer import GROUP, Peer, Tally, Task

pack: Any = hiredis.pack_command  # its stub takes tuples of one word

COUNT: Final = 500
"""Entries asked for at once."""


class Connection:
    """Commands in, replies out."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader(notEnoughData=self)
        self.send = self._socket.sendall

    def reply(self) -> Any:
        """The next reply."""
        while (reply := self._reader.gets()) is self:
            self._reader.feed(self._socket.recv(262_144))
        if isinstance(reply, Exception):
            raise reply
        return reply


class Library(Peer):
    """No library at all."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.connection = Connection(task.port)
        stream, name = task.stream.encode(), task.model.__name__.encode()
        self.before = pack(("XADD", stream, "*", "type", name, "data", "")).removesuffix(b"0\r\n\r\n")

    async def publish(self, event: Any) -> None:
        self.connection.send(self._packed(event))
        self.connection.reply()

    async def publish_many(self, events: list[Any]) -> None:
        self.connection.send(b"".join(map(self._packed, events)))
        for _ in events:
            self.connection.reply()

    def _packed(self, event: Any) -> bytes:
        data = event.__pydantic_serializer__.to_json(event)
        return b"%b%d\r\n%b\r\n" % (self.before, len(data), data)

    async def consume(self, tally: Tally) -> None:
        if self.task.handler != "plain":
            raise ValueError("without an event loop there is nothing to await: only the handler that does not suspend can be called")
        validate, add = self.task.model.__pydantic_validator__.validate_json, tally.add
        send, reply = self.connection.send, self.connection.reply
        read = self._read()
        send(read)
        while tally.handled < self.task.count:
            found = reply() or ()
            for _, entries in found:
                for _, fields in entries:
                    add(validate(fields[3]).number)
            acks = [pack_ack(stream, entries) for stream, entries in found]
            send(b"".join([*acks, read]))
            for _ in acks:
                reply()

    def _read(self) -> Any:
        group = ("GROUP", GROUP, self.task.consumer, "COUNT", COUNT, "BLOCK", 1000)
        streams = self.task.streams
        return pack(("XREADGROUP", *group, "STREAMS", *streams, *[">"] * len(streams)))


def pack_ack(stream: bytes, entries: list[Any]) -> Any:
    """One XACK of all entries."""
    return pack(("XACK", stream, GROUP, *[entry_id for entry_id, _ in entries]))
