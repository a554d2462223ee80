"""How an entry is shown."""

from __future__ import annotations

import json

import orjson

from eventbus.admin import Followed
from eventbus.cli.entries import as_document, as_line
from eventbus.cli.render import seconds, size
from eventbus.observe import escaped_json


def entry(*fields):
    return Followed("1763709419123-0", [field if isinstance(field, bytes) else field.encode() for field in fields])


def event(data='{"a":1}', *more):
    return entry(
        "specversion", "1.0", "id", "e-1", "type", "Thing", "source", "/s", "time", "2026-11-21T07:16:59.123Z", "data", data, *more
    )


def as_json(shown):
    text = escaped_json(orjson.dumps(as_document(shown)))
    assert "\n" not in text
    return json.loads(text)


def test_a_line_has_time_entry_id_type_event_id_key_and_data():
    """In this order; what is not there is a dash."""
    assert as_line(event("{}", "partitionkey", "o-1")) == "2026-11-21T07:16:59.123Z  1763709419123-0  Thing  e-1  o-1  {}"
    assert as_line(event()).split("  ")[4:] == ["-", '{"a":1}']


def test_a_foreign_entry_shows_its_fields():
    """Its time is its entry's; of a name that stands twice the first counts, as for consumers."""
    flat = entry("order_id", "o-1", "total", "9.99", "order_id", "o-2", b"\xff", "raw")
    assert as_line(flat) == r"2025-11-21T07:16:59.123Z  1763709419123-0  -  -  -  order_id=o-1 total=9.99 \xff=raw"
    assert as_json(flat)["fields"] == {"order_id": "o-1", "total": "9.99", r"\xff": "raw"}


def test_a_damaged_envelope_is_shown_with_what_is_wrong():
    """Nothing is hidden for being broken."""
    damaged = entry("specversion", "1.0", "id", "e-1", "type", "Thing", "source", "/s")
    assert as_line(damaged).endswith("id=e-1 type=Thing source=/s  (the entry has no data)")
    assert as_json(damaged)["error"] == "the entry has no data"


def test_json_data_stands_in_the_document_as_it_was_written():
    """A number with many digits stays the same number; line breaks between tokens do not end the line."""
    found = as_json(event('{\n\t"n": 123456789012345678901234567890,\r\n "t": "a\\nb"}', "partitionkey", "k", "traceparent", "00-1"))
    assert found["data"] == {"n": 123456789012345678901234567890, "t": "a\nb"}
    assert (found["key"], found["attributes"], found["version"]) == ("k", {"traceparent": "00-1"}, 1)


def test_data_that_is_no_json_stands_as_text():
    """It is shown all the same."""
    assert as_json(event("not\x1bjson"))["data_text"] == "not\x1bjson"


def test_units_are_for_people():
    """Two units at most."""
    assert [seconds(value) for value in (0.0042, 0.85, 4.21, 119.9, 192, 7200, 200_000)] == [
        "4ms", "850ms", "4.2s", "119.9s", "3m12s", "2h0m", "2d7h",
    ]  # fmt: skip
    assert [size(value) for value in (None, 0, 1023, 1024, 1_500_000, 3 << 40)] == ["-", "0 B", "1023 B", "1.0 KiB", "1.4 MiB", "3.0 TiB"]
