"""When to look for stale entries: owners renew first, and nothing keeps a sweep off for good. Time is an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.consuming.sweeps import JITTER, Sweeps

LEASE, INTERVAL = 30.0, 5.0
GRACE = LEASE / 3


def swept(at=100.0, *, chance=0.0):
    """Sweeps of a process that began long ago; the last one began then, and was answered."""
    sweeps = Sweeps(lease=LEASE, interval=INTERVAL, now=at - 1000)
    sweeps.done(began=at, chance=chance)
    return sweeps


def test_after_a_start_owners_have_a_third_of_the_lease():
    """Everything looks stale to whoever comes back with them."""
    fresh = Sweeps(lease=LEASE, interval=INTERVAL, now=100.0)
    assert [fresh.delay(now=100 + after) for after in (0, 4, 10, 11)] == [10, 6, 0, 0]
    assert [fresh.held(now=100 + after) for after in (0, 9.9, 10)] == [True, True, False]


def test_what_a_process_waited_for_before_it_began_to_sweep_was_no_grace():
    """It opened, and consumed later."""
    fresh = Sweeps(lease=LEASE, interval=INTERVAL, now=100.0)
    fresh.began(now=500)
    assert [fresh.delay(now=500 + after) for after in (0, 10)] == [10, 0]


@pytest.mark.parametrize("chance", [0, 0.5, 1])
def test_a_sweep_begins_an_interval_after_the_last_one_began(chance):
    """However long that took; a bit earlier at random, so that members do not sweep at one moment."""
    sweeps = swept(chance=chance)
    assert sweeps.delay(now=100) == pytest.approx(INTERVAL * (1 - JITTER * chance))
    assert [sweeps.delay(now=now) for now in (105, 200)] == [0, 0]


def test_a_sweep_that_was_not_answered_to_its_end_counts_for_nothing():
    """The next one is due as before."""
    sweeps = swept()
    assert [sweeps.delay(now=now) for now in (106, 107)] == [0, 0]
    sweeps.done(began=106, chance=0)
    assert sweeps.delay(now=107) == 4


def test_after_an_outage_owners_have_a_third_of_the_lease():
    """They could not renew either."""
    sweeps = swept()
    sweeps.waited(GRACE + 0.1, now=120)
    assert [sweeps.delay(now=120 + after) for after in (0, 9, 10)] == [10, 1, 0]


def test_after_an_outage_of_many_leases_owners_have_their_grace_too():
    """Time without an answer uses up none of it."""
    sweeps = swept()
    sweeps.waited(20 * LEASE, now=1000)
    assert sweeps.delay(now=1000) == GRACE


@pytest.mark.parametrize("seconds", [0, 1, GRACE])
def test_a_wait_within_a_third_of_the_lease_changes_nothing(seconds):
    """Every owner had two tries."""
    sweeps = swept()
    sweeps.waited(seconds, now=104)
    assert (sweeps.delay(now=104), sweeps.held(now=104)) == (1, False)


@pytest.mark.parametrize(("seconds", "grace"), [(1, 0), (5, 0), (5.1, 10), (60, 10)])
def test_after_writes_were_refused_owners_have_a_third_of_the_lease_too(seconds, grace):
    """From a sixth of it on: it was noticed up to a third late, and after half of it the next try may be too late."""
    sweeps = swept()
    sweeps.refused(seconds, now=120)
    assert (sweeps.delay(now=120), sweeps.held(now=120)) == (grace, grace > 0)


def test_hurrying_makes_a_sweep_due_and_shortens_no_grace():
    """There is room for an entry that had to wait; its owner may still be coming back."""
    sweeps = swept()
    sweeps.hurry(now=101)
    assert sweeps.delay(now=101) == 0
    sweeps.waited(11, now=101)
    sweeps.hurry(now=102)
    assert sweeps.delay(now=102) == 9


def test_hurrying_does_not_put_off_what_is_due_already():
    """It is due."""
    sweeps = swept()
    sweeps.hurry(now=400)
    assert sweeps.delay(now=400) == 0


def test_of_a_link_that_goes_up_and_down_all_graces_together_last_no_longer_than_one_lease():
    """9 s up, 11 s down: owners had 36 s of it, and need no more."""
    sweeps, now, held = swept(), 200.0, []
    for _ in range(5):
        sweeps.waited(11, now=now)
        held.append(sweeps.delay(now=now))
        now += 9 + 11
    assert held == [10, 10, 10, 3, 0]


def test_a_sweep_that_was_answered_gives_the_next_outage_its_full_grace():
    """What was before it is forgotten."""
    sweeps, now = swept(), 200.0
    for _ in range(5):
        sweeps.waited(11, now=now)
        now += 20
    sweeps.done(began=now, chance=0)
    sweeps.waited(11, now=now + 50)
    assert sweeps.delay(now=now + 50) == 10


def test_one_outage_that_is_told_twice_is_one():
    """The connection tells it, and the beat that was kept waiting."""
    sweeps = swept()
    sweeps.waited(60, now=200)
    sweeps.waited(61, now=200.5)
    assert sweeps.delay(now=200.5) == 10
    assert sweeps.delay(now=210.5) == 0


steps = st.lists(st.tuples(st.floats(0, 40), st.floats(0, 100), st.booleans()), max_size=60)
"""Seconds the link is up, seconds it is down then, and whether somebody hurries."""


@given(steps=steps)
def test_however_often_writes_are_refused_graces_take_no_more_than_one_lease(steps):
    """As for a link that goes up and down."""
    now, taken = 500.0, 0.0
    sweeps = swept(now)
    for well, refused, _ in steps:
        taken += min(well, sweeps.delay(now=now)) if sweeps.held(now=now) else 0.0
        now += well
        if refused > LEASE / 6:
            now += refused
            sweeps.refused(refused, now=now)
        assert taken <= LEASE + 1e-6


@given(steps=steps, chance=st.floats(0, 1))
def test_whatever_a_link_does_graces_take_no_more_than_one_lease_of_its_time(steps, chance):
    """One that goes up and down for ever cannot keep the events of a dead worker from starting elsewhere."""
    now, taken = 500.0, 0.0
    sweeps = swept(now, chance=chance)
    for up, down, hurries in steps:
        taken += max(0.0, min(up, sweeps.delay(now=now))) if sweeps.held(now=now) else 0.0
        now += up
        if hurries:
            sweeps.hurry(now=now)
        if down > GRACE:  # else it is up, only slow
            now += down
            sweeps.waited(down, now=now)
        assert taken <= LEASE + INTERVAL + 1e-6
        assert sweeps.delay(now=now + GRACE + INTERVAL) == 0


@given(steps=steps)
def test_owners_have_their_third_after_every_outage_until_they_had_a_lease_of_such(steps):
    """Only a link that never holds costs them that."""
    now, had = 500.0, 0.0
    sweeps = swept(now)
    for up, down, _ in steps:
        had += min(up, GRACE) if sweeps.held(now=now) else 0.0
        now += up
        if down > GRACE:
            now += down
            sweeps.waited(down, now=now)
            expected = min(GRACE, max(0.0, LEASE - had))
            assert sweeps.delay(now=now) >= expected - 1e-6
            assert sweeps.held(now=now) is (expected > 0) or expected < 1e-6


@given(seconds=st.floats(0.01, 50), chance=st.floats(0, 1))
def test_waiting_for_as_long_as_was_said_is_enough(seconds, chance):
    """The loop sleeps once."""
    sweeps = swept(chance=chance)
    sweeps.waited(seconds, now=101)
    later = 101 + sweeps.delay(now=101)
    assert sweeps.delay(now=later) == pytest.approx(0, abs=1e-9)
