"""Errors that are made by the user's own hand."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from eventbus import ConfigurationError, RetryLater


@pytest.mark.parametrize(("after", "seconds"), [(0, 0.0), (2, 2.0), (0.5, 0.5), (timedelta(minutes=1), 60.0)])
def test_a_handler_asks_for_seconds_or_a_timedelta(after, seconds):
    """Nought is at once."""
    assert RetryLater(after).after == seconds


@pytest.mark.parametrize("wrong", ["5", None, b"5", True, -1, math.nan, math.inf, 10**400, timedelta(seconds=-1)])
def test_what_is_no_span_of_time_is_refused_with_the_remedy(wrong):
    """By the error that says so, whatever its type."""
    with pytest.raises(ConfigurationError, match=r"RetryLater\(.*\): give seconds from 0, or a timedelta"):
        RetryLater(wrong)
