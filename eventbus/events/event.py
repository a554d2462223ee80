"""`Event`: what a user derives from to say that something happened."""

from __future__ import annotations

import os
import types
from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PlainSerializer, Strict

from eventbus.errors import ConfigurationError
from eventbus.events.identity import Identity, new_identity
from eventbus.events.rules import check, with_zone
from eventbus.events.topic import Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic_core import CoreSchema

BigInt: TypeAlias = Annotated[int, Strict(strict=False), PlainSerializer(str, return_type=str, when_used="json")]
"""An integer of any size, written as a JSON string: JavaScript and many others read JSON numbers as
doubles, which are exact up to 2**53 only. Reads strings and numbers."""

LONGEST_TYPE: Final = 200
"""Bytes of the longest type."""

HIGHEST_VERSION: Final = 999_999_999
"""A version that every language reads as a 32-bit integer."""


class Value(BaseModel):
    """Base of the parts of an event: the same rules as for the event itself.

    Frozen; unknown fields are refused when constructing and ignored when reading; no NaN, no infinity;
    datetimes need a zone and are written in UTC with `Z`; errors never show the input. What a field of
    type `Any` holds is only checked for NaN, and that when it is published.

    Raises:
        ConfigurationError: When the class is defined: a nested class of another base could hold what an
            event refuses, or a field would be written under a name that it is not read by.
    """

    # validate_default: `total: Decimal = 0` shall be a Decimal too, and a default of NaN is as wrong as any.
    # ser_json_inf_nan: what slips in unchecked (Any, model_copy) must be seen by `encode`, not become null.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_default=True,
        ser_json_inf_nan="constants",
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler, /) -> CoreSchema:
        schema: CoreSchema = with_zone(handler(source))
        return schema

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        super().__pydantic_on_complete__()
        try:
            check(cls.__name__, cls.__pydantic_core_schema__, cls.model_config)
        except ConfigurationError:
            cls.__pydantic_complete__ = False  # so that it is refused again, wherever somebody needs it complete
            raise


@dataclass(frozen=True, slots=True)
class EventInfo:
    """What an event class declares.

    Attributes:
        topic: Where its events go; None for an abstract class.
        type: The name of the type on the wire.
        version: The version of its data.
        key: The field whose value orders events among each other, or None.
    """

    topic: Topic | None
    type: str
    version: int
    key: str | None


class Event(Value):
    """Something that happened, as an immutable pydantic model.

    Derive from it, and say in the class's arguments where such events go:

        class OrderCreated(Event, topic="orders", key="order_id"):
            order_id: str
            total: Decimal

    Class arguments:
        topic: A name or a `Topic`; inherited. A class without one is abstract: a base to subscribe to.
        type: The type's name on the wire. Default the class's name; not inherited.
        version: A whole number from 1, raised when the data changes. Default 1; not inherited.
        key: The field whose value orders events; inherited.

    The event's id is made when it is first published and stays with the object, outside its fields and
    its equality. A copy (`model_copy`, `copy`, pickle) is another event, with an id of its own.

    Raises:
        ConfigurationError: When the class is defined: a class argument is wrong, or as for `Value`.
    """

    __slots__ = ("__eventbus_identity__",)

    __eventbus_info__: ClassVar[EventInfo] = EventInfo(None, "Event", 1, None)

    def __init_subclass__(
        cls,
        *,
        topic: str | Topic | None = None,
        type: str | None = None,  # noqa: A002 - CloudEvents' word, and the reader's
        version: int = 1,
        key: str | None = None,
        **options: Any,
    ) -> None:
        # For type checkers; __pydantic_init_subclass__ gets them again, when the fields are known.
        super().__init_subclass__(**options)

    @classmethod
    def __pydantic_init_subclass__(
        cls,
        *,
        topic: str | Topic | None = None,
        type: str | None = None,  # noqa: A002 - CloudEvents' word, and the reader's
        version: int = 1,
        key: str | None = None,
        **options: Any,
    ) -> None:
        super().__pydantic_init_subclass__(**options)
        cls.__eventbus_info__ = _declared(cls, topic, type, version, key)


