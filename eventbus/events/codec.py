"""Events to stream fields, and back."""

from __future__ import annotations

import json
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import ValidationError

from eventbus.errors import DecodeError, EncodeError, EventTooLarge
from eventbus.events.envelope import attributes_after_data, check_headers, is_attribute
from eventbus.events.event import Event, identity, info
from eventbus.events.rules import names_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventbus.events.identity import Identity

_E = TypeVar("_E", bound=Event)

_N: Final = ord("N")
_I: Final = ord("I")

SHOWN: Final = 5
"""Mistakes an error names; an entry may have thousands."""


def encode(event: Event, *, source: str, headers: Mapping[str, str] | None = None, max_bytes: int = 1_048_576) -> list[bytes]:
    """Write an event as names and values of a stream entry, in the fixed order.

    Entries whose fields have the same names in the same order share them in Redis's memory.

    Args:
        event: The event; its identity is made now if it has none.
        source: Who publishes it: `/service`.
        headers: Further attributes, by names of a-z and 0-9. Default none.
        max_bytes: Most bytes of all names and values together. Default 1 MiB.

    Raises:
        EncodeError: A header is wrong, or a value cannot be written so that it can be read again.
        EventTooLarge: The entry would be larger than `max_bytes`.
    """
    (made, data, rest), declared = entry_parts(event, headers), info(type(event))
    fields = [b"specversion", b"1.0", b"id", made.id.encode(), b"type", declared.type.encode(), b"source", source.encode()]
    if made.time:
        fields += (b"time", made.time.encode())
    fields += (b"data", data, *map(str.encode, rest))
    check_size(event, sum(map(len, fields)), max_bytes)
    return fields


def entry_parts(event: Event, headers: Mapping[str, str] | None) -> tuple[Identity, bytes, Sequence[str]]:
    """Write what differs from event to event of one class, publisher and topic; arguments and errors as `encode`.

    Returns:
        Its identity, the event as JSON, and the names and values that follow.
    """
    declared = info(type(event))
    rest: Sequence[str] = ()
    if headers:
        check_headers(headers)
    if headers or declared.key or declared.version != 1:
        rest = attributes_after_data(_key(event, declared.key), declared.version, headers or {})
    return identity(event), _to_json(event), rest


def check_size(event: Event, size: int, max_bytes: int) -> None:
    """Refuse an entry that would be too large; raises EventTooLarge."""
    if size > max_bytes:
        raise EventTooLarge(
            f"{info(type(event)).type} {identity(event).id} makes an entry of {size:,} bytes, and the limit is {max_bytes:,}; "
            f"publish a reference to what is large, or raise max_event_bytes"
        )


def _to_json(event: Event) -> bytes:
    try:
        # "error": values of another type than their field's, which nobody could read again, would be a warning.
        data = event.__pydantic_serializer__.to_json(event, by_alias=True, warnings="error")
        # Bytes first: they are found ten times sooner than words. What is found may stand in a text.
        if (_N in data or _I in data) and (b"NaN" in data or b"Infinity" in data):
            json.loads(data, parse_constant=_refuse)
    except Exception as error:  # noqa: BLE001 - also whatever a serializer of the user's raises
        # From None: pydantic's own text shows values.
        raise EncodeError(
            f"{type(event).__name__} cannot be written as JSON ({type(error).__name__}): a value is NaN or infinite, "
            f"or not of its field's type (model_copy and model_construct do not check)"
        ) from None
    return data


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _key(event: Event, field: str | None) -> str | None:
    value = None if field is None else getattr(event, field)
    text = str(value.value if isinstance(value, Enum) else value)
    if value is None or not text:
        return None
    if not is_attribute(text):
        raise EncodeError(
            f"{type(event).__name__}: its key {field!r} has control characters or lone surrogates, which no attribute can have; remove them"
        )
    return text


def decode(event_class: type[_E], data: bytes) -> _E:
    """Read an event from its JSON. Unknown fields are ignored: a newer publisher may know more.

    Raises:
        DecodeError: Says which fields are wrong and how, never what stands in them.
    """
    read = event_class.__pydantic_validator__.validate_json
    try:
        found: _E = read(data, extra="ignore", by_alias=True, by_name=True)
    except Exception as error:  # noqa: BLE001 - as `complaint_of` says
        complaint = complaint_of(event_class, error)
    else:
        if isinstance(found, event_class):
            return found
        complaint = made_another(event_class, found)
    # Outside of `except`: what was raised there shows values, and would be this one's context.
    raise DecodeError(complaint)


def made_another(event_class: type[Event], found: object) -> str:
    """A validator of the user's may return anything; who asks for a class is given that, or one below it."""
    return f"{event_class.__name__} cannot be read: a validator made a {type(found).__name__} of it"


def complaint_of(event_class: type[Event], error: Exception) -> str:
    """What is wrong, without values: also for bytes that are no text, too deep a nesting, or what a validator of the user's raises."""
    wrong = _mistakes(event_class, error) if isinstance(error, ValidationError) else type(error).__name__
    return f"{event_class.__name__} cannot be read: {wrong}"


@lru_cache(maxsize=256)  # who is sent thousands of wrong entries shall not pay for the walk each time
def _names(event_class: type[Event]) -> frozenset[str]:
    return frozenset(names_in(event_class.__pydantic_core_schema__))


def _mistakes(event_class: type[Event], error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    # Numbers and declared names only: the other steps of a location are keys of the data.
    names = _names(event_class)
    said = [
        f"{'.'.join(str(step) if isinstance(step, int) or step in names else '…' for step in each['loc']) or 'data'}: {each['type']}"
        for each in found[:SHOWN]
    ]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(said) + more
