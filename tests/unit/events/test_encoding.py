"""From an event to the fields of an entry."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from pydantic import Field, create_model, field_serializer

from eventbus.errors import EncodeError, EventTooLarge
from eventbus.events import BigInt, Event, Identity, adopt, encode, identity
from tests.support.events import OrderCreated

ORDER = OrderCreated(order_id="o-42", total=Decimal("9.99"))


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - what nobody checked


class Color(Enum):
    RED = "red"


def fields_of(event, **options):
    """The entry as pairs of texts."""
    flat = [part.decode() for part in encode(event, source="/billing", **options)]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def event_with(kind, value, **arguments):
    """An event with one field, `x`."""
    return create_model("Happened", __base__=Event, __cls_kwargs__=arguments, x=(kind, ...))(x=value)


def test_an_entry_begins_with_six_attributes_in_a_fixed_order():
    """Redis stores names once that stand in the same order as their neighbours'; the reader's fast path counts on it."""
    made = identity(ORDER)
    assert list(fields_of(ORDER).items()) == [
        ("specversion", "1.0"),
        ("id", made.id),
        ("type", "OrderCreated"),
        ("source", "/billing"),
        ("time", made.time),
        ("data", '{"order_id":"o-42","total":"9.99"}'),
        ("partitionkey", "o-42"),
    ]


def test_further_attributes_follow_in_a_fixed_order_whatever_order_they_were_given_in():
    """Those with a place of their own first, the others by name."""

    class Happened(Event, topic="t", key="n", version=2):
        n: int

    headers = {"zone": "eu", "causationid": "c", "tracestate": "s", "a1": "1", "traceparent": "p", "correlationid": "r"}
    names = ["partitionkey", "dataversion", "traceparent", "tracestate", "correlationid", "causationid", "a1", "zone"]
    found = fields_of(Happened(n=7), headers=headers)
    assert list(found)[6:] == names
    assert {name: found[name] for name in names} == {**headers, "partitionkey": "7", "dataversion": "2"}


def test_encoding_twice_gives_the_same_entry():
    """All tries of one publish carry one id."""
    assert encode(ORDER, source="/a") == encode(ORDER, source="/a")


def test_an_adopted_event_keeps_its_id_and_a_time_that_it_never_had_is_not_made_up():
    """`time` is optional in CloudEvents."""
    event = OrderCreated(order_id="o-1")
    adopt(event, Identity("abc", ""))
    found = fields_of(event)
    assert found["id"] == "abc"
    assert "time" not in found


@pytest.mark.parametrize(
    ("kind", "value", "key"), [(str, "ü 1", "ü 1"), (int, 7, "7"), (Color, Color.RED, "red"), (Decimal, Decimal("1.50"), "1.50")]
)
def test_the_key_is_the_fields_value_as_text(kind, value, key):
    """An enum's value, not its Python name."""
    assert fields_of(event_with(kind, value, key="x"))["partitionkey"] == key


@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_key_is_no_key(value):
    """CloudEvents has no empty attributes."""
    assert "partitionkey" not in fields_of(event_with(str | None, value, key="x"))


def test_a_key_with_control_characters_is_refused_without_showing_it():
    """No attribute may hold them."""
    with pytest.raises(EncodeError, match="Happened: its key 'x' has control characters") as refused:
        fields_of(event_with(str, "secret\n", key="x"))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "Trace", "trace-id", "trace_id", "ü", "a" * 65, "a b", "\ud800", 5, b"a"])
def test_a_header_is_named_as_a_cloudevents_attribute(name):
    """Lower-case letters and digits."""
    with pytest.raises(EncodeError, match=r"header .*: as a CloudEvents attribute, a name is made of 1 to 64 of a-z and 0-9; rename it"):
        encode(ORDER, source="/a", headers={name: "1"})


