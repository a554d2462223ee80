"""What an idempotent subscription remembers of its events, as its rooms ask for it."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from eventbus.errors import DecodeError
from eventbus.events import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventbus.delivery import Delivery
    from eventbus.streams import MarkCommands, Start

LONGEST: Final = 256
"""Characters of an event's id up to which it is kept as it is; of longer ones, which others may write, a hash."""

_UUID: Final = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_BEGINNING: Final = [b"specversion", b"id"]


class Marks:
    """The marks of one group: which events it has in progress, and which it has finished.

    Args:
        commands: Those of the group.
        topic: The topic's name.
        window: Seconds for which what this member finishes is remembered.
        lease: This member's lease in seconds.
        group_of: As `Membership.group_of`; default: what entries are held under is the group's token.
    """

    def __init__(self, commands: MarkCommands, *, topic: str, window: float, lease: float, group_of: Callable[[str], str] = str) -> None:
        self._commands = commands
        self._topic = topic
        self._window = window
        self._lease = lease
        self._group_of = group_of

    @property
    def key(self) -> str:
        """Where finished events are remembered."""
        return self._commands.group.done

    def name(self, delivery: Delivery) -> str:
        """By what its event is remembered; see `name_of`."""
        return name_of(delivery, self._topic, self._group_of)

    async def start(self, batch: Sequence[Delivery], *, private: bool, token: str) -> list[Start]:
        """Ask whether deliveries may start, and mark those that may; as `MarkCommands.start`."""
        return await self._commands.start(self._named(batch), private=private, token=token, lease=self._lease)

    async def finish(self, batch: Sequence[Delivery], *, private: bool, token: str) -> int | None:
        """Acknowledge deliveries and remember their events; as `MarkCommands.finish`."""
        return await self._commands.finish(self._named(batch), private=private, token=token, window=self._window)

    def _named(self, batch: Sequence[Delivery]) -> list[tuple[bytes, str]]:
        return [(each.entry_id, self.name(each)) for each in batch]


def name_of(delivery: Delivery, topic: str, group_of: Callable[[str], str] = str) -> str:
    """By what an event is remembered: its id, where that is a UUID, as ours are.

    Another id is one only together with its source (CloudEvents 1.0, "id"): two producers may count from 1. An entry
    without envelope has none: then its place is it, in the group as it is now, since after a flush ids of entries are
    used again, by other events. The group's owner is no part of it: the next one is to know what this one finished.
    """
    begins = delivery.fields[:4]
    if begins[::2] == _BEGINNING and _UUID.fullmatch(begins[-1]):  # nearly every entry: without parsing all of it
        return begins[-1].decode()
    try:
        envelope = Envelope.parse(delivery.fields)
    except DecodeError:  # it will not be run
        envelope = None
    if envelope is None:
        return f"{topic}/{delivery.origin}/{group_of(delivery.token)}"
    if _UUID.fullmatch(envelope.id.encode()):
        return envelope.id
    name = f"{envelope.source} {envelope.id}"
    return name if len(name) <= LONGEST else sha256(name.encode()).hexdigest()
