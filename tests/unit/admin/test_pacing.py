"""How fast, and how patiently."""

from __future__ import annotations

import math

import pytest

from eventbus import BackendRefused, BackendUnavailable, ConfigurationError
from eventbus.admin.pacing import BATCH, TRIES, batch_size, check_rate, pause, persistently
from eventbus.delivery import Backoff

NOW = Backoff(first=0.0, most=0.0)


@pytest.mark.parametrize(("rate", "size"), [(None, BATCH), (0.1, 1), (1, 1), (50, 10), (1e9, BATCH)])
def test_a_rate_makes_batches_of_a_fifth_of_a_second(rate, size):
    """Handlers see a flow; a slow rate sends one at a time."""
    assert batch_size(rate) == size


@pytest.mark.parametrize("wrong", ["5", 0, -1.0, True, math.nan, math.inf, 10**400])
def test_what_is_no_rate_is_refused_with_the_remedy(wrong):
    """By the error that says so, whatever its type."""
    with pytest.raises(ConfigurationError, match="rate .*: give entries a second, a number above 0"):
        check_rate(wrong)


@pytest.mark.parametrize(
    ("done", "rate", "passed", "seconds"), [(100, None, 0.0, 0.0), (100, 50, 0.0, 2.0), (100, 50, 1.5, 0.5), (100, 50, 9.0, 0.0)]
)
def test_a_pause_is_what_is_missing_of_the_time_it_should_have_taken(done, rate, passed, seconds):
    """A slow Redis is not waited for twice."""
    assert pause(done, rate, passed=passed) == seconds


class Step:
    """Fails so often, then answers."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.taken = 0

    async def __call__(self):
        self.taken += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


async def test_a_step_is_taken_again_until_it_is_answered():
    """And it is told whether an earlier try may have been executed."""
    assert await persistently(Step(), backoff=NOW) == ("answer", False)
    unsent, lost = (BackendUnavailable("", maybe_executed=maybe) for maybe in (False, True))
    assert await persistently(Step(unsent, unsent), backoff=NOW) == ("answer", False)
    assert await persistently(Step(unsent, lost, unsent), backoff=NOW) == ("answer", True)


async def test_a_step_that_is_never_answered_or_refused_is_given_up():
    """A refusal at once: it is an answer."""
    step = Step(*(BackendUnavailable("") for _ in range(99)))
    with pytest.raises(BackendUnavailable):
        await persistently(step, backoff=NOW)
    assert step.taken == TRIES
    step = Step(BackendRefused("", code="OOM"))
    with pytest.raises(BackendRefused):
        await persistently(step, backoff=NOW)
    assert step.taken == 1
