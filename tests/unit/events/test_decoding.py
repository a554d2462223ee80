"""From an entry's data to an event."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import datetime

import pytest
from pydantic import AliasChoices, ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from eventbus.errors import DecodeError
from eventbus.events import BigInt, Event, Value, decode


class Line(Value):
    amount: int


class Cart(Event, topic="carts"):
    lines: tuple[Line, ...] = ()
    notes: dict[str, int] = Field(default_factory=dict)
    at: datetime | None = None


class Exact(Event):
    model_config = ConfigDict(strict=True)
    n: BigInt


def test_unknown_fields_are_ignored_wherever_they_stand():
    """A newer publisher may know more."""
    assert decode(Cart, b'{"lines":[{"amount":1,"new":true}],"newer":{"a":1}}') == Cart(lines=(Line(amount=1),))


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b'"text"', b"1", b"\xff\xfe", b'{"a":\xff}', b"{}{}", b"[" * 5000])
def test_what_is_no_json_object_is_a_decode_error(data):
    """Also what is nested deeper than any stack."""
    with pytest.raises(DecodeError, match=r"^Cart cannot be read: data: (json_invalid|model_type)$"):
        decode(Cart, data)


def test_deep_nesting_below_a_field_is_a_decode_error():
    """An ignored field is parsed all the same."""
    with pytest.raises(DecodeError):
        decode(Cart, b'{"new":' + b'{"a":' * 5000 + b"1" + b"}" * 5001)


def test_the_error_says_where_and_what_but_never_shows_values_or_keys_of_the_data():
    """Neither in its text nor in its traceback."""
    data = b'{"lines":[{"amount":1},{"amount":"secret"}],"notes":{"secret":"secret"},"at":"2026-01-01T00:00:00"}'
    with pytest.raises(DecodeError) as refused:
        decode(Cart, data)
    assert str(refused.value) == "Cart cannot be read: lines.1.amount: int_parsing, notes.…: int_parsing, at: timezone_aware"
    assert "secret" not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None


@dataclass
class Weight:
    grams: int


class Size(TypedDict):
    width: int


class Parcel(Event):
    weight: Weight
    size: Size
    goes_to: int = Field(validation_alias=AliasChoices("goesTo", "to"))


def test_the_error_names_fields_of_every_kind_of_class_and_their_aliases():
    """Dataclasses, TypedDicts; what the publisher calls a field is a declared name too."""
    with pytest.raises(DecodeError, match=r"read: weight.grams: int_parsing, size.width: int_parsing, goesTo: int_parsing$"):
        decode(Parcel, b'{"weight":{"grams":"x"},"size":{"width":"x"},"goesTo":"x"}')


def test_the_error_names_the_first_five_mistakes():
    """An entry may have thousands."""
    with pytest.raises(DecodeError, match=r"lines.4: model_type and 95 more$"):
        decode(Cart, b'{"lines":[' + b",".join([b"1"] * 100) + b"]}")


def test_whatever_a_validator_raises_is_a_decode_error():
    """An entry must not stop the loop that reads it."""

    class Picky(Event):
        n: int

        @field_validator("n")
        @classmethod
        def check(cls, n):
            raise {"1": KeyError, "2": ZeroDivisionError}[str(n)]("secret")

    for n, name in ((1, "KeyError"), (2, "ZeroDivisionError")):
        with pytest.raises(DecodeError, match=f"^Picky cannot be read: {name}$"):
            decode(Picky, b'{"n":%d}' % n)


@pytest.mark.parametrize("written", [b"%d", b'"%d"'])
@pytest.mark.parametrize("number", [5, 2**53 + 1, 2**63, -(2**90)])
def test_a_big_integer_is_read_as_text_and_as_number(written, number):
    """Also by a strict class: the text is how we write it."""
    assert decode(Exact, b'{"n":' + written % number + b"}").n == number


def test_a_field_is_read_by_its_alias_and_by_its_name():
    """Publishers from before the alias was given are still understood."""

    class Aliased(Event):
        order_id: str = Field(alias="orderId")

    assert decode(Aliased, b'{"orderId":"1"}') == decode(Aliased, b'{"order_id":"1"}') == Aliased(orderId="1")
