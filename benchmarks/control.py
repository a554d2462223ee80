"""A connection to the server that measures and fills it: blocking, and the standard library's alone."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

BLOCK: Final = 1_000
"""Commands in one write, while filling."""


class Refused(Exception):
    """Redis answered with an error."""


class Control:
    """Commands to the server, and what is asked of it around a measurement.

    Args:
        port: Of the server, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._socket.makefile("rb")

    def close(self) -> None:
        """Close the connection."""
        self._replies.close()
        self._socket.close()

    def do(self, *words: str | bytes | int) -> Any:
        """Any command.

        Raises:
            Refused: Redis answered with an error.
        """
        self._socket.sendall(packed(*words))
        return self._reply()

    def write(self, commands: Iterable[bytes]) -> None:
        """Send packed commands without asking for their replies: look afterwards what they did."""
        self._socket.sendall(packed("CLIENT", "REPLY", "OFF"))
        block: list[bytes] = []
        for command in commands:
            block.append(command)
            if len(block) == BLOCK:
                self._socket.sendall(b"".join(block))
                block.clear()
        self._socket.sendall(b"".join([*block, packed("CLIENT", "REPLY", "ON")]))
        self._reply()

    def _reply(self) -> Any:
        line = self._replies.readline()
        if not line:
            raise ConnectionError("the server closed the connection: its log says why")
        kind, rest = line[:1], line[1:-2]
        match kind:
            case b"-":
                raise Refused(rest.decode())
            case b"+":
                return rest
            case b":":
                return int(rest)
            case b"$":
                return None if rest == b"-1" else self._replies.read(int(rest) + 2)[:-2]
            case b"*":
                return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
            case _:
                raise ValueError(f"{line!r} is no reply of RESP2")

    # -- what is asked around a measurement

    def cpu(self) -> float:
        """Seconds of CPU, user and system, that the server has used."""
        rows = dict(row.split(":", 1) for row in self.do("INFO", "cpu").decode().splitlines() if ":" in row)
        return float(rows["used_cpu_user"]) + float(rows["used_cpu_sys"])

    def pending(self, stream: str, group: str) -> int:
        """Entries that a group was given and has not acknowledged."""
        return int(self.do("XPENDING", stream, group)[0])

    def all_read(self, stream: str, group: str) -> bool:
        """Whether a group was given every entry of a stream."""
        groups = [pairs(row) for row in self.do("XINFO", "GROUPS", stream)]
        read = next((row[b"last-delivered-id"] for row in groups if row[b"name"] == group.encode()), None)
        return bool(read == pairs(self.do("XINFO", "STREAM", stream))[b"last-generated-id"])


def packed(*words: str | bytes | int) -> bytes:
    """A command as Redis reads it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)])


def pairs(flat: list[Any]) -> dict[Any, Any]:
    """The rows of an XINFO."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
