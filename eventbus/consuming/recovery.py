"""Finds again what a lost reply brought: own pending entries that are not in hand."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.consuming.counts import Counts
    from eventbus.consuming.in_hand import InHand
    from eventbus.consuming.intake import Intake
    from eventbus.consuming.membership import Membership
    from eventbus.streams import EntryCommands

_log = logging.getLogger("eventbus.consuming")


class Recovery:
    """Read own pending entries again that this process does not know.

    Guarantees:
        An entry in hand is not taken twice; delivery counts stay as they are, since nothing was started.
    Redis cost:
        An XPENDING a page of 500 own rows, and for those that are not known a script for every 4 MiB.
    """

    def __init__(self, commands: EntryCommands, membership: Membership, in_hand: InHand, intake: Intake, counts: Counts) -> None:
        self._commands = commands
        self._membership = membership
        self._in_hand = in_hand
        self._intake = intake
        self._counts = counts

    async def run_once(self) -> None:
        """Look through everything this consumer holds. Only with no read in flight.

        Raises:
            BackendError: Redis does not answer, or the group is gone.
        """
        token = self._membership.token
        for private in (False, True):
            after: bytes | None = None
            while ids := await self._commands.held(private=private, after=after):
                after = ids[-1]
                await self.take(ids, private=private, token=token)

    async def take(self, ids: Sequence[bytes], *, private: bool, token: str) -> None:
        """Take those of some own entries that are not in hand."""
        unknown = self._in_hand.unknown(ids, private=private, token=token)
        if not unknown:
            return
        count = 0
        while unknown:
            sent = asyncio.get_running_loop().time()
            looked_at, found = await self._commands.recover(unknown, private=private)
            count += self._intake.take_over(found, private=private, token=token, sent=sent, claimed=False)
            unknown = unknown[looked_at:]
        self._counts.recovered += count
        if count:
            _log.warning("%d entries whose reply was lost were read again", count, extra={"eventbus": self._membership.about})
