"""Rules that pydantic does not have: no time without a zone, no number that JSON lacks, nothing unreadable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic_core import core_schema

from eventbus.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NOT_SCHEMAS: Final = frozenset({"metadata", "default", "serialization", "expected", "config", "members"})
"""Keys of a core schema whose values are no schemas, though they may look like some."""

_BY_NAME: Final = frozenset({"fields", "choices"})
"""Keys whose values are schemas by names that the user chose: a field may be called `default`."""

_CLASSES: Final = frozenset({"model", "dataclass", "typed-dict"})
"""Kinds of schemas that stand for a class with fields."""


def _in_utc(moment: datetime) -> datetime:
    # Objects made by model_copy(update=…) and model_construct were never checked.
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


_IN_UTC: Final = core_schema.plain_serializer_function_ser_schema(
    _in_utc, return_schema=core_schema.datetime_schema(), when_used="json-unless-none"
)


def with_zone(schema: Any) -> Any:
    """Copy a core schema so that each datetime in it needs a zone and is written in UTC with `Z`.

    Nested classes are references at that time and are not reached; `check` looks at them. A serializer
    the user gave stays.
    """
    if isinstance(schema, list | tuple):
        copies = [with_zone(each) for each in _items(schema)]
        return tuple(copies) if isinstance(schema, tuple) else copies
    if not isinstance(schema, dict):
        return schema
    part = cast("dict[str, Any]", schema)
    copied = {key: _with_zone_below(key, value) for key, value in part.items()}
    if copied.get("type") == "datetime":
        copied.setdefault("tz_constraint", "aware")
        copied.setdefault("serialization", _IN_UTC)
    return copied


def _with_zone_below(key: str, value: Any) -> Any:
    if key in _BY_NAME and isinstance(value, dict):
        named = cast("dict[str, Any]", value)
        return {name: with_zone(each) for name, each in named.items()}
    return value if key in _NOT_SCHEMAS else with_zone(value)


def _items(several: Any) -> Iterator[Any]:
    """The parts of a list, a tuple or a dict's values, whatever they are."""
    yield from several


def check(name: str, schema: Any, config: Mapping[str, Any]) -> None:
    """Refuse a class that could hold what an event must not hold.

    Args:
        name: The class's name, for the message.
        schema: Its complete core schema, nested classes included.
        config: The class's, which holds for what is no class of its own.

    Raises:
        ConfigurationError: It may hold a time without a zone, or NaN (which a nested class of another
            base writes as null without a word), or a field is written under a name it is not read by.
    """
    for owner, rules, part in _parts(schema, name, config):
        complaint = _complaint(owner, rules, part)
        if complaint:
            raise ConfigurationError(f"{name}: {complaint}")


def _complaint(owner: str, config: Mapping[str, Any], part: dict[str, Any]) -> str | None:
    match part:
        case {"type": "datetime", "tz_constraint": "naive"}:
            return f"{owner} holds a NaiveDatetime, a time that nobody elsewhere can place; annotate AwareDatetime"
        case {"type": "datetime"} if "tz_constraint" not in part:
            return f"{owner} may hold a time without a zone; derive {owner} from eventbus.Value, or annotate AwareDatetime"
        case {"type": "float"} if part.get("allow_inf_nan", config.get("allow_inf_nan", True)):
            return f"{owner} may hold NaN or infinity, which JSON lacks; derive {owner} from eventbus.Value, or annotate FiniteFloat"
        case {"serialization_alias": alias} if alias not in _read_by(part):
            return f"{owner} writes a field as {alias!r} but would not read it; use alias={alias!r} instead of serialization_alias"
        case _:
            return None


def _read_by(field: dict[str, Any]) -> list[Any]:
    alias = field.get("validation_alias")
    return [alias] if isinstance(alias, str) else [path[0] for path in alias or () if len(path) == 1]


def names_in(schema: Any) -> set[str]:
    """All names a class declares for its fields and those of nested classes: what an error may show."""
    found: set[str] = set()
    for _, _, part in _parts(schema, "", {}):
        # A mapping by name in a model, a list of names in a dataclass.
        found.update(each for each in _items(part.get("fields", ())) if isinstance(each, str))
        found.update(alias for alias in _read_by(part) if isinstance(alias, str))
    return found


def _parts(schema: Any, owner: str, config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], dict[str, Any]]]:
    """Walk a schema: each part with the name and the config of the class it belongs to."""
    if isinstance(schema, list | tuple):
        for each in _items(schema):
            yield from _parts(each, owner, config)
    if not isinstance(schema, dict):
        return
    part = cast("dict[str, Any]", schema)
    owner = part["cls"].__name__ if part.get("type") in _CLASSES else owner
    config = part.get("config", config)  # a model always has one; a TypedDict or NamedTuple follows the class around it
    yield owner, config, part
    for key, value in part.items():
        if key in _BY_NAME and isinstance(value, dict):
            yield from _parts([*_items(value.values())], owner, config)
        elif key not in _NOT_SCHEMAS:
            yield from _parts(value, owner, config)
