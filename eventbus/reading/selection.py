"""Which events of a topic are read, and how its entries become events. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventbus.errors import ConfigurationError, DecodeError
from eventbus.events import Envelope, Event, Topic, adopt, decode, descendants, info, read_foreign, readers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.events import Foreign


@dataclass(frozen=True, slots=True)
class Found:
    """An event, with the envelope it came in; None for one of a foreign producer."""

    event: Any
    envelope: Envelope | None


class Selection:
    """The event classes that are asked for, by their type on the wire.

    Args:
        spec: An event class, which stands for its descendants too, or a union of such.
        topic: A topic in place of the classes' own.
        foreign: How entries without envelope are read, or None.

    Raises:
        ConfigurationError: There is no topic, or more than one; two classes are of one type.
    """

    def __init__(self, spec: Any, topic: str | Topic | None, foreign: Foreign | None) -> None:
        classes = descendants(spec)
        self.topic = Topic.of(topic) if topic is not None else _topic_of(spec, classes)
        self._foreign = readers_of(foreign)
        self._classes: dict[str, type[Event]] = {}
        for each in classes:
            if info(each).topic is not None or topic is not None:
                self._add(each)
        for reader in self._foreign:
            if reader.event_class not in self._classes.values():
                raise ConfigurationError(
                    f"foreign={reader}, but {reader.event_class.__name__} is not read: give a reader of a class that is"
                )

    def _add(self, event_class: type[Event]) -> None:
        known = self._classes.setdefault(info(event_class).type, event_class)
        if known is not event_class:
            raise ConfigurationError(
                f"{known.__qualname__} and {event_class.__qualname__} are both of type {info(known).type!r}; give one of them another type="
            )

    def read(self, fields: Sequence[bytes]) -> Found | None:
        """Decode an entry; None for a type that is not asked for.

        Raises:
            DecodeError: It is damaged, no event, or of a version that this program does not know. Nothing else is raised,
                whatever a validator of the user's does.
        """
        envelope = Envelope.parse(fields)
        if envelope is None:
            return self._read_foreign(fields)
        event_class = self._classes.get(envelope.type)
        if event_class is None:
            return None
        if envelope.version > info(event_class).version:
            raise DecodeError(f"{envelope.type!r} has version {envelope.version}, this program knows up to {info(event_class).version}")
        event = decode(event_class, envelope.data)
        adopt(event, envelope.identity)
        return Found(event, envelope)

    def _read_foreign(self, fields: Sequence[bytes]) -> Found | None:
        if not self._foreign:
            raise DecodeError("the entry has no specversion field; read with foreign=Flat(…) to take such")
        _, event = read_foreign(self._foreign, fields)
        return None if event is None else Found(event, None)


def _topic_of(spec: Any, classes: Sequence[type[Event]]) -> Topic:
    found = {topic.name: topic for each in classes if (topic := info(each).topic) is not None}
    name = getattr(spec, "__name__", str(spec))
    if not found:
        raise ConfigurationError(f"{name} names no topic, nor does a class derived from it: read one with topic=")
    if len(found) > 1:
        raise ConfigurationError(
            f"{name} has events in several topics ({', '.join(sorted(found))}): read each of them by itself, or give topic="
        )
    return next(iter(found.values()))
