"""Which names and limits a topic may have."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from eventbus.errors import ConfigurationError
from eventbus.events import Topic, check_name, is_count, is_seconds, is_text


@pytest.mark.parametrize("name", ["orders", "shop.orders:v2", "größe", "a" * 200, "-", "注文"])
def test_a_visible_name_is_taken_as_it_is(name):
    """Dots, colons and letters of every script are fine."""
    assert check_name("topic", name) == name


@pytest.mark.parametrize(
    "name", ["a b", "a{b", "a}b", "a#b", "a\tb", "a\nb", "a\x00b", "a\x7fb", "a\x85b", "a\u00a0b", "a\u2028b", "a\ud800b"]
)
def test_a_name_that_would_break_a_key_is_refused_with_the_character(name):
    """Braces, '#', whitespace, control characters and half surrogate pairs."""
    with pytest.raises(ConfigurationError, match=r"topic .* has .* in it: leave out braces") as refused:
        check_name("topic", name)
    assert repr(name[1]) in str(refused.value)


@pytest.mark.parametrize("name", ["", None, 5, b"orders"])
def test_a_name_that_is_no_text_is_refused(name):
    """Also bytes: they would be another key on another day."""
    with pytest.raises(ConfigurationError, match=r"group .*: give a text that is not empty"):
        check_name("group", name)


@pytest.mark.parametrize("name", ["a" * 201, "ü" * 101, "{" * 10_000])
def test_a_name_is_at_most_200_bytes_long(name):
    """Bytes, not characters; the message shows the beginning only."""
    with pytest.raises(ConfigurationError, match="is longer than 200 bytes") as refused:
        check_name("prefix", name)
    assert len(str(refused.value)) < 150


def test_a_topic_is_a_name_with_limits():
    """A plain name declares nothing."""
    assert Topic.of("orders") == Topic("orders") == Topic("orders", max_len=10_000, max_age=None, hard=False)
    limited = Topic("orders", max_len=10_000, max_age=3600)
    assert Topic.of(limited) is limited
    assert limited != Topic("orders")


def test_the_same_age_in_two_units_is_one_declaration():
    """A timedelta is kept as seconds."""
    assert Topic("orders", max_age=timedelta(days=1)) == Topic("orders", max_age=86_400)


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "10"])
def test_a_number_of_entries_is_a_whole_number_from_one(limit):
    """True is no number here."""
    with pytest.raises(ConfigurationError, match=r"Topic\('orders', max_len=.*\): give a whole number, at least 1"):
        Topic("orders", max_len=limit)


@pytest.mark.parametrize("limit", [0, -1.0, True, math.nan, math.inf, "1d", timedelta(0), timedelta(seconds=-1)])
def test_an_age_is_finite_and_above_zero(limit):
    """Seconds or a timedelta."""
    with pytest.raises(ConfigurationError, match=r"Topic\('orders', max_age=.*\): give seconds above 0, or a timedelta"):
        Topic("orders", max_age=limit)


def test_a_topic_checks_its_name():
    """Where it is written, not where it is first used."""
    with pytest.raises(ConfigurationError, match="topic 'or ders' has ' ' in it"):
        Topic("or ders")


def test_checks_of_outside_values_know_what_true_and_nan_are():
    """A count is whole, seconds are finite, a text is not empty."""
    assert [is_count(value) for value in (1, 0, True, 1.0, "1")] == [True, False, False, False, False]
    assert [is_seconds(value) for value in (0.5, 0, -1, True, math.nan, math.inf, "1")] == [True] + [False] * 6
    assert is_seconds(0, zero=True)
    assert not is_seconds(-1, zero=True)
    assert [is_text(value) for value in ("a", "", b"a", None)] == [True, False, False, False]
