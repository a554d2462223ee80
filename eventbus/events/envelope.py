"""The envelope on the wire: CloudEvents 1.0, one stream field per attribute, in a fixed order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from time import time as wall_clock
from typing import TYPE_CHECKING, Final

from eventbus.errors import DecodeError, EncodeError
from eventbus.events.checks import is_text
from eventbus.events.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CARRIED: Final = ("traceparent", "tracestate", "correlationid", "causationid")
"""Extensions with a place of their own, in this order."""

_FIRST: Final = [b"specversion", b"id", b"type", b"source", b"time", b"data"]
"""The attributes every entry of ours begins with, in this order."""

_DERIVED: Final = frozenset(
    {
        *(name.decode() for name in _FIRST),
        "datacontenttype",
        "dataschema",
        "subject",
        "partitionkey",
        "dataversion",
    }
)
"""Attributes that are made from the event, not given as headers."""

_KNOWN: Final = _DERIVED | frozenset(CARRIED)
_NAME: Final = re.compile(r"[a-z0-9]{1,64}")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NO_TIME: Final = re.compile(r"[Tt]24:|[+-]\d\d:[6-9]\d$")
"""What `fromisoformat` takes for another time: midnight of the next day (from Python 3.14 on), a zone of 60 minutes and more."""


def is_attribute(value: object) -> bool:
    """Whether it can be an attribute's value: a text, not empty, without control characters or half pairs."""
    return isinstance(value, str) and value != "" and not _UNPRINTABLE.search(value)


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that are no CloudEvents attributes, or that are ours.

    Raises:
        EncodeError: Names the header and what to write; never its value.
    """
    for name, value in headers.items():
        if not is_text(name) or not _NAME.fullmatch(name):
            raise EncodeError(f"header {name!r}: as a CloudEvents attribute, a name is made of 1 to 64 of a-z and 0-9; rename it")
        if name.startswith("eb") or name in _DERIVED:
            raise EncodeError(f"header {name!r} is made by eventbus itself, as are all that begin with eb: choose another name")
        if not is_attribute(value):
            raise EncodeError(f"header {name!r}: its value must be a str, not empty, without control characters; leave it out or escape it")


def attributes_after_data(key: str | None, version: int, headers: Mapping[str, str]) -> list[str]:
    """Return the names and values that follow `data`, each only where there is something to say."""
    fields: list[str] = []
    if key is not None:
        fields += ("partitionkey", key)
    if version != 1:
        fields += ("dataversion", str(version))
    if headers:
        for name in (*CARRIED, *sorted(headers.keys() - CARRIED)):
            if name in headers:
                fields += (name, headers[name])
    return fields


@dataclass(slots=True, eq=False)  # not frozen: that would cost each entry 1 µs. Nobody writes to it
class Envelope:
    """An entry's attributes, checked. Read only.

    Attributes:
        identity: Id and time as they arrived; the time is empty where there was none.
        type: The event's type.
        version: The version of its data.
        source: Who published it.
        time: When the event was first published, in UTC; None where the publisher did not say.
        data: The event as JSON.
        attributes: All further attributes by name.
    """

    identity: Identity
    type: str
    version: int
    source: str
    time: datetime | None
    data: bytes = field(repr=False)
    attributes: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, fields: Sequence[bytes]) -> Envelope | None:
        """Read an entry's names and values, as Redis gives them. Of a name that stands twice the first counts.

        Returns:
            The envelope, or None where there is no `specversion`: an entry of some other program.

        Raises:
            DecodeError: The envelope is damaged; the reason never shows a value.
        """
        if len(fields) % 2:
            raise DecodeError("the entry's last field has no value")
        first: Sequence[bytes | None]
        if fields[:12:2] == _FIRST:
            first, rest = fields[1:12:2], fields[12:]
        else:
            found = by_name(fields)
            if b"specversion" not in found:
                return None
            first, rest = [found.get(name) for name in _FIRST], fields
        specversion, event_id, event_type, source, time, data = first
        if not (specversion and specversion[:2] == b"1." and event_id and event_type and source) or data is None:
            raise DecodeError(_damage(first))
        try:
            attributes, version = _attributes(rest) if rest else ({}, 1)
            written = "" if time is None else time.decode()
            moment = None if time is None else _moment(written)
            return cls(Identity(event_id.decode(), written), event_type.decode(), version, source.decode(), moment, data, attributes)
        except UnicodeDecodeError:
            raise DecodeError("the entry's attributes are not UTF-8") from None

    @property
    def id(self) -> str:
        """The event's id."""
        return self.identity.id

    @property
    def key(self) -> str | None:
        """The value that orders the event, if any."""
        return self.attributes.get("partitionkey")

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context, if any."""
        return self.attributes.get("traceparent")

    @property
    def tracestate(self) -> str | None:
        """The W3C trace context's vendor part, if any."""
        return self.attributes.get("tracestate")

    @property
    def correlation_id(self) -> str | None:
        """The id of the event that began the chain, if any."""
        return self.attributes.get("correlationid")

    @property
    def causation_id(self) -> str | None:
        """The id of the event that caused this one, if any."""
        return self.attributes.get("causationid")

    @property
    def headers(self) -> dict[str, str]:
        """What the publisher added."""
        return {name: value for name, value in self.attributes.items() if name not in _KNOWN and not name.startswith("eb")}


def age(time: datetime) -> float:
    """Seconds since a time by this machine's clock, not below 0."""
    seconds = wall_clock() - time.timestamp()
    return seconds if seconds > 0 else 0.0


def by_name(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the values by their names; of a name that stands twice the first counts."""
    return dict(zip(reversed(fields[::2]), reversed(fields[1::2]), strict=True))


def _damage(first: Sequence[bytes | None]) -> str:
    """What is wrong with the values of the first attributes, where something is; only the time may be missing."""
    found = dict(zip(_FIRST, first, strict=True))
    if not (found[b"specversion"] or b"").startswith(b"1."):
        return "the entry's specversion is not 1.x"
    missing = next(name for name, value in found.items() if not value and name != b"time")
    return f"the entry has no {missing.decode()}"


def _attributes(rest: Sequence[bytes]) -> tuple[dict[str, str], int]:
    """What stands beside the first attributes, and the data's version."""
    found: dict[str, str] = {}
    try:
        for at in range(len(rest) - 2, -1, -2):  # backwards: the first of a name is written last
            if rest[at] not in _FIRST:
                found[rest[at].decode()] = rest[at + 1].decode()
    except UnicodeDecodeError:  # perhaps of a value that does not count; to look at that first takes half as long again
        found = {name.decode(): value.decode() for name, value in by_name(rest).items() if name not in _FIRST}
    return found, _version(found.get("dataversion", "1"))


def _version(text: str) -> int:
    if not _VERSION.fullmatch(text):
        raise DecodeError("the entry's dataversion is no whole number from 1")
    return int(text)


@lru_cache(maxsize=64)  # a busy publisher writes dozens of events in one millisecond
def _moment(text: str) -> datetime:
    # The pattern first: fromisoformat reads much that is not RFC 3339 (weeks, no separators, no zone).
    if not _TIME.fullmatch(text):
        raise DecodeError("the entry's time is not RFC 3339")
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # no such day; year 1 or 9999 in a zone that leaves it
        moment = None
    if moment is None or _NO_TIME.search(text):
        raise DecodeError("the entry's time does not exist")
    return moment
