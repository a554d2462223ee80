"""Dead letters as they are read, filtered and written down."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus import ConfigurationError
from eventbus.admin import Filter
from eventbus.admin.letters import as_line, check_id, read_entry, read_row
from eventbus.streams.dead_letters import LetterRow
from eventbus.streams.packing import packed
from tests.support.graveyard import TOMBSTONE, block, letter


def read(fields):
    return read_entry(b"9-0", fields)


def test_a_dead_letter_is_parted_into_the_original_and_what_was_written_about_it():
    """Every number and every word of the block."""
    fields = letter(1, crashes="2", hops="3", hopped="99", redrives="1", deliveries="4")
    entry = read(fields)
    found = entry.letter
    assert (found.id, found.entry, found.type, found.reason) == ("9-0", "1-0", "OrderCreated", "attempts")
    assert (found.attempts, found.crashes, found.redrives, found.deliveries) == (5, 2, 1, 4)
    assert (found.error, found.message) == ("app.errors.CardDeclined", "declined by the bank")
    assert (found.group, found.consumer, found.failed, found.trimmed) == ("charge", "billing.host.1.abc", "2026-11-21T07:16:59.123Z", False)
    assert found.size == sum(map(len, fields))
    assert [*entry.fields, *entry.block] == fields


def test_what_a_publisher_calls_by_our_names_is_the_publishers():
    """Ours stand last; as a value our name means nothing."""
    theirs = [b"ebentry", b"mine", b"ebreason", b"because", b"a", b"ebentry"]
    entry = read([*theirs, *block(message="ebentry")])
    assert list(entry.fields) == theirs
    assert (entry.letter.entry, entry.letter.reason, entry.letter.message) == ("7-0", "attempts", "ebentry")


def test_of_names_that_stand_twice_the_publishers_first_and_our_last_counts():
    """As consumers read an event; as a copy that is buried by a script is written."""
    entry = read([b"id", b"one", b"id", b"two", *block(type=""), b"ebreason", b"newer"])
    assert (entry.letter.event_id, entry.letter.reason) == ("one", "newer")


def test_the_type_is_the_one_written_down_else_the_original_field():
    """What was never decoded has a type, too."""
    assert read([b"type", b"OrderPaid", *block(type="")]).letter.type == "OrderPaid"
    assert read([b"type", b"OrderPaid", *block(type="OrderCreated")]).letter.type == "OrderCreated"


def test_a_tombstone_has_no_fields_and_says_so():
    """It is not an event without fields: Redis has no such entries."""
    entry = read(TOMBSTONE)
    assert (entry.letter.trimmed, entry.letter.reason, list(entry.fields)) == (True, "trimmed", [])


def test_what_somebody_wrote_by_hand_is_read_all_the_same():
    """No block, a damaged one, bytes that are no text."""
    assert (read([b"a", b"1"]).letter.reason, list(read([b"a", b"1"]).fields)) == ("", [b"a", b"1"])
    damaged = read([b"a", b"1", b"ebentry", b"\xff", b"ebattempts", b"many", b"ebdeliveries", "٣".encode(), b"ebreason", b"\x9b"])
    found = damaged.letter
    assert (found.attempts, found.deliveries, found.reason) == (0, 0, r"\x9b")
    assert read([b"a", b"1", *block(deliveries="9" * 500)]).letter.deliveries == 0


def test_a_description_reads_as_the_whole_dead_letter_does():
    """The server describes, this side reads: both find the same."""
    fields = letter(1)
    at = fields.index(b"ebentry")
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    row = LetterRow(b"9-0", fields[at:], named[b"type"], named[b"id"], at, sum(map(len, fields)))
    assert read_row(row) == read(fields).letter


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (Filter(), True),
        (Filter(type="OrderCreated"), True),
        (Filter(type="OrderPaid"), False),
        (Filter(error="CardDeclined"), True),
        (Filter(error="errors.CardDeclined"), True),
        (Filter(error="app.errors.CardDeclined"), True),
        (Filter(error="Declined"), False),
        (Filter(reason="attempts"), True),
        (Filter(reason="rejected"), False),
        (Filter(type="OrderCreated", error="CardDeclined", reason="rejected"), False),
    ],
)
def test_a_filter_means_what_agrees_with_all_of_it(wanted, matches):
    """An exception's class is known with and without its module, not by half its name."""
    assert wanted.matches(read(letter(1)).letter) is matches


def test_an_event_without_a_type_or_an_error_is_not_found_by_one():
    """Nothing is not anything."""
    assert not Filter(type="").matches(read(letter(1)).letter)
    assert Filter(error="").matches(read(letter(1, error="")).letter)


def test_times_are_ranges_of_ids():
    """From the first millisecond that is not before, to the last that is."""
    begin = datetime(1970, 1, 1, 0, 0, 2, 500, tzinfo=UTC)
    zone = timezone(timedelta(hours=2))
    assert Filter().ids() == ("-", "+")
    assert Filter(since=begin).ids() == ("2001-0", "+")
    assert Filter(until=datetime(1970, 1, 1, 2, 0, 2, tzinfo=zone)).ids() == ("-", "1999-18446744073709551615")
    assert Filter(until=datetime(1970, 1, 1, tzinfo=UTC)).ids() == ("-", "0-0")
    with pytest.raises(ConfigurationError, match=r"since=.* has no zone"):
        Filter(since=datetime(2026, 1, 1))  # noqa: DTZ001
    assert Filter().all
    assert not Filter(since=begin).all


@pytest.mark.parametrize(("text", "written"), [("5-3", "5-3"), ("5", "5-0"), ("05-03", "5-3")])
def test_an_id_is_written_out(text, written):
    """As the server writes it."""
    assert check_id(text) == written


@pytest.mark.parametrize("text", ["", "-", "+", "5-", "a", "5-3-1", "(5", "$", "18446744073709551616", "\u0661-0"])
def test_what_is_no_id_is_refused(text):
    """With what one looks like."""
    with pytest.raises(ConfigurationError, match="an id looks like"):
        check_id(text)


names_and_values = st.lists(st.one_of(st.binary(max_size=8), st.text(max_size=4).map(str.encode)), min_size=2, max_size=12).map(
    lambda parts: parts[: len(parts) // 2 * 2]
)


@given(names_and_values)
def test_a_line_gives_every_byte_back(original):
    """Whatever a publisher wrote, in its order."""
    about = block("3-0")
    line = as_line(read([*original, *about]), "orders")
    assert line.count(b"\n") == 1
    document = json.loads(line)
    assert restored(document["fields"]) == original
    assert restored(document["block"]) == about
    assert document["topic"] == "orders"


def test_a_line_of_a_packed_entry_has_its_fields_as_they_were():
    """Those that did not fit into one write, too; the block is as it stands."""
    original = [b"%d" % number for number in range(8_000)]
    fields = packed([*original, *block("3-0")])
    document = json.loads(as_line(read(fields), "orders"))
    assert restored(document["fields"]) == original
    assert restored(document["block"]) == list(fields[fields.index(b"ebentry") :])


def restored(parts):
    """Names and values of a line."""
    return [part[label].encode() if label in part else b64decode(part[f"{label}_base64"]) for part in parts for label in ("name", "value")]
