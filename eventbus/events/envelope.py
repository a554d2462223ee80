"""The envelope on the wire: CloudEvents 1.0, one stream field per attribute, in a fixed order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from eventbus.errors import DecodeError, EncodeError
from eventbus.events.checks import is_text
from eventbus.events.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CARRIED: Final = ("traceparent", "tracestate", "correlationid", "causationid")
"""Extensions with a place of their own, in this order."""

_DERIVED: Final = frozenset(
    {"specversion", "id", "type", "source", "time", "data", "datacontenttype", "dataschema", "subject", "partitionkey", "dataversion"}
)
"""Attributes that are made from the event, not given as headers."""

_KNOWN: Final = _DERIVED | frozenset(CARRIED)
LONGEST_VERSION: Final = 9
"""Digits of a version that is still believed."""

_NAME: Final = re.compile(r"[a-z0-9]{1,64}")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that are no CloudEvents attributes, or that are ours.

    Raises:
        EncodeError: Names the header and what to write; never its value.
    """
    for name, value in headers.items():
        if not (is_text(name) and _NAME.fullmatch(name)):
            raise EncodeError(f"header {name!r}: names are 1 to 64 of a-z and 0-9, as CloudEvents has them")
        if name.startswith("eb") or name in _DERIVED:
            raise EncodeError(f"header {name!r} is made by eventbus itself: choose another name (eb… is reserved)")
        if not is_text(value) or _UNPRINTABLE.search(value):
            raise EncodeError(f"header {name!r}: its value must be a text without control characters, and not empty")


def attributes_after_data(key: str | None, version: int, headers: Mapping[str, str]) -> list[str]:
    """The fields that follow `data`, each only where there is something to say."""
    fields: list[str] = []
    if key is not None:
        fields += ("partitionkey", key)
    if version != 1:
        fields += ("dataversion", str(version))
    for name in CARRIED:
        if name in headers:
            fields += (name, headers[name])
    for name in sorted(headers.keys() - CARRIED):
        fields += (name, headers[name])
    return fields


@dataclass(frozen=True, slots=True)
class Envelope:
    """An entry's attributes, checked.

    Attributes:
        identity: Id and time as they arrived; the time is empty where there was none.
        type: The event's type.
        version: The version of its data.
        source: Who published it.
        data: The event as JSON.
        attributes: All further attributes by name.
    """

    identity: Identity
    type: str
    version: int
    source: str
    data: bytes
    attributes: Mapping[str, str]

    @classmethod
    def parse(cls, fields: Sequence[bytes]) -> Envelope | None:
        """Read an entry's fields. Of a name that stands twice the first counts.

        Returns:
            The envelope, or None where there is no `specversion`: an entry of some other program.

        Raises:
            DecodeError: The envelope is damaged; the reason never shows a value.
        """
        found = dict(zip(reversed(fields[::2]), reversed(fields[1::2]), strict=True))
        version = found.pop(b"specversion", None)
        if version is None:
            return None
        if not version.startswith(b"1."):
            raise DecodeError("the entry's specversion is not 1.x")
        data = found.pop(b"data", None)
        if data is None:
            raise DecodeError("the entry has no data")
        try:
            texts = {name.decode(): value.decode() for name, value in found.items()}
        except UnicodeDecodeError:
            raise DecodeError("the entry's attributes are not UTF-8") from None
        time = texts.pop("time", "")
        if time:
            _parse_time(time)
        return cls(
            identity=Identity(_required(texts, "id"), time),
            type=_required(texts, "type"),
            version=_version(texts.pop("dataversion", "1")),
            source=_required(texts, "source"),
            data=data,
            attributes=texts,
        )

    @property
    def id(self) -> str:
        """The event's id."""
        return self.identity.id

    @property
    def time(self) -> datetime | None:
        """When the event was first published, in UTC; None where the publisher did not say."""
        return _parse_time(self.identity.time) if self.identity.time else None

    @property
    def key(self) -> str | None:
        """The value that orders the event, if any."""
        return self.attributes.get("partitionkey")

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


def _required(texts: dict[str, str], name: str) -> str:
    value = texts.pop(name, "")
    if not value:
        raise DecodeError(f"the entry has no {name}")
    return value


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_VERSION and int(text) > 0):
        raise DecodeError("the entry's dataversion is no whole number from 1")
    return int(text)


def _parse_time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DecodeError("the entry's time is not RFC 3339") from None
    if moment.tzinfo is None:
        raise DecodeError("the entry's time has no zone")
    return moment.astimezone(UTC)
