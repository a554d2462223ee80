"""Reads new entries for one consumer, as far as there is credit for them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from eventbus.errors import BackendError, BackendRefused

if TYPE_CHECKING:
    from eventbus.consuming.in_hand import InHand
    from eventbus.consuming.intake import Intake
    from eventbus.consuming.membership import Membership
    from eventbus.consuming.prefetch import Prefetch
    from eventbus.consuming.recovery import Recovery
    from eventbus.delivery import Alive
    from eventbus.streams import Batch, GroupCommands, GroupReader

STREAMS_READ: Final = 2
"""The topic's stream and the group's private one: COUNT holds for each, so credit is shared between them."""

SHARE: Final = 4
"""A read is worth its round trip at once when this part of what may be in hand is free."""

LINGER: Final = 0.005
"""Seconds that a read waits for so much."""

FEW: Final = 16
"""Entries of one stream that start before the next read is sent, which takes as long. Where a read brought more, the next
is on its way while they are handled."""

LOST_GROUP: Final = frozenset({"NOGROUP", "UNBLOCKED"})
"""Answers to a read whose group or stream is gone. UNBLOCKED is 7.0's when the key vanishes under a
blocked reader (also a demoted primary's: then healing fails, and the loop starts again elsewhere)."""

UNBLOCK_EVERY: Final = 0.05
"""Seconds between tries to end the last read: one sent just before that read began has no effect."""


class Fetcher:
    """Read entries into the queue of the executors.

    Guarantees:
        Never more in hand than the credit allows. A read is never cancelled. After a lost reply the
        entries it brought are found among this consumer's pending ones before the next read.
    Stops:
        Between reads; the last one is ended by CLIENT UNBLOCK, and what it brings is taken in hand.
    Survives:
        NOGROUP and a vanished stream, by healing the group. Anything else: `run` raises and is started
        again by the supervisor, with a new connection.
    Redis cost:
        One XREADGROUP for up to half the credit of each stream; at rest one every two seconds.
    """

    def __init__(
        self,
        *,
        reader: GroupReader,
        commands: GroupCommands,
        membership: Membership,
        in_hand: InHand,
        intake: Intake,
        recovery: Recovery,
        prefetch: Prefetch,
    ) -> None:
        self._reader = reader
        self._commands = commands
        self._membership = membership
        self._in_hand = in_hand
        self._intake = intake
        self._recovery = recovery
        self._prefetch = prefetch
        self.stopping = asyncio.Event()
        self.reading_since: float | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._recovered_under = ""

    async def run(self, alive: Alive) -> None:
        """Connect, then read until `stop`; what an earlier connection may have lost is recovered first."""
        await self._reader.connect()
        self._recovered_under = ""
        while not self.stopping.is_set():
            await self.run_once()
            alive()

    async def run_once(self) -> None:
        """Wait for credit and read once.

        Raises:
            BackendUnavailable: The reply may be lost with entries in it; the next `run` recovers them.
            BackendRefused: Redis refuses to read, or to make the group anew.
        """
        self._idle.clear()
        try:
            await self._pass()
        finally:
            self._idle.set()

    async def _pass(self) -> None:
        token = self._membership.token  # the one known when the read is sent, not when it is parsed
        try:
            if token != self._recovered_under:
                await self._recovery.run_once()
                self._recovered_under = token
            if await self._has_credit():
                await self._read(token)
        except BackendRefused as error:
            if error.code not in LOST_GROUP:
                raise
            await self._membership.heal(token)

    async def _read(self, token: str) -> None:
        sent = self.reading_since = asyncio.get_running_loop().time()
        received = self._reader.received
        try:
            brought = await self._reader.read(self._in_hand.credit // STREAMS_READ, partial(self._take, token, sent), few=FEW)
        finally:
            self.reading_since = None
        if brought:
            self._prefetch.weigh(brought, self._reader.received - received)

    def _take(self, token: str, sent: float, batch: Batch) -> None:
        self._intake.read(batch.entries, private=batch.private, token=token, sent=sent)

    async def stop(self) -> None:
        """Read no more; returns when no read is in flight."""
        self.stopping.set()
        self._in_hand.look_again()
        while not self._idle.is_set():
            with suppress(BackendError):  # without Redis the read ends by its own timeout
                await self._commands.unblock(self._reader.client_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(UNBLOCK_EVERY):
                    await self._idle.wait()

    async def _has_credit(self) -> bool:
        """Wait for credit for one entry of each stream, and a moment more for as much as is worth a read; False when stopped."""
        self._in_hand.limit = limit = self._prefetch.limit(self._in_hand.let_go, asyncio.get_running_loop().time())
        worthwhile = max(STREAMS_READ, limit // SHARE)
        if self._in_hand.credit < worthwhile:
            await self._in_hand.wait_for_credit(STREAMS_READ, unless=self.stopping.is_set)
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await self._in_hand.wait_for_credit(worthwhile, unless=self.stopping.is_set)
        return not self.stopping.is_set()
