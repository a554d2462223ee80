"""Acknowledges what was handled: many entries at once, soon, until Redis has answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from eventbus.consuming.pieces import in_pieces
from eventbus.errors import BackendRefused

if TYPE_CHECKING:
    from eventbus.consuming.counts import Counts
    from eventbus.consuming.in_hand import InHand
    from eventbus.consuming.membership import Membership
    from eventbus.delivery import Alive, Delivery
    from eventbus.streams import EntryCommands

LINGER: Final = 0.004
"""Seconds an acknowledgement may wait for company; it is gone within 10 ms even when none comes."""

ENOUGH: Final = 500
"""Entries that make the settler go at once, and the most one script is given."""

SHARE: Final = 8
"""This part of what may be in hand is enough, too: else the next read would wait for its credit."""


class Settler:
    """Acknowledge entries in batches.

    Guarantees:
        An entry is in hand until Redis answered its acknowledgement. An acknowledgement is sent on the
        command connection, never behind a blocked read, and again until it is answered: a second one
        changes nothing.
    Stops:
        `flush` waits for what is not answered yet; then the loop may be cancelled between passes.
    Survives:
        A group made anew: nothing is written for entries of the old one. Anything else: `run` raises and
        is started again by the supervisor.
    Redis cost:
        One script for up to 500 entries.
    """

    def __init__(self, commands: EntryCommands, membership: Membership, in_hand: InHand, counts: Counts) -> None:
        self._commands = commands
        self._membership = membership
        self._in_hand = in_hand
        self._counts = counts
        self._unanswered: dict[Delivery, None] = {}  # in order
        self._enough = 1
        self._work = asyncio.Event()
        self._full = asyncio.Event()
        self._answered = asyncio.Event()
        self._answered.set()

    def add(self, delivery: Delivery) -> None:
        """Have a delivery acknowledged. Returns at once."""
        self._unanswered[delivery] = None
        number = len(self._unanswered)
        if number == 1:
            self._answered.clear()
            self._work.set()
        elif number == self._enough:
            self._full.set()

    async def run(self, alive: Alive) -> None:
        """Acknowledge what there is, for as long as the consumer lives."""
        while True:
            await self._work.wait()
            await self._linger()
            await self.run_once()
            alive()

    async def run_once(self) -> None:
        """Acknowledge what there is now.

        Raises:
            BackendError: What is unanswered is kept and sent by the next pass.
        """
        refusal: BackendRefused | None = None
        for (private, token), batch in in_pieces(self._unanswered, ENOUGH):
            try:
                await self._acknowledge(batch, private=private, token=token)
            except BackendRefused as error:  # what is wrong with one stream's key is no matter of the other's
                refusal = error
        self._rest()
        if refusal is not None:
            raise refusal

    async def _acknowledge(self, batch: list[Delivery], *, private: bool, token: str) -> None:
        count = await self._write(batch, private=private, token=token)
        if count is None:
            await self._membership.heal(token)
            # Those adopted by the group's new token meanwhile are sent again under it.
            orphans = [each for each in batch if each.token == token]
            self._counts.orphaned += len(orphans)
            self._done(orphans)
        else:
            self._counts.acknowledged += count
            self._counts.late_acks += len(batch) - count
            self._done(batch)

    async def _write(self, batch: list[Delivery], *, private: bool, token: str) -> int | None:
        return await self._commands.ack([each.entry_id for each in batch], private=private, token=token)

    async def flush(self) -> None:
        """Wait until every acknowledgement so far was answered."""
        self._full.set()
        await self._answered.wait()

    async def _linger(self) -> None:
        self._enough = min(ENOUGH, max(1, self._in_hand.limit // SHARE))
        if len(self._unanswered) < self._enough:
            self._full.clear()
            try:
                async with asyncio.timeout(LINGER):
                    await self._full.wait()
            except TimeoutError:
                return

    def _done(self, batch: list[Delivery]) -> None:
        for each in batch:
            del self._unanswered[each]
        self._in_hand.settled(*batch)

    def _rest(self) -> None:
        if not self._unanswered:
            self._work.clear()
            self._answered.set()
