"""What becomes of an entry, and how long to wait after a failure: pure functions, asked for every case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.delivery import Backoff, Ending, Outcome, decide

EXPECTED = {
    Ending.HANDLED: Outcome.ACK,
    Ending.NOBODY: Outcome.SKIP,
    Ending.RAISED: Outcome.LEAVE,
    Ending.UNDECODABLE: Outcome.LEAVE,
    Ending.NEWER: Outcome.LEAVE,
    Ending.CUT: Outcome.LEAVE,
}


@pytest.mark.parametrize("ending", list(Ending))
def test_only_what_was_handled_or_is_nobodys_leaves_the_group(ending):
    """Every ending has an outcome; a new one is to be decided here."""
    assert decide(ending) is EXPECTED[ending]


seconds = st.floats(0.001, 100)


@given(first=seconds, most=seconds, failures=st.integers(1, 10_000))
def test_a_delay_is_between_half_and_all_of_its_step_and_never_above_the_most(first, most, failures):
    """Whatever chance decides, and however long the outage."""
    backoff = Backoff(first, most)
    full = min(most, first * 2.0 ** min(failures - 1, 30))
    assert backoff.delay(failures, chance=0) == pytest.approx(full / 2)
    assert backoff.delay(failures, chance=1) == pytest.approx(full)
    assert full / 2 <= backoff.delay(failures) <= full <= most


@given(failures=st.integers(1, 100), chance=st.floats(0, 1))
def test_delays_never_shrink_from_one_failure_to_the_next(failures, chance):
    """For the same chance."""
    backoff = Backoff()
    assert backoff.delay(failures, chance=chance) <= backoff.delay(failures + 1, chance=chance)


def test_delays_of_a_fleet_differ():
    """Those who lost Redis at one moment do not come back at one moment."""
    assert len({Backoff().delay(3) for _ in range(20)}) > 1


def test_the_first_delay_is_short_and_the_longest_is_far_below_a_lease():
    """A tenth of a second; four seconds."""
    assert [Backoff().delay(failures, chance=1) for failures in (1, 2, 3, 6, 7, 1000)] == [0.1, 0.2, 0.4, 3.2, 4.0, 4.0]
