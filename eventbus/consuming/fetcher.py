"""Reads new entries for one consumer, as far as there is credit for them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.delivery import Alive, Delivery
from eventbus.errors import BackendError, BackendRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventbus.consuming.counts import Counts
    from eventbus.consuming.in_hand import InHand
    from eventbus.consuming.membership import Membership
    from eventbus.consuming.work import Work
    from eventbus.streams import GroupCommands, GroupReader, RawEntry

_log = logging.getLogger("eventbus.consuming")

STREAMS_READ: Final = 2
"""The topic's stream and the group's private one: COUNT holds for each, so credit is shared between them."""

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
        Between reads; the last one is ended by CLIENT UNBLOCK, and what it brings is handled.
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
        work: Work,
        counts: Counts,
    ) -> None:
        self._reader = reader
        self._commands = commands
        self._membership = membership
        self._in_hand = in_hand
        self._work = work
        self._counts = counts
        self.stopping = asyncio.Event()
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
            BackendUnavailable: The reply may be lost with entries in it; `recover` finds them.
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
                await self.recover()
                self._recovered_under = token
            if await self._has_credit():
                await self._read(token)
        except BackendRefused as error:
            if error.code not in LOST_GROUP:
                raise
            await self._membership.heal(token)

    async def _read(self, token: str) -> None:
        for batch in await self._reader.read(self._in_hand.credit // STREAMS_READ):
            self._accept(batch.entries, private=batch.private, token=token)

    async def recover(self) -> None:
        """Take up own pending entries that are not in hand. Only with no read in flight."""
        token = self._membership.token
        for private in (False, True):
            after: bytes | None = None
            while ids := await self._commands.held(private=private, after=after):
                after = ids[-1]
                unknown = self._in_hand.unknown(ids, private=private, token=token)
                if unknown:
                    await self._recover_page(unknown, private=private, token=token)

    async def stop(self) -> None:
        """Read no more; returns when no read is in flight."""
        self.stopping.set()
        while not self._idle.is_set():
            with suppress(BackendError):  # without Redis the read ends by its own timeout
                await self._commands.unblock(self._reader.client_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(UNBLOCK_EVERY):
                    await self._idle.wait()

    async def _has_credit(self) -> bool:
        """Wait for credit for at least one entry of each stream, or for the stop."""
        if self._in_hand.credit < STREAMS_READ:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_stopping, tasks.cancel_scope)
                await self._in_hand.wait_for_room(STREAMS_READ)
                tasks.cancel_scope.cancel()
        return not self.stopping.is_set()

    async def _until_stopping(self, scope: anyio.CancelScope) -> None:
        await self.stopping.wait()
        scope.cancel()

    async def _recover_page(self, ids: list[bytes], *, private: bool, token: str) -> None:
        entries = await self._commands.recover(ids, private=private)
        adopted = [entry for entry in entries if self._adopt(entry, private=private, token=token)]
        fresh = [entry for entry in entries if entry not in adopted]
        count = self._accept(fresh, private=private, token=token)
        self._counts.recovered += count
        if count:
            _log.warning("%d entries whose reply was lost were read again", count, extra={"eventbus": self._about()})

    def _adopt(self, entry: RawEntry, *, private: bool, token: str) -> bool:
        """A delivery in hand whose group was made anew around its row keeps it, under the new token."""
        entry_id, fields = entry
        held = self._in_hand.find(private=private, entry_id=entry_id)
        if held is None or held.fields != fields:  # ids are used again after a flush
            return False
        held.token = token
        return True

    def _accept(self, entries: Iterable[RawEntry], *, private: bool, token: str) -> int:
        accepted: list[Delivery] = []
        for entry_id, fields in entries:
            if fields is None:
                self._say_trimmed(entry_id, private=private)
                continue
            delivery = Delivery(entry_id, fields, private, token)
            if self._in_hand.take(delivery):
                accepted.append(delivery)
        self._counts.fetched += len(accepted)
        self._work.put(accepted)
        return len(accepted)

    def _say_trimmed(self, entry_id: bytes, *, private: bool) -> None:
        self._counts.trimmed += 1
        self._in_hand.leave(Delivery(entry_id, [], private, self._membership.token))
        _log.error(
            "entry %s was cut from the stream while it was pending: its event is lost to this group",
            entry_id.decode(),
            extra={"eventbus": self._about()},
        )

    def _about(self) -> dict[str, str]:
        group = self._commands.group
        return {"stream": group.stream, "group": group.name}
