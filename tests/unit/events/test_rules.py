"""What no event may hold, however it is nested: times without a zone, NaN, what nobody could read again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import pytest
from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    NaiveDatetime,
    PlainSerializer,
    ValidationError,
    create_model,
)
from typing_extensions import TypedDict

from eventbus.errors import ConfigurationError
from eventbus.events import Event, Value, decode, descendants

T = TypeVar("T")
NAIVE = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - that is the point
AWARE = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))


def event_with(kind, default=...):
    """An event class with one field, `x`."""
    return create_model("Happened", __base__=Event, x=(kind, default))


class Place(Value):
    at: datetime
    below: tuple[Place, ...] = ()


class PlainTime(BaseModel):
    at: datetime


class PlainNumber(BaseModel):
    n: float


class PlainButStrict(BaseModel):
    at: AwareDatetime
    n: FiniteFloat


@dataclass
class TimeRecord:
    at: datetime


@dataclass
class NumberRecord:
    n: float


class TimeDict(TypedDict):
    at: datetime


class NumberDict(TypedDict):
    n: float


class NumberTuple(NamedTuple):
    n: float


class Box(Value, Generic[T]):
    inside: T


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        (datetime, lambda at: at),
        (datetime | None, lambda at: at),
        (list[datetime], lambda at: [at]),
        (dict[str, tuple[int, datetime]], lambda at: {"a": (1, at)}),
        (dict[datetime, int], lambda at: {at: 1}),
        (Place, lambda at: {"at": at}),
        (Place, lambda at: {"at": AWARE, "below": [{"at": at}]}),
        (Box[datetime], lambda at: {"inside": at}),
    ],
)
def test_a_time_needs_a_zone_wherever_it_stands(kind, wrap):
    """And is written in UTC with `Z`, which every language reads."""
    happened = event_with(kind)
    assert '"2026-01-01T10:00:00Z"' in happened(x=wrap(AWARE)).model_dump_json()
    with pytest.raises(ValidationError, match="timezone_aware"):
        happened(x=wrap(NAIVE))


def test_a_field_may_have_the_name_of_a_schemas_key():
    """The walk through pydantic's schema must not take a field for something else."""

    class Odd(Event):
        default: datetime
        metadata: datetime
        config: datetime
        serialization: datetime
        expected: datetime
        members: datetime

    names = list(Odd.model_fields)
    for name in names:
        with pytest.raises(ValidationError, match=name):
            Odd(**{**dict.fromkeys(names, AWARE), name: NAIVE})


def test_a_serializer_of_the_users_stays():
    """Whoever wants another format has it."""
    happened = event_with(Annotated[datetime, PlainSerializer(lambda at: at.year)])
    assert happened(x=AWARE).model_dump_json() == '{"x":2026}'


def test_python_values_stay_as_they_were_given():
    """Only what is written is in UTC."""
    event = event_with(datetime)(x=AWARE)
    assert event.x.utcoffset() == timedelta(hours=2)
    assert event.model_dump()["x"] is event.x


@pytest.mark.parametrize("kind", [PlainTime, list[PlainTime], TimeRecord, TimeDict])
def test_a_nested_class_whose_times_need_no_zone_is_refused(kind):
    """Its schema is its own, so the rule cannot be laid over it; the message says what to write."""
    name = "PlainTime" if kind == list[PlainTime] else kind.__name__
    with pytest.raises(
        ConfigurationError, match=f"Happened: {name} may hold a time without a zone; derive {name} from .*Value, or .*AwareDat"
    ):
        event_with(kind)


def test_a_naive_datetime_is_refused():
    """Whoever annotates it asks for what an event cannot hold."""
    with pytest.raises(ConfigurationError, match="Happened holds a NaiveDatetime"):
        event_with(NaiveDatetime)


