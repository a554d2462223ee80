"""Moments on the command line: an entry id, a time, or how long ago; and spans of time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from eventbus.admin import before
from eventbus.errors import ConfigurationError
from eventbus.streams import parse_id

_ID: Final = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?", re.ASCII)
_BACK: Final = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|[smhd])){1,9}", re.ASCII)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST: Final = (1 << 64) - 1
_LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where to begin to read.

    Attributes:
        entry_id: The first id to be shown, or None.
        back: Else how many seconds ago the first entry to be shown was written.
    """

    entry_id: str | None = None
    back: float = 0.0

    def after(self, now: float) -> str:
        """The id after which to read; `now` is the server's clock in seconds."""
        return before(self._first(now))

    def moment(self, now: float) -> datetime:
        """The same as a time; what lies beyond the calendar is its end."""
        return _EPOCH + timedelta(milliseconds=min(_LAST, parse_id(self._first(now))[0]))

    def _first(self, now: float) -> str:
        return self.entry_id or f"{max(0, int((now - self.back) * 1000))}-0"


def parse_span(text: str, option: str) -> float:
    """Read a span of time (`7d`, `1h30m`) in seconds.

    Raises:
        ConfigurationError: It is none.
    """
    if not _BACK.fullmatch(text):
        raise ConfigurationError(f"{option} {text!r}: give a span of time: 7d, 12h, 1h30m, 90s")
    return _seconds(text)


def parse_moment(text: str, option: str) -> datetime:
    """Read a time with its zone.

    Raises:
        ConfigurationError: It is none.
    """
    return _time(text, option, "a time with its zone: 2026-11-21T07:00:00Z")


def parse_beginning(text: str, option: str = "--from") -> Beginning:
    """Read a moment that an option was given.

    Raises:
        ConfigurationError: It is none of the three.
    """
    found = _ID.fullmatch(text)
    if found and all(int(part or 0) <= _LARGEST for part in found.groups()):
        return Beginning(f"{int(found[1])}-{int(found[2] or 0)}")
    if _BACK.fullmatch(text):
        return Beginning(back=_seconds(text))
    return Beginning(f"{_moment(text, option)}-0")


def id_or_time(text: str, option: str, now: float) -> str | datetime:
    """Read a moment as what it is: an entry id as it was written, else a time; `now` is the server's clock in seconds.

    Raises:
        ConfigurationError: It is none.
    """
    beginning = parse_beginning(text, option)
    return text if _ID.fullmatch(text) else beginning.moment(now)


def _seconds(text: str) -> float:
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def _moment(text: str, option: str) -> int:
    wanted = "an entry id (1763709419123-0), a time with its zone (2026-11-21T07:00:00Z), or how long ago (10m, 1h30m)"
    return max(0, (_time(text, option, wanted) - _EPOCH) // timedelta(milliseconds=1))


def _time(text: str, option: str, wanted: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{option} {text!r}: give {wanted}") from None
    if moment.tzinfo is None:
        raise ConfigurationError(f"{option} {text!r} has no zone: add Z for UTC, or +02:00; or give {wanted}")
    return moment
