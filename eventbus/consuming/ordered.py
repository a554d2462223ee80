"""The rooms of an ordered group, and how they hang together beyond what every room is given."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from eventbus.consuming.beat import Beat
from eventbus.consuming.lanes import Lanes, LanesInHand
from eventbus.consuming.ownership import Ownership
from eventbus.consuming.promoter import Promoter
from eventbus.consuming.retaining import EagerIdempotentSettler, EagerSettler, Retainer
from eventbus.consuming.succession import OwnedFetcher, TakeOver, Watch
from eventbus.streams import OwnedEntryCommands, OwnedGroupCommands, OwnedOnceCommands, OwnedReader

if TYPE_CHECKING:
    from eventbus.consuming.consumer import Consumer
    from eventbus.consuming.recovery import Recovery
    from eventbus.streams import EntryCommands


class OwnedBeat(Beat):
    """Renew the ownership, which is the lease of everything in hand."""

    async def _renew(self, commands: EntryCommands, token: str) -> bool:
        own = cast("Ownership", self._membership)
        if not token:
            return True
        sent = asyncio.get_running_loop().time()
        if not await cast("OwnedEntryCommands", commands).renew(token):
            return False
        own.confirm(token, sent)
        return True


class OwnedPromoter(Promoter):
    """Promote for as long as this process owns the group."""

    async def run_once(self) -> float | None:
        """Promote what is due now, as `Promoter.run_once`; standing by, nothing is."""
        return await super().run_once() if self._membership.token else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedRooms:
    """The classes that stand in the places of others where a group is ordered."""

    group: type[OwnedGroupCommands] = OwnedGroupCommands
    entries: type[OwnedEntryCommands] = OwnedEntryCommands
    reader: type[OwnedReader] = OwnedReader
    work: type[Lanes] = Lanes
    in_hand: type[LanesInHand] = LanesInHand
    membership: type[Ownership] = Ownership
    recovery: type[TakeOver] = TakeOver
    fetcher: type[OwnedFetcher] = OwnedFetcher
    beat: type[OwnedBeat] = OwnedBeat
    claimer: type[Watch] = Watch
    settler: type[EagerSettler] = EagerSettler
    once: type[OwnedOnceCommands] = OwnedOnceCommands
    idempotent_settler: type[EagerIdempotentSettler] = EagerIdempotentSettler
    mover: type[Retainer] = Retainer
    promoter: type[OwnedPromoter] = OwnedPromoter


def tie(consumer: Consumer, recovery: Recovery) -> None:
    """Tie the rooms of an ordered group together."""
    fetcher, claimer = cast("OwnedFetcher", consumer.fetcher), cast("Watch", consumer.claimer)
    cast("TakeOver", recovery).stopping = fetcher.stopping
    claimer.attach(fetcher.walk_again)
    cast("Ownership", consumer.membership).attach(
        lose=consumer.executors.lose,
        rescue=consumer.mover.rescue,
        grace=claimer.grace,
        taken=lambda: consumer.promoter.parked(0.0),
    )
