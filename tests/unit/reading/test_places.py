"""Where to read: what is given becomes ids, and what is none is refused by its name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from eventbus import ConfigurationError
from eventbus.reading.places import place_of, range_of, start_of
from eventbus.streams import END, ZERO, Bookmark, Range
from eventbus.streams.entry_ids import LARGEST

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)
ONE, THREE = ("normal",), ("high", "normal", "low")


def test_latest_is_to_be_asked_for_and_earliest_is_before_everything():
    """An id that nobody has to look up."""
    assert start_of("latest", ONE) is None
    assert start_of("earliest", ONE) == [Bookmark(ZERO)]


def test_an_id_is_read_on_after_and_a_time_from_on():
    """The id has been there, the time may be still to come."""
    assert start_of("1700-5", ONE) == [Bookmark((1700, 5), known=True)]
    assert start_of("1700", ONE) == [Bookmark((1700, 0), known=True)]
    assert start_of(NOON, ONE) == [Bookmark((NOON_MS - 1, LARGEST))]
    assert start_of(datetime(1960, 1, 1, tzinfo=UTC), ONE) == [Bookmark(ZERO)]


def test_a_time_in_any_zone_is_one_moment():
    """Parts of a millisecond are rounded up: from that moment on."""
    there = NOON.astimezone(timezone(timedelta(hours=5)))
    assert start_of(there + timedelta(microseconds=1), ONE) == [Bookmark((NOON_MS, LARGEST))]


def test_a_place_comes_back_as_it_was():
    """One id, or one for each priority."""
    bookmarks = [Bookmark((1, 2)), Bookmark((3, 4)), Bookmark(ZERO)]
    assert place_of(bookmarks[:1], ONE) == "1-2"
    assert place_of(bookmarks, THREE) == "high=1-2,normal=3-4,low=0-0"
    assert [(bookmark.at, bookmark.known) for bookmark in start_of(place_of(bookmarks, THREE), THREE)] == [
        ((1, 2), True),
        ((3, 4), True),
        (ZERO, False),
    ]


def test_an_id_says_nothing_about_the_end_of_other_priorities():
    """Their streams may have ended before it."""
    assert start_of("1700-5", THREE) == [Bookmark((1700, 5))] * 3


@pytest.mark.parametrize(
    "start",
    ["", "$", "now", "1-", "-1", "1-2-3", f"{1 << 64}-0", "٣-0", 1700, None, "high=1-2", "high=1,normal=x,low=1", "low=1,normal=1,high=1"],
)
def test_what_is_no_start_is_refused(start):
    """By its value, with what to give instead."""
    with pytest.raises(ConfigurationError, match="give 'latest', 'earliest', an entry id") as caught:
        start_of(start, THREE)
    assert f"start={start!r}" in str(caught.value)


@pytest.mark.parametrize("call", [lambda t: start_of(t, ONE), lambda t: range_of(t, None), lambda t: range_of(None, t)])
def test_a_time_without_a_zone_is_refused(call):
    """It would be another one on each machine."""
    with pytest.raises(ConfigurationError, match=r"2026-11-21 12:00:00: the time has no zone: add one"):
        call(datetime(2026, 11, 21, 12))  # noqa: DTZ001 - that is what is refused


def test_a_range_holds_both_its_ids_and_ends_before_its_time():
    """So that one day follows another without an event in both."""
    assert range_of(None, None) == Range(ZERO, END)
    assert range_of("5-1", "7-2") == Range((5, 1), (7, 2))
    assert range_of("5", "5") == Range((5, 0), (5, LARGEST))
    assert range_of(NOON, NOON + timedelta(seconds=1)) == Range((NOON_MS, 0), (NOON_MS + 999, LARGEST))


@pytest.mark.parametrize(("begin", "end"), [("7-0", "5-0"), ("5-1", "5-0"), (NOON, NOON), (NOON, "5-0")])
def test_a_range_that_ends_before_it_begins_is_refused(begin, end):
    """It holds nothing, which nobody asks for on purpose."""
    with pytest.raises(ConfigurationError, match="is not before to=.*reverse=True"):
        range_of(begin, end)


@pytest.mark.parametrize("place", ["latest", "", "yesterday", 5, "5-", f"5-{1 << 64}"])
def test_what_is_no_place_is_refused_by_the_name_of_its_argument(place):
    """Words are for a tail."""
    with pytest.raises(ConfigurationError, match="^from_="):
        range_of(place, None)
    with pytest.raises(ConfigurationError, match="^to="):
        range_of(None, place)
