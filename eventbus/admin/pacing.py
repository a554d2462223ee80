"""How long work of an operator takes its time: so many entries a second, and through short outages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from eventbus.delivery import Backoff
from eventbus.errors import BackendUnavailable, ConfigurationError
from eventbus.events import is_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_T = TypeVar("_T")

BATCH: Final = 200
"""Most dead letters of one call."""

TRIES: Final = 6
"""How often a call is sent, over some ten seconds, before Redis counts as gone."""

SHARES: Final = 5
"""Batches a second, where a rate is asked for: handlers see a flow, not bursts."""


def check_rate(rate: float | None) -> None:
    """Refuse what is no rate.

    Raises:
        ConfigurationError: It is no number above 0.
    """
    if rate is not None and not is_seconds(rate):
        raise ConfigurationError(f"rate {rate!r}: give entries a second, a number above 0; leave it out for no limit")


def batch_size(rate: float | None) -> int:
    """How many dead letters to send in one call."""
    return BATCH if rate is None else max(1, min(BATCH, int(rate / SHARES)))


def pause(done: int, rate: float | None, *, passed: float) -> float:
    """Seconds to wait before more is sent, when so many were sent in the time that has passed."""
    return 0.0 if rate is None else max(0.0, done / rate - passed)


async def persistently(step: Callable[[], Awaitable[_T]], *, backoff: Backoff = Backoff(first=0.5)) -> tuple[_T, bool]:  # noqa: B008 - frozen
    """Take a step that may safely be taken again, until it is answered.

    Returns:
        Its answer, and whether an earlier try may have been executed without its answer being heard.

    Raises:
        BackendUnavailable: No answer in `TRIES` tries.
    """
    again = False
    for failures in range(1, TRIES):
        try:
            return await step(), again
        except BackendUnavailable as error:
            again |= error.maybe_executed
        await anyio.sleep(backoff.delay(failures))
    return await step(), again
