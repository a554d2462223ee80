"""What becomes of an entry, and how long to wait after a failure: pure functions, asked for every case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.delivery import (
    CRASHES,
    UNHANDLED,
    Backoff,
    Carried,
    Decision,
    Delivery,
    Ended,
    Ending,
    Outcome,
    Retry,
    decide,
    hop,
)
from eventbus.errors import Reject, RetryLater

RETRY = Retry(attempts=3, backoff=[7, 11], jitter=0, never_on=KeyError)

ERRORS = {
    Ending.RAISED: ValueError("no"),
    Ending.LATER: RetryLater(13),
    Ending.TWIN: RetryLater(17, count=False),
    Ending.REJECTED: Reject("no"),
    Ending.TIMED_OUT: TimeoutError("late"),
}


def delivery(**facts):
    return Delivery(b"5-1", [b"a", b"1"], private=False, token="t", **facts)


def ended(ending, **facts):
    return Ended(ending, "why", **{"error": ERRORS.get(ending), "type": "Ordered", "version": 2, **facts})


EXPECTED = {
    Ending.HANDLED: (Outcome.ACK, None, 0),
    Ending.NOBODY: (Outcome.SKIP, None, 0),
    Ending.NEWER: (Outcome.DEAD, "newer", 0),
    Ending.RAISED: (Outcome.RETRY, None, 7),
    Ending.LATER: (Outcome.RETRY, None, 13),
    Ending.REJECTED: (Outcome.DEAD, "rejected", 0),
    Ending.TIMED_OUT: (Outcome.RETRY, None, 7),
    Ending.UNDECODABLE: (Outcome.DEAD, "undecodable", 0),
    Ending.CRASHED: (Outcome.DEAD, "crashes", 0),
    Ending.STOPPED: (Outcome.RELEASE, None, 0),
    Ending.FINISHED: (Outcome.NOTHING, None, 0),
    Ending.TWIN: (Outcome.RETRY, None, 17),
    Ending.LOST: (Outcome.NOTHING, None, 0),
}
COUNTED = {Ending.RAISED, Ending.LATER, Ending.REJECTED, Ending.TIMED_OUT}


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("ending", list(Ending))
def test_every_ending_has_its_outcome(ending, claimed):
    """A new one is to be decided here."""
    decision = decide(delivery(claimed=claimed, count=2 if claimed else 1), ended(ending), RETRY)
    assert (decision.outcome, decision.reason, decision.delay) == EXPECTED[ending]


@pytest.mark.parametrize("ending", list(Ending))
def test_what_ended_by_itself_after_its_lease_was_lost_has_no_say_except_for_a_success(ending):
    """Another consumer has it: only the work itself, which is done, is written."""
    decision = decide(delivery(lost=True), ended(ending), RETRY)
    assert decision == Decision(Outcome.ACK if ending is Ending.HANDLED else Outcome.NOTHING)


@pytest.mark.parametrize("ending", [each for each in Ending if each is not Ending.LOST])
def test_what_was_cut_from_the_stream_is_decided_as_if_its_lease_were_ours(ending):
    """Whoever buried its row has no fields: this process has the only copy."""
    assert decide(delivery(lost=True, cut=True), ended(ending), RETRY) == decide(delivery(), ended(ending), RETRY)


@pytest.mark.parametrize("ending", list(Ending))
def test_only_a_run_of_the_handler_that_failed_counts_as_an_attempt(ending):
    """Neither a shutdown, nor a claim, nor what was never run."""
    decision = decide(delivery(carried=Carried(entry="3-0", attempts=1)), ended(ending), RETRY)
    if decision.outcome not in (Outcome.ACK, Outcome.NOTHING):
        assert decision.carried.attempts == 1 + (ending in COUNTED)


@pytest.mark.parametrize(
    ("ending", "attempts", "expected"),
    [
        (Ending.RAISED, 1, (Outcome.RETRY, None, 11)),
        (Ending.RAISED, 2, (Outcome.DEAD, "attempts", 0)),
        (Ending.RAISED, 9, (Outcome.DEAD, "attempts", 0)),
        (Ending.TIMED_OUT, 2, (Outcome.DEAD, "attempts", 0)),
        (Ending.LATER, 1, (Outcome.RETRY, None, 13)),
        (Ending.LATER, 2, (Outcome.DEAD, "attempts", 0)),
        (Ending.REJECTED, 2, (Outcome.DEAD, "rejected", 0)),
        (Ending.STOPPED, 2, (Outcome.RELEASE, None, 0)),
    ],
)
def test_spent_attempts_end_among_the_dead_letters(ending, attempts, expected):
    """The last allowed run is the last."""
    decision = decide(delivery(carried=Carried(attempts=attempts)), ended(ending), RETRY)
    assert (decision.outcome, decision.reason, decision.delay) == expected


@pytest.mark.parametrize("attempts", [0, 2, 100])
def test_what_is_put_off_uncounted_is_never_spent(attempts):
    """It may be put off for ever."""
    later = ended(Ending.LATER, error=RetryLater(0.5, count=False))
    decision = decide(delivery(carried=Carried(attempts=attempts)), later, RETRY)
    assert (decision.outcome, decision.delay, decision.carried.attempts) == (Outcome.RETRY, 0.5, attempts)


@pytest.mark.parametrize(
    ("retry", "error", "outcome"),
    [
        (Retry(never_on=KeyError), KeyError("x"), Outcome.DEAD),
        (Retry(never_on=(OSError, LookupError)), KeyError("x"), Outcome.DEAD),
        (Retry(never_on=KeyError), ValueError(), Outcome.RETRY),
        (Retry(on=OSError), ConnectionResetError(), Outcome.RETRY),
        (Retry(on=OSError), ValueError(), Outcome.DEAD),
        (Retry(on=OSError, never_on=ConnectionError), ConnectionResetError(), Outcome.DEAD),
        (Retry(on=OSError), TimeoutError(), Outcome.RETRY),  # an OSError, as Python has it
    ],
)
def test_what_is_not_to_be_retried_is_dead_lettered_at_its_first_failure(retry, error, outcome):
    """`never_on` goes before `on`."""
    decision = decide(delivery(), ended(Ending.RAISED, error=error), retry)
    assert (decision.outcome, decision.reason) == (outcome, "never" if outcome is Outcome.DEAD else None)
    assert decision.carried.attempts == 1


def test_a_handler_may_put_off_what_its_policy_would_not_retry():
    """It said so itself."""
    decision = decide(delivery(), ended(Ending.LATER), Retry(on=OSError))
    assert (decision.outcome, decision.delay) == (Outcome.RETRY, 13)


HOPPED = Carried(entry="3-0", attempts=1, hops=4, hopped=1000, redrives=2)


@pytest.mark.parametrize("ending", [Ending.RAISED, Ending.LATER, Ending.REJECTED, Ending.TIMED_OUT])
def test_a_run_of_the_handler_ends_the_hops(ending):
    """A member that knows the type was found."""
    carried = decide(delivery(carried=HOPPED), ended(ending), RETRY).carried
    assert carried == replace(HOPPED, attempts=2, hops=0, hopped=0)


@pytest.mark.parametrize("ending", [Ending.NOBODY, Ending.NEWER, Ending.STOPPED, Ending.UNDECODABLE, Ending.CRASHED])
def test_without_a_run_everything_is_carried_on_as_it_was(ending):
    """A shutdown or a claim changes nothing about the event."""
    assert decide(delivery(carried=HOPPED), ended(ending), RETRY).carried == HOPPED


def test_only_a_newer_version_is_dead_lettered_on_a_condition():
    """Where a member declared it, it waits for that one."""
    decisions = {ending: decide(delivery(), ended(ending), RETRY).unless for ending in Ending}
    assert decisions.pop(Ending.NEWER) == ("Ordered", 2)
    assert set(decisions.values()) == {None}


@pytest.mark.parametrize(
    ("facts", "origin", "marked_first", "crashes", "carried"),
    [
        ({}, "5-1", False, 0, None),
        ({"claimed": True}, "5-1", True, 0, 0),
        ({"claimed": True, "count": 3}, "5-1", True, 2, 2),
        ({"carried": Carried(entry="3-0")}, "3-0", False, 0, None),
        ({"carried": Carried(entry="3-0", crashes=0)}, "3-0", True, 0, 0),
        ({"carried": Carried(entry="3-0", crashes=2)}, "3-0", True, 2, 2),
        ({"carried": Carried(entry="3-0", crashes=1), "claimed": True, "count": 2}, "3-0", True, 2, 2),
    ],
)
def test_a_copy_carries_the_origin_and_the_lost_starts(facts, origin, marked_first, crashes, carried):
    """What was ever claimed is marked first, in each of its copies; what never was costs nothing."""
    one = delivery(**facts)
    assert (one.origin, one.marked_first, one.crashes) == (origin, marked_first, crashes)
    decision = decide(one, ended(Ending.RAISED), RETRY)
    assert (decision.carried.entry, decision.carried.crashes) == (origin, carried)


def test_a_type_of_others_is_parked_by_the_delays_of_the_policy():
    """Counted apart from attempts; the first hop's time stays."""
    first = hop(delivery(carried=Carried(attempts=2)), RETRY, now=1000.5)
    assert first == Decision(Outcome.HOP, Carried(entry="5-1", attempts=2, hops=1, hopped=1_000_500), delay=7)
    second = hop(delivery(carried=first.carried), RETRY, now=2000)
    assert second == Decision(Outcome.HOP, replace(first.carried, hops=2), delay=11)


@pytest.mark.parametrize(("after", "outcome"), [(0, Outcome.HOP), (UNHANDLED - 1, Outcome.HOP), (UNHANDLED, Outcome.DEAD)])
def test_a_day_after_its_first_hop_an_event_nobody_took_is_dead_lettered(after, outcome):
    """Its type was declared once; whoever declared it is gone."""
    decision = hop(delivery(carried=Carried(hops=50, hopped=5_000)), RETRY, now=5 + after)
    assert (decision.outcome, decision.reason) == (outcome, "unhandled" if outcome is Outcome.DEAD else None)
    assert decision.unless is None
    assert (decision.carried.hops, decision.carried.hopped) == (51, 5_000)


def test_a_hop_never_goes_at_once():
    """Whoever does not know the type would read it again and again, as fast as Redis answers."""
    assert hop(delivery(), Retry(backoff=[0], jitter=0), now=0).delay > 0


def test_the_budgets_are_as_documented():
    """Three lost starts; a day."""
    assert (CRASHES, UNHANDLED) == (3, 86_400)


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
