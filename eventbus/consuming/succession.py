"""How an owner of an ordered group gets its entries: what is pending first, in order, then what is new."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, cast

from eventbus.consuming.claimer import Claimer
from eventbus.consuming.fetcher import LINGER, SHARE, STREAMS_READ, Fetcher
from eventbus.consuming.lanes import BEHIND
from eventbus.consuming.recovery import Recovery
from eventbus.delivery import Reason, timestamp
from eventbus.errors import BackendRefused
from eventbus.streams import ANOTHER_READING

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventbus.consuming.lanes import LanesInHand
    from eventbus.consuming.ownership import Ownership
    from eventbus.delivery import Alive
    from eventbus.streams import Batch, OwnedEntryCommands, OwnedReader, TakenOver

_log = logging.getLogger("eventbus.consuming")

LOOK: Final = 0.05
"""Seconds between looks whether everything that was held under an earlier epoch has ended."""


class TakeOver(Recovery):
    """Take over everything that is pending, in the order of ids, whoever it was given to.

    Guarantees:
        Nothing new is read before it has come to the end. An entry in hand is not taken twice; delivery counts stay as
        they are. Entries that were cut from the stream become tombstones among the dead letters.
    Redis cost:
        A script for every 500 pending entries, or 4 MiB.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._own = cast("Ownership", self._membership)
        self._owned = cast("OwnedEntryCommands", self._commands)
        self.stopping = asyncio.Event()

    async def run_once(self) -> None:
        """Walk both pending lists, as far as there is credit. Only with no read in flight.

        Raises:
            BackendError: Redis does not answer, or the group is gone.
        """
        epoch, reading = self._own.token, token_hex(4)
        taken = 0
        for private in (False, True):
            taken += await self._walk(epoch, reading, private=private)
        self._own.reading = reading
        if self._own.token == epoch:
            self._own.stands()
        self._counts.claimed += taken
        if taken:
            _log.warning("%d entries that were pending were taken over", taken, extra={"eventbus": self._membership.about})

    async def _walk(self, epoch: str, reading: str, *, private: bool) -> int:
        def ended() -> bool:
            return self.stopping.is_set() or self._own.token != epoch

        cursor: bytes | None = b""
        begins, taken = not private, 0
        while cursor is not None:
            await self._until_credit(ended)
            if ended():
                break
            known = {each.entry_id for each in self._in_hand if each.private is private}  # may be settled before the answer is here
            page = await self._owned.take_over(
                epoch, reading, private=private, after=cursor, most=max(1, self._in_hand.credit), now=timestamp(), begins=begins
            )
            if page is None:
                await self._own.heal(epoch)
                break
            if ended():
                break  # what it brought is pending, for the next owner
            taken += self._take_in(page, known, private=private, epoch=epoch)
            cursor, begins = page.cursor or None, False
        return taken

    async def _until_credit(self, ended: Callable[[], bool]) -> None:
        """Wait for credit, and a moment more for as much as is worth a script."""
        await self._in_hand.wait_for_credit(1, unless=ended)
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._in_hand.wait_for_credit(max(1, self._in_hand.limit // SHARE), unless=ended)

    def _take_in(self, page: TakenOver, known: set[bytes], *, private: bool, epoch: str) -> int:
        new = [row for row in page.entries if row[0] not in known]
        found = [(entry_id, fields, count) for entry_id, fields, count, _ in new]
        taken = self._intake.take_over(found, private=private, token=epoch, sent=self._own.confirmed, claimed=False)
        for entry_id, _, _, attempts in new:
            delivery = self._in_hand.find(private=private, entry_id=entry_id)
            if attempts and delivery is not None:
                delivery.carried = replace(delivery.carried, attempts=attempts)
        if page.cut:
            self._counts.trimmed += len(page.cut)
            self._counts.dead[Reason.TRIMMED] += len(page.cut)
            _log.error(
                "%d entries were cut from the stream while they were pending; they are tombstones among the dead letters now",
                len(page.cut),
                extra={"eventbus": self._membership.about},
            )
        return taken


class OwnedFetcher(Fetcher):
    """Stand by until the group can be owned; then take over what is pending, and read on, as `Fetcher`.

    Guarantees:
        Nothing is asked for while something is in hand that was held under an earlier epoch.
    Redis cost:
        As `Fetcher`, and at rest two commands every two seconds. Standing by: see `Ownership`.
    """

    _own: Ownership
    _owned_reader: OwnedReader
    _lanes: LanesInHand
    _alive: Alive
    _said = False

    def __init__(self, **rooms: Any) -> None:
        super().__init__(**rooms)
        self._own, self._owned_reader, self._lanes = rooms["membership"], rooms["reader"], rooms["in_hand"]
        cast("TakeOver", self._recovery).stopping = self.stopping

    def walk_again(self) -> None:
        """Something is pending that nobody holds: take over what is pending before the next read."""
        self._recovered_under = ""

    async def run(self, alive: Alive) -> None:
        """Connect, then stand by, or read, until `stop`."""
        await self._reader.connect()
        self._recovered_under = ""
        self._alive = alive
        while not self.stopping.is_set():
            await self.run_once()
            alive(self._own.health)

    async def _pass(self) -> None:
        if not self._own.token:
            await self._stand_by()
            return
        try:
            await super()._pass()
        except BackendRefused as error:
            if error.code != ANOTHER_READING:
                raise
            self.walk_again()

    async def _stand_by(self) -> None:
        if len(self._in_hand):
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._in_hand.wait_until_empty()
            return
        wait = await self._own.take()
        if wait is not None and not self.stopping.is_set():
            self._alive(self._own.health)  # it stands by before the wait ends
            await self._owned_reader.wait_until_free(wait)

    async def _read(self, token: str) -> None:
        self._owned_reader.epoch, self._owned_reader.reading = token, self._own.reading
        await super()._read(token)

    def _take(self, token: str, sent: float, batch: Batch) -> None:
        # A read renews nothing: what it brings is held for as long as the group is owned. A reply that was parsed only after
        # that (a frozen process finds it when it wakes) brings what is pending for the next owner by now.
        if token == self._own.token:
            super()._take(token, min(sent, self._own.confirmed), batch)

    async def _has_credit(self) -> bool:
        held_up = self._lanes.lanes.held_up
        self._lanes.limit = self._prefetch.limit(self._lanes.let_go, asyncio.get_running_loop().time())
        full = held_up > 0 and self._lanes.credit < STREAMS_READ
        if full and not self._said:
            _log.warning(
                "nothing more is read: %d entries wait for events that failed, and for their next attempts",
                held_up,
                extra={"eventbus": self._membership.about},
            )
        self._said = full or (self._said and held_up >= BEHIND)  # once, and not for each event that is settled meanwhile
        return await super()._has_credit()


class Watch(Claimer):
    """Look now and then whether anything is pending for another consumer than the owner, which takes it over then.

    Nobody gives anything to another one in an ordered group; but somebody may by hand, or a program that knows nothing of
    the order. Between looks it only keeps the time that owners have to renew in after an outage.
    """

    _again: Callable[[], None]

    def attach(self, again: Callable[[], None]) -> None:
        """Name what is called where something is."""
        self._again = again

    def grace(self) -> bool:
        """Whether owners have time to renew now."""
        return self._refused_since is not None or self._sweeps.held(now=self._clock())

    async def run_once(self) -> bool:
        """Look once."""
        await self._knock()
        if self._membership.token and await cast("OwnedEntryCommands", self._commands).foreign_rows():
            self._again()
        return True
