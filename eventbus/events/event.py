"""`Event`: what a user derives from to say that something happened."""

from __future__ import annotations

import re
import types
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PlainSerializer

from eventbus.errors import ConfigurationError
from eventbus.events.identity import Identity, new_identity
from eventbus.events.rules import check_nested, with_zone
from eventbus.events.topic import Topic

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

BigInt: TypeAlias = Annotated[int, PlainSerializer(str, return_type=str, when_used="json")]
"""An integer of any size, written as a JSON string: JavaScript and many others read JSON numbers as
doubles, which are exact up to 2**53 only. Reads numbers and strings."""

_TYPE: Final = re.compile(r"[!-~]{1,200}")


class Value(BaseModel):
    """Base of the parts of an event: the same rules as for the event itself.

    Frozen; unknown fields are refused when constructing and ignored when reading; no NaN, no infinity;
    datetimes need a zone; errors never show the input.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Build pydantic's schema, with zones required."""
        schema: CoreSchema = with_zone(handler(source))
        return schema


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
    its equality. A copy (`model_copy`, pickle) is another event, with an id of its own.

    Raises:
        ConfigurationError: A class argument is wrong, or a nested class could hold what events refuse.
    """

    __slots__ = ("__eventbus_identity__",)

    __eventbus_info__: ClassVar[EventInfo]
    if TYPE_CHECKING:
        __eventbus_identity__: Identity

    def __init_subclass__(
        cls,
        *,
        topic: str | Topic | None = None,
        type: str | None = None,  # noqa: A002 - the word of CloudEvents
        version: int = 1,
        key: str | None = None,
        **options: Any,
    ) -> None:
        """Leave the class arguments to `__pydantic_init_subclass__`, when the fields are known."""
        super().__init_subclass__(**options)

    @classmethod
    def __pydantic_init_subclass__(
        cls,
        *,
        topic: str | Topic | None = None,
        type: str | None = None,  # noqa: A002 - the word of CloudEvents
        version: int = 1,
        key: str | None = None,
        **options: Any,
    ) -> None:
        """Check the class arguments and keep them."""
        super().__pydantic_init_subclass__(**options)
        above = cls.__eventbus_info__
        cls.__eventbus_info__ = EventInfo(
            topic=above.topic if topic is None else Topic.of(topic),
            type=_check_type(cls, cls.__name__ if type is None else type),
            version=_check_version(cls, version),
            key=above.key if key is None else _check_key(cls, key),
        )
        if cls.__pydantic_complete__:
            check_nested(cls.__name__, cls.__pydantic_core_schema__)


Event.__eventbus_info__ = EventInfo(None, "Event", 1, None)


def _check_type(cls: type[Event], name: object) -> str:
    # A generic model's name has brackets and may have spaces: its own declaration needs a type=.
    if not isinstance(name, str) or not _TYPE.fullmatch(name):
        raise ConfigurationError(f"{cls.__name__}: type {name!r} must be 1 to 200 visible ASCII characters; pass type=")
    return name


def _check_version(cls: type[Event], version: object) -> int:
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ConfigurationError(f"{cls.__name__}: version {version!r} must be a whole number from 1")
    return version


def _check_key(cls: type[Event], key: str) -> str:
    if key not in cls.model_fields:
        raise ConfigurationError(f"{cls.__name__}: key {key!r} is none of its fields: {', '.join(cls.model_fields) or 'it has none'}")
    return key


def info(event_class: type[Event]) -> EventInfo:
    """What an event class declares."""
    return event_class.__eventbus_info__


_identity_lock = Lock()


def identity(event: Event) -> Identity:
    """The event's identity, made at the first call; threads that race for it agree on one."""
    try:
        found: Identity = event.__eventbus_identity__
    except AttributeError:
        with _identity_lock:
            found = getattr(event, "__eventbus_identity__", None) or new_identity()
            adopt(event, found)
    return found


def adopt(event: Event, arrived_as: Identity) -> None:
    """Give a decoded event the identity it arrived with, so that publishing it again keeps it."""
    object.__setattr__(event, "__eventbus_identity__", arrived_as)


def descendants(spec: Any) -> tuple[type[Event], ...]:
    """The concrete classes an event class or a union of them stands for, in the order of definition.

    Raises:
        ConfigurationError: Something in it is no event class.
    """
    found: dict[type[Event], None] = {}
    for each in get_args(spec) if get_origin(spec) in (Union, types.UnionType) else (spec,):
        if not is_event_class(each):
            raise ConfigurationError(f"{each!r} is no event class: subscribe to a class derived from Event, or a union of such")
        found.update(dict.fromkeys(_family(each)))
    return tuple(found)


def is_event_class(value: object) -> bool:
    """Whether it is a class derived from `Event`."""
    return isinstance(value, type) and issubclass(value, Event)


def _family(event_class: type[Event]) -> list[type[Event]]:
    below = [each for child in event_class.__subclasses__() for each in _family(child)]
    return [event_class, *below] if event_class is not Event else below
