"""Deliveries that occupy an executor now."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from eventbus.consuming.work import Given
from eventbus.delivery import Context

if TYPE_CHECKING:
    from eventbus.delivery import BatchContext, Ended
    from eventbus.delivery.handlers import Handler


@dataclass(slots=True, eq=False)
class Run(Generic[Given]):
    """An executor, and what it has in hand now. One for all that it is given: nothing is made for each.

    Attributes:
        task: The executor.
        given: The delivery, or the batch, that it sees to its end; None while it waits for work.
        handler: The handler that runs; None while what was given waits at the gate.
        context: What the running handler was given beside that.
        since: When the handler started; the event loop's time.
        asked: How it is to end, once we asked it to; a handler's own result does not count any more then.
        late: Its thread is beyond the timeout, and that was said.
    """

    task: asyncio.Task[None]
    given: Given | None = None
    handler: Handler | None = None
    context: Context | BatchContext | None = None
    since: float = 0.0
    asked: Ended | None = None
    late: bool = False

    @property
    def started(self) -> bool:
        """Whether its handler runs."""
        return self.handler is not None

    @property
    def type(self) -> str:
        """The event's type, once it is known; a batch has none."""
        return self.context.type if isinstance(self.context, Context) else ""

    @property
    def name(self) -> str:
        """The handler's name."""
        return "" if self.handler is None else self.handler.name

    @property
    def in_thread(self) -> bool:
        """Whether its handler is in a thread just now, which nothing can stop."""
        return self.context is not None and self.context.in_thread

    def begin(self, given: Given) -> None:
        """It has something in hand."""
        self.given = given
        self.asked = None
        self.late = False

    def start(self, handler: Handler, context: Context | BatchContext, now: float) -> None:
        """Its handler starts now."""
        self.handler, self.context, self.since = handler, context, now

    def ask(self, ended: Ended) -> None:
        """Cancel it, for a reason; the first reason counts. A thread is left alone: its own end decides."""
        if self.asked is None and not self.in_thread:
            self.asked = ended
            self.task.cancel(ended.reason)


async def forget_cancellation(task: asyncio.Task[None]) -> None:
    """Make an executor fit for the next event after its task was cancelled while a handler ran.

    Before 3.13 `uncancel` leaves a cancellation that is still to be delivered; it comes at the next await.
    """
    while task.cancelling():
        task.uncancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)


def current_task() -> asyncio.Task[None]:
    """The executor's own task."""
    task = asyncio.current_task()
    assert task is not None, "executors are tasks"  # noqa: S101 - narrows the type
    return task
