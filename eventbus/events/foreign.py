"""Readers of entries that other programs write, without an envelope of ours. No I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from eventbus.errors import ConfigurationError, DecodeError
from eventbus.events.checks import is_text
from eventbus.events.codec import complaint_of, decode, made_another
from eventbus.events.envelope import by_name
from eventbus.events.event import Event, is_event_class

_E = TypeVar("_E", bound=Event)

_KEY: Final = b"key"
_VALUE: Final = b"value"


@dataclass(frozen=True, slots=True)
class ForeignReader(ABC):
    """Base of what `foreign=` takes: `Flat`, `JsonField`, `Debezium`, and readers of your own.

    A reader of your own overrides `read`. Whatever that raises makes the entry a dead letter, or has the next reader look at
    it where there are several; a DecodeError also says why, in the dead letter and in the log: let its text show no values.

    Attributes:
        event_class: The class of the events it makes; a handler of the subscription takes it.

    Raises:
        ConfigurationError: It is no event class.
        TypeError: The class does not say how to `read`.
    """

    event_class: type[Event]

    def __post_init__(self) -> None:
        if not is_event_class(self.event_class):
            raise ConfigurationError(f"{type(self).__name__}({self.event_class!r}): give a class derived from Event")

    @abstractmethod
    def read(self, fields: Sequence[bytes]) -> Event | None:
        """Read one entry.

        Args:
            fields: Its names and values in turn, as they stand in Redis: a name may be there twice.

        Returns:
            The event; None for an entry that is known to say nothing: it is skipped, and counted.

        Raises:
            DecodeError: It is not of this reader's layout, or no such event.
        """

    def __str__(self) -> str:
        """How it is called in logs and errors."""
        return f"{type(self).__name__}({self.event_class.__name__})"


Foreign: TypeAlias = ForeignReader | Sequence[ForeignReader]
"""One reader, or several, of which the first that can read an entry does."""


@dataclass(frozen=True, slots=True)
class Flat(ForeignReader):
    """Reads entries as tutorials write them, a field for each value: `XADD orders * order_id o-1 total 9.99`.

    Values are texts, and are read as the types of the event's fields. What a field cannot take as text is read as JSON,
    such as `["a","b"]` for a list, and an empty text as null: it is None where the field takes None. Of a name that stands
    twice the first counts; names that the class does not know are ignored.

    Attributes:
        event_class: The class whose fields the entry's fields are.

    Raises:
        ConfigurationError: It is no event class.
    """

    def read(self, fields: Sequence[bytes]) -> Event:
        """Read one entry; as `ForeignReader.read`."""
        return _decode_flat(self.event_class, fields)


@dataclass(frozen=True, slots=True)
class JsonField(ForeignReader):
    """Reads entries that hold the event as JSON in one field: `XADD orders * payload '{"order_id":"o-1"}'`.

    Of a name that stands twice the first counts; other fields are ignored.

    Attributes:
        event_class: The class of the JSON.
        field: The name of that field.

    Raises:
        ConfigurationError: It is no event class, or no name.
    """

    field: str

    def __post_init__(self) -> None:
        ForeignReader.__post_init__(self)  # by name: with slots, super() knows another class
        if not is_text(self.field):
            raise ConfigurationError(f"{self}: field={self.field!r}: name the entry's field that holds the JSON")

    def read(self, fields: Sequence[bytes]) -> Event:
        """Read one entry; as `ForeignReader.read`."""
        data = _named(fields).get(self.field.encode(errors="surrogateescape"))
        if data is None:
            raise DecodeError(f"the entry has no field {self.field!r}")
        return decode(self.event_class, data)


@dataclass(frozen=True, slots=True)
class Debezium(ForeignReader):
    """Reads changes of a table's rows as Debezium Server writes them to a Redis stream.

    The event class takes of a change what it declares, by Debezium's names: `op` ("c" created, "u" updated, "d" deleted,
    "r" read by the snapshot), `before` and `after` (the row, or None), `ts_ms`, `source`, …

        class CustomerChanged(Event, topic="shop.inventory.customers"):
            op: Literal["c", "r", "u", "d"]
            before: Customer | None = None
            after: Customer | None = None

    Both of Debezium's formats are read: `compact` (one field, named by the key) and `extended` (fields `key` and `value`);
    with the schema around the change and without. The tombstone that follows a deletion says nothing more, and is skipped.

    Attributes:
        event_class: The class of the changes.
        null_value: What Debezium writes for a tombstone: its `debezium.sink.redis.null.value`. Default "default", as there.

    Raises:
        ConfigurationError: It is no event class, or no text.
    """

    null_value: str = field(default="default", kw_only=True)

    def __post_init__(self) -> None:
        ForeignReader.__post_init__(self)
        if not is_text(self.null_value):
            raise ConfigurationError(f"{self}: null_value={self.null_value!r}: give Debezium's debezium.sink.redis.null.value")

    def _check_takes(self, change: Any) -> None:
        """Refuse a change of which the class would take nothing: with defaults for all its fields it would be lost without a word."""
        wraps = isinstance(change, dict) and {"op", "after"} <= change.keys()
        if wraps and not _takes_changes(self.event_class):
            name = self.event_class.__name__
            raise DecodeError(f"{name} declares neither op nor before nor after, where Debezium has the change and its rows: declare them")

    def read(self, fields: Sequence[bytes]) -> Event | None:
        """Read one entry; as `ForeignReader.read`."""
        key, value = _key_and_value(fields)
        change = None if value == self.null_value.encode(errors="surrogateescape") else _payload(value)
        if change is not None:
            self._check_takes(change)
            return decode(self.event_class, to_json(change))
        if isinstance(_json(key), dict):
            return None
        raise DecodeError("the entry has no change, and is no tombstone of Debezium: its key is no JSON object")


@lru_cache(maxsize=256)
def _takes_changes(event_class: type[Event]) -> bool:
    """Whether a field is read from a part of a change; of a path or a choice of names that is taken for granted."""
    read_from = [about.validation_alias or name for name, about in event_class.model_fields.items()]
    return any(not isinstance(each, str) or each in {"op", "before", "after"} for each in read_from)


def readers_of(foreign: object) -> tuple[ForeignReader, ...]:
    """The readers that a `foreign=` names, in their order; raises ConfigurationError for what is none."""
    if foreign is None:
        return ()
    several: tuple[object, ...] = tuple(cast("Sequence[object]", foreign)) if isinstance(foreign, list | tuple) else (foreign,)
    readers = tuple(each for each in several if isinstance(each, ForeignReader))
    if not readers or len(readers) < len(several):
        raise ConfigurationError(
            f"foreign={foreign!r}: give a Flat(EventClass), a JsonField(EventClass, 'name'), a Debezium(EventClass), or a list of such"
        )
    return readers


def read_foreign(readers: Sequence[ForeignReader], fields: Sequence[bytes]) -> tuple[ForeignReader, Event | None]:
    """Have the first reader that can read an entry do so.

    Returns:
        That reader, and what it made of the entry; None for one that says nothing.

    Raises:
        DecodeError: None can; says why of each.
    """
    refused: list[str] = []
    unchangeable = tuple(fields)  # a reader that takes them apart would take them from the next one, and from the dead letter
    for reader in readers:
        try:
            found = reader.read(unchangeable)
            if found is None or isinstance(found, reader.event_class):
                return reader, found
            refused.append(f"{reader} made a {type(found).__name__} of it")
        except DecodeError as error:
            refused.append(str(error))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a reader of the user's; its text may show values
            refused.append(f"{reader} failed: {type(error).__name__}")
    raise DecodeError("; ".join(refused))


def _named(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    if len(fields) % 2:
        raise DecodeError("the entry's last field has no value")
    return by_name(fields)


def _decode_flat(event_class: type[_E], fields: Sequence[bytes]) -> _E:
    named = _named(fields)
    texts: dict[str, Any] = {}
    try:
        texts = {name.decode(): value.decode() for name, value in named.items()}
        found: _E = event_class.__pydantic_validator__.validate_strings(texts, extra="ignore", by_alias=True, by_name=True)
    except Exception as error:  # noqa: BLE001 - as `complaint_of` says
        complaint = complaint_of(event_class, error)
        values = _as_json(texts, error) if isinstance(error, ValidationError) else None
    else:
        if isinstance(found, event_class):
            return found
        complaint, values = made_another(event_class, found), None
    # Outside of `except`: what was raised there shows values, and would be the context of a DecodeError.
    if values is None:
        raise DecodeError(complaint)
    return decode(event_class, to_json(values))


def _as_json(texts: dict[str, str], error: ValidationError) -> dict[str, Any] | None:
    """The values, those of fields that took no text read as JSON; None where nothing is to be won by that."""
    refused = {str(each["loc"][0]) for each in error.errors(include_url=False, include_context=False, include_input=False) if each["loc"]}
    read: dict[str, Any] = {}
    for name in refused & texts.keys():
        try:
            read[name] = from_json(texts[name], allow_inf_nan=False) if texts[name] else None
        except ValueError:  # it is no JSON either
            return None
    return {**texts, **read} if read else None


def _key_and_value(fields: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Of a change; its key stands as the only field's name, or in a field of its own."""
    named = _named(fields)
    if len(fields) == 2:  # noqa: PLR2004 - a name and a value
        return fields[0], fields[1]
    if _KEY in named and _VALUE in named:
        return named[_KEY], named[_VALUE]
    raise DecodeError("the entry is in none of Debezium's formats: neither one field, nor fields key and value")


def _payload(value: bytes) -> dict[str, Any] | None:
    """A change, without the schema that may stand around it."""
    change = _json(value)
    if isinstance(change, dict) and {"schema", "payload"} <= change.keys():
        change = cast("dict[str, Any]", change)["payload"]
    if change is not None and not (isinstance(change, dict) and "op" in change):
        raise DecodeError("the entry's value is no change of Debezium: no JSON object with an op")
    return cast("dict[str, Any] | None", change)


def _json(text: bytes) -> object:
    """What a text says as JSON; the text itself where it is none."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return text
