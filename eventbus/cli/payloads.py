"""What `eventbus publish` was given becomes an event, or a sentence that says what is wrong with it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pydantic import ConfigDict, ValidationError

from eventbus.cli.targets import is_target, load
from eventbus.errors import ConfigurationError, EncodeError
from eventbus.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable


def make_event(what: str, data: bytes, *, type_name: str | None) -> Event:
    """Make the event to publish.

    Args:
        what: With `type_name` a topic, else MODULE:CLASS.
        data: JSON, as it was given.
        type_name: The event's type.

    Raises:
        ConfigurationError: The class cannot be imported, the topic or the type is no name.
        EncodeError: The data is not what the class, or JSON, asks for. Never shows a value.
    """
    if type_name is not None:
        return _untyped(what, type_name).model_validate(_object(data))
    if not is_target(what):
        raise ConfigurationError(
            f"{what!r} is no MODULE:CLASS: for a topic add --type, as in: eventbus publish {what} --type OrderCreated '{{…}}'"
        )
    return _validated(load_event_class(what), data)


def load_event_class(target: str) -> type[Event]:
    """Import an event class."""
    found: type[Any] = load(target, type, "app.events:OrderCreated")
    if not issubclass(found, Event):
        raise ConfigurationError(f"{target} is no event: its class does not derive from eventbus.Event")
    return found


def _validated(event_class: type[Event], data: bytes) -> Event:
    _object(data)
    try:
        return event_class.model_validate_json(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        said = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the event'}: {each['msg']}" for each in found)
        raise EncodeError(f"this is no {event_class.__name__}, nothing was published: {said}") from None


def _untyped(topic: str, type_name: str) -> type[Event]:
    """An event class for one topic and type that takes any fields."""

    # Messages about the declaration name the class: let them name the command.
    class publish(Event, topic=topic, type=type_name):  # noqa: N801 - see above
        model_config = ConfigDict(extra="allow")

    return publish


def _object(data: bytes) -> dict[str, Any]:
    """Read a JSON object that can be carried exactly as it stands."""
    try:
        found: object = json.loads(data.decode(), parse_float=_number, parse_constant=_constant, object_pairs_hook=_without_twins)
    except UnicodeDecodeError:
        raise EncodeError("the data is not UTF-8, nothing was published") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise EncodeError(f"the data is not JSON, nothing was published: {error.msg} at {where}") from None
    except RecursionError:
        raise EncodeError("the data is nested too deeply, nothing was published") from None
    if not isinstance(found, dict):
        raise EncodeError("the data is no JSON object, nothing was published: write '{\"name\": value, …}'")
    return cast("dict[str, Any]", found)


def _number(text: str) -> float:
    value = float(text)
    if not Decimal(text) == Decimal(repr(value)):
        raise EncodeError("the data has a number that no double holds exactly, nothing was published: write it as text")
    return value


def _constant(text: str) -> NoReturn:
    raise EncodeError(f"the data has {text}, which is no JSON, nothing was published")


def _without_twins(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise EncodeError("the data names a field twice, nothing was published")
        found[name] = value
    return found
