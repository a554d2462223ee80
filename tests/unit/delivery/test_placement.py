"""What a publish may ask for beside its topic: what is no such thing is refused by its value, with a remedy."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from eventbus.delivery import Placement, placing
from eventbus.errors import ConfigurationError
from eventbus.events import Topic

ASKED_NOTHING = dict.fromkeys(("priority", "delay", "at", "idempotency_key", "idempotency_window"))


def test_nothing_asked_for_is_no_placement():
    """The plain path is told from all others by this."""
    assert placing(**ASKED_NOTHING) is None
    assert placing(**ASKED_NOTHING, entry_id="1-0") == {**ASKED_NOTHING, "entry_id": "1-0"}
    assert placing(**{**ASKED_NOTHING, "delay": 0}) is not None


@pytest.mark.parametrize(
    ("delay", "wait"), [(1.5, 1500), (timedelta(minutes=1), 60_000), (0, 0), (-7, 0), (0.0001, 1), (timedelta(-1), 0), (-1e308, 0)]
)
def test_a_delay_is_seconds_or_a_timedelta_and_one_in_the_past_is_none(delay, wait):
    """Rounded up: never before its time."""
    assert Placement(delay=delay).wait == wait
    assert Placement(delay=delay).later


@pytest.mark.parametrize(
    "at", [datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))], ids=["UTC", "elsewhere"]
)
def test_a_moment_is_one_whatever_zone_it_is_given_in(at):
    """Milliseconds since 1970."""
    assert Placement(at=at).moment == 1_893_456_000_000
    assert Placement(at=at).later


def test_a_moment_before_all_times_is_in_the_past():
    """Published at once."""
    assert Placement(at=datetime.min.replace(tzinfo=UTC)).moment == 0


@pytest.mark.parametrize("delay", [math.nan, math.inf, -math.inf, "1", True, 3_653 * 86_400 + 1, timedelta(days=3_654), [], 10**400])
def test_what_is_no_delay_is_refused(delay):
    """By its value."""
    with pytest.raises(ConfigurationError, match=r"publish\(delay="):
        Placement(delay=delay)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (datetime(2030, 1, 1), "tzinfo=UTC"),  # noqa: DTZ001 - the mistake
        (datetime(9000, 1, 1, tzinfo=UTC), "ten years"),
        (1_893_456_000, "delay="),
        ("2030-01-01", "a datetime"),
    ],
)
def test_what_is_no_moment_is_refused(at, said):
    """With what to give."""
    with pytest.raises(ConfigurationError, match=said):
        Placement(at=at)


def test_ten_years_are_not_too_long():
    """The last that is held."""
    assert Placement(delay=timedelta(days=3_653)).wait == 3_653 * 86_400_000


def test_two_times_or_a_time_and_an_entry_id_do_not_go_together():
    """Nobody could say which of them counts."""
    soon = datetime.now(UTC)
    with pytest.raises(ConfigurationError, match="give one of them"):
        Placement(delay=1, at=soon)
    for time in ({"delay": 1}, {"at": soon}):
        with pytest.raises(ConfigurationError, match="entry_id"):
            Placement(entry_id="1-0", **time)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "not empty"),
        ("k" * 513, "513 bytes"),
        ("é" * 257, "514 bytes"),
        ("\ud800", "surrogates"),
        (7, "a text"),
        (False, "a text"),
        (b"k", "a text"),
    ],
    ids=range(7),
)
def test_what_is_no_idempotency_key_is_refused(key, said):
    """Without showing it: keys are made of what tells people apart."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        Placement(idempotency_key=key)
    assert not key or repr(key) not in str(caught.value)


def test_a_key_is_a_text_or_the_events_own_id():
    """True stands for the id."""
    assert Placement(idempotency_key="k" * 512).key_of("e-1") == "k" * 512
    assert Placement(idempotency_key=True).key_of("e-1") == "e-1"
    assert Placement(priority="high").key_of("e-1") is None


def test_a_window_is_a_day_unless_it_is_given():
    """In milliseconds, one at least."""
    assert Placement(idempotency_key="k").window == 86_400_000
    assert Placement(idempotency_key="k", idempotency_window=timedelta(hours=1)).window == 3_600_000
    assert Placement(idempotency_key="k", idempotency_window=0.00001).window == 1


@pytest.mark.parametrize("window", [0, -1, math.inf, True, "1", timedelta(0), timedelta(days=3_654)])
def test_what_is_no_window_is_refused(window):
    """By its value."""
    with pytest.raises(ConfigurationError, match=r"publish\(idempotency_window="):
        Placement(idempotency_key="k", idempotency_window=window)


def test_a_window_without_a_key_is_refused():
    """It would do nothing."""
    with pytest.raises(ConfigurationError, match="idempotency_key="):
        Placement(idempotency_window=1)


@pytest.mark.parametrize("entry_id", ["5-1", "5", "0-1", f"{2**64 - 1}-{2**64 - 1}"])
def test_an_entry_id_is_what_redis_writes(entry_id):
    """Whole, or without its second number."""
    assert Placement(entry_id=entry_id).scripted


@pytest.mark.parametrize("entry_id", ["0-0", "0", "*", "5-*", "-", "", f"{2**64}-0", "a-b", "5-1-2", "5-1\n", "\u0665-1", 5, True])
def test_what_is_no_entry_id_is_refused(entry_id):
    """By its value."""
    with pytest.raises(ConfigurationError, match=r"publish\(entry_id="):
        Placement(entry_id=entry_id)


def test_a_priority_is_one_of_the_topics():
    """Or the error names them."""
    levels = Topic("tasks", priorities=("high", "normal", "low"))
    Placement(priority="high").check_priority(levels)
    Placement(delay=1).check_priority(Topic("tasks"))
    with pytest.raises(ConfigurationError, match="'high', 'normal', 'low'"):
        Placement(priority="urgent").check_priority(levels)
    with pytest.raises(ConfigurationError, match=r"'tasks' has no priorities.*priorities=\('high', 'normal', 'low'\)"):
        Placement(priority="high").check_priority(Topic("tasks"))


def test_a_key_is_for_one_event():
    """Of many under one key one would be stored, and the others lost without a word."""
    Placement(idempotency_key=True).check_many()
    Placement(delay=1).check_many()
    with pytest.raises(ConfigurationError, match=r"publish_many\(idempotency_key=…\).*give True"):
        Placement(idempotency_key="webhook-77").check_many()
