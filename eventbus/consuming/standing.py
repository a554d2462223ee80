"""Standing executors: a fixed number of tasks that see what they are given to its end, one after the other."""

from __future__ import annotations

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import anyio

from eventbus.consuming.runs import Run, current_task, forget_cancellation
from eventbus.consuming.work import Given, Queue
from eventbus.delivery import Ended, Ending, Handled
from eventbus.events import age

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
    from contextvars import Context as Variables
    from datetime import datetime

    from anyio.abc import TaskGroup

    from eventbus.consuming.gate import Gate
    from eventbus.delivery import Alive, Delivery, Observer, Subscription, Surroundings

_log = logging.getLogger("eventbus.consuming")
_T = TypeVar("_T")

_NEVER_STARTED: Final = Ended(Ending.STOPPED, "it had not started when the shutdown began")
_STOPPED: Final = Ended(Ending.STOPPED, "its handler was cancelled when the drain ended")
LOST: Final = Ended(Ending.LOST, "its lease was lost")
HANDLED: Final = Ended(Ending.HANDLED)

LOOK: Final = 0.05
"""Seconds between looks for handlers beyond their timeout: one timer for all of them. A short timeout is looked
at ten times as often as it lasts."""


class Standing(ABC, Generic[Given]):
    """Run the handlers of one subscription, at most `concurrency` at a time; what they are given is a subclass's affair.

    A task per event costs three times as much as these standing tasks (measured). Two things that a task
    of its own would give are kept: no event sees a context variable that an earlier handler set, and
    cancelling one handler does not end its executor.

    Args:
        subscription: Whose handlers.
        around: What their contexts share.
        work: Where deliveries come from.
        gate: What they pass before they start.
        finish: Called with each delivery and how it ended.
        observers: Told about each event that a handler had.
    """

    def __init__(
        self,
        *,
        subscription: Subscription,
        around: Surroundings,
        work: Queue[Given],
        gate: Gate,
        finish: Callable[[Delivery, Ended], None],
        observers: Sequence[Observer] = (),
    ) -> None:
        self._subscription = subscription
        self._around = around
        self._work = work
        self._gate = gate
        self._finish = finish
        self._end = self._ender(finish)
        self._observers = observers
        self._runs: set[Run[Given]] = set()
        self._occupied = 0
        self._idle = asyncio.Event()
        self._scope = anyio.CancelScope()
        self._now = asyncio.get_running_loop().time

    @abstractmethod
    def _see_through(self, run: Run[Given], given: Given, /) -> Coroutine[Any, Any, Ended | None]:
        """See it to its end: how all that is left of it ended; None where nothing is."""

    @abstractmethod
    def _ender(self, finish: Callable[[Delivery, Ended], None]) -> Callable[[Given, Ended], None]:
        """What finishes all that is left of it; made once, since each event passes it."""

    @abstractmethod
    def _left(self, given: Given) -> Iterable[Delivery]:
        """What is left of it."""

    @abstractmethod
    def _is_lost(self, given: Given, delivery: Delivery, /) -> bool:
        """Whether nothing is left of it to be run for, now that this delivery was lost."""

    @property
    def running(self) -> int:
        """How many handlers run now."""
        return sum(run.started for run in self._runs)

    def busy(self) -> list[str]:
        """The names of the handlers that run now."""
        return [run.handler.name for run in self._runs if run.handler is not None]

    async def run(self, alive: Alive) -> None:
        """Keep the executors standing until cancelled.

        Raises:
            RuntimeError: They ended by themselves. What they held starts again with the next `run`.
        """
        async with anyio.create_task_group() as tasks:
            self._scope = tasks.cancel_scope
            self._take_up()
            alive()
            variables = copy_context()
            for _ in range(self._subscription.concurrency):
                tasks.start_soon(self._stand, tasks, variables)
            if self._subscription.timeout is not None:
                tasks.start_soon(self._watch, self._subscription.timeout)
        raise RuntimeError("the executors ended by themselves")  # else they would have been cancelled with their group

    def lose(self, delivery: Delivery) -> None:
        """End a delivery whose lease is another's: what waits does not start, what runs is cancelled."""
        if self._work.remove(delivery) or self._gate.take_back(delivery):
            self._gate.leave(delivery)  # it may have been its turn
            self._finish(delivery, LOST)
        for run in self._runs:
            if run.given is not None and self._is_lost(run.given, delivery):
                run.ask(LOST)

    def release_waiting(self) -> None:
        """Give up whatever never started."""
        for delivery in (*self._gate.clear(), *self._work.clear()):
            self._gate.leave(delivery)
            self._finish(delivery, _NEVER_STARTED)
        for run in self._runs:
            if run.given is not None and not run.started:
                run.ask(_NEVER_STARTED)

    def cancel(self) -> None:
        """Cancel what runs. Threads go on: nothing can stop them."""
        self.release_waiting()
        for run in self._runs:
            if run.given is not None:
                run.ask(_STOPPED)

    async def wait_until_idle(self) -> None:
        """Wait until no handler runs."""
        while self._occupied:
            self._idle.clear()
            await self._idle.wait()

    async def _stand(self, tasks: TaskGroup, variables: Variables) -> None:
        run: Run[Given] = Run(current_task())
        self._runs.add(run)
        while True:
            await self._execute(run, self._work.pop() or await self._next(run))
            if _changed(variables):
                # The handler left a context variable behind: a successor with the old ones takes over.
                self._runs.discard(run)
                _ = variables.run(tasks.start_soon, self._stand, tasks, variables)
                return

    async def _next(self, run: Run[Given]) -> Given:
        while True:
            try:
                return await self._work.get()
            except asyncio.CancelledError:
                if self._being_ended():
                    raise
                # A timer or a watchdog that some handler left behind: it is no wish of ours.
                await forget_cancellation(run.task)

    def _take_up(self) -> None:
        """What executors before these had in hand when they failed starts again: nobody else could ever take it."""
        for run in self._runs:
            if run.given is not None:
                deliveries = list(self._left(run.given))
                for delivery in deliveries:
                    delivery.claimed = True  # its start is counted first: it may be why they failed
                self._work.put_first(deliveries)
        self._runs.clear()

    async def _execute(self, run: Run[Given], given: Given) -> None:
        """See what was given to its end, or put it aside; whatever happens, each delivery is finished exactly once."""
        run.begin(given)
        self._occupied += 1
        try:
            ended = await self._see_through(run, given)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if self._being_ended():
                raise
            # A defect here, or a log filter of the user's: it must not end the executors with all they hold.
            _log.error("%s: seeing a delivery through failed", self._subscription, exc_info=error)
            ended = run.asked or Ended(Ending.RAISED, "seeing it through failed", error, run.type)
        finally:
            run.handler = run.context = None
            self._occupied -= 1
            if not self._occupied:
                self._idle.set()
        if ended is not None:
            self._end(given, ended)
        run.given = None

    def _being_ended(self) -> bool:
        """Whether the executor itself is cancelled, by a scope of ours or by one around it."""
        return self._scope.cancel_called or anyio.current_effective_deadline() == -math.inf

    async def _unless_asked(self, run: Run[Given], waiting: Awaitable[_T]) -> _T | Ended:
        """What the wait at the gate came to, or how the run is to end instead."""
        found: _T | Ended
        try:
            found = await waiting
        except asyncio.CancelledError:
            if run.asked is None or self._being_ended():
                raise
            found = run.asked
        if run.task.cancelling():
            await forget_cancellation(run.task)
        return run.asked or found

    def _again(self, delivery: Delivery) -> None:
        self._work.put_first([delivery])

    def _tell(self, event_type: str, took: float, time: datetime | None, ended: Ended) -> None:
        latency = None if time is None else age(time)
        handled = Handled(self._subscription, event_type, ended.ending, took, latency)
        for observer in self._observers:
            try:
                observer(handled)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:  # noqa: BLE001 - an onlooker's failure is not the event's
                _log.exception("an observer raised")

    async def _watch(self, timeout: float) -> None:
        """Cancel handlers that run for too long."""
        while True:
            await anyio.sleep(min(LOOK, timeout / 10))
            for run in self._runs:
                if run.started and self._now() - run.since >= timeout:
                    self._time_out(run, timeout)

    def _time_out(self, run: Run[Given], timeout: float) -> None:
        if run.in_thread and not run.late:
            run.late = True
            _log.warning("handler %s runs in a thread for more than its timeout of %g s; its own end decides", run.name, timeout)
        error = TimeoutError(f"the handler did not end within {timeout:g} s")
        run.ask(Ended(Ending.TIMED_OUT, "its handler was cancelled at its timeout", error, run.type))


def _changed(variables: Variables) -> bool:
    """Whether a handler left a context variable behind. Equal contexts share their table, so this is one comparison."""
    try:
        return copy_context() != variables
    except Exception:  # noqa: BLE001 - a value whose comparison raises is a value that was set
        return True
