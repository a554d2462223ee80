"""One handing-over of an entry to this process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Delivery:
    """An entry as it was read, with what is needed to settle it. Compared by identity.

    Attributes:
        entry_id: Its id in the stream it was read from.
        fields: Its flat fields and values.
        private: It stands in the group's private stream, not in the topic's.
        token: The group's token that was known when its read was sent.
    """

    entry_id: bytes
    fields: list[bytes]
    private: bool
    token: str
