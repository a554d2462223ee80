"""A range of a topic's entries, as an operator names it: from an id or a time to an id or a time. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from eventbus.errors import ConfigurationError
from eventbus.streams import parse_id

Moment: TypeAlias = str | datetime
"""An entry id (`1763709419123-0`, or its milliseconds alone), or a time with its zone."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ID: Final = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?", re.ASCII)
_LARGEST: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Range:
    """Entries from one id to another, both included.

    Attributes:
        first: The first id that is meant.
        last: The last; None for what is the topic's last entry when it is asked.
    """

    first: str
    last: str | None

    @classmethod
    def of(cls, from_: Moment, to: Moment | None) -> Range:
        """Read a range.

        Raises:
            ConfigurationError: One of the two is neither an id nor a time with its zone, or the first is after the last.
        """
        first = _bound("from_", from_, last=False)
        last = None if to is None else _bound("to", to, last=True)
        if last is not None and parse_id(first) > parse_id(last):
            raise ConfigurationError(f"from_ {_shown(from_)} is after to {_shown(to)}: turn them round")
        return cls(first, last)

    def check_past(self, newest: str, now: int) -> None:
        """Refuse ends that nothing can have been written at yet.

        Args:
            newest: The highest id the topic ever gave: a server whose clock went back has written ids of the future.
            now: The server's clock in milliseconds.

        Raises:
            ConfigurationError: The first or the last id is in the future.
        """
        latest = max(parse_id(newest), (now, _LARGEST))
        for name, bound, remedy in (("from_", self.first, "give an earlier one"), ("to", self.last, "leave it out for the last entry")):
            if bound is not None and parse_id(bound) > latest:
                raise ConfigurationError(f"{name} {bound} is in the future: the topic's newest id is {newest}; {remedy}")


def _bound(name: str, given: object, *, last: bool) -> str:
    if isinstance(given, datetime):
        return _of_time(name, given, last=last)
    found = _ID.fullmatch(given) if isinstance(given, str) else None
    if found is None or any(int(part or 0) > _LARGEST for part in found.groups()):
        raise ConfigurationError(f"{name} {_shown(given)}: give an entry id such as '1763709419123-0', or a datetime with its zone")
    return f"{int(found[1])}-{int(found[2]) if found[2] else (_LARGEST if last else 0)}"


def _of_time(name: str, moment: datetime, *, last: bool) -> str:
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ConfigurationError(f"{name} {moment.isoformat()}: the time has no zone: add one, such as tzinfo=UTC")
    passed = moment - _EPOCH
    milliseconds = passed // timedelta(milliseconds=1) if last else -(-passed // timedelta(milliseconds=1))
    return f"{max(0, milliseconds)}-{_LARGEST if last else 0}"


def _shown(given: object) -> str:
    return given.isoformat() if isinstance(given, datetime) else repr(given)[:80]


def written_at(entry_id: str) -> str:
    """When an entry was written, by its id, as people read it; "" beyond the calendar."""
    try:
        moment = _EPOCH + timedelta(milliseconds=parse_id(entry_id)[0])
    except OverflowError:
        return ""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
