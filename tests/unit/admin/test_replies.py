"""Entry ids as numbers."""

from __future__ import annotations

import pytest

from eventbus.admin import Lag, before
from eventbus.admin.replies import glob_escaped, seconds_since
from eventbus.streams import parse_id


@pytest.mark.parametrize(
    ("entry_id", "previous"),
    [("5-3", "5-2"), ("5-0", "4-18446744073709551615"), ("5", "4-18446744073709551615"), ("0-0", "0-0"), ("0-1", "0-0")],
)
def test_the_id_before_another_is_the_largest_that_is_smaller(entry_id, previous):
    """Reading after it begins with the id itself."""
    assert before(entry_id) == previous


def test_ids_are_ordered_as_numbers():
    """As text, 9-0 would come after 10-0."""
    assert parse_id("9-0") < parse_id("10-0") < parse_id("10-2") < parse_id("10-10")


def test_an_entry_of_the_future_has_no_negative_age():
    """A clock that went back writes ids that lie ahead."""
    assert seconds_since("5000-0", 7500) == 2.5
    assert seconds_since("5000-0", 1000) == 0


def test_an_inexact_lag_says_so():
    """10,000 and more is not 10,000."""
    assert (str(Lag(10_000)), str(Lag(10_000, exact=False))) == ("10000", "10000+")


def test_a_prefix_means_only_itself_in_a_pattern():
    """`a*` as a prefix does not find `ab`."""
    assert glob_escaped("a*[b]?-^\\") == r"a\*\[b\]\?\-\^\\"
