"""What a publish may ask for beside its topic: a priority, a time, to be stored once, an entry id of its own."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, cast

from eventbus.errors import ConfigurationError
from eventbus.events import NORMAL, is_seconds

if TYPE_CHECKING:
    from eventbus.events import Topic

Span: TypeAlias = float | timedelta
"""A length of time: seconds, or a timedelta."""

OnceKey: TypeAlias = str | Literal[True]
"""What tells that two publishes are one and the same: a text, or True for the event's own id."""

LONGEST_DELAY: Final = timedelta(days=3_653)
"""Ten years. What is scheduled later is a wrong unit or a wrong year, as experience goes."""

ONCE_WINDOW: Final = 86_400.0
"""Seconds for which an idempotency key is remembered, unless the caller says otherwise."""

MOST_KEY_BYTES: Final = 512

NOTHING: Final = (None,) * 6
"""The six arguments where nothing was asked for, as nearly always: compared in 30 ns."""

_ENTRY_ID: Final = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?", re.ASCII)
_LAST: Final = (1 << 64) - 1


class Placing(TypedDict, total=False):
    """The arguments of `publish` that make a `Placement`, as they were given."""

    priority: str | None
    delay: Span | None
    at: datetime | None
    idempotency_key: OnceKey | None
    idempotency_window: Span | None
    entry_id: str | None


