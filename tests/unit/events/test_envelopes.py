"""From an entry's fields to checked attributes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from eventbus.errors import DecodeError
from eventbus.events import Envelope, Identity

ENTRY = {
    "specversion": "1.0",
    "id": "abc",
    "type": "OrderCreated",
    "source": "/billing",
    "time": "2026-11-21T07:16:59.123Z",
    "data": "{}",
    "partitionkey": "o-42",
    "dataversion": "2",
    "traceparent": "00-1",
    "tracestate": "s",
    "correlationid": "r",
    "causationid": "c",
    "tenant": "ü",
    "ebattempts": "3",
    "subject": "s",
}
REQUIRED = dict(list(ENTRY.items())[:6])


def flat(entry):
    """An entry as Redis gives it."""
    return [part if isinstance(part, bytes) else part.encode() for pair in entry.items() for part in pair]


def parts(envelope):
    """All that an envelope says."""
    names = (
        "identity",
        "id",
        "type",
        "version",
        "source",
        "time",
        "data",
        "key",
        "traceparent",
        "tracestate",
        "correlation_id",
        "attributes",
    )
    return {name: getattr(envelope, name) for name in (*names, "causation_id", "headers")}


def test_every_attribute_arrives():
    """What the publisher added is a header; what we derive, and the delivery state, is not."""
    assert parts(Envelope.parse(flat(ENTRY))) == {
        "identity": Identity("abc", "2026-11-21T07:16:59.123Z"),
        "id": "abc",
        "type": "OrderCreated",
        "version": 2,
        "source": "/billing",
        "time": datetime(2026, 11, 21, 7, 16, 59, 123_000, tzinfo=UTC),
        "data": b"{}",
        "key": "o-42",
        "traceparent": "00-1",
        "tracestate": "s",
        "correlation_id": "r",
        "causation_id": "c",
        "headers": {"tenant": "ü"},
        "attributes": dict(list(ENTRY.items())[6:]),
    }


def test_the_order_of_fields_does_not_matter():
    """Ours is only faster."""
    assert parts(Envelope.parse(flat(dict(reversed(ENTRY.items()))))) == parts(Envelope.parse(flat(ENTRY)))
    assert parts(Envelope.parse(tuple(flat(ENTRY)))) == parts(Envelope.parse(flat(ENTRY)))


def test_only_the_required_attributes_are_needed():
    """The rest has a meaning when it is absent."""
    found = parts(Envelope.parse(flat(REQUIRED)))
    assert (found["version"], found["key"], found["traceparent"], found["correlation_id"], found["headers"]) == (1, None, None, None, {})


@pytest.mark.parametrize("begin", [lambda entry: entry, lambda entry: dict(reversed(entry.items()))])
def test_of_a_name_that_stands_twice_the_first_counts(begin):
    """On the fast path and beside it."""
    entry = flat(begin(ENTRY))
    again = flat({"type": "Other", "id": "x", "data": "[]", "tenant": "x", "partitionkey": "x", "dataversion": "9", "time": "x"})
    assert parts(Envelope.parse(entry + again)) == parts(Envelope.parse(entry))
    assert Envelope.parse(flat(REQUIRED) + flat({"tenant": "one"}) + flat({"tenant": "two"})).headers == {"tenant": "one"}


@pytest.mark.parametrize("entry", [{}, {"order_id": "o-1"}, {"id": "1", "type": "t", "source": "/s", "data": "{}"}])
def test_an_entry_without_specversion_has_no_envelope(entry):
    """Some other program wrote it."""
    assert Envelope.parse(flat(entry)) is None


def test_a_value_that_does_not_count_need_not_be_utf_8():
    """Neither on the fast path nor beside it; one that counts must be, however often its name stands."""
    for begin in (flat(ENTRY), flat(dict(reversed(ENTRY.items())))):
        again = flat(dict.fromkeys(("id", "tenant", "partitionkey", "dataversion"), b"\xff"))
        assert parts(Envelope.parse(begin + again)) == parts(Envelope.parse(begin))
    with pytest.raises(DecodeError, match="not UTF-8"):
        Envelope.parse([*flat(REQUIRED), b"tenant", b"\xff", b"tenant", b"north"])


def test_a_later_minor_version_is_read():
    """CloudEvents 1.1 would be compatible."""
    assert Envelope.parse(flat({**REQUIRED, "specversion": "1.1"})).id == "abc"


@pytest.mark.parametrize("specversion", ["", "0.3", "2.0", "1", "10", "secret"])
def test_another_specversion_is_refused(specversion):
    """Its attributes may mean something else."""
    with pytest.raises(DecodeError, match=r"^the entry's specversion is not 1.x$"):
        Envelope.parse(flat({**REQUIRED, "specversion": specversion}))


@pytest.mark.parametrize("name", ["id", "type", "source"])
def test_a_required_attribute_that_is_missing_or_empty_is_named(name):
    """CloudEvents requires them all, and not empty."""
    for entry in ({**REQUIRED, name: ""}, {key: value for key, value in REQUIRED.items() if key != name}):
        with pytest.raises(DecodeError, match=f"^the entry has no {name}$"):
            Envelope.parse(flat(entry))


def test_an_entry_without_data_is_refused():
    """An event without content still has {}; empty data is left to the decoder."""
    with pytest.raises(DecodeError, match=r"^the entry has no data$"):
        Envelope.parse(flat({name: value for name, value in REQUIRED.items() if name != "data"}))
    assert Envelope.parse(flat({**REQUIRED, "data": ""})).data == b""


@pytest.mark.parametrize("name", ["id", "type", "source", "time", "partitionkey", "dataversion", "correlationid", "tenant"])
def test_attributes_that_are_not_utf_8_are_refused(name):
    """Wherever it is: a handler could see it."""
    with pytest.raises(DecodeError, match=r"^the entry's attributes are not UTF-8$"):
        Envelope.parse(flat({**ENTRY, name: b"a\xff"}))


def test_a_name_that_is_not_utf_8_is_refused():
    """It would be a header."""
    with pytest.raises(DecodeError, match="not UTF-8"):
        Envelope.parse([*flat(REQUIRED), b"\xff", b"1"])


@pytest.mark.parametrize("entry", [[b"specversion"], [b"order_id"], [*flat(REQUIRED), b"tenant"]])
def test_an_odd_number_of_fields_is_refused(entry):
    """Redis does not store such, but a dead letter or a test may bring it."""
    with pytest.raises(DecodeError, match=r"^the entry's last field has no value$"):
        Envelope.parse(entry)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-11-21T07:16:59Z", datetime(2026, 11, 21, 7, 16, 59, tzinfo=UTC)),
        ("2026-11-21T09:16:59.5+02:00", datetime(2026, 11, 21, 7, 16, 59, 500_000, tzinfo=UTC)),
        ("2026-11-21t07:16:59.123456789z", datetime(2026, 11, 21, 7, 16, 59, 123_456, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_rfc_3339_writes_it_and_given_in_utc(written, moment):
    """Any fraction, any offset, small letters; the text itself is kept for publishing again."""
    found = Envelope.parse(flat({**REQUIRED, "time": written}))
    assert found.time == moment
    assert found.time.tzinfo is UTC
    assert found.identity.time == written


@pytest.mark.parametrize(
    "written",
    [
        "",
        "now",
        "2026-11-21",
        "20261121T071659Z",
        "2026-W47-6T07:16:59.123Z",
        "2026-11-21T07:16:59",
        "2026-11-21 07:16:59Z",
        "2026-11-21T07:16Z",
        "2026-11-21T07:16:59,5Z",
        "2026-11-21T07:16:59Z\n",
        "٢٠٢٦-11-21T07:16:59Z",
    ],
)
def test_other_times_are_refused(written):
    """Python reads several of them; others would not."""
    with pytest.raises(DecodeError, match=r"^the entry's time is not RFC 3339$"):
        Envelope.parse(flat({**REQUIRED, "time": written}))


@pytest.mark.parametrize(
    "written",
    [
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T25:00:00Z",
        "2026-01-01T00:00:00+14:60",
        "0001-01-01T00:00:00+23:00",
        "9999-12-31T23:59:59-23:00",
    ],
)
def test_times_that_do_not_exist_are_refused(written):
    """No such day, hour or zone, or beyond the calendar once it is in UTC."""
    with pytest.raises(DecodeError, match=r"^the entry's time does not exist$"):
        Envelope.parse(flat({**REQUIRED, "time": written}))


def test_a_missing_time_is_none():
    """The caller takes the entry's."""
    found = Envelope.parse(flat({name: value for name, value in REQUIRED.items() if name != "time"}))
    assert found.time is None
    assert found.identity == Identity("abc", "")


@pytest.mark.parametrize("version", ["", "0", "-1", "+1", "1.0", "01", "1_0", "x", " 1", "1\n", "¹", "1" * 10, "1" * 10_000])
def test_a_version_that_is_no_whole_number_from_one_is_refused(version):
    """Nobody knows what it would mean; nor is a number of ten thousand digits converted."""
    with pytest.raises(DecodeError, match=r"^the entry's dataversion is no whole number from 1$"):
        Envelope.parse(flat({**ENTRY, "dataversion": version}))


def test_an_envelope_does_not_show_its_content():
    """Neither data nor what the publisher added."""
    shown = repr(Envelope.parse(flat({**ENTRY, "data": "secret", "tenant": "secret", "partitionkey": "secret"})))
    assert "OrderCreated" in shown
    assert "secret" not in shown
