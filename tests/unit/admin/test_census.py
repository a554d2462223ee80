"""Who counts for a group, and for how long a number is shown."""

from __future__ import annotations

from itertools import pairwise

import pytest

from eventbus.admin import Census
from eventbus.admin.census import STALE, elected
from eventbus.admin.replies import Heartbeat

NOW = 1_795_263_135_000.0


def members(**seconds_old):
    return {name.encode(): Heartbeat(NOW - 1000 * age, 30.0) for name, age in seconds_old.items()}


def those_elected(found, *names):
    return [name for name in names if elected(found, name.encode())]


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ({"a": 0, "b": 0, "c": 0}, ["a"]),
        ({"a": 29, "b": 3, "c": 0}, ["a"]),
        ({"a": 30, "b": 3, "c": 0}, ["b"]),
        ({"a": 90, "b": 60, "c": 0}, ["c"]),
        ({"c": 0}, ["c"]),
        ({}, []),
    ],
)
def test_the_living_member_with_the_smallest_name_counts(ages, expected):
    """One of them, as long as all see the same heartbeats."""
    assert those_elected(members(**ages), "a", "b", "c") == expected


def test_when_no_heartbeat_can_be_written_somebody_still_counts():
    """At maxmemory all of them grow old together, and the length of the stream is wanted most."""
    assert those_elected(members(a=3600, b=3595, c=3605), "a", "b", "c") == ["a"]


def test_a_heartbeat_stands_for_its_own_lease():
    """Members of one group may have different ones."""
    found = {b"a": Heartbeat(NOW - 50_000, 60.0), b"b": Heartbeat(NOW, 10.0)}
    assert those_elected(found, "a", "b") == ["a"]


def test_one_that_has_no_heartbeat_does_not_count():
    """It has left, or has not begun."""
    assert those_elected(members(b=0), "a", "b") == ["b"]


def test_whatever_is_elected_is_one():
    """For every choice of ages."""
    ages = (0.0, 10.0, 29.9, 30.0, 45.0)
    for a in ages:
        for b in ages:
            for c in ages:
                assert len(those_elected(members(a=a, b=b, c=c), "a", "b", "c")) == 1


def test_nothing_is_shown_before_anything_was_counted():
    """Nothing is not 0."""
    census = Census(lambda: ["orders/charge"], clock=lambda: STALE / 2)
    assert (census.groups, census.unserved) == ((), ())


def test_numbers_get_too_old_before_a_dead_member_is_forgotten():
    """Else the numbers of one that cannot reach Redis would stand beside those of its successor for long."""
    assert all(one < other for one, other in pairwise((15.0, STALE, 60.0)))
