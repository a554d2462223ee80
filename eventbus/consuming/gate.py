"""Decides whether a delivery may start: on a lease that is surely ours, and counted where it must be."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from eventbus.consuming.question import Question
from eventbus.delivery import CRASHES, Backoff, Ended, Ending, type_of
from eventbus.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from eventbus.consuming.alone import Alone
    from eventbus.consuming.counts import Counts
    from eventbus.consuming.membership import Membership
    from eventbus.delivery import Delivery, Settings
    from eventbus.streams import EntryCommands

_log = logging.getLogger("eventbus.consuming")
_T = TypeVar("_T")

FRESH: Final = 2 / 3
"""Share of the lease for which a confirmed one is surely ours, counted from when the confirmation was asked for."""

PAGE: Final = 300
"""Entries one script asks for: about 4 ms of the server's time."""

LOST: Final = Ended(Ending.LOST, "its lease was lost before it started")


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
        self._confirming = Question(self._ask)
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
        return await self._patiently(partial(self._admit, delivery))

    async def _patiently(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask until Redis answers."""
        failures = 0
        while True:
            try:
                return await ask()
            except BackendError as error:
                failures += 1
                _log.debug("a start waits for Redis: %s", error)
            await anyio.sleep(self._backoff.delay(failures))

    async def admit_together(self, deliveries: Collection[Delivery]) -> dict[Delivery, Ended]:
        """Wait until all of them may start in this very moment, whoever passes at once and whoever has to be asked for.

        Returns:
            Those that may not, and how they ended instead.
        """
        refused = {each: spent for each in deliveries if (spent := _spent(each)) is not None}
        unmarked = {each for each in deliveries if each.marked_first}
        failures = 0
        # What was fresh may be so no more when others have been waited for.
        while asking := [each for each in deliveries if each not in refused and self._asks(each, marked=each not in unmarked)]:
            since = asyncio.get_running_loop().time()
            try:
                await self._confirming.ask_for(asking)
                unmarked.difference_update(each for each in asking if each.confirmed >= since)
            except BackendError as error:
                failures += 1
                _log.debug("the start of a batch waits for Redis: %s", error)
                await anyio.sleep(self._backoff.delay(failures))
        return refused | {each: LOST for each in deliveries if each.lost and each not in refused}

    def _asks(self, delivery: Delivery, *, marked: bool) -> bool:
        """Whether it has a lease that must be confirmed, or a start that must be counted."""
        if not self._has_lease(delivery):
            return False
        return not marked or asyncio.get_running_loop().time() - delivery.confirmed >= self._fresh

    def _has_lease(self, delivery: Delivery) -> bool:
        return not delivery.lost and not delivery.cut and delivery.token == self._membership.token

    def leave(self, delivery: Delivery) -> None:
        """Its run has ended, or never began. What passed at once was never here."""
        if self._alone.leave(delivery):
            self._left()

    async def _admit(self, delivery: Delivery) -> Ended | None:
        if (spent := _spent(delivery)) is not None:
            return spent
        while self._has_lease(delivery):
            since = asyncio.get_running_loop().time()
            await self._confirming.ask_for([delivery])
            if delivery.confirmed >= since:
                return None
        return LOST if delivery.lost else None

    async def _ask(self, asking: list[Delivery]) -> None:
        for (private, token, marked), batch in _batches(asking):
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


def _batches(deliveries: Iterable[Delivery]) -> list[tuple[tuple[bool, str, bool], list[Delivery]]]:
    """Split by stream, token and whether their start is counted, and into pieces that one script takes.

    Starts are counted last: a process that dies while leases are still asked for has lost none.
    """
    kinds: dict[tuple[bool, str, bool], list[Delivery]] = defaultdict(list)
    for each in deliveries:
        kinds[each.private, each.token, each.marked_first].append(each)
    in_order = sorted(kinds.items(), key=lambda each: each[0][2])
    return [(kind, found[at : at + PAGE]) for kind, found in in_order for at in range(0, len(found), PAGE)]


def _spent(delivery: Delivery) -> Ended | None:
    """How it ended, where too many of its starts were lost."""
    if not delivery.marked_first or delivery.crashes < CRASHES:
        return None
    reason = f"{delivery.crashes} starts of it were lost with their process or their lease"
    return Ended(Ending.CRASHED, reason, type=type_of(delivery.fields))


def is_last(delivery: Delivery) -> bool:
    """Whether this is the last start it is allowed."""
    return delivery.marked_first and delivery.crashes == CRASHES - 1
