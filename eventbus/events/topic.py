"""A named stream, with what is declared about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast

from eventbus.errors import ConfigurationError
from eventbus.events.checks import is_count, is_seconds
from eventbus.events.names import check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

NORMAL: Final = "normal"
"""The priority of what is published without one. Its stream is the topic's own."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and how much of it is kept; usable wherever a topic's name is.

    Two declarations of one topic agree when they are equal. Processes that consume the topic trim it, every
    `claim_interval`, and those that publish to it, too, where the cap is hard. What a group has not settled is kept,
    whatever the limits say, unless the cap is hard.

    Attributes:
        name: The stream's name, as redis-cli sees it (after the bus's prefix).
        max_len: Entries to keep, about; what is not settled is kept beyond it. Default 10,000. None for no
            limit: without `max_age` settled entries are then kept for ever.
        max_age: Seconds, or a timedelta, to keep entries; kept as float seconds. Default None: no limit.
        hard: The limits hold for what is not settled, too: a group that is behind loses events. What was lost
            is counted and logged. Default False.
        priorities: The topic's priorities, the most urgent first, "normal" among them: that is the topic's own stream, and
            each other one has a stream beside it, with the same limits. Default none: one stream.

    Raises:
        ConfigurationError: A name with braces, `#`, whitespace or control characters; a limit that is none; priorities
            without "normal", twice the same, or with a colon in a name.
    """

    name: str
    max_len: int | None = 10_000
    max_age: float | timedelta | None = None
    hard: bool = False
    priorities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name("topic", self.name)
        object.__setattr__(self, "priorities", _priorities(self.name, self.priorities))
        if self.max_len is not None and not is_count(self.max_len):
            raise ConfigurationError(f"Topic({self.name!r}, max_len={self.max_len!r}): give a whole number, at least 1")
        if self.max_age is not None:
            object.__setattr__(self, "max_age", _seconds(self.name, self.max_age))
        if self.hard and self.max_len is None and self.max_age is None:
            raise ConfigurationError(f"Topic({self.name!r}, hard=True): give the cap: max_len=, max_age= or both")

    @property
    def seconds(self) -> float | None:
        """The age limit in seconds, or None."""
        return self.max_age.total_seconds() if isinstance(self.max_age, timedelta) else self.max_age

    @classmethod
    def of(cls, topic: str | Topic) -> Topic:
        """Return the topic itself, or one that only has a name."""
        return topic if isinstance(topic, Topic) else cls(topic)


def _priorities(topic: str, given: object) -> tuple[str, ...]:
    where = f"Topic({topic!r}, priorities={given!r})"
    if not isinstance(given, tuple | list):
        raise ConfigurationError(f"{where}: give their names, the most urgent first: ('high', 'normal', 'low')")
    names = tuple(check_name("priority", each) for each in cast("Sequence[str]", given))
    if any(":" in name for name in names):
        raise ConfigurationError(f"{where}: leave out colons, which part the names of keys")
    if len(set(names)) < len(names):
        raise ConfigurationError(f"{where}: give each of them once")
    if names and NORMAL not in names:
        raise ConfigurationError(
            f"{where}: give {NORMAL!r} its place among them: it is the topic's own stream, for what is published without"
        )
    return names


def _seconds(name: str, age: float | timedelta) -> float:
    # In one unit, so that timedelta(days=1) and 86_400 are one declaration.
    seconds = age.total_seconds() if isinstance(age, timedelta) else age
    if not is_seconds(seconds):
        raise ConfigurationError(f"Topic({name!r}, max_age={age!r}): give seconds above 0, or a timedelta")
    return float(seconds)
