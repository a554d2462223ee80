"""The topics one bus has seen, so that two declarations of one that differ are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventbus.errors import ConfigurationError
from eventbus.events import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator


class Topics:
    """Topics by name. A plain name declares nothing, and so agrees with every declaration."""

    def __init__(self) -> None:
        self._known: dict[str, Topic] = {}

    def __iter__(self) -> Iterator[Topic]:
        """The topics seen so far."""
        return iter(list(self._known.values()))

    def register(self, topic: str | Topic) -> Topic:
        """Remember a topic.

        Returns:
            The topic as it is declared on this bus.

        Raises:
            ConfigurationError: Its limits differ from those declared elsewhere on this bus.
        """
        wanted = Topic.of(topic)
        known = self._known.setdefault(wanted.name, wanted)
        if known is wanted or known == wanted or wanted == Topic(wanted.name):
            return known
        if known != Topic(known.name):
            raise ConfigurationError(f"the topic {wanted.name!r} is declared twice: {known!r} and {wanted!r}; make them the same")
        self._known[wanted.name] = wanted
        return wanted
