"""The commands that write events: what does not differ from event to event is packed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventbus.events import encode
from eventbus.streams import pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventbus.events import Event

ID: Final = 3
TIME: Final = 9
DATA: Final = 11  # where they stand in an entry whose publisher gave a time


class Writing:
    """How events of one class are written to one topic.

    Args:
        topic: The topic's name.
        stream: Its key.
        source: Who publishes.
        max_bytes: Largest entry.
    """

    def __init__(self, topic: str, stream: str, *, source: str, max_bytes: int) -> None:
        self.topic = topic
        self._stream = stream
        self._source = source
        self._max_bytes = max_bytes
        self._constant: tuple[bytes, bytes, bytes] | None = None

    def command(self, event: Event, headers: Mapping[str, str] | None) -> bytes:
        """The XADD of one event.

        Raises:
            EncodeError: As `encode`.
        """
        fields = encode(event, source=self._source, headers=headers, max_bytes=self._max_bytes)
        if len(fields) <= DATA or fields[TIME - 1] != b"time":
            return pack(b"XADD", self._stream, b"*", *fields)
        if self._constant is None:
            head: tuple[str | bytes, ...] = (b"XADD", self._stream, b"*", *fields[:ID])
            self._constant = (_words(*head), _words(*fields[ID + 1 : TIME]), _words(*fields[TIME + 1 : DATA]))
        before, between, after = self._constant
        made, time, data, rest = fields[ID], fields[TIME], fields[DATA], fields[DATA + 1 :]
        return b"*%d\r\n%b$%d\r\n%b\r\n%b$%d\r\n%b\r\n%b$%d\r\n%b\r\n%b" % (
            3 + len(fields), before, len(made), made, between, len(time), time, after, len(data), data, _words(*rest) if rest else b"",
        )  # fmt: skip


def _words(*words: str | bytes) -> bytes:
    """A part of a command."""
    return pack(*words).partition(b"\r\n")[2]
