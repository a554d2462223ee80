"""Entries of other programs: how each reader makes an event of them, and what it refuses."""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any, Literal

import pytest
from pydantic import AliasPath, ConfigDict, Field

from eventbus.errors import ConfigurationError, DecodeError
from eventbus.events import Debezium, Event, Flat, ForeignReader, JsonField, Value, read_foreign, readers_of
from tests.support.events import OrderCreated, OrderPaid


class Colour(IntEnum):
    RED = 1


class Line(Value):
    sku: str
    count: int = 1


class Sale(Event):
    number: int = 0
    maybe: int | None = None
    paid: bool = False
    price: Decimal = Decimal(0)
    share: float = 0.0
    at: datetime | None = None
    colour: Colour | None = None
    kind: Literal[1, 2, "big"] = 1
    note: str = "none"
    tags: list[str] = Field(default_factory=list, alias="Tags")
    lines: tuple[Line, ...] = ()
    sizes: dict[str, int] | None = None
    first: Line | None = None
    any: Any = None


def entry(**texts):
    return [part.encode() for pair in texts.items() for part in pair]


def flat(**texts):
    return Flat(Sale).read(entry(**texts)).model_dump(exclude_unset=True)


# -- flat


def test_a_flat_entry_is_a_tutorials_dict():
    """Values are texts, converted by the class; what it does not know is ignored."""
    fields = [b"order_id", b"ord_123", b"total", b"99.99", b"other", b"ignored"]
    assert Flat(OrderCreated).read(fields) == OrderCreated(order_id="ord_123", total=Decimal("99.99"))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("number", "42", 42),
        ("number", "-1", -1),
        ("number", str(2**70), 2**70),
        ("price", "99.99", Decimal("99.99")),
        ("price", "0.10", Decimal("0.10")),
        ("share", "1e3", 1000.0),
        ("paid", "True", True),
        ("paid", "0", False),
        ("at", "2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("at", "1767225600", datetime(2026, 1, 1, tzinfo=UTC)),
        ("colour", "1", Colour.RED),
        ("kind", "2", 2),
        ("kind", "big", "big"),
        ("note", "", ""),
        ("note", '["a"]', '["a"]'),
        ("any", "[1]", "[1]"),
        ("maybe", "7", 7),
        ("maybe", "", None),
        ("maybe", "null", None),
        ("at", "", None),
        ("sizes", "", None),
        ("tags", '["a", "b"]', ["a", "b"]),
        ("Tags", '["a", "b"]', ["a", "b"]),
        ("lines", '[{"sku": "a", "count": "2"}, {"sku": "b", "new": 1}]', ({"sku": "a", "count": 2}, {"sku": "b"})),
        ("sizes", '{"a": 1}', {"a": 1}),
        ("first", '{"sku": "a"}', {"sku": "a"}),
    ],
)
def test_a_flat_value_is_read_as_its_fields_type(name, text, value):
    """As text where that will do, else as JSON; an empty text is null for what takes no text."""
    assert flat(**{name: text}) == {name.lower(): value}


def test_texts_and_json_stand_side_by_side():
    """One field that holds a list changes nothing for the others."""
    assert flat(number="5", price="1.10", tags="[]", maybe="", note="[") == {
        "number": 5,
        "price": Decimal("1.10"),
        "tags": [],
        "maybe": None,
        "note": "[",
    }


def test_a_strict_class_is_read_from_texts_as_well():
    """Texts are all there is."""

    class Exact(Event):
        model_config = ConfigDict(strict=True)
        n: int

    assert Flat(Exact).read([b"n", b"5"]).n == 5


