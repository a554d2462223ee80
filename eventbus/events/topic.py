"""A named stream, with what is declared about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from eventbus.errors import ConfigurationError
from eventbus.events.checks import is_count, is_seconds
from eventbus.events.names import check_name


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and how much of it is kept; usable wherever a topic's name is.

    The limits are checked and kept now; trimming arrives later and will never cut what a group has not
    settled.

    Attributes:
        name: The stream's name, as redis-cli sees it (after the bus's prefix).
        max_len: Settled entries to keep, or None for no limit by number.
        max_age: Seconds (or a timedelta) to keep settled entries, or None for no limit by age.

    Raises:
        ConfigurationError: A name with braces, `#`, whitespace or control characters; a limit that is none.
    """

    name: str
    max_len: int | None = None
    max_age: float | timedelta | None = None

    def __post_init__(self) -> None:
        """Check the values where they are written."""
        check_name("topic", self.name)
        if self.max_len is not None and not is_count(self.max_len):
            raise ConfigurationError(f"Topic({self.name!r}, max_len={self.max_len!r}): give a whole number, at least 1")
        if self.max_age is not None:
            object.__setattr__(self, "max_age", self._seconds(self.max_age))

    def _seconds(self, age: float | timedelta) -> float:
        seconds = age.total_seconds() if isinstance(age, timedelta) else age
        if not is_seconds(seconds):
            raise ConfigurationError(f"Topic({self.name!r}, max_age={age!r}): give seconds above 0, or a timedelta")
        return float(seconds)

    @classmethod
    def of(cls, topic: str | Topic) -> Topic:
        """The topic itself, or one that only has a name."""
        return topic if isinstance(topic, Topic) else cls(topic)