@pytest.mark.parametrize(
    "name",
    [
        "eb",
        "ebattempts",
        "specversion",
        "id",
        "type",
        "source",
        "time",
        "data",
        "datacontenttype",
        "dataschema",
        "subject",
        "partitionkey",
        "dataversion",
    ],
)
def test_a_header_that_is_ours_is_refused(name):
    """What the event itself says, and the delivery state."""
    with pytest.raises(EncodeError, match=f"header '{name}' is made by eventbus itself"):
        encode(ORDER, source="/a", headers={name: "1"})


@pytest.mark.parametrize("value", ["", "secret\n", "secret\x00", "secret\x85", "secret\ud800", 5, b"secret", None])
def test_a_headers_value_is_a_text_without_control_characters(value):
    """The message does not show it."""
    with pytest.raises(EncodeError, match="header 'tenant': its value must be a str, not empty, without control characters") as refused:
        encode(ORDER, source="/a", headers={"tenant": value})
    assert "secret" not in str(refused.value)


def test_the_limit_counts_every_byte_of_names_and_values():
    """At the limit is allowed; one less is not; the message says both numbers and nothing of the content."""
    size = sum(map(len, encode(ORDER, source="/a", headers={"tenant": "ü"})))
    encode(ORDER, source="/a", headers={"tenant": "ü"}, max_bytes=size)
    with pytest.raises(EventTooLarge, match=f"OrderCreated .* makes an entry of {size} bytes, and the limit is {size - 1};") as refused:
        encode(ORDER, source="/a", headers={"tenant": "ü"}, max_bytes=size - 1)
    assert "o-42" not in str(refused.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_that_slipped_in_is_found_before_it_is_written(value):
    """Through an Any, or a copy that nobody checked. Written as null, nobody could read the event again."""
    for event in (event_with(Any, {"a": [value]}), event_with(float, 1.0).model_copy(update={"x": value})):
        with pytest.raises(EncodeError, match="Happened cannot be written as JSON"):
            encode(event, source="/a")


def test_a_text_that_says_nan_is_a_text():
    """The quick look at the bytes is not the last word."""
    assert fields_of(event_with(str, "NaN, -Infinity"))["data"] == '{"x":"NaN, -Infinity"}'


@pytest.mark.parametrize(
    ("kind", "first", "then"),
    [(int, 1, "secret"), (Decimal, Decimal(1), "secret"), (datetime, datetime(2026, 1, 1, tzinfo=UTC), NAIVE)],
)
def test_values_that_nobody_checked_are_refused_when_they_are_not_their_fields(kind, first, then):
    """model_copy(update=…) and model_construct check nothing; readers would refuse the event. No value is shown."""
    event = event_with(kind, first).model_copy(update={"x": then})
    with pytest.raises(EncodeError, match=r"model_copy and model_construct do not check") as refused:
        encode(event, source="/a")
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_serializer_that_fails_is_an_encode_error():
    """Whatever it raises."""

    class Happened(Event):
        n: int

        @field_serializer("n")
        def write(self, n):
            raise KeyError(n)

    with pytest.raises(EncodeError, match="Happened cannot be written as JSON"):
        encode(Happened(n=1), source="/a")


def test_a_text_that_utf_8_cannot_hold_is_refused():
    """Half a surrogate pair, as broken JSON brings it."""
    with pytest.raises(EncodeError, match="Happened cannot be written as JSON"):
        encode(event_with(Any, "\ud800"), source="/a")


def test_a_big_integer_is_written_as_text():
    """JavaScript reads JSON numbers as doubles: exact up to 2**53 only."""
    assert fields_of(event_with(BigInt, 2**90))["data"] == f'{{"x":"{2**90}"}}'
    assert event_with(BigInt, 5).model_dump() == {"x": 5}


def test_an_alias_is_what_is_written():
    """Whoever names a field for another language wants it on the wire."""
    happened = create_model("Happened", __base__=Event, order_id=(str, Field(alias="orderId")))
    assert fields_of(happened(orderId="1"))["data"] == '{"orderId":"1"}'
