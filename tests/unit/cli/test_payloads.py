"""What `eventbus publish` takes for an event."""

from __future__ import annotations

import pytest

from eventbus import ConfigurationError, EncodeError
from eventbus.cli.payloads import make_event
from eventbus.events import encode, info
from tests.support.events import OrderCreated

CREATED = "tests.support.events:OrderCreated"


def carried(event):
    fields = [part.encode() if isinstance(part, str) else part for part in encode(event, source="/test")]
    return fields[fields.index(b"data") + 1]


def test_a_class_is_imported_and_validates():
    """The same event as in code."""
    assert make_event(CREATED, b'{"order_id": "o-1", "total": "1.50"}', type_name=None) == OrderCreated(order_id="o-1", total="1.50")


@pytest.mark.parametrize(
    "data",
    [
        b'{"z":1,"a":[1.5,-0.1,1e3,null,true,{"deep":"\xc3\xa9"}],"n":123456789012345678901234567890}',
        b'{"model_config":1,"model_fields":2,"_private":3,"copy":4,"__class__":5,"":6}',
        b"{}",
    ],
)
def test_any_json_object_goes_to_a_topic_as_it_stands(data):
    """Order of fields, numbers beyond doubles, names that Python uses itself."""
    event = make_event("orders", data, type_name="Thing")
    assert carried(event) == data.replace(b"1e3", b"1000.0")
    assert (info(type(event)).topic.name, info(type(event)).type) == ("orders", "Thing")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"secret", "not JSON"),
        (b'["secret"]', "no JSON object"),
        (b'"secret"', "no JSON object"),
        (b'{"secret": NaN}', "NaN, which is no JSON"),
        (b'{"secret": -Infinity}', "Infinity, which is no JSON"),
        (b'{"secret": 1e999}', "no double holds exactly"),
        (b'{"secret": 0.12345678901234567890}', "no double holds exactly"),
        (b'{"secret": 1, "secret": 2}', "names a field twice"),
        (b'{"secret": "\xff"}', "not UTF-8"),
        (b'{"secret": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
@pytest.mark.parametrize(("what", "type_name"), [("orders", "Thing"), (CREATED, None)])
def test_what_is_no_json_object_is_refused_without_being_shown(what, type_name, data, complaint):
    """What cannot be carried exactly is not carried."""
    with pytest.raises(EncodeError, match=complaint) as caught:
        make_event(what, data, type_name=type_name)
    assert "secret" not in str(caught.value)


def test_a_class_refuses_unknown_missing_and_wrong_fields_all_in_one_sentence():
    """Names of fields are said, values are not."""
    with pytest.raises(EncodeError) as caught:
        make_event(CREATED, b'{"total": "hunter2", "colour": "red"}', type_name=None)
    said = str(caught.value)
    assert all(part in said for part in ("OrderCreated", "order_id: Field required", "total: ", "colour: Extra inputs"))
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("what", "type_name", "complaint"),
    [
        ("orders", None, "add --type, as in: eventbus publish orders --type"),
        ("or ders", "Thing", "topic 'or ders'"),
        ("or{d}ers", "Thing", "leave out braces"),
        ("orders", "two words", "two words"),
        ("tests.support.events:orders", None, "is a function, not a class"),
        ("decimal:Decimal", None, "does not derive from eventbus.Event"),
        ("tests.support.nothing:Event", None, "no module 'tests.support.nothing'"),
    ],
)
def test_what_names_no_place_to_publish_is_refused(what, type_name, complaint):
    """Before anything connects."""
    with pytest.raises(ConfigurationError, match=complaint):
        make_event(what, b"{}", type_name=type_name)
