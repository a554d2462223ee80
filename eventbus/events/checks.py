"""Checks of values that come from outside, where annotations promise nothing."""

from __future__ import annotations

import math


def is_count(value: object, *, zero: bool = False) -> bool:
    """A whole number from 1 (or from 0); True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= (0 if zero else 1)


def is_seconds(value: object, *, zero: bool = False) -> bool:
    """A finite number above 0 (or from 0)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value) and (value > 0 or (zero and value == 0))
    except OverflowError:  # an int beyond every float
        return False


def is_text(value: object) -> bool:
    """A text that is not empty."""
    return isinstance(value, str) and bool(value)
