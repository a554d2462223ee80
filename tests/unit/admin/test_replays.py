"""What is decided about a replay, from what is noted about it and about the topic."""

from __future__ import annotations

import pytest

from eventbus import NotFound
from eventbus.admin import Lag, Replayed
from eventbus.admin.ranges import Range
from eventbus.admin.replays import Standing, check_kept, read, standing
from eventbus.streams.replays import Place

NOTED = {
    "id": "a",
    "from": "1-0",
    "to": "",
    "begin": "1-0",
    "until": "9-0",
    "cursor": "5-0",
    "copied": "3",
    "pending": "1",
    "large": "2-0 3-0",
    "cutfrom": "",
    "cutto": "",
    "first": "1-0",
    "removed": "0",
    "unread": "10001",
    "begun": "5",
}


@pytest.mark.parametrize(
    ("noted", "wanted", "anew", "found"),
    [
        ({}, Range("1-0", None), False, Standing.NOTHING),
        ({"id": "a", "from": "2-0"}, Range("1-0", None), False, Standing.NOTHING),
        ({**NOTED, "copied": "x"}, Range("2-0", None), False, Standing.NOTHING),
        (NOTED, Range("1-0", None), False, Standing.SAME),
        (NOTED, Range("1-0", "9-0"), False, Standing.OTHER),
        (NOTED, Range("2-0", None), False, Standing.OTHER),
        (NOTED, Range("2-0", None), True, Standing.NOTHING),
        (NOTED, Range("1-0", None), True, Standing.NOTHING),
        ({**NOTED, "done": "7"}, Range("1-0", None), False, Standing.REPEATED),
        ({**NOTED, "done": "7"}, Range("2-0", None), False, Standing.NOTHING),
        ({**NOTED, "done": "7"}, Range("1-0", None), True, Standing.NOTHING),
    ],
)
def test_the_same_range_goes_on_and_another_one_does_not_take_its_place_unasked(noted, wanted, anew, found):
    """What is done stands in nobody's way, and is not repeated by accident."""
    assert standing(noted, wanted, anew=anew) is found


def test_what_is_noted_is_read_as_a_result():
    """All of it is kept in Redis: who goes on tells the whole."""
    assert read(NOTED, waiting=7, resumed=True) == Replayed(
        copied=3,
        pending=1,
        large=("2-0", "3-0"),
        unread=Lag(10_000, exact=False),
        begin="1-0",
        until="9-0",
        kept_from="1-0",
        removed=0,
        cut=None,
        waiting=7,
        resumed=True,
    )
    assert read({**NOTED, "removed": "", "cutfrom": "5-0", "cutto": "7-0"}).cut == ("5-0", "7-0")


@pytest.mark.parametrize(
    ("changes", "incomplete"),
    [
        ({}, False),
        ({"first": "2-0"}, False),  # nothing was ever removed: the range only begins before the topic does
        ({"first": "2-0", "removed": "5"}, True),
        ({"first": "2-0", "removed": ""}, True),  # who cannot know says so
        ({"first": "1-0", "removed": "5"}, False),
        ({"first": "", "removed": "5"}, True),
        ({"cutfrom": "5-0", "cutto": "7-0"}, True),
    ],
)
def test_entries_may_be_missing_where_the_topic_begins_after_the_range_and_has_lost_some(changes, incomplete):
    """Or where they were cut meanwhile."""
    assert read({**NOTED, **changes}).incomplete is incomplete


def place(**changes):
    facts = {"now": 100, "length": 5, "first": "5-0", "last": "9-0", "newest": "9-0", "removed": 4, "given": "9-0", "ours": True}
    return Place(**{**facts, **changes})


@pytest.mark.parametrize(
    ("last", "changes", "kept"),
    [
        ("5-0", {}, True),
        ("4-0", {}, False),
        ("4-0", {"removed": 0}, True),
        ("4-0", {"removed": None}, False),
        (None, {}, True),
        (None, {"first": None, "length": 0}, False),
        (None, {"first": None, "length": 0, "newest": "0-0", "removed": None}, True),
    ],
)
def test_a_range_of_which_nothing_is_kept_is_refused(last, changes, kept):
    """Only where something was, or may have been, removed."""
    if kept:
        check_kept(Range("1-0", last), place(**changes), "orders")
        return
    with pytest.raises(NotFound, match="there is no entry .* in topic 'orders'"):
        check_kept(Range("1-0", last), place(**changes), "orders")