def test_a_nested_class_that_keeps_the_rules_by_itself_is_fine():
    """By annotation, without our base."""
    happened = event_with(PlainButStrict)
    assert happened(x={"at": AWARE, "n": 1.5}).x.n == 1.5


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        (float, lambda n: n),
        (Decimal, lambda n: n),
        (list[float], lambda n: [n]),
        (Box[float], lambda n: {"inside": n}),
        (NumberDict, lambda n: {"n": n}),
        (NumberTuple, lambda n: (n,)),
        (NumberRecord, lambda n: {"n": n}),
        (JsonValue, lambda n: {"a": [n]}),
    ],
)
def test_numbers_are_finite_wherever_they_stand(kind, wrap, number):
    """JSON has no word for others."""
    happened = event_with(kind)
    happened(x=wrap(1.5))
    with pytest.raises(ValidationError, match="finite"):
        happened(x=wrap(number))


def test_a_nested_class_that_allows_nan_is_refused():
    """Its pydantic would write it as null without a word."""
    with pytest.raises(
        ConfigurationError, match=r"PlainNumber may hold NaN or infinity, .*derive PlainNumber from eventbus.Value, or .*FiniteFloat"
    ):
        event_with(dict[str, PlainNumber])


def test_an_event_that_allows_nan_is_refused():
    """By its config or by a field."""
    with pytest.raises(ConfigurationError, match="Loose may hold NaN"):

        class Loose(Event):
            model_config = ConfigDict(allow_inf_nan=True)
            n: float

    with pytest.raises(ConfigurationError, match="Happened may hold NaN"):
        event_with(Annotated[float, Field(allow_inf_nan=True)])


def test_a_default_keeps_the_rules_too():
    """Checked when it is used; and a default of a kindred type becomes the field's."""
    with pytest.raises(ValidationError, match="timezone_aware"):
        event_with(datetime, NAIVE)()
    with pytest.raises(ValidationError, match="finite"):
        event_with(float, math.nan)()
    assert isinstance(event_with(Decimal, 0)().x, Decimal)


def test_a_field_that_would_be_written_under_another_name_than_it_is_read_by_is_refused():
    """The first entry would be the first that nobody can read."""
    with pytest.raises(ConfigurationError, match="Happened writes a field as 'b' but would not read it; use alias='b'"):
        event_with(Annotated[int, Field(serialization_alias="b")])
    event_with(Annotated[int, Field(serialization_alias="b", validation_alias=AliasChoices("c", "b"))])


def test_unknown_fields_are_refused_when_constructing():
    """A typing error must not vanish."""
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Place(at=AWARE, around=1)


def test_events_are_frozen_and_errors_hide_the_input():
    """In the event and in its parts."""
    event = event_with(Place)(x=Place(at=AWARE))
    with pytest.raises(ValidationError, match="frozen"):
        event.x = None
    with pytest.raises(ValidationError) as wrong:
        event_with(int)(x="4111-1111")
    assert "4111" not in str(wrong.value)


class Pointer(Event, topic="t"):
    to: Target


class Unfinished(Event, topic="t"):
    to: Nowhere  # noqa: F821 - never defined


class Target(BaseModel):
    n: float


def test_a_class_with_forward_references_is_checked_once_they_are_known():
    """When it is first constructed, or when a bus asks for descendants; and it stays refused."""
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="Pointer: Target may hold NaN"):
            descendants(Pointer)


def test_a_reference_that_cannot_be_resolved_is_named_when_a_bus_asks():
    """Otherwise the first entry would be the first to fail."""
    with pytest.raises(ConfigurationError, match="Unfinished refers to a class that is not defined"):
        descendants(Unfinished)


def test_a_late_class_that_breaks_the_rules_is_a_configuration_error_while_decoding_too():
    """It is the program that is wrong, not the entry."""

    class Late(Event, topic="t"):
        to: LateTarget

    class LateTarget(BaseModel):
        at: datetime

    with pytest.raises(ConfigurationError, match="Late: LateTarget may hold a time without a zone"):
        decode(Late, b"{}")


def test_an_any_is_not_looked_into():
    """It says so itself; encoding still finds NaN in it."""
    assert event_with(Any)(x=NAIVE).x == NAIVE
    assert event_with(Any)(x=AWARE).x.tzinfo is not UTC
