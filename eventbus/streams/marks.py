"""Typed commands about the events that a group has finished, or has in progress."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from eventbus.streams.scripts import run_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventbus.streams.group import Group
    from eventbus.streams.scripts import Caller

LEFTOVERS: Final = 1000
"""Marks in progress from which on those that hold nothing any more are looked for: below, they cost some 100 KB at most."""


class Start(Enum):
    """Whether a delivery may start, given what the group knows of its event."""

    FREE = 1
    """It may, and is marked as in progress."""
    FINISHED = 2
    """The group has finished the event: the entry was acknowledged."""
    TWIN = 3
    """Another delivery of the event is in progress."""
    REGROUPED = 4
    """The group is another one now, and does not know that the event was finished."""


class MarkCommands:
    """Scripts of a group that remembers what it has finished. Each is atomic and safe to send again.

    Args:
        wire: The command connection, shared with other groups.
        group: The group.
        consumer: This process's consumer name.
        beside: The group at the topic's other priorities, whose entries may be deliveries of the same events. Default none.

    Raises:
        BackendUnavailable: In any call: no answer, it may or may not have been executed.
        BackendRefused: In any call: Redis answered with an error, at maxmemory for one. Nothing was written.
    """

    def __init__(self, wire: Caller, group: Group, consumer: str, *, beside: Iterable[Group] = ()) -> None:
        self._wire = wire
        self.group = group
        self.consumer = consumer
        self._fence = group.hash  # where the token stands that everything is settled under
        self._streams = [stream for each in (group, *beside) for stream in (each.stream, each.private)]

    async def start(self, entries: Iterable[tuple[bytes, str]], *, private: bool, token: str, lease: float) -> list[Start]:
        """Ask whether entries of this consumer, each with its event's id, may start; mark those that may.

        Args:
            entries: Entry ids and event ids.
            private: They stand in the private stream; else in the topic.
            token: The group's token that was known when they were read.
            lease: This member's lease in seconds; the group's counts where it is longer.
        """
        group = self.group
        names = (group.source(private=private), self._fence, group.done, group.doing, *self._streams, *self._attempts(private=private))
        terms = ("1" if private else "0", int(lease * 1000), LEFTOVERS, len(self._streams))
        arguments = (group.name, self.consumer, token, *terms, *_flat(entries))
        return [Start(code) for code in await run_script(self._wire, "start", names, arguments)]

    async def finish(self, entries: Iterable[tuple[bytes, str]], *, private: bool, token: str, window: float) -> int | None:
        """Acknowledge handled entries, whoever owns them by now, and remember their events for `window` seconds.

        Returns:
            How many rows were still pending, or None when the group is another one now: the events are remembered.
        """
        group = self.group
        names = (group.source(private=private), self._fence, group.done, group.doing, *self._attempts(private=private))
        arguments = (group.name, token, "1" if private else "0", max(1, int(window * 1000)), *_flat(entries))
        count = await run_script(self._wire, "finish", names, arguments)
        return None if count < 0 else int(count)

    def _attempts(self, *, private: bool) -> tuple[str, ...]:
        """Where the attempts of a stream's entries are kept, which go with their settlement; most groups keep none."""
        del private
        return ()


def _flat(entries: Iterable[tuple[bytes, str]]) -> Sequence[bytes | str]:
    return [part for entry in entries for part in entry]
