"""The readings of one open bus: makes them, and ends those that are left when it closes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from eventbus.events import Foreign, Topic
from eventbus.reading.history import History
from eventbus.reading.selection import Selection
from eventbus.reading.tail import Tail

if TYPE_CHECKING:
    from eventbus.delivery import Topics
    from eventbus.reading.reading import Reading
    from eventbus.streams import Connections

_R = TypeVar("_R", bound="Reading[Any]")


class Readings:
    """Opens tails and histories. Whoever reads holds them; here they are only known as long as somebody does.

    Args:
        connections: Where their connections come from.
        topics: Those the bus knows, with their priorities.
        prefix: The bus's.
    """

    def __init__(self, connections: Connections, topics: Topics, prefix: str) -> None:
        self._connections = connections
        self._topics = topics
        self._prefix = prefix
        self._open: WeakSet[Reading[Any]] = WeakSet()

    def tail(self, spec: Any, *, start: object, topic: str | Topic | None, foreign: Foreign | None) -> Tail[Any]:
        """Make a tail; see `EventBus.tail`."""
        return self._kept(Tail(start=start, **self._about(spec, topic, foreign)))

    def history(
        self, spec: Any, *, from_: object, to: object, reverse: bool, topic: str | Topic | None, foreign: Foreign | None
    ) -> History[Any]:
        """Make a history; see `EventBus.history`."""
        return self._kept(History(from_=from_, to=to, reverse=reverse, **self._about(spec, topic, foreign)))

    def close(self) -> None:
        """End what is still read."""
        for reading in list(self._open):
            reading.close_with_bus()

    def _about(self, spec: Any, place: str | Topic | None, foreign: Foreign | None) -> dict[str, Any]:
        selection = Selection(spec, place, foreign)
        topic = self._declared(selection.topic)
        return {"connections": self._connections, "stream": self._prefix + topic.name, "topic": topic, "selection": selection}

    def _declared(self, topic: Topic) -> Topic:
        """The topic as the bus knows it, where only its name was given: its priorities have streams of their own."""
        known = {each.name: each for each in self._topics}.get(topic.name)
        return known if known is not None and topic == Topic(topic.name) else topic

    def _kept(self, reading: _R) -> _R:
        self._open.add(reading)
        return reading
