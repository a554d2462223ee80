"""The commands that write events: what does not differ from event to event is packed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventbus.errors import EncodeError
from eventbus.events import NORMAL, check_size, encode, entry_parts, info
from eventbus.streams import MOST_VALUES, pack, store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eventbus.delivery import Placement
    from eventbus.events import Event

WORDS: Final = 15
"""Of a command without further attributes: XADD, the key and `*`, and six names with their values."""


class Writing:
    """How events of one class are written to one topic.

    Args:
        event_class: The events' class.
        topic: The topic's name.
        stream: The key they are written to: the topic's own stream, or that of a priority.
        home: The topic's own. Default: the same.
        source: Who publishes.
        max_bytes: Largest entry.
    """

    def __init__(self, event_class: type[Event], topic: str, stream: str, *, source: str, max_bytes: int, home: str = "") -> None:
        self.topic = topic
        self.home = home or stream
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

    def stored(self, event: Event, headers: Mapping[str, str] | None, placement: Placement, *, known: bool) -> tuple[bytes, str]:
        """As `command`, where more than an XADD is asked for: the script that stores it, and the event's id.

        Args:
            event: The event.
            headers: Further attributes.
            placement: What is asked for.
            known: Whether the server knows the script; else it is sent along.

        Raises:
            EncodeError: As `encode`, or it has more attributes than a script can write.
        """
        fields = encode(event, source=self._source, headers=headers, max_bytes=self._max_bytes)
        if len(fields) > MOST_VALUES:
            raise EncodeError(
                f"{len(fields) // 2} attributes are more than a delay, an idempotency key or an entry id bears: leave out headers"
            )
        event_id = fields[3].decode()
        command = store(
            self.home,
            fields,
            event_id=event_id,
            priority=placement.priority or NORMAL,
            key=placement.key_of(event_id),
            window=placement.window,
            wait=placement.wait,
            moment=placement.moment,
            entry_id=placement.entry_id,
            known=known,
        )
        return command, event_id


def _size(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _words(*words: str) -> bytes:
    """A part of a command."""
    return pack(*words).partition(b"\r\n")[2]
