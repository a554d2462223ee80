"""A publish whose confirmation is awaited, and what is known about it when it is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from eventbus.delivery import Published, Scheduled
from eventbus.errors import BackendRefused, BackendUnavailable, EntryIdTooLow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.errors import BackendError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

TRANSIENT: Final = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS", "LOADING", "NOSCRIPT"})
"""Answers of a server that may soon answer otherwise (failover, a long script, a replica that restarts): tried again, on a
new connection, whose greeting loads the script that NOSCRIPT misses."""


class Confirmation(asyncio.Future[Published], Coroutine[Any, Any, Published]):
    """What `publish` returns: Redis's confirmation, once it has come.

    A future, so that `asyncio.gather` over thousands makes no task for each, which would cost more than the publish.
    A coroutine as well, so that `create_task` and task groups take it like the result of any asynchronous function.

    Attributes:
        command: What is written.
        event_id: The event's id.
        topic: Where it is published to.
        until: The event loop's time at which it is given up.
        maybe_written: A try of it was sent, and its answer never came.
        last: What the last try failed with.

    Cancellation:
        What was not sent yet is not written. Several tasks may await one publish; to cancel one of them cancels it
        for all.
    """

    __name__ = "publish"  # as which a task shows it
    __slots__ = ("command", "event_id", "last", "maybe_written", "topic", "until")

    def __init__(self, loop: asyncio.AbstractEventLoop, command: bytes, event_id: str, topic: str, until: float) -> None:
        super().__init__(loop=loop)
        self.command = command
        self.event_id = event_id
        self.topic = topic
        self.until = until
        self.maybe_written = False
        self.last: BackendError | None = None

    # -- as a coroutine, for whoever makes a task of it

    def send(self, value: Any) -> Any:
        """Take the next step."""
        return self.__await__().send(value)  # a new one each time: any number of tasks may await the same

    def throw(self, *error: Any) -> Any:
        """Take the next step with an exception."""
        _ = self.cancel()  # where it has no answer yet, its task was cancelled before the first step: nobody awaits it
        return self.__await__().throw(*error)

    def close(self) -> None:
        """Cancel it: what was not sent yet is not written."""
        _ = self.cancel()


def stored(confirmation: Confirmation, reply: Sequence[Any]) -> Published:
    """What the script of a special publish answers."""
    entry_id, due = reply[0].decode(), reply[2]
    event_id = reply[1].decode(errors="replace")  # of a key that another hand wrote
    if not due:
        return Published(event_id, confirmation.topic, entry_id)
    moment = EPOCH + timedelta(milliseconds=due)  # exact, unlike a float of seconds
    return Scheduled(event_id, confirmation.topic, entry_id, due=moment)


def refusal(confirmation: Confirmation, reply: BackendRefused) -> BackendRefused:
    """An error answer, naming the topic."""
    where = f"publishing to topic {confirmation.topic!r}"
    if reply.code != "IDTOOLOW":
        return BackendRefused(f"{where}: {reply}", code=reply.code)
    last = str(reply).rpartition(" ")[2]
    return EntryIdTooLow(
        f"{where}: its entry id is not above {last}, the last that the stream ever had; it was not written. "
        "Continue an import after that id, or leave out entry_id=",
        last=last,
    )


def give_up(confirmation: Confirmation, why: str) -> None:
    """Answer a publish that was not confirmed with what is known about it."""
    if confirmation.done():
        return
    maybe = confirmation.maybe_written
    known = "it may or may not have been written" if maybe else "it was not written"
    reason = f"; the last try failed: {confirmation.last}" if confirmation.last else ""
    error = BackendUnavailable(
        f"publishing event {confirmation.event_id} to {confirmation.topic!r} was given up, {why}: {known}, and the "
        f"same event is safe to publish again{reason}",
        event_id=confirmation.event_id,
        maybe_executed=maybe,
    )
    confirmation.set_exception(error)
