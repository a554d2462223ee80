"""When to look for stale entries: owners renew first, and nothing keeps a sweep off for good. Time is an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.consuming.sweeps import JITTER, Sweeps

LEASE, INTERVAL = 30.0, 5.0


def sweeps(now=100.0):
    return Sweeps(lease=LEASE, interval=INTERVAL, now=now)


def test_after_a_start_owners_have_a_third_of_the_lease():
    """Everything looks stale to whoever comes back with them."""
    fresh = sweeps()
    assert [fresh.delay(now=100 + after) for after in (0, 4, 10, 11)] == [10, 6, 0, 0]


@pytest.mark.parametrize("chance", [0, 0.5, 1])
def test_a_sweep_begins_an_interval_after_the_last_one_began(chance):
    """However long that took; a bit earlier at random, so that members do not sweep at one moment."""
    ready = sweeps(now=0)
    ready.began(now=100, chance=chance)
    assert ready.delay(now=100) == pytest.approx(INTERVAL * (1 - JITTER * chance))
    assert ready.delay(now=104.9) <= 0.1001
    assert ready.delay(now=200) == 0


def test_after_an_outage_owners_have_a_third_of_the_lease():
    """They could not renew either."""
    ready = sweeps(now=0)
    ready.began(now=100, chance=0)
    ready.waited(10.1, now=120)
    assert [ready.delay(now=120 + after) for after in (0, 9, 10)] == [10, 1, 0]


@pytest.mark.parametrize("seconds", [0, 1, LEASE / 3])
def test_a_wait_within_a_third_of_the_lease_changes_nothing(seconds):
    """Every owner had two tries."""
    ready = sweeps(now=0)
    ready.began(now=100, chance=0)
    ready.waited(seconds, now=104)
    assert ready.delay(now=104) == 1


def test_hurrying_makes_a_sweep_due_and_shortens_no_grace():
    """There is room for an entry that had to wait; its owner may still be coming back."""
    ready = sweeps(now=0)
    ready.began(now=100, chance=0)
    ready.hurry(now=101)
    assert ready.delay(now=101) == 0
    ready.waited(11, now=101)
    ready.hurry(now=102)
    assert ready.delay(now=102) == 9


def test_hurrying_does_not_put_off_what_is_due_already():
    """The lease from its due time on is what bounds the graces."""
    ready = sweeps(now=0)
    ready.began(now=100, chance=0)
    for now in range(106, 140):
        ready.hurry(now=now)
        ready.waited(11, now=now)
    assert ready.delay(now=134) == 1
    assert ready.delay(now=135) == 0


steps = st.lists(
    st.tuples(
        st.sampled_from(["wait", "hurry"]),
        st.floats(0, 40),  # seconds until it happens
        st.floats(0, 100),  # seconds without an answer
    ),
    max_size=60,
)


@given(steps=steps, chance=st.floats(0, 1))
def test_whatever_a_link_does_no_sweep_is_later_than_its_time_and_one_lease(steps, chance):
    """One that goes up and down for ever cannot keep the events of a dead worker from starting elsewhere."""
    ready, now = sweeps(now=0), 50.0
    ready.began(now=now, chance=chance)
    latest = now + INTERVAL + LEASE
    for what, after, seconds in steps:
        now += after
        if what == "wait":
            ready.waited(seconds, now=now)
        else:
            ready.hurry(now=now)
        assert ready.delay(now=now) >= 0
        assert now + ready.delay(now=now) <= max(latest, now) + 1e-9
    assert ready.delay(now=latest) == 0


@given(steps=steps)
def test_no_sweep_begins_within_a_third_of_the_lease_after_an_outage_unless_it_was_due_a_lease_ago(steps):
    """Owners renew first; only a link that never holds costs them that."""
    ready, now = sweeps(now=0), 50.0
    ready.began(now=now, chance=0)
    due, hurried = now + INTERVAL, False
    for what, after, seconds in steps:
        now += after
        if what == "hurry":
            ready.hurry(now=now)
            due, hurried = min(due, now), True
        else:
            ready.waited(seconds, now=now)
            if seconds > LEASE / 3 and now + LEASE / 3 <= due + LEASE:
                assert ready.delay(now=now) >= LEASE / 3 - 1e-9
    assert hurried or ready.delay(now=due - 1) > 0


@given(delay=st.floats(0.01, 50), chance=st.floats(0, 1))
def test_waiting_for_as_long_as_was_said_is_enough(delay, chance):
    """The loop sleeps once."""
    ready = sweeps()
    ready.began(now=100, chance=chance)
    ready.waited(delay, now=101)
    later = 101 + ready.delay(now=101)
    assert ready.delay(now=later) == pytest.approx(0, abs=1e-9)
