"""One Redis consumer: this process's share of one subscription, put together from its rooms."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import anyio

from eventbus.consuming.alone import Alone
from eventbus.consuming.counts import Counts
from eventbus.consuming.fetcher import STREAMS_READ
from eventbus.consuming.marks import Marks
from eventbus.consuming.prefetch import MOST_BYTES, Prefetch
from eventbus.delivery import Decision, Delivery, Ended, Ending, Outcome, Settings, Subscription, Surroundings, decide
from eventbus.events import NORMAL
from eventbus.streams import Connections, Group, Wire, keys

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from eventbus.consuming.levels import Slots
    from eventbus.consuming.rooms import Rooms
    from eventbus.consuming.work import Queue
    from eventbus.delivery import Observer, PublishEvent
    from eventbus.streams import Backlog

_log = logging.getLogger("eventbus.consuming")

_HANDLED: Final = Ending.HANDLED  # a look at an enumeration's member costs each event 0.06 µs before 3.12

UNBLOCKED: Final = 0.3
"""Seconds in which a read is ended where Redis is well."""


class Consumer:
    """Reads, handles and settles the events of one subscription.

    Args:
        subscription: What is consumed.
        settings: The bus's.
        connections: For the reader's own connection.
        wire: The command connection, shared with the bus's other consumers.
        name: This process's consumer name, new at every start.
        publish: What contexts publish with.
        state: What the bus's lifespan yielded.
        besides: The bus's other groups, which have no heartbeat while they all begin.
        consumers: How many consumers the process has, which share what may be in hand. Default 1.
        alone: The process's place for entries at their last allowed start.
        slots: The handlers that it shares with the topic's other priorities; None for handlers of its own.
        observers: Told about each run of a handler.
        rooms: What it is put together from: those of the subscription, as `Rooms.of` chose them.
    """

    def __init__(
        self,
        subscription: Subscription,
        settings: Settings,
        *,
        connections: Connections,
        wire: Wire,
        name: str,
        publish: PublishEvent,
        state: Any,
        besides: Collection[str] = (),
        consumers: int = 1,
        alone: Alone | None = None,
        slots: Slots | None = None,
        observers: Sequence[Observer] = (),
        rooms: Rooms,
    ) -> None:
        priority = subscription.priority or NORMAL
        self.subscription = subscription
        self.counts = counts = Counts()
        self._wire = wire
        prefetch = Prefetch(subscription.at_once, subscription.prefetch, MOST_BYTES // (consumers + 1))
        self.in_hand = in_hand = rooms.in_hand(prefetch.limit(0, 0.0), subscription.at_once)
        group = Group(subscription.stream, subscription.group, subscription.family)
        self.commands = rooms.group(wire, group, name)
        entries = rooms.entries(wire, group, name)
        self._reader = rooms.reader(connections, group, name)
        work: Queue[Any] = rooms.work(
            **_queueing(subscription, settings, slots, lambda: in_hand.credit < STREAMS_READ and len(in_hand) <= len(work))
        )
        in_hand.queued_in(work)
        self.membership = membership = rooms.membership(subscription, settings, self.commands, in_hand, counts, besides=besides)
        self._intake = intake = rooms.intake(subscription, in_hand, work, counts)
        recovery = rooms.recovery(entries, membership, in_hand, intake, counts)
        self.fetcher = rooms.fetcher(
            reader=self._reader,
            commands=self.commands,
            membership=membership,
            in_hand=in_hand,
            intake=intake,
            recovery=recovery,
            prefetch=prefetch,
        )
        taking = asyncio.Lock()
        self.claimer = rooms.claimer(
            settings=settings,
            commands=entries,
            membership=membership,
            in_hand=in_hand,
            intake=intake,
            recovery=recovery,
            counts=counts,
            reading_since=lambda: self.fetcher.reading_since,
            taking=taking,
        )
        remembering: dict[str, Any] = {}
        if subscription.window is not None:
            commands = rooms.marks(wire, group, name, beside=_levels(subscription))
            remembering["marks"] = Marks(
                commands,
                topic=subscription.topic,
                window=subscription.window,
                lease=settings.lease,
                group_of=membership.group_of,
            )
        gate = rooms.gate(
            settings=settings,
            commands=entries,
            membership=membership,
            counts=counts,
            alone=alone or Alone(),
            left=self.claimer.hurry,
            **remembering,
        )
        self.executors = rooms.executors(
            subscription=subscription,
            around=Surroundings(subscription.topic, subscription.label, publish, state, priority),
            work=work,
            gate=gate,
            finish=self._finish,
            observers=observers,
        )
        self.beat = rooms.beat(
            settings=settings,
            commands=entries,
            membership=membership,
            in_hand=in_hand,
            counts=counts,
            lose=self.executors.lose,
            busy=self.executors.busy,
            waited=self.claimer.waited,
        )
        self.settler = rooms.settler(entries, membership, in_hand, counts, **remembering)
        self.promoter = rooms.promoter(
            subscription=subscription,
            settings=settings,
            commands=entries,
            membership=membership,
            in_hand=in_hand,
            intake=intake,
            counts=counts,
            taking=taking,
        )
        self.mover = rooms.mover(
            subscription=subscription,
            commands=entries,
            membership=membership,
            in_hand=in_hand,
            counts=counts,
            parked=self.promoter.parked,
        )

    async def check(self) -> None:
        """Look whether the group can be joined, before any group of the bus is created; see `GroupCommands.check`."""
        await self.commands.check()

    async def join(self) -> None:
        """Create or adopt the group.

        Raises:
            BackendError: Redis does not answer, or refuses.
        """
        await self.membership.join()

    def begin(self) -> None:
        """Listen to the command connection: the beat comes first on a new one, and outages hold up claims."""
        self._wire.greetings.append(self.beat.greet)
        self._wire.waited.append(self.claimer.waited)
        self._wire.refused.append(self.claimer.refused)

    async def backlog(self) -> Backlog:
        """Count what the group has still to do, whoever does it."""
        return await self.commands.backlog()

    @property
    def threads(self) -> dict[str, int]:
        """Threads that handlers occupy now, by handler."""
        found = {route.handler.name: len(route.handler.threads) for route in self.subscription.routes.values()}
        return {name: count for name, count in found.items() if count}

    async def stop_taking(self) -> None:
        """Take no more in hand, and give up at once what never started. Returns when no read is in flight."""
        # Own reads first: a blocked one would be given what is released. But what waits does not wait for Redis.
        with anyio.move_on_after(UNBLOCKED):
            await self._stop_sources()
        self.executors.release_waiting()
        await self._stop_sources()
        self.executors.release_waiting()

    async def _stop_sources(self) -> None:
        async with anyio.create_task_group() as tasks:
            for source in (self.fetcher, self.claimer, self.promoter):
                tasks.start_soon(source.stop)

    async def flush(self) -> None:
        """Wait until everything that ended is settled."""
        await self.settler.flush()
        await self.mover.flush()

    async def rescue(self) -> None:
        """Write copies of what is still in hand although its group was lost: nothing in Redis knows it.

        Likewise what was cut from the stream.
        """
        if not len(self.in_hand):
            return
        await self.beat.run_once()  # it may have been lost a moment ago
        orphans = [each for each in self.in_hand if self.membership.orphaned(each) and not each.settling]
        if orphans:
            await self.mover.rescue(orphans)
            _log.error("%s: %d events that only this process held were written again at exit", self.subscription, len(orphans))
        await self.mover.run_once()  # what has ended is settled, or rescued, there

    async def leave(self) -> None:
        """Close the reader and remove this consumer, if it owes nothing."""
        await self._reader.close()
        await self.membership.leave(busy=bool(self.executors.running or self.threads))

    def end(self) -> None:
        """Listen no more; one that never began does not listen."""
        if self.beat.greet in self._wire.greetings:
            self._wire.greetings.remove(self.beat.greet)
            self._wire.waited.remove(self.claimer.waited)
            self._wire.refused.remove(self.claimer.refused)

    def _finish(self, delivery: Delivery, ended: Ended) -> None:
        """Count how a delivery ended, decide what becomes of it, and have that written."""
        delivery.settling = True
        if ended.ending is _HANDLED:  # of which nothing can become but an acknowledgement
            self.counts.handled += 1
            self.settler.add(delivery)
            return
        self._count(ended.ending)
        decision = self._decide(delivery, ended)
        match decision.outcome:
            case Outcome.NOTHING:
                self.in_hand.settled(delivery)
            case _:
                self.mover.add(delivery, ended, decision)

    def _decide(self, delivery: Delivery, ended: Ended) -> Decision:
        try:
            return decide(delivery, ended, self.subscription.retry)
        except Exception:  # noqa: BLE001 - it must not end an executor
            # The user's exception classes take part in it. Without the error the attempt still counts.
            _log.exception("%s: what becomes of entry %s could not be told; it is retried", self.subscription, delivery.origin)
            return decide(delivery, replace(ended, error=None), self.subscription.retry)

    def _count(self, ending: Ending) -> None:
        counts = self.counts
        match ending:
            case Ending.RAISED:
                counts.failed += 1
            case Ending.TIMED_OUT:
                counts.timed_out += 1
            case Ending.REJECTED:
                counts.rejected += 1
            case Ending.LATER:
                counts.deferred += 1
            case Ending.UNDECODABLE:
                counts.undecodable += 1
            case Ending.NEWER:
                counts.newer += 1
            case Ending.FINISHED:
                counts.finished += 1
            case Ending.TWIN:
                counts.twins += 1
            case _:
                return


def _queueing(subscription: Subscription, settings: Settings, slots: Slots | None, hopeless: Callable[[], bool]) -> dict[str, Any]:
    """What the queue of deliveries is given: where they wait for a slot, or for company, what tells how long; else nothing."""
    if slots is not None:
        return {"slots": slots, "priority": subscription.priority}
    if subscription.batch is not None:
        return {"batch": subscription.batch, "lease": settings.lease, "hopeless": hopeless}
    return {}


def _levels(subscription: Subscription) -> list[Group]:
    """The group at every priority of its topic; none where it has no priorities."""
    stream = keys.topic(subscription.stream)
    return [Group(keys.level(stream, each), subscription.group) for each in subscription.priorities]
