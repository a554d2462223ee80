"""Events to stream fields, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from eventbus.errors import ConfigurationError, DecodeError, EncodeError, EventTooLarge
from eventbus.events.envelope import attributes_after_data, check_headers
from eventbus.events.event import Event, identity, info, is_event_class

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_E = TypeVar("_E", bound=Event)

SHOWN: Final = 5
"""Fields of which a complaint speaks, at most."""


def encode(event: Event, *, source: str, headers: Mapping[str, str] | None = None, max_bytes: int = 1_048_576) -> list[str | bytes]:
    """Write an event as the flat fields of a stream entry, in the fixed order.

    Entries whose fields have the same names in the same order share them in Redis's memory.

    Args:
        event: The event; its identity is made now if it has none.
        source: Who publishes it: `/service`.
        headers: Further attributes.
        max_bytes: Most bytes of all names and values together.

    Raises:
        EncodeError: A header is wrong, or a value cannot be written as JSON.
        EventTooLarge: The entry would be larger than `max_bytes`.
    """
    if headers:
        check_headers(headers)
    declared, made = info(type(event)), identity(event)
    fields: list[str | bytes] = ["specversion", "1.0", "id", made.id, "type", declared.type, "source", source]
    if made.time:
        fields += ("time", made.time)
    fields += ("data", _to_json(event))
    fields += attributes_after_data(_key(event, declared.key), declared.version, headers or {})
    size = sum(len(part) if isinstance(part, bytes) else len(part.encode()) for part in fields)
    if size > max_bytes:
        raise EventTooLarge(f"{declared.type} {made.id} makes an entry of {size} bytes; max_event_bytes is {max_bytes}")
    return fields


def _to_json(event: Event) -> bytes:
    try:
        return event.__pydantic_serializer__.to_json(event)
    except (PydanticSerializationError, UnicodeEncodeError, RecursionError, ValueError) as error:
        # The serializer's own text may show values.
        raise EncodeError(f"{type(event).__name__} cannot be written as JSON ({type(error).__name__})") from None


def _key(event: Event, field: str | None) -> str | None:
    value = getattr(event, field) if field is not None else None
    if value is None:
        return None
    text = str(value)
    if not text.isprintable():
        raise EncodeError(f"{type(event).__name__}: its key {field!r} has characters that cannot be an attribute")
    return text or None


def decode(event_class: type[_E], data: bytes) -> _E:
    """Read an event from its JSON. Unknown fields are ignored: a newer publisher may know more.

    Raises:
        DecodeError: Says which fields are wrong and how, never what stands in them.
    """
    try:
        event: _E = event_class.__pydantic_validator__.validate_json(data, extra="ignore")
    except (ValueError, RecursionError) as error:
        raise _unreadable(event_class, error) from None
    return event


def decode_flat(event_class: type[_E], fields: Sequence[bytes]) -> _E:
    """Read an event from a flat entry as other programs write it: one field, one value, all of them text.

    Of a name that stands twice the first counts.

    Raises:
        DecodeError: As `decode`.
    """
    try:
        texts: dict[str, Any] = {fields[at].decode(): fields[at + 1].decode() for at in range(len(fields) - 2, -1, -2)}
        event: _E = event_class.__pydantic_validator__.validate_strings(texts, extra="ignore")
    except (ValueError, RecursionError) as error:
        raise _unreadable(event_class, error) from None
    return event


def _unreadable(event_class: type[Event], error: Exception) -> DecodeError:
    if isinstance(error, ValidationError):
        return DecodeError(f"{event_class.__name__} cannot be read: {_complaint(event_class, error)}")
    # Its own text may show values.
    return DecodeError(f"{event_class.__name__} cannot be read ({type(error).__name__})")


def _complaint(event_class: type[Event], error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    fields = event_class.model_fields
    # Only names of declared fields are shown: deeper locations may be keys of the data.
    places = [str(each["loc"][0]) if each["loc"] and each["loc"][0] in fields else "data" for each in found]
    said = ", ".join(f"{place}: {each['type']}" for place, each in zip(places[:SHOWN], found, strict=False))
    return said + (" …" if len(found) > SHOWN else "")


@dataclass(frozen=True, slots=True)
class Flat:
    """Reads entries without envelope, as tutorials write them: `XADD orders * order_id o-1 total 9.99`.

    Attributes:
        event_class: The class whose fields the entry's fields are; texts are converted.

    Raises:
        ConfigurationError: It is no event class.
    """

    event_class: type[Event]

    def __post_init__(self) -> None:
        """Check the class where it is written."""
        if not is_event_class(self.event_class):
            raise ConfigurationError(f"Flat({self.event_class!r}): give a class derived from Event")

    def read(self, fields: Sequence[bytes]) -> Event:
        """Read one entry."""
        return decode_flat(self.event_class, fields)
