"""When to look for stale entries: owners renew first, and nothing keeps a sweep off for good. Time is an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.consuming.sweeps import JITTER, Sweeps

LEASE, INTERVAL = 30.0, 5.0


def swept(at=100.0, chance=0.0):
    """As they are after a sweep that began then."""
    ready = Sweeps(lease=LEASE, interval=INTERVAL, now=at - LEASE)
    ready.done(began=at, chance=chance)
    return ready


def test_after_a_start_owners_have_a_third_of_the_lease():
    """Everything looks stale to whoever comes back with them."""
    fresh = Sweeps(lease=LEASE, interval=INTERVAL, now=100.0)
    assert [fresh.delay(now=100 + after) for after in (0, 4, 10, 11)] == [10, 6, 0, 0]
    assert [fresh.held(now=100 + after) for after in (0, 9, 10)] == [True, True, False]


def test_what_a_start_waited_for_is_no_grace():
    """A process that joined after an outage gives the grace from then on."""
    fresh = Sweeps(lease=LEASE, interval=INTERVAL, now=100.0)
    fresh.began(now=109)
    assert fresh.delay(now=109) == 10


@pytest.mark.parametrize("chance", [0, 0.5, 1])
def test_a_sweep_begins_an_interval_after_the_last_one_began(chance):
    """However long that took; a bit earlier at random, so that members do not sweep at one moment."""
    ready = swept(100, chance)
    assert ready.delay(now=100) == pytest.approx(INTERVAL * (1 - JITTER * chance))
    assert ready.delay(now=104.9) <= 0.1001
    assert ready.delay(now=200) == 0


def test_after_an_outage_owners_have_a_third_of_the_lease():
    """They could not renew either."""
    ready = swept(100)
    ready.waited(10.1, now=120)
    assert [ready.delay(now=120 + after) for after in (0, 9, 10)] == [10, 1, 0]


def test_after_an_outage_of_many_leases_owners_have_their_grace_too():
    """Time without an answer uses up none of it."""
    ready = swept(100)
    ready.waited(20 * LEASE, now=1000)
    assert ready.delay(now=1000) == LEASE / 3


@pytest.mark.parametrize("seconds", [0, 1, LEASE / 3])
def test_a_wait_within_a_third_of_the_lease_changes_nothing(seconds):
    """Every owner had two tries."""
    ready = swept(100)
    ready.waited(seconds, now=104)
    assert ready.delay(now=104) == 1


def test_hurrying_makes_a_sweep_due_and_shortens_no_grace():
    """There is room for an entry that had to wait; its owner may still be coming back."""
    ready = swept(100)
    ready.hurry(now=101)
    assert ready.delay(now=101) == 0
    ready.waited(11, now=101)
    ready.hurry(now=102)
    assert ready.delay(now=102) == 9


def test_hurrying_does_not_put_off_what_is_due_already():
    """It is as due as before."""
    ready = swept(100)
    ready.hurry(now=200)
    assert ready.delay(now=200) == 0


@given(st.lists(st.tuples(st.floats(LEASE / 3 + 0.1, 100), st.floats(0.1, LEASE)), max_size=30))
def test_whatever_a_link_does_a_sweep_may_begin_within_a_lease_of_answers(outages):
    """Outages, each followed by some time with answers: of that no more than a lease is given away between two sweeps."""
    ready, now, given_away = swept(100), 200.0, 0.0
    for away, answering in outages:
        now += away
        ready.waited(away, now=now)
        given_away += min(answering, ready.delay(now=now))
        now += answering
        if ready.delay(now=now) == 0:
            ready.done(began=now, chance=0)
            now, given_away = now + INTERVAL, 0.0
        assert given_away <= LEASE + 1e-6


def test_a_sweep_that_was_answered_makes_the_graces_begin_anew():
    """What was given away before it does not count against owners any more."""
    ready = swept(100)
    for at in (200, 220, 240):
        ready.waited(11, now=at)
    ready.done(began=260, chance=0)
    ready.waited(11, now=280)
    assert ready.delay(now=280) == LEASE / 3


@given(st.floats(0, 100), st.floats(0, 1))
def test_waiting_for_as_long_as_was_said_is_enough(delay, chance):
    """Whoever sleeps that long may sweep."""
    ready = swept(100, chance)
    ready.waited(delay, now=101)
    now = 101 + ready.delay(now=101)
    assert ready.delay(now=now) == pytest.approx(0, abs=1e-6)