def test_of_a_flat_name_that_stands_twice_the_first_counts():
    """As in an envelope."""
    assert Flat(OrderCreated).read([b"order_id", b"1", b"order_id", b"2"]).order_id == "1"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"number": "secret"}, "number: int_parsing"),
        ({"number": ""}, "number: int_type"),
        ({"number": "1.5"}, "number: int_from_float"),
        ({"price": "secret"}, "price: decimal_parsing"),
        ({"price": "NaN"}, "price: finite_number"),
        ({"share": "inf"}, "share: finite_number"),
        ({"at": "2026-01-01T00:00:00"}, "at: timezone_aware"),
        ({"tags": "secret"}, "tags: list_type"),
        ({"tags": "{}"}, "tags: list_type"),
        ({"lines": '[{"sku": "a", "count": "secret"}]'}, "lines.0.count: int_parsing"),
        ({"lines": "[" * 5000}, "lines: tuple_type"),
        ({"sizes": '{"secret": NaN}'}, "sizes: dict_type"),
    ],
)
def test_a_flat_value_that_does_not_fit_is_a_decode_error(fields, reason):
    """It says which field is wrong and how, and never what stands in it."""
    with pytest.raises(DecodeError, match=f"^Sale cannot be read: {reason}$") as refused:
        flat(**fields)
    assert "secret" not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([b"total", b"1"], "OrderCreated cannot be read: order_id: missing"),
        ([b"order_id", b"\xff"], "OrderCreated cannot be read: UnicodeDecodeError"),
        ([b"\xff", b"1"], "OrderCreated cannot be read: UnicodeDecodeError"),
        ([], "OrderCreated cannot be read: order_id: missing"),
        ([b"order_id"], "the entry's last field has no value"),
    ],
)
def test_a_flat_entry_that_is_no_such_event_is_a_decode_error(fields, reason):
    """Whatever is wrong with it."""
    with pytest.raises(DecodeError, match=f"^{reason}$"):
        Flat(OrderCreated).read(fields)


# -- one field of JSON


def test_a_json_field_holds_the_whole_event():
    """The others are not looked at, whatever they are."""
    reader = JsonField(OrderCreated, "payload")
    fields = [b"\xff", b"\xff", b"payload", b'{"order_id":"1","total":"9.99"}', b"payload", b"{}"]
    assert reader.read(fields) == OrderCreated(order_id="1", total=Decimal("9.99"))
    assert JsonField(OrderCreated, field="größe").read(["größe".encode(), b'{"order_id":"1"}']).order_id == "1"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([b"data", b"{}"], "the entry has no field 'payload'"),
        ([b"payload", b""], "OrderCreated cannot be read: data: json_invalid"),
        ([b"payload", b"[]"], "OrderCreated cannot be read: data: model_type"),
        ([b"payload", b'{"order_id":"\xff"}'], "OrderCreated cannot be read: data: json_invalid"),
        ([b"payload"], "the entry's last field has no value"),
    ],
)
def test_a_field_that_holds_no_such_json_is_a_decode_error(fields, reason):
    """As an envelope's data."""
    with pytest.raises(DecodeError, match=f"^{reason}$"):
        JsonField(OrderCreated, "payload").read(fields)


# -- Debezium


class Customer(Value):
    id: int
    email: str | None = None


class CustomerChanged(Event):
    op: Literal["c", "r", "u", "d"]
    before: Customer | None = None
    after: Customer | None = None
    ts_ms: int | None = None


KEY = {"id": 1004}
ANNE = {"id": 1004, "email": "anne@example.com"}
SOURCE = {"connector": "postgresql", "db": "postgres", "table": "customers", "lsn": 36512312, "sequence": '[null,"36512312"]'}


def change(op, before=None, after=None):
    return {"before": before, "after": after, "source": SOURCE, "op": op, "ts_ms": 1767225600000, "transaction": None}


def compact(value, key=KEY):
    return [json.dumps(key).encode(), value if isinstance(value, bytes) else json.dumps(value).encode()]


def extended(value, key=KEY):
    name, text = compact(value, key)
    return [b"key", name, b"value", text, b"HEADERKEY", b"whatever"]


def with_schema(payload):
    return {"schema": {"type": "struct", "fields": [], "optional": False}, "payload": payload}


