"""Opening beside a Redis that is not ready yet."""

from __future__ import annotations

import pytest

from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.supervision.runtime import _patiently


def steps(*answers):
    left = list(answers)

    async def step():
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return step


@pytest.mark.parametrize("trouble", [BackendUnavailable("gone"), BackendRefused("it loads", code="LOADING")])
async def test_a_redis_that_starts_beside_us_is_waited_for(trouble):
    """It does not answer, or it loads what it has."""
    assert await _patiently(steps(trouble, trouble, "ready")) == "ready"


async def test_a_refusal_that_time_does_not_mend_is_raised_at_once():
    """Somebody has to do something."""
    with pytest.raises(BackendRefused, match="wrong"):
        await _patiently(steps(BackendRefused("wrong", code="WRONGTYPE"), "never"))


@pytest.mark.parametrize("trouble", [BackendUnavailable("gone"), BackendRefused("it loads", code="LOADING")])
async def test_patience_ends(monkeypatch, trouble):
    """With what it was spent on."""
    monkeypatch.setattr("eventbus.supervision.runtime.PATIENCE", 0.0)
    with pytest.raises(type(trouble)):
        await _patiently(steps(trouble, "never"))
