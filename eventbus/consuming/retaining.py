"""Settles in an ordered group: what failed waits in its lane, and what never started stays where it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from eventbus.consuming.idempotent_settler import IdempotentSettler
from eventbus.consuming.mover import MOST, Mover
from eventbus.consuming.pieces import in_pieces
from eventbus.consuming.settler import ENOUGH, Settler
from eventbus.delivery import Outcome

if TYPE_CHECKING:
    from eventbus.consuming.lanes import LanesInHand
    from eventbus.consuming.mover import Move
    from eventbus.consuming.ownership import Ownership
    from eventbus.delivery import Decision, Delivery, Ended
    from eventbus.streams import OwnedEntryCommands


class EagerSettler(Settler):
    """As `Settler`, without waiting for company: the next event of each key waits for the answer."""

    async def _linger(self) -> None:
        self._enough = ENOUGH
        await asyncio.sleep(0)  # those of the same turn go together


class EagerIdempotentSettler(EagerSettler, IdempotentSettler):
    """As `IdempotentSettler`, without waiting for company."""


class Retainer(Mover):
    """As `Mover`, in an ordered group.

    Guarantees:
        What is released keeps its place: it stays pending, for the next owner. Under the policy "block" what failed
        stays in hand until its next attempt, the first of its lane. Its attempts are kept in Redis until it is settled;
        that its start was counted is taken back. What was held under another epoch is another's: nothing is written.
    Redis cost:
        As `Mover`, and one script for the attempts of up to 100 that failed in one turn.
    """

    def __init__(self, **rooms: Any) -> None:
        super().__init__(**rooms)
        self._blocks = self._subscription.order == "block"
        self._lanes = cast("LanesInHand", self._in_hand).lanes
        self._failed: dict[Delivery, Decision] = {}

    def add(self, delivery: Delivery, ended: Ended, decision: Decision) -> None:
        """Have an outcome written. Returns at once."""
        if decision.outcome is Outcome.RELEASE:
            self._leave(delivery)
        elif decision.outcome is Outcome.RETRY and self._blocks:
            self._lanes.hold(delivery)
            self._failed[delivery] = decision
            self._answered.clear()
            self._work.set()
        else:
            super().add(delivery, ended, decision)

    async def run_once(self) -> None:
        """Write what there is now, as `Mover.run_once`."""
        try:
            await self._count_attempts()
        finally:
            await super().run_once()
            if self._failed:
                self._answered.clear()
                self._work.set()

    async def flush(self) -> None:
        """Wait until every outcome so far was answered."""
        while self._failed:
            await self._answered.wait()
        await super().flush()

    async def _count_attempts(self) -> None:
        for (private, token), failed in in_pieces(self._failed, MOST):
            attempts = [(each.entry_id, self._failed[each].carried.attempts, each.count) for each in failed]
            kept = await cast("OwnedEntryCommands", self._commands).count_attempts(attempts, private=private, token=token)
            if kept is None:
                await self._membership.heal(token)
            for delivery in failed:
                self._wait(delivery, self._failed.pop(delivery))

    def _wait(self, delivery: Delivery, decision: Decision) -> None:
        """Have its lane wait for the next attempt; what was lost, or is not to start here any more, was let go of."""
        delivery.carried = replace(delivery.carried, attempts=decision.carried.attempts, hops=0, hopped=0)
        delivery.settling = False
        self._counts.retried += 1
        if self._lanes.closed:
            self._leave(delivery)
        else:
            _ = asyncio.get_running_loop().call_later(decision.delay, self._lanes.resume, delivery)

    def _leave(self, delivery: Delivery) -> None:
        cast("Ownership", self._membership).give_up(delivery)
        self._in_hand.settled(delivery)

    async def _rescue(self, orphans: list[Move]) -> None:
        for each in orphans:
            self._lose(each)
