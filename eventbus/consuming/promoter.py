"""Promotes parked copies when they are due."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.delivery import UNHANDLED, Reason, timestamp
from eventbus.errors import BackendRefused

if TYPE_CHECKING:
    from eventbus.consuming.counts import Counts
    from eventbus.consuming.in_hand import InHand
    from eventbus.consuming.intake import Intake
    from eventbus.consuming.membership import Membership
    from eventbus.delivery import Alive, Settings, Subscription
    from eventbus.streams import EntryCommands, Promoted

_log = logging.getLogger("eventbus.consuming")

WINDOW: Final = 100
"""Parked copies one script looks at."""

FIRST: Final = 1
"""The delivery count of what was just read."""


class Promoter:
    """Move parked copies into the group's private stream once they are due.

    Guarantees:
        A copy is never in two streams, nor in none; several promoters at once are safe. A copy that is due is
        promoted within `claim_interval` even when the process that parked it has died; one that this process
        parked, on time. A copy of a type that its last reader did not know is promoted only by a member that
        declares the type, and read in the same step: it has the room of what is taken over, so that a backlog
        cannot keep it out.
    Stops:
        Between passes.
    Survives:
        A lost group: it is healed. Anything else: `run` raises and is started again by the supervisor.
    Redis cost:
        One script for up to 100 copies; at rest one every `claim_interval`.

    Args:
        subscription: What is consumed.
        settings: The bus's.
        commands: Those of the group's entries.
        membership: For the token, and to heal.
        in_hand: What is held.
        intake: Takes what was given.
        counts: Where promotions are counted.
        taking: Held by whoever fills the room for what is taken over, so that it is filled once.
    """

    def __init__(
        self,
        *,
        subscription: Subscription,
        settings: Settings,
        commands: EntryCommands,
        membership: Membership,
        in_hand: InHand,
        intake: Intake,
        counts: Counts,
        taking: asyncio.Lock,
    ) -> None:
        self._types = subscription.types
        self._most = settings.claim_interval
        self._commands = commands
        self._membership = membership
        self._in_hand = in_hand
        self._intake = intake
        self._counts = counts
        self._taking = taking
        self._clock = asyncio.get_running_loop().time
        self._due = self._clock()
        self._wake = asyncio.Event()
        self._pass = asyncio.Lock()
        self.stopping = asyncio.Event()

    def parked(self, delay: float) -> None:
        """Something was parked here for so many seconds."""
        due = self._clock() + delay
        if due < self._due:
            self._due = due
            self._wake.set()

    async def stop(self) -> None:
        """Promote no more; returns when nothing is under way."""
        self.stopping.set()
        self._wake.set()
        async with self._pass:
            pass

    async def run(self, alive: Alive) -> None:
        """Promote whenever something is due, until `stop`."""
        while not self.stopping.is_set():
            self._due = self._clock() + self._most  # before the script: what is parked meanwhile comes sooner
            async with self._pass:
                wait = None if self.stopping.is_set() else await self.run_once()
            alive()
            if wait is not None:
                self.parked(wait)
            await self._rest()

    async def run_once(self) -> float | None:
        """Promote what is due now.

        Returns:
            Seconds until more is due; None when nothing is parked.
        """
        async with self._taking:
            token = self._membership.token
            try:
                promoted = await self._promote(token)
            except BackendRefused as error:
                if error.code != "NOGROUP":
                    raise
                await self._membership.heal(token)
                return 0.0
        self._count(promoted)
        return promoted.wait

    async def _promote(self, token: str) -> Promoted:
        sent = self._clock()
        promoted = await self._commands.promote(self._types, count=WINDOW, credit=self._in_hand.room, unhandled=UNHANDLED, now=timestamp())
        given = [(entry_id, fields, FIRST) for entry_id, fields in promoted.given]
        self._counts.fetched += self._intake.take_over(given, private=True, token=token, sent=sent, claimed=True)
        return promoted

    def _count(self, promoted: Promoted) -> None:
        counts = self._counts
        counts.promoted += promoted.promoted
        counts.skipped += promoted.dropped
        for reason, number in ((Reason.NEWER, promoted.newer), (Reason.UNHANDLED, promoted.unhandled)):
            if number:
                counts.dead[reason] += number
                _log.error("%d parked events are dead letters now (%s)", number, reason, extra={"eventbus": self._membership.about})
        if promoted.spoiled:
            about = {"eventbus": self._membership.about}
            _log.error("%d parked entries have too many fields to be moved: redis-cli XDEL them", promoted.spoiled, extra=about)
        if promoted.missing:
            counts.trimmed += promoted.missing
            _log.error("%d parked events were deleted before they were due", promoted.missing, extra={"eventbus": self._membership.about})

    async def _rest(self) -> None:
        while (seconds := self._due - self._clock()) > 0 and not self.stopping.is_set():
            self._wake.clear()
            with anyio.move_on_after(seconds):
                await self._wake.wait()
