"""Decides whether a delivery may start: on a lease that is surely ours, and counted where it must be."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.consuming.together import Together
from eventbus.delivery import CRASHES, Backoff, Ended, Ending, type_of
from eventbus.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventbus.consuming.alone import Alone
    from eventbus.consuming.counts import Counts
    from eventbus.consuming.membership import Membership
    from eventbus.delivery import Delivery, Settings
    from eventbus.streams import EntryCommands

_log = logging.getLogger("eventbus.consuming")

FRESH: Final = 2 / 3
"""Share of the lease for which a confirmed one is surely ours, counted from when the confirmation was asked for."""

_LOST: Final = Ended(Ending.LOST, "its lease was lost before it started")


class Gate:
    """What every delivery passes before its data is decoded.

    Guarantees:
        Nothing starts on a lease that was not confirmed within two thirds of it. The start of what was ever
        claimed is counted in Redis first, so that one that takes the process down is known; what spent its
        starts is not run. A delivery of a group that began anew has no lease, and starts.
        A last start runs beside no other last start of the process, and waits outside of the executors.
    Survives:
        Redis gone: the start waits, until it is back or the wait is cancelled.
    Redis cost:
        None for what was just read; else one script for all that wait at that moment.

    Args:
        settings: The bus's.
        commands: Those of the group's entries.
        membership: For the token.
        counts: Where lost leases are counted.
        alone: The process's place for last starts.
        left: Called when a last start has ended, so that the next may be taken over.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        commands: EntryCommands,
        membership: Membership,
        counts: Counts,
        alone: Alone,
        left: Callable[[], None],
    ) -> None:
        self._fresh = settings.lease * FRESH
        self._backoff = Backoff.within(settings.lease)
        self._commands = commands
        self._membership = membership
        self._counts = counts
        self._alone = alone
        self._left = left
        self._confirming = Together(self._ask)
        self._aside: set[Delivery] = set()

    def passes(self, delivery: Delivery, now: float) -> bool:
        """Whether it may start at once, without asking anybody; `now` is the event loop's time."""
        if delivery.lost or delivery.marked_first:
            return False
        recent = now - delivery.confirmed < self._fresh
        return recent or delivery.cut or delivery.token != self._membership.token

    def puts_aside(self, delivery: Delivery, again: Callable[[Delivery], None]) -> bool:
        """Whether it has to wait for others at their last start, outside of any executor.

        Args:
            delivery: Which does not pass at once.
            again: Called with it when its turn has come.
        """
        if not is_last(delivery) or self._alone.enter(delivery, partial(self._again, again)):
            return False
        self._aside.add(delivery)
        return True

    def _again(self, again: Callable[[Delivery], None], delivery: Delivery) -> None:
        self._aside.discard(delivery)
        again(delivery)

    def take_back(self, delivery: Delivery) -> bool:
        """It waits for its last start no more; returns whether it did."""
        self._aside.discard(delivery)
        return self._alone.forget(delivery)

    def clear(self) -> list[Delivery]:
        """Take back everything that waits for its last start."""
        waiting = list(self._aside)
        for delivery in waiting:
            _ = self.take_back(delivery)
        return waiting

    async def admit(self, delivery: Delivery) -> Ended | None:
        """Wait until it may start.

        Returns:
            None when it may, else how it ended instead.
        """
        failures = 0
        while True:
            try:
                return await self._admit(delivery)
            except BackendError as error:
                failures += 1
                _log.debug("a start waits for Redis: %s", error)
            await anyio.sleep(self._backoff.delay(failures))

    def leave(self, delivery: Delivery) -> None:
        """Its run has ended, or never began. What passed at once was never here."""
        if self._alone.leave(delivery):
            self._left()

    async def _admit(self, delivery: Delivery) -> Ended | None:
        if delivery.marked_first and delivery.crashes >= CRASHES:
            reason = f"{delivery.crashes} starts of it were lost with their process or their lease"
            return Ended(Ending.CRASHED, reason, type=type_of(delivery.fields))
        while not delivery.lost and not delivery.cut and delivery.token == self._membership.token:
            if await self._confirmed(delivery):
                return None
        return _LOST if delivery.lost else None

    async def _confirmed(self, delivery: Delivery) -> bool:
        """Ask for this delivery, together with those that come meanwhile."""
        since = asyncio.get_running_loop().time()
        await self._confirming.ask_for(delivery)
        return delivery.confirmed >= since

    async def _ask(self, asking: list[Delivery]) -> None:
        for kind in {_kind(each) for each in asking}:
            private, token, marked = kind
            batch = [each for each in asking if _kind(each) == kind]
            sent = asyncio.get_running_loop().time()
            kept = await self._kept(batch, private=private, token=token, marked=marked)
            if kept is None:
                await self._membership.heal(token)
                continue
            for delivery in batch:
                self._take(delivery, sent, kept=delivery.entry_id in kept)

    def _take(self, delivery: Delivery, sent: float, *, kept: bool) -> None:
        if kept:
            delivery.confirmed = sent
        elif not delivery.lost:
            delivery.lost = True
            self._counts.lease_lost += 1

    async def _kept(self, batch: list[Delivery], *, private: bool, token: str, marked: bool) -> frozenset[bytes] | None:
        if marked:
            return await self._commands.mark([(each.entry_id, each.count) for each in batch], private=private, token=token)
        beaten = await self._commands.beat([each.entry_id for each in batch], private=private, token=token)
        if beaten is None:
            return None
        for delivery in batch:
            delivery.cut = delivery.cut or delivery.entry_id in beaten.cut
        return beaten.kept | beaten.cut


def _kind(delivery: Delivery) -> tuple[bool, str, bool]:
    return delivery.private, delivery.token, delivery.marked_first


def is_last(delivery: Delivery) -> bool:
    """Whether this is the last start it is allowed."""
    return delivery.marked_first and delivery.crashes == CRASHES - 1
