"""What a subscription may ask for beside one event at a time: checked where it is written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from eventbus import Batch, ConfigurationError, Event, EventBus, Topic
from eventbus.delivery.patterns import order_of, window_of
from tests.support.entries import subscription
from tests.support.events import OrderCreated


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("batch", 500, "give a Batch"),
        ("idempotent", "a day", "give True"),
        ("idempotent", 0, "give True"),
        ("broadcast", 1, "give True or False"),
        ("ordered", "strict", '"block" or "overtake"'),
        ("weights", {"high": 0}, '"strict"'),
        ("weights", {}, '"strict"'),
        ("weights", "often", '"strict"'),
    ],
)
def test_a_wrong_option_is_refused_where_it_is_written(option, value, remedy):
    """By its name and its value, with what to write instead."""
    bus = EventBus("redis://nowhere", service="test")
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        bus.subscribe(OrderCreated, **{option: value})
    assert f"{option}={value!r}" in str(caught.value)


@pytest.mark.parametrize(("option", "value"), [("max_size", 0), ("max_size", True), ("max_wait", -1), ("max_wait", "1")])
def test_a_batch_has_a_size_and_a_time(option, value):
    """Both are bounds."""
    with pytest.raises(ConfigurationError, match=f"{option}={value!r}"):
        Batch(**{option: value})


def test_a_window_is_a_day_or_what_was_said():
    """And none without."""
    assert (window_of(True), window_of(False), window_of(60), window_of(timedelta(hours=1))) == (86_400.0, None, 60.0, 3_600.0)


def test_a_key_waits_for_its_failed_event_unless_it_was_said_otherwise():
    """And there is no order without."""
    assert (order_of(True), order_of("overtake"), order_of(False)) == ("block", "overtake", None)


class Ranked(Event, topic=Topic("ranked", priorities=("high", "normal"))):
    """An event of a topic with priorities."""


@pytest.mark.parametrize(
    ("spec", "option", "words"),
    [
        (OrderCreated, {"batch": Batch()}, "ordered= handles a key's events one at a time, batch= many in one call"),
        (Ranked, {}, "ordered= and the topic's priorities do not go together"),
    ],
    ids=["batches", "priorities"],
)
def test_what_goes_together_with_no_order_is_refused(spec, option, words):
    """When all that is said of the subscription is known."""

    async def handle(event) -> None: ...

    with pytest.raises(ConfigurationError, match=words):
        subscription(handle, spec=spec, ordered=True, **option)


@pytest.mark.parametrize(
    ("priorities", "remedy"),
    [
        (("high", "low"), "'normal' its place"),
        (("normal", "normal"), "once"),
        (("normal", "a:b"), "colons"),
        (("normal", "a b"), "whitespace"),
        ("normal", "the most urgent first"),
        ((1, "normal"), "not empty"),
    ],
)
def test_priorities_that_are_none_are_refused(priorities, remedy):
    """Each of them becomes a part of a key."""
    with pytest.raises(ConfigurationError, match=remedy):
        Topic("tasks", priorities=priorities)


def test_priorities_may_be_given_as_a_list():
    """Two declarations of one topic agree, however they were written."""
    assert Topic("tasks", priorities=["high", "normal"]) == Topic("tasks", priorities=("high", "normal"))
