"""The consumer of an ordered group, and those of its rooms that only look whether it is owned."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from eventbus.consuming.beat import Beat
from eventbus.consuming.consumer import Consumer
from eventbus.consuming.promoter import Promoter

if TYPE_CHECKING:
    from eventbus.consuming.ownership import Ownership
    from eventbus.consuming.succession import OwnedFetcher, Watch
    from eventbus.streams import EntryCommands, OwnedEntryCommands


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


class OrderedConsumer(Consumer):
    """The consumer of an ordered group: its rooms hang together beyond what every room is given."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        claimer = cast("Watch", self.claimer)
        claimer.attach(cast("OwnedFetcher", self.fetcher).walk_again)
        cast("Ownership", self.membership).attach(
            lose=self.executors.lose,
            rescue=self.mover.rescue,
            grace=claimer.grace,
            taken=lambda: self.promoter.parked(0.0),
        )