def _declared(cls: type[Event], topic: str | Topic | None, name: str | None, version: int, key: str | None) -> EventInfo:
    above = info(cls)  # not yet its own: what it inherits
    generic = cls.__pydantic_generic_metadata__["origin"]
    if generic is not None:
        # Changed[int] is declared by pydantic, not by the user: all of Changed, and the parameters tell the types apart.
        parameters = "".join(cls.__name__.removeprefix(generic.__name__).split())
        return replace(above, type=_checked_type(cls, above.type + parameters))
    return EventInfo(
        topic=above.topic if topic is None else Topic.of(topic),
        type=_checked_type(cls, cls.__name__ if name is None else name),
        version=_checked_version(cls, version),
        key=above.key if key is None else _checked_key(cls, key),
    )


def _checked_type(cls: type[Event], name: Any) -> str:
    if not isinstance(name, str) or not name or not name.isprintable() or " " in name or len(name.encode()) > LONGEST_TYPE:
        raise ConfigurationError(
            f"{cls.__name__}: type={name!r}: give a text of visible characters, without spaces, up to {LONGEST_TYPE} bytes"
        )
    return name


def _checked_version(cls: type[Event], version: Any) -> int:
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= HIGHEST_VERSION:
        raise ConfigurationError(f"{cls.__name__}: version={version!r}: give a whole number from 1 to {HIGHEST_VERSION}")
    return version


def _checked_key(cls: type[Event], key: Any) -> str:
    fields = list(cls.model_fields)
    if key not in fields:
        raise ConfigurationError(f"{cls.__name__}: key={key!r} is none of its fields: {', '.join(fields) or 'it has none'}")
    return str(key)


def info(event_class: type[Event]) -> EventInfo:
    """Return what an event class declares."""
    return event_class.__eventbus_info__


# Of the slot itself: pydantic's __getattr__ takes 2 µs to say that there is none, which is so at every first publish.
_slot: Final = Event.__dict__["__eventbus_identity__"]
_kept: Final[Callable[[Event], Identity]] = _slot.__get__
_keep: Final[Callable[[Event, Identity], None]] = _slot.__set__
_identity_lock = RLock()  # the garbage collector may run while it is held, and with it a finalizer that publishes


def _renew_lock() -> None:
    global _identity_lock  # noqa: PLW0603 - whichever thread of the parent held it does not live in the child
    _identity_lock = RLock()


os.register_at_fork(after_in_child=_renew_lock)


def identity(event: Event) -> Identity:
    """Return the event's identity, made at the first call; threads that race for it agree on one."""
    with _identity_lock:
        try:
            return _kept(event)
        except AttributeError:
            made = new_identity()
            _keep(event, made)
            return made


def adopt(event: Event, arrived_as: Identity) -> None:
    """Give a decoded event the identity it arrived with, so that publishing it again keeps it."""
    _keep(event, arrived_as)


def descendants(spec: Any) -> tuple[type[Event], ...]:
    """Return the classes that an event class, or a union of them, stands for: itself and all below it.

    Abstract classes are left out where something concrete is below them; one that stands alone is
    returned, so that nobody subscribes to nothing unnoticed. The order is stable: as written in the union, each
    class before those derived from it, those in order of definition. Classes are completed: forward
    references must be resolvable by now.

    Raises:
        ConfigurationError: Something in it is no event class, or refers to a class that is not defined.
    """
    found: dict[type[Event], None] = {}
    for each in get_args(spec) if get_origin(spec) in (Union, types.UnionType) else (spec,):
        if not is_event_class(each):
            raise ConfigurationError(f"{each!r} is no event class: subscribe to a class derived from Event, or a union of such")
        concrete = [below for below in _family(each) if info(below).topic is not None]
        found.update(dict.fromkeys(concrete or [each]))
    for event_class in found:
        _complete(event_class)
    return tuple(found)


def is_event_class(value: object) -> bool:
    """Whether it is `Event` or a class derived from it."""
    return isinstance(value, type) and issubclass(value, Event)


def _family(event_class: type[Event]) -> Iterator[type[Event]]:
    if "__eventbus_info__" in vars(event_class):  # else its declaration failed, and it waits for the garbage collector
        yield event_class
        for child in event_class.__subclasses__():
            yield from _family(child)


def _complete(event_class: type[Event]) -> None:
    if not event_class.__pydantic_complete__ and not event_class.model_rebuild(raise_errors=False):
        raise ConfigurationError(
            f"{event_class.__name__} refers to a class that is not defined; define or import it in the module of {event_class.__name__}"
        )
