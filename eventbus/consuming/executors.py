"""Standing executors: a fixed number of tasks that run handlers one after another."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from eventbus.delivery import Alive, Context, Delivery, Ending, Ready, Subscription, Surroundings, Unready, resolve
from eventbus.events import info

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context as Variables

    from anyio.abc import TaskGroup

    from eventbus.consuming.work import Work

_log = logging.getLogger("eventbus.consuming")


@dataclass(slots=True, eq=False)
class _Run:
    """A handler that is running now."""

    task: asyncio.Task[None]
    delivery: Delivery
    cut: str = ""


class Executors:
    """Run the handlers of one subscription, at most `concurrency` at a time.

    A task per event costs three times as much as these standing tasks (measured). Two things that a task
    of its own would give are kept: no event sees a context variable that an earlier handler set, and
    cancelling one handler does not end its executor.

    Args:
        subscription: Whose handlers.
        around: What their contexts share.
        work: Where deliveries come from.
        finish: Called with each delivery, how it ended, and a reason without payload.
    """

    def __init__(
        self,
        subscription: Subscription,
        around: Surroundings,
        work: Work,
        finish: Callable[[Delivery, Ending, str], None],
    ) -> None:
        self._subscription = subscription
        self._around = around
        self._work = work
        self._finish = finish
        self._running: set[_Run] = set()
        self._idle = asyncio.Event()
        self._scope = anyio.CancelScope()

    @property
    def running(self) -> int:
        """How many handlers run now."""
        return len(self._running)

    async def run(self, alive: Alive) -> None:
        """Keep the executors standing until cancelled."""
        async with anyio.create_task_group() as tasks:
            self._scope = tasks.cancel_scope
            alive()
            variables = copy_context()
            for _ in range(self._subscription.concurrency):
                tasks.start_soon(self._stand, tasks, variables)

    def cut(self) -> None:
        """End what runs by cancelling it, and whatever never started: both stay pending."""
        for delivery in self._work.clear():
            self._finish(delivery, Ending.CUT, "it had not started when the drain ended")
        for run in self._running:
            run.cut = "its handler was cancelled when the drain ended"
            run.task.cancel()

    async def wait_until_idle(self) -> None:
        """Wait until no handler runs."""
        while self._running:
            self._idle.clear()
            await self._idle.wait()

    async def _stand(self, tasks: TaskGroup, variables: Variables) -> None:
        while True:
            delivery = await self._work.get()
            await self._execute(delivery)
            if _changed(variables):
                # The handler left a context variable behind: a successor with the old ones takes over.
                _ = variables.run(tasks.start_soon, self._stand, tasks, variables)
                return

    async def _execute(self, delivery: Delivery) -> None:
        """See one delivery to its end; whatever happens, it is finished exactly once."""
        found = self._resolve(delivery)
        if not isinstance(found, Ready):
            self._finish(delivery, found.ending, found.reason)
            return
        run = _Run(_current_task(), delivery)
        self._running.add(run)
        try:
            ending, reason = await self._handle(run, found)
        finally:
            self._running.discard(run)
            if not self._running:
                self._idle.set()
        self._finish(delivery, ending, reason)

    def _resolve(self, delivery: Delivery) -> Ready | Unready:
        try:
            return resolve(self._subscription, delivery.fields)
        except Exception as error:  # noqa: BLE001 - a defect here must not end the executors with all they hold
            # Without its traceback, whose text may show the payload.
            return Unready(Ending.UNDECODABLE, f"resolving it raised {type(error).__name__}")

    async def _handle(self, run: _Run, found: Ready) -> tuple[Ending, str]:
        context = Context(self._around, run.delivery, found.envelope, info(type(found.event)).type)
        ending, reason = Ending.HANDLED, ""
        try:
            await found.route.invoke(found.event, context)
        except asyncio.CancelledError:
            if self._scope.cancel_called:
                raise  # the executor itself is being ended
            # Else we asked for it (`cut`), or the handler cancelled itself: its own affair.
            ending, reason = Ending.RAISED, run.cut or self._say_raised(found, context)
        except (KeyboardInterrupt, SystemExit):
            raise  # the handler wants the program to end, and it shall
        except BaseException:  # noqa: BLE001 - whatever else a handler raises is one failed event, and ends nothing
            ending, reason = Ending.RAISED, self._say_raised(found, context)
        if run.task.cancelling():
            await _forget_cancellation(run.task)
        # What ended after it was asked to stop has no success, whatever it made of its cancellation.
        return (Ending.CUT, run.cut) if run.cut else (ending, reason)

    def _say_raised(self, found: Ready, context: Context) -> str:
        _log.exception(
            "handler %s raised for event %s of type %r, entry %s of %s",
            found.route.handler.name,
            context.id,
            context.type,
            context.entry_id,
            self._subscription,
            extra={"eventbus": {"topic": context.topic, "group": context.group, "event_id": context.id}},
        )
        return "its handler raised"


def _changed(variables: Variables) -> bool:
    """Whether a handler left a context variable behind. Equal contexts share their table, so this is one comparison."""
    try:
        return copy_context() != variables
    except Exception:  # noqa: BLE001 - a value whose comparison raises is a value that was set
        return True


async def _forget_cancellation(task: asyncio.Task[None]) -> None:
    """Make an executor fit for the next event after its task was cancelled while a handler ran.

    Before 3.13 `uncancel` leaves a cancellation that is still to be delivered; it comes at the next await.
    """
    while task.cancelling():
        task.uncancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)


def _current_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None, "executors are tasks"  # noqa: S101 - narrows the type
    return task
