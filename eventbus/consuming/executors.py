"""Executors of handlers that take one event at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from eventbus.consuming.runs import forget_cancellation
from eventbus.consuming.standing import HANDLED, Standing
from eventbus.delivery import Context, Delivery, Ended, Ending, Ready, raised, refuse_early, resolve
from eventbus.events import info

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from eventbus.consuming.runs import Run

_log = logging.getLogger("eventbus.consuming")


class Executors(Standing[Delivery]):
    """Run handlers that take one event, at most `concurrency` at a time."""

    def _ender(self, finish: Callable[[Delivery, Ended], None]) -> Callable[[Delivery, Ended], None]:
        return finish

    def _left(self, given: Delivery) -> Iterable[Delivery]:
        return (given,)

    def _is_lost(self, given: Delivery, delivery: Delivery) -> bool:
        return given is delivery

    def _see_through(self, run: Run[Delivery], delivery: Delivery) -> Coroutine[Any, Any, Ended | None]:
        """How it ended; None where it waits aside."""
        # No coroutine of its own: each that lies around a handler costs every event that suspends.
        now = self._now()
        return self._handle(run, delivery, now) if self._gate.passes(delivery, now) else self._wait_at_gate(run, delivery)

    async def _wait_at_gate(self, run: Run[Delivery], delivery: Delivery) -> Ended | None:
        try:
            # What is for no handler here starts nothing: it costs no start, and needs no lease to be passed on.
            refused = refuse_early(self._subscription, delivery.fields)
            if refused is None and self._gate.puts_aside(delivery, self._again):
                return None
            return refused or await self._admit(run, delivery) or await self._handle(run, delivery, self._now())
        finally:
            self._gate.leave(delivery)

    async def _admit(self, run: Run[Delivery], delivery: Delivery) -> Ended | None:
        return await self._unless_asked(run, self._gate.admit(delivery))

    async def _handle(self, run: Run[Delivery], delivery: Delivery, now: float) -> Ended:
        found = resolve(self._subscription, delivery.fields)
        if not isinstance(found, Ready):
            return found
        context = Context(self._around, delivery, found.envelope, info(type(found.event)).type)
        run.start(found.route.handler, context, now)
        ended = HANDLED
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
            self._tell(context.type, self._now() - run.since, found.time, ended)
        return ended

    def _raised(self, error: BaseException, run: Run[Delivery], context: Context) -> Ended:
        ended = raised(error, context.type)
        if ended.ending is not Ending.RAISED:
            return ended
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
        return ended
