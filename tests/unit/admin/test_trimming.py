"""What a trim by hand may be asked for."""

from __future__ import annotations

import math

import pytest

from eventbus import ConfigurationError
from eventbus.admin.trimming import check_limits


@pytest.mark.parametrize(("max_len", "max_age"), [(0, None), (10, None), (None, 0), (None, 0.5), (10, 60)])
def test_a_number_of_entries_or_of_seconds_is_a_limit(max_len, max_age):
    """Nought keeps nothing."""
    check_limits(max_len, max_age)


@pytest.mark.parametrize("wrong", ["10", -1, 1.5, True, math.inf])
def test_what_is_no_number_of_entries_is_refused_with_the_remedy(wrong):
    """By the error that says so, whatever its type."""
    with pytest.raises(ConfigurationError, match="trim: max_len .*: give a whole number of entries from 0"):
        check_limits(wrong, None)


@pytest.mark.parametrize("wrong", ["7d", -1.0, True, math.nan, math.inf, 10**400])
def test_what_is_no_number_of_seconds_is_refused_with_the_remedy(wrong):
    """A span such as 7d is for the command line."""
    with pytest.raises(ConfigurationError, match="trim: max_age .*: give seconds from 0"):
        check_limits(None, wrong)


def test_no_limit_at_all_is_refused():
    """It would remove nothing, or everything."""
    with pytest.raises(ConfigurationError, match="say what to keep"):
        check_limits(None, None)
