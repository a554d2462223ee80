"""The commands that write events: what does not differ from event to event is packed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventbus.events import check_size, encode, entry_parts, info
from eventbus.streams import pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eventbus.events import Event

WORDS: Final = 15
"""Of a command without further attributes: XADD, the key and `*`, and six names with their values."""


class Writing:
    """How events of one class are written to one topic.

    Args:
        event_class: The events' class.
        topic: The topic's name.
        stream: Its key.
        source: Who publishes.
        max_bytes: Largest entry.
    """

    def __init__(self, event_class: type[Event], topic: str, stream: str, *, source: str, max_bytes: int) -> None:
        self.topic = topic
        self._stream = stream
        self._source = source
        self._max_bytes = max_bytes
        kind = info(event_class).type
        self._before_id = _words("XADD", stream, "*", "specversion", "1.0", "id")
        self._before_time = _words("type", kind, "source", source, "time")
        self._before_data = _words("data")
        names = ("specversion", "1.0", "id", "type", kind, "source", source, "time", "data")
        self._constant_bytes = _size(names)

    def command(self, event: Event, headers: Mapping[str, str] | None) -> tuple[bytes, str]:
        """The XADD of one event, and the event's id.

        Raises:
            EncodeError: As `encode`.
        """
        identity, data, rest = entry_parts(event, headers)
        if not identity.time:  # it came from a publisher that gave none
            fields = encode(event, source=self._source, headers=headers, max_bytes=self._max_bytes)
            return pack("XADD", self._stream, "*", *fields), identity.id
        made, time = identity.id.encode(), identity.time.encode()
        size = self._constant_bytes + len(made) + len(time) + len(data) + (_size(rest) if rest else 0)
        check_size(event, size, self._max_bytes)
        command = b"*%d\r\n%b$%d\r\n%b\r\n%b$%d\r\n%b\r\n%b$%d\r\n%b\r\n%b" % (
            WORDS + len(rest), self._before_id, len(made), made, self._before_time, len(time), time,
            self._before_data, len(data), data, _words(*rest) if rest else b"",
        )  # fmt: skip
        return command, identity.id


def _size(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _words(*words: str) -> bytes:
    """A part of a command."""
    return pack(*words).partition(b"\r\n")[2]
