"""Standing executors: a fixed number of tasks that run handlers one after another."""

from __future__ import annotations

import asyncio
import logging
import math
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

import anyio

from eventbus.consuming.runs import Run, current_task, forget_cancellation
from eventbus.delivery import Context, Ended, Ending, Handled, Ready, refuse_early, resolve
from eventbus.errors import Reject, RetryLater
from eventbus.events import Envelope, info

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from contextvars import Context as Variables

    from anyio.abc import TaskGroup

    from eventbus.consuming.gate import Gate
    from eventbus.consuming.work import Work
    from eventbus.delivery import Alive, Delivery, Observer, Subscription, Surroundings

_log = logging.getLogger("eventbus.consuming")

_NEVER_STARTED: Final = Ended(Ending.STOPPED, "it had not started when the shutdown began")
_STOPPED: Final = Ended(Ending.STOPPED, "its handler was cancelled when the drain ended")
_LOST: Final = Ended(Ending.LOST, "its lease was lost")
_HANDLED: Final = Ended(Ending.HANDLED)

LOOK: Final = 0.05
"""Seconds between looks for handlers beyond their timeout: one timer for all of them. A short timeout is looked
at ten times as often as it lasts."""


class Executors:
    """Run the handlers of one subscription, at most `concurrency` at a time.

    A task per event costs three times as much as these standing tasks (measured). Two things that a task
    of its own would give are kept: no event sees a context variable that an earlier handler set, and
    cancelling one handler does not end its executor.

    Args:
        subscription: Whose handlers.
        around: What their contexts share.
        work: Where deliveries come from.
        gate: What they pass before they start.
        finish: Called with each delivery and how it ended.
        observers: Told about each run of a handler.
    """

    def __init__(
        self,
        *,
        subscription: Subscription,
        around: Surroundings,
        work: Work,
        gate: Gate,
        finish: Callable[[Delivery, Ended], None],
        observers: Sequence[Observer] = (),
    ) -> None:
        self._subscription = subscription
        self._around = around
        self._work = work
        self._gate = gate
        self._finish = finish
        self._observers = observers
        self._runs: set[Run] = set()
        self._occupied = 0
        self._idle = asyncio.Event()
        self._scope = anyio.CancelScope()
        self._now = asyncio.get_running_loop().time

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
            self._finish(delivery, _LOST)
        for run in self._runs:
            if run.delivery is delivery:
                run.ask(_LOST)

    def release_waiting(self) -> None:
        """Give up whatever never started."""
        for delivery in (*self._gate.clear(), *self._work.clear()):
            self._gate.leave(delivery)
            self._finish(delivery, _NEVER_STARTED)
        for run in self._runs:
            if run.delivery is not None and not run.started:
                run.ask(_NEVER_STARTED)

    def cancel(self) -> None:
        """Cancel what runs. Threads go on: nothing can stop them."""
        self.release_waiting()
        for run in self._runs:
            if run.delivery is not None:
                run.ask(_STOPPED)

    async def wait_until_idle(self) -> None:
        """Wait until no handler runs."""
        while self._occupied:
            self._idle.clear()
            await self._idle.wait()

    async def _stand(self, tasks: TaskGroup, variables: Variables) -> None:
        run = Run(current_task())
        self._runs.add(run)
        while True:
            await self._execute(run, self._work.pop() or await self._next(run))
            if _changed(variables):
                # The handler left a context variable behind: a successor with the old ones takes over.
                self._runs.discard(run)
                _ = variables.run(tasks.start_soon, self._stand, tasks, variables)
                return

    async def _next(self, run: Run) -> Delivery:
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
            if run.delivery is not None:
                run.delivery.claimed = True  # its start is counted first: it may be why they failed
                self._work.put_first([run.delivery])
        self._runs.clear()

    async def _execute(self, run: Run, delivery: Delivery) -> None:
        """See one delivery to its end, or put it aside; whatever happens, it is finished exactly once."""
        run.begin(delivery)
        self._occupied += 1
        try:
            ended = await self._see_through(run, delivery)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if self._being_ended():
                raise
            # A defect here, or a log filter of the user's: it must not end the executors with all they hold.
            _log.error("%s: seeing a delivery through failed", self._subscription, exc_info=error)
            ended = run.asked or Ended(Ending.RAISED, "seeing it through failed", error, run.type)
        finally:
            run.handler = None
            self._occupied -= 1
            if not self._occupied:
                self._idle.set()
        if ended is not None:
            self._finish(delivery, ended)
        run.delivery = None

    def _see_through(self, run: Run, delivery: Delivery) -> Coroutine[Any, Any, Ended | None]:
        """How it ended; None where it waits aside."""
        # No coroutine of its own: each that lies around a handler costs every event that suspends.
        now = self._now()
        return self._handle(run, delivery, now) if self._gate.passes(delivery, now) else self._wait_at_gate(run, delivery)

    async def _wait_at_gate(self, run: Run, delivery: Delivery) -> Ended | None:
        try:
            # What is for no handler here starts nothing: it costs no start, and needs no lease to be passed on.
            refused = refuse_early(self._subscription, delivery.fields)
            if refused is None and self._gate.puts_aside(delivery, self._again):
                return None
            return refused or await self._admit(run, delivery) or await self._handle(run, delivery, self._now())
        finally:
            self._gate.leave(delivery)

    def _again(self, delivery: Delivery) -> None:
        self._work.put_first([delivery])

    async def _admit(self, run: Run, delivery: Delivery) -> Ended | None:
        try:
            refused = await self._gate.admit(delivery)
        except asyncio.CancelledError:
            if run.asked is None or self._being_ended():
                raise
            refused = run.asked
        if run.task.cancelling():
            await forget_cancellation(run.task)
        return run.asked or refused

    async def _handle(self, run: Run, delivery: Delivery, now: float) -> Ended:
        found = resolve(self._subscription, delivery.fields)
        if not isinstance(found, Ready):
            return found
        context = Context(self._around, delivery, found.envelope, info(type(found.event)).type)
        run.start(found.route.handler, context, now)
        ended = _HANDLED
        try:
            await found.route.invoke(found.event, context)
        except asyncio.CancelledError as error:
            if self._being_ended():
                raise
            # Else we asked for it, or the handler cancelled itself: its own affair.
            ended = run.asked or self._raised(error, run, context)
        except (KeyboardInterrupt, SystemExit):
            raise  # the handler wants the program to end, and it shall
        except BaseException as error:  # noqa: BLE001 - whatever else a handler raises is one failed event, and ends nothing
            ended = run.asked or self._raised(error, run, context)
        if run.task.cancelling():
            await forget_cancellation(run.task)
        # What ended after it was asked to stop has no success, whatever it made of its cancellation.
        ended = run.asked or ended
        if self._observers:
            self._tell(run, found.envelope, ended)
        return ended

    def _being_ended(self) -> bool:
        """Whether the executor itself is cancelled, by a scope of ours or by one around it."""
        return self._scope.cancel_called or anyio.current_effective_deadline() == -math.inf

    def _raised(self, error: BaseException, run: Run, context: Context) -> Ended:
        if isinstance(error, RetryLater):
            return Ended(Ending.LATER, "its handler put it off", error, context.type)
        if isinstance(error, Reject):
            return Ended(Ending.REJECTED, "its handler rejected it", error, context.type)
        _log.error(
            "handler %s raised in attempt %d for event %s of type %r, entry %s of %s",
            run.name,
            context.attempt,
            context.id,
            context.type,
            context.entry_id,
            self._subscription,
            exc_info=error,
            extra={"eventbus": {"topic": context.topic, "group": context.group, "event_id": context.id}},
        )
        return Ended(Ending.RAISED, "its handler raised", error, context.type)

    def _tell(self, run: Run, envelope: Envelope | None, ended: Ended) -> None:
        latency = None if envelope is None else envelope.age()
        handled = Handled(self._subscription, run.type, ended.ending, self._now() - run.since, latency)
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

    def _time_out(self, run: Run, timeout: float) -> None:
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
