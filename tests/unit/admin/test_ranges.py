"""Ranges of a topic as an operator names them, and the moments they stand for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from eventbus import ConfigurationError
from eventbus.admin.ranges import Range, written_at

LARGEST = (1 << 64) - 1


@pytest.mark.parametrize(
    ("from_", "to", "first", "last"),
    [
        ("0", None, "0-0", None),
        ("5", "5", "5-0", f"5-{LARGEST}"),
        ("007-01", "8-2", "7-1", "8-2"),
        (datetime(1970, 1, 1, 0, 0, 1, 500, UTC), datetime(1970, 1, 1, 0, 0, 2, 999, UTC), "1001-0", f"2000-{LARGEST}"),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), None, "0-0", None),
        (datetime(1960, 1, 1, tzinfo=UTC), "1-0", "0-0", "1-0"),
        ("3-3", "3-3", "3-3", "3-3"),
    ],
)
def test_both_ends_are_included_and_an_id_may_be_its_milliseconds_alone(from_, to, first, last):
    """As in XRANGE."""
    assert Range.of(from_, to) == Range(first, last)


@pytest.mark.parametrize(
    "wrong", ["", "yesterday", "1-2-3", "-", "+", "(1-0", "9" * 20 + "-0", "1-" + "9" * 20, 5, 5.0, None, b"1-0", True]
)
def test_what_is_neither_an_id_nor_a_time_is_refused(wrong):
    """With what to write."""
    with pytest.raises(ConfigurationError, match="from_ .*give an entry id such as '1763709419123-0', or a datetime with its zone"):
        Range.of(wrong, None)


@pytest.mark.parametrize(
    ("from_", "to"), [("2-1", "2-0"), ("10-0", "9-0"), (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))]
)
def test_ends_that_are_the_wrong_way_round_are_refused(from_, to):
    """Ids are compared as numbers."""
    with pytest.raises(ConfigurationError, match=r"from_ .* is after to .*: turn them round"):
        Range.of(from_, to)


def test_a_time_without_a_zone_is_refused():
    """Whose time it is nobody knows."""
    with pytest.raises(ConfigurationError, match="to 2026-11-21T00:00:00: the time has no zone: add one, such as tzinfo=UTC"):
        Range.of("0", datetime(2026, 11, 21))  # noqa: DTZ001 - that is what is wrong


@pytest.mark.parametrize(
    ("range_", "newest", "now", "future"),
    [
        (Range("5-0", None), "9-0", 100, False),
        (Range("5-0", "100-7"), "9-0", 100, False),
        (Range("5-0", "101-0"), "9-0", 100, True),
        (Range("101-0", None), "9-0", 100, True),
        (Range("101-0", "300-1"), "300-1", 100, False),  # a server whose clock went back, or ids that somebody chose
        (Range("101-0", "300-2"), "300-1", 100, True),
    ],
)
def test_what_nobody_can_have_written_yet_is_in_the_future(range_, newest, now, future):
    """By the clock of the server, or by the topic's highest id."""
    if not future:
        range_.check_past(newest, now)
        return
    with pytest.raises(ConfigurationError, match=f"is in the future: the topic's newest id is {newest}"):
        range_.check_past(newest, now)


def test_an_id_tells_when_it_was_written():
    """As far as there is a calendar."""
    assert written_at("1763709419123-4") == "2025-11-21T07:16:59.123Z"
    assert written_at(f"{LARGEST}-0") == ""
