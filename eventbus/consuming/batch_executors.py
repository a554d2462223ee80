"""Executors of handlers that take a list of events."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from eventbus.consuming.batch_work import Deliveries
from eventbus.consuming.runs import forget_cancellation
from eventbus.consuming.standing import HANDLED, Standing
from eventbus.consuming.uncollected import Uncollected
from eventbus.delivery import BatchContext, Delivery, Ended, Ending, Ready, raised, refuse_early, resolve
from eventbus.events import info

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from datetime import datetime

    from eventbus.consuming.runs import Run
    from eventbus.delivery import Route
    from eventbus.events import Event

_log = logging.getLogger("eventbus.consuming")


class BatchExecutors(Standing[Deliveries]):
    """Run handlers that take lists, at most `concurrency` lists at a time.

    Guarantees:
        Every delivery of a batch passes the gate and has an ending of its own. What is for no handler, cannot be
        decoded, was lost or spent its starts leaves the batch before the handler is called. A batch that was asked to
        stop has no success in any of its events; else those that were failed go their own way, and the others end as the
        call did.
        A batch is cancelled for lost leases only when all of its events are another's: the others would be run again
        for nothing. The success of one whose lease was lost meanwhile acks, its failure changes nothing.
    """

    def __init__(self, **rooms: Any) -> None:
        super().__init__(**rooms)
        self._uncollected = Uncollected()

    def _ender(self, finish: Callable[[Delivery, Ended], None]) -> Callable[[Deliveries, Ended], None]:
        def end(batch: Deliveries, ended: Ended) -> None:
            for delivery in [*batch]:
                finish(delivery, ended)
                del batch[delivery]

        return end

    def _left(self, given: Deliveries) -> Iterable[Delivery]:
        return given

    def _is_lost(self, given: Deliveries, delivery: Delivery) -> bool:
        return delivery in given and all(each.lost for each in given)

    @cached_property
    def _route(self) -> Route:
        """Of the one handler; see `compile_subscriptions`."""
        return next(iter(self._subscription.routes.values()))

    def _see_through(self, run: Run[Deliveries], batch: Deliveries) -> Coroutine[Any, Any, Ended | None]:
        now = self._now()
        late = [each for each in batch if not self._gate.passes(each, now)]
        return self._wait_at_gate(run, batch, late) if late else self._handle(run, batch)

    async def _wait_at_gate(self, run: Run[Deliveries], batch: Deliveries, late: list[Delivery]) -> Ended | None:
        try:
            for delivery in late:
                if (refused := refuse_early(self._subscription, delivery.fields)) is not None:
                    self._leave(batch, delivery, refused)
                elif self._gate.puts_aside(delivery, self._again):
                    del batch[delivery]
            return await self._admit(run, batch) or await self._handle(run, batch)
        finally:
            for delivery in late:
                self._gate.leave(delivery)

    async def _admit(self, run: Run[Deliveries], batch: Deliveries) -> Ended | None:
        refused = await self._unless_asked(run, self._gate.admit_together(batch))
        if isinstance(refused, Ended):
            return refused
        for delivery, ended in refused.items():
            self._leave(batch, delivery, ended)
        return None

    async def _handle(self, run: Run[Deliveries], batch: Deliveries) -> Ended | None:
        """Call the handler; None, since each event has an ending of its own."""
        self._uncollected.begin()
        events, times = self._decode(batch)
        if not events:
            return None
        context = BatchContext(self._around, events)
        run.start(self._route.handler, context, self._now())
        ended = HANDLED
        try:
            await self._route.invoke([*events.values()], context)
        except asyncio.CancelledError as error:
            if self._being_ended():
                raise
            ended = run.asked or self._raised(error, run, context)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is one failed batch, and ends nothing
            ended = run.asked or self._raised(error, run, context)
        if run.task.cancelling():
            await forget_cancellation(run.task)
        context.over = True
        took = self._now() - run.since
        for (delivery, event), time in zip(events.items(), times, strict=True):
            self._leave(batch, delivery, self._told(run.asked or context.failures.get(delivery, ended), event, took, time))
        return None

    def _decode(self, batch: Deliveries) -> tuple[dict[Delivery, Event], list[datetime | None]]:
        """The events, and when each was published; what is none leaves the batch.

        No more is kept: what lives as long as the batch fills the processor's caches, and is what the collector looks through.
        """
        events: dict[Delivery, Event] = {}
        times: list[datetime | None] = []
        for delivery in [*batch]:
            found = resolve(self._subscription, delivery.fields)
            if isinstance(found, Ready):
                events[delivery] = found.event
                times.append(found.time)
            else:
                self._leave(batch, delivery, found)
        return events, times

    def _told(self, ended: Ended, event: Event, took: float, time: datetime | None) -> Ended:
        """How one of the events ended, once the onlookers know."""
        if ended is not HANDLED:
            ended = replace(ended, type=info(type(event)).type)
        if self._observers:
            self._tell(info(type(event)).type, took, time, ended)
        return ended

    def _leave(self, batch: Deliveries, delivery: Delivery, ended: Ended) -> None:
        self._finish(delivery, ended)
        del batch[delivery]

    def _raised(self, error: BaseException, run: Run[Deliveries], context: BatchContext) -> Ended:
        ended = raised(error, "")
        if ended.ending is Ending.RAISED:
            about = {"eventbus": {"topic": context.topic, "group": context.group}}
            _log.error("handler %s raised for %r", run.name, context, exc_info=error, extra=about)
        return ended
