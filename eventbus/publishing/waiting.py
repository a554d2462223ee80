"""A publish whose confirmation is awaited, and what is known about it when it is given up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventbus.errors import BackendUnavailable

if TYPE_CHECKING:
    import asyncio

    from eventbus.delivery import Published
    from eventbus.errors import BackendError

TRANSIENT: Final = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS"})
"""Answers of a server that may soon answer otherwise (failover, a long script, a replica that restarts): tried again."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A publish whose confirmation is awaited."""

    command: bytes
    event_id: str
    topic: str
    until: float
    answer: asyncio.Future[Published]
    maybe_written: bool = False
    last: BackendError | None = None


@dataclass(slots=True)
class PublishCounts:
    """Plain counters, read when somebody asks."""

    published: int = 0
    writes: int = 0
    retries: int = 0
    refused: int = 0
    given_up: int = 0


def give_up(waiting: Waiting, why: str) -> None:
    """Answer a publish that was not confirmed with what is known about it."""
    if waiting.answer.done():
        return
    known = "it may or may not have been written" if waiting.maybe_written else "it was not written"
    reason = f"; the last try failed: {waiting.last}" if waiting.last else ""
    error = BackendUnavailable(
        f"publishing event {waiting.event_id} to {waiting.topic!r} was given up, {why}: {known}, and the "
        f"same event is safe to publish again{reason}",
        event_id=waiting.event_id,
        maybe_executed=waiting.maybe_written,
    )
    waiting.answer.set_exception(error)