@pytest.mark.parametrize("layout", [compact, extended])
@pytest.mark.parametrize("wrap", [dict, with_schema])
@pytest.mark.parametrize(
    ("op", "before", "after"), [("c", None, ANNE), ("r", None, ANNE), ("u", ANNE, {**ANNE, "email": "a@b.c"}), ("d", ANNE, None)]
)
def test_a_change_of_a_row_says_what_happened_to_it(layout, wrap, op, before, after):
    """In both of Debezium's formats, with the schema around it and without."""
    found = Debezium(CustomerChanged).read(layout(wrap(change(op, before, after))))
    assert found == CustomerChanged(op=op, before=before, after=after, ts_ms=1767225600000)


def test_a_row_may_have_columns_of_any_name():
    """What looks like a schema inside of a change is none."""

    class Changed(Event):
        op: str
        after: dict[str, Any] | None

    row = {"schema": 1, "payload": 2, "op": "x", "big": 2**70}
    assert Debezium(Changed).read(compact(change("c", None, row))).after == row
    assert Debezium(Changed).read(compact({**change("c"), "payload": 1})).op == "c"


def test_a_class_that_would_take_nothing_of_a_change_is_told():
    """With defaults for all of its fields every change would be handled as nothing at all. A row that stands alone has no such parts."""

    class Row(Event):
        id: int | None = None

    class Renamed(Event):
        row: dict[str, Any] = Field(alias="after")

    class Picked(Event):
        email: str = Field(validation_alias=AliasPath("after", "email"))

    with pytest.raises(DecodeError, match="Row declares neither op nor before nor after"):
        Debezium(Row).read(compact(change("c", None, ANNE)))
    assert Debezium(Row).read(compact({"id": 7, "op": "sale"})) == Row(id=7)
    assert Debezium(Renamed).read(compact(change("c", None, ANNE))).row == ANNE
    assert Debezium(Picked).read(compact(change("c", None, ANNE))).email == ANNE["email"]


@pytest.mark.parametrize("layout", [compact, extended])
@pytest.mark.parametrize("value", [b"default", b"null", json.dumps(with_schema(None)).encode()])
def test_a_tombstone_says_nothing(layout, value):
    """The deletion stands before it."""
    assert Debezium(CustomerChanged).read(layout(value)) is None


def test_a_tombstone_may_be_written_otherwise():
    """Debezium has a setting for it."""
    reader = Debezium(CustomerChanged, null_value="gone")
    assert reader.read(compact(b"gone")) is None
    with pytest.raises(DecodeError, match="no change of Debezium"):
        reader.read(compact(b"default"))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], "in none of Debezium's formats"),
        ([b"key", b"{}", b"other", b"{}"], "in none of Debezium's formats"),
        ([b"value"], "last field has no value"),
        ([b"order_id", b"default"], "no tombstone of Debezium"),
        ([b"order_id", b"null"], "no tombstone of Debezium"),
        ([b"key", b"1", b"value", b"default"], "no tombstone of Debezium"),
        (compact(b"{"), "no change of Debezium: no JSON object with an op"),
        (compact(b"[" * 5000), "no change of Debezium"),
        (compact([1]), "no change of Debezium"),
        (compact({"id": 1}), "no change of Debezium"),
        (compact(with_schema("text")), "no change of Debezium"),
        (compact(change("t")), "CustomerChanged cannot be read: op: literal_error"),
        (compact(change("c", None, {"id": "secret"})), "CustomerChanged cannot be read: after.id: int_parsing"),
        (compact(b'{"op":"c","ts_ms":NaN}'), "no change of Debezium"),
        (compact(b'{"op":"\xff"}'), "no change of Debezium"),
    ],
)
def test_what_is_no_change_is_a_decode_error(fields, reason):
    """Without a value in its text."""
    with pytest.raises(DecodeError, match=reason) as refused:
        Debezium(CustomerChanged).read(fields)
    assert "secret" not in "".join(traceback.format_exception(refused.value))