def placing(
    *,
    priority: str | None,
    delay: Span | None,
    at: datetime | None,
    idempotency_key: OnceKey | None,
    idempotency_window: Span | None,
    entry_id: str | None = None,
) -> Placing | None:
    """What was asked for, to be checked where its errors are awaited; None where nothing was."""
    if (priority, delay, at, idempotency_key, idempotency_window, entry_id) == NOTHING:
        return None
    return Placing(
        priority=priority,
        delay=delay,
        at=at,
        idempotency_key=idempotency_key,
        idempotency_window=idempotency_window,
        entry_id=entry_id,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What a publish asks for beside its topic, checked; the attributes are the arguments of `EventBus.publish`.

    Raises:
        ConfigurationError: One of them is wrong, or two of them do not go together.
    """

    priority: str | None = None
    delay: Span | None = None
    at: datetime | None = None
    idempotency_key: OnceKey | None = None
    idempotency_window: Span | None = None
    entry_id: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.delay is not None and self.at is not None:
            raise ConfigurationError("publish(delay=…, at=…): give one of them")
        if self.entry_id is not None and self.later:
            raise ConfigurationError("publish(entry_id=…) is written at once: leave out delay= and at=")
        if self.idempotency_window is not None and self.idempotency_key is None:
            raise ConfigurationError("publish(idempotency_window=…): give the idempotency_key= that it is the window of, or True")
        _check_delay(self.delay)
        _check_moment(self.at)
        _check_key(self.idempotency_key)
        _check_window(self.idempotency_window)
        _check_entry_id(self.entry_id)

    @property
    def later(self) -> bool:
        """Whether it has a time of its own."""
        return self.delay is not None or self.at is not None

    @property
    def scripted(self) -> bool:
        """Whether more than an XADD is needed."""
        return self.later or self.idempotency_key is not None or self.entry_id is not None

    @property
    def window(self) -> int:
        """Milliseconds for which its idempotency key is remembered."""
        return max(1, round(_seconds(self.idempotency_window if self.idempotency_window is not None else ONCE_WINDOW) * 1000))

    @property
    def wait(self) -> int:
        """Milliseconds that `delay` asks for; 0 for none, and for less than that."""
        return 0 if self.delay is None else math.ceil(max(0.0, _seconds(self.delay)) * 1000)

    @property
    def moment(self) -> int:
        """The milliseconds since 1970 that `at` names; 0 for none."""
        return 0 if self.at is None else max(0, math.ceil(self.at.timestamp() * 1000))

    def key_of(self, event_id: str) -> str | None:
        """What the event is known by, so that it is stored once; None where that was not asked for."""
        return event_id if self.idempotency_key is True else self.idempotency_key

    def check_many(self) -> None:
        """Refuse what can hold for one event only, where many are published.

        Raises:
            ConfigurationError: A key that all of them would share, so that one of them would be stored.
        """
        if isinstance(self.idempotency_key, str):
            raise ConfigurationError(
                "publish_many(idempotency_key=…): all events would share this key, and one of them be stored; give True for each "
                "one's own id, or publish them one by one, each with its key"
            )

    def check_priority(self, topic: Topic) -> None:
        """Refuse a priority that the topic does not have.

        Raises:
            ConfigurationError: Names the topic's priorities.
        """
        if self.priority in (None, NORMAL) or self.priority in topic.priorities:
            return
        if not topic.priorities:
            raise ConfigurationError(
                f"publish(priority={self.priority!r}): topic {topic.name!r} has no priorities; declare them where its events are: "
                f"Topic({topic.name!r}, priorities=('high', 'normal', 'low'))"
            )
        raise ConfigurationError(
            f"publish(priority={self.priority!r}): topic {topic.name!r} has the priorities {', '.join(map(repr, topic.priorities))}"
        )


def _seconds(span: Span) -> float:
    return span.total_seconds() if isinstance(span, timedelta) else span


def _check_delay(value: object) -> None:
    if value is None:
        return
    seconds: Any = value.total_seconds() if isinstance(value, timedelta) else value
    if not (is_seconds(seconds, zero=True) or is_seconds(-seconds if _is_number(seconds) else None)):
        raise ConfigurationError(f"publish(delay={value!r}): give seconds, or a timedelta")
    if seconds > LONGEST_DELAY.total_seconds():
        raise ConfigurationError(f"publish(delay={value!r}): nothing is held for more than ten years (delay= is seconds, or a timedelta)")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_moment(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, datetime):
        raise ConfigurationError(f"publish(at={value!r}): give a datetime with a time zone; for a number of seconds there is delay=")
    if value.utcoffset() is None:
        raise ConfigurationError(f"publish(at={value!r}): which zone's time is that? Give datetime(…, tzinfo=UTC)")
    if value > datetime.now(UTC) + LONGEST_DELAY:
        raise ConfigurationError(f"publish(at={value!r}): nothing is held for more than ten years; give an earlier moment")


def _check_key(value: object) -> None:
    if value is None or value is True:
        return
    try:
        size = len(value.encode()) if isinstance(value, str) else 0
    except UnicodeEncodeError:
        raise ConfigurationError("publish(idempotency_key=…): it has lone surrogates in it, which are no text") from None
    if not size:  # without the value: keys are made of what tells people apart
        given = "''" if isinstance(value, str) else f"a value of {type(value).__name__}"
        raise ConfigurationError(
            f"publish(idempotency_key=…): {given} is none; give a text that is not empty, or True for the event's own id"
        )
    if size > MOST_KEY_BYTES:
        raise ConfigurationError(
            f"publish(idempotency_key=…): it is {size} bytes long, and the limit is {MOST_KEY_BYTES}; give a digest of it"
        )


def _check_window(value: object) -> None:
    if value is None:
        return
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not is_seconds(seconds) or cast("float", seconds) > LONGEST_DELAY.total_seconds():
        raise ConfigurationError(f"publish(idempotency_window={value!r}): give seconds above 0, or a timedelta, up to ten years")


def _check_entry_id(value: object) -> None:
    if value is None:
        return
    found = _ENTRY_ID.fullmatch(value) if isinstance(value, str) else None
    numbers = [int(part or 0) for part in found.groups()] if found else []
    if not any(numbers) or max(numbers) > _LAST:
        raise ConfigurationError(f"publish(entry_id={value!r}): give an id as Redis writes it, '1526919030474-0', above '0-0'")
