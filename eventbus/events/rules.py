"""Rules that pydantic does not have: no time without a zone, no number that JSON cannot write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, cast, TYPE_CHECKING

from pydantic_core import core_schema

from eventbus.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_SCHEMAS: Final = frozenset({"metadata", "default", "serialization", "expected", "config", "members"})
"""Keys of a core schema whose values are no schemas."""


def with_zone(schema: Any) -> Any:
    """Copy a core schema so that each datetime in it must have a zone and is written in UTC with `Z`."""
    if isinstance(schema, list | tuple):
        copies = [with_zone(each) for each in _items(schema)]
        return tuple(copies) if isinstance(schema, tuple) else copies
    if not isinstance(schema, dict):
        return schema
    given = cast("dict[str, Any]", schema)
    copied = {key: value if key in _NOT_SCHEMAS else with_zone(value) for key, value in given.items()}
    if copied.get("type") == "datetime":
        copied.setdefault("tz_constraint", "aware")
        copied.setdefault("serialization", _IN_UTC)
    return copied


def _items(several: Any) -> Iterator[Any]:
    """The parts of a list or tuple, whatever they are."""
    yield from several


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


_IN_UTC: Final = core_schema.plain_serializer_function_ser_schema(
    _in_utc, return_schema=core_schema.datetime_schema(), when_used="json-unless-none"
)


def check_nested(name: str, schema: Any) -> None:
    """Refuse parts of an event that could hold what an event itself refuses.

    Args:
        name: The event class's name, for the message.
        schema: Its complete core schema.

    Raises:
        ConfigurationError: A nested class may hold a time without a zone, or NaN (which pydantic would
            write as null without a word).
    """
    for owner, complaint in _loose(schema, name, strict=True):
        raise ConfigurationError(
            f"event {name}: {owner} {complaint}; derive {owner} from eventbus.Value, or annotate the field AwareDatetime or FiniteFloat"
        )


def _loose(schema: Any, owner: str, *, strict: bool) -> Iterator[tuple[str, str]]:
    """Walk a schema; `strict` tells whether the enclosing class refuses NaN."""
    if isinstance(schema, list | tuple):
        for each in _items(schema):
            yield from _loose(each, owner, strict=strict)
    if not isinstance(schema, dict):
        return
    given = cast("dict[str, Any]", schema)
    kind = given.get("type")
    if kind in ("model", "dataclass"):
        owner = given["cls"].__name__
        strict = given.get("config", {}).get("allow_inf_nan") is False
    if kind == "datetime" and given.get("tz_constraint") is None:
        yield owner, "may hold a time without a zone"
    if kind == "float" and not strict and given.get("allow_inf_nan") is not False:
        yield owner, "may hold NaN or infinity"
    for key, value in given.items():
        if key not in _NOT_SCHEMAS:
            yield from _loose(value, owner, strict=strict)