# -- several, and readers of one's own


def test_of_several_readers_the_first_that_can_read_an_entry_does():
    """So that one stream may hold several layouts."""
    readers = readers_of([Debezium(CustomerChanged), JsonField(OrderCreated, "payload"), Flat(OrderCreated)])
    debezium, json_field, plain = readers
    assert read_foreign(readers, compact(change("c", None, ANNE)))[0] is debezium
    assert read_foreign(readers, compact(b"default")) == (debezium, None)
    assert read_foreign(readers, [b"payload", b'{"order_id":"1"}'])[0] is json_field
    assert read_foreign(readers, [b"order_id", b"1"]) == (plain, OrderCreated(order_id="1"))
    assert read_foreign(readers, [b"order_id", b"default"]) == (plain, OrderCreated(order_id="default"))


def test_where_none_can_the_error_says_why_of_each():
    """In their order."""
    with pytest.raises(DecodeError, match="^the entry has no field 'payload'; OrderCreated cannot be read: order_id: missing$"):
        read_foreign([JsonField(OrderCreated, "payload"), Flat(OrderCreated)], [b"total", b"1"])


def test_a_reader_of_ones_own_may_raise_anything():
    """It costs that entry only, and shows nothing of it."""

    class Mine(ForeignReader):
        def read(self, fields):
            return OrderCreated(order_id={b"a": "1"}[fields[0]])

    assert read_foreign([Mine(OrderCreated)], [b"a", b""])[1] == OrderCreated(order_id="1")
    with pytest.raises(DecodeError, match=r"^Mine\(OrderPaid\) made a OrderCreated of it$"):
        read_foreign([Mine(OrderPaid)], [b"a", b""])
    with pytest.raises(DecodeError, match=r"^Mine\(OrderCreated\) failed: KeyError$") as refused:
        read_foreign([Mine(OrderCreated)], [b"secret", b""])
    assert refused.value.__context__ is None


@pytest.mark.parametrize("wrong", [None, dict, "OrderCreated", OrderCreated(order_id="1"), Line])
@pytest.mark.parametrize("reader", [Flat, Debezium, lambda wrong: JsonField(wrong, "data")])
def test_a_reader_wants_an_event_class(wrong, reader):
    """Said where it is written."""
    with pytest.raises(ConfigurationError, match=r"\(.*\): give a class derived from Event"):
        reader(wrong)


@pytest.mark.parametrize("wrong", [None, "", b"data", 5])
def test_a_field_and_a_null_value_are_texts(wrong):
    """The same."""
    with pytest.raises(ConfigurationError, match=r"^JsonField\(OrderCreated\): field=.*: name the entry's field"):
        JsonField(OrderCreated, wrong)
    with pytest.raises(ConfigurationError, match=r"^Debezium\(OrderCreated\): null_value=.*: give Debezium's"):
        Debezium(OrderCreated, null_value=wrong)


def test_readers_are_one_or_several():
    """Kept in their order; nothing is nothing."""
    one, two = Flat(OrderCreated), JsonField(OrderCreated, "data")
    assert readers_of(None) == ()
    assert readers_of(one) == (one,)
    assert readers_of([two, one]) == readers_of((two, one)) == (two, one)


@pytest.mark.parametrize("wrong", [[], (), OrderCreated, True, "Flat", [Flat(OrderCreated), None], {Flat(OrderCreated)}])
def test_anything_else_is_no_reader(wrong):
    """Said with what to write."""
    with pytest.raises(ConfigurationError, match=r"foreign=.*: give a Flat\(EventClass\), a JsonField"):
        readers_of(wrong)


def test_a_reader_that_does_not_say_how_to_read_cannot_be_made():
    """Else it would be found out by a dead letter for every entry."""

    class Forgetful(ForeignReader):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Forgetful(OrderCreated)
