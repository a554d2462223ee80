"""Takes over what stayed pending longer than the lease."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.consuming.gate import is_last
from eventbus.consuming.sweeps import Sweeps
from eventbus.delivery import CRASHES, Reason, timestamp
from eventbus.errors import BackendRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventbus.consuming.counts import Counts
    from eventbus.consuming.in_hand import InHand
    from eventbus.consuming.intake import Intake
    from eventbus.consuming.membership import Membership
    from eventbus.consuming.recovery import Recovery
    from eventbus.delivery import Alive, Settings
    from eventbus.streams import Claimed, EntryCommands

_log = logging.getLogger("eventbus.consuming")

LASTS: Final = 2
"""Entries at their last allowed start that a process takes over: one that runs, alone, and one that waits for it.
The others are for other processes."""


class Claimer:
    """Take over deliveries that stayed pending longer than the lease.

    Guarantees:
        Each stale entry is reached within one sweep, however many live ones are pending before it: a sweep
        walks the whole pending list, window by window without a pause. What is taken over has room of its
        own and goes before what was read, so that a backlog cannot keep it out. Ids in hand are never taken.
        Delivery counts stay as they are.
    Stops:
        Between windows. An entry claimed but not handed over stays pending and grows stale again.
    Survives:
        A lost group: it is healed. Anything else: `run` raises and is started again by the supervisor.
    Redis cost:
        A script for 1,000 pending rows of each stream, at least one of each every `claim_interval`, and a TIME before
        each sweep.

    Args:
        settings: The bus's.
        commands: Those of the group's entries.
        membership: For the lease, and to heal.
        in_hand: What is held.
        intake: Takes what was claimed.
        recovery: Takes own entries that were never parsed.
        counts: Where claims are counted.
        reading_since: When the read in flight was sent; what it may still bring is not recovered. None for none.
        taking: Held by whoever fills the room for what is taken over, so that it is filled once.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        commands: EntryCommands,
        membership: Membership,
        in_hand: InHand,
        intake: Intake,
        recovery: Recovery,
        counts: Counts,
        reading_since: Callable[[], float | None],
        taking: asyncio.Lock,
    ) -> None:
        self._settings = settings
        self._commands = commands
        self._membership = membership
        self._in_hand = in_hand
        self._intake = intake
        self._recovery = recovery
        self._counts = counts
        self._reading_since = reading_since
        self._clock = asyncio.get_running_loop().time
        self._sweeps = Sweeps(lease=settings.lease, interval=settings.claim_interval, now=self._clock())
        self._ahead = 0.0
        self._refused_since: float | None = None
        self._started = False
        self._wake = asyncio.Event()
        self._taking = taking
        self.stopping = asyncio.Event()

    def waited(self, seconds: float) -> None:
        """Redis had given no answer for so many seconds."""
        self._sweeps.waited(seconds, now=self._clock())

    def refused(self, since: float) -> None:
        """The server refuses writes; nothing was done since then. Nobody can renew: that is to be over first."""
        self._refused_since = min(since, self._refused_since or since)
        self._wake.set()

    def hurry(self) -> None:
        """Sweep soon: there is room for an entry that had to wait."""
        self._sweeps.hurry(now=self._clock())
        self._wake.set()

    async def stop(self) -> None:
        """Begin no further window; returns when none is under way."""
        self.stopping.set()
        self._wake.set()
        async with self._taking:
            pass

    async def run(self, alive: Alive) -> None:
        """Sweep whenever it is time, until `stop`."""
        if not self._started:
            self._started = True
            self._sweeps.began(now=self._clock())
        while not self.stopping.is_set():
            began = self._clock()
            if (delay := self._sweeps.delay(now=began)) > 0 and self._refused_since is None:
                await self._rest(delay)
            elif await self.run_once():
                self._sweeps.done(began=began, chance=random.random())  # noqa: S311 - jitter, not a secret
                alive()

    async def run_once(self) -> bool:
        """Sweep once: walk both pending lists from their beginning to their end.

        Returns:
            Whether it came to the end. It gives way where owners are to renew first, and to a stop.

        Raises:
            BackendUnavailable: No answer; what was taken without it is recovered once it is stale.
            BackendRefused: Redis refuses, and not for a lost group.
        """
        await self._knock()
        if self._sweeps.held(now=self._clock()):
            return False  # the knock was answered after an outage
        return await self._walk_or_heal(private=False) and await self._walk_or_heal(private=True)

    async def _knock(self) -> None:
        """Ask for the server's time: a claim that reaches it long after it was decided on must not be executed.

        It may have waited for a connection, or in the socket of a frozen server, while owners could not renew.
        The answer also says that it takes writes, which ends an outage in which it answered and refused them.
        """
        sent = self._clock()
        self._ahead = await self._commands.clock() - sent
        now, since, self._refused_since = self._clock(), self._refused_since, None
        if since is not None:
            self._sweeps.refused(now - since, now=now)

    async def _walk_or_heal(self, *, private: bool) -> bool:
        token = self._membership.token
        try:
            return await self._walk(private=private)
        except BackendRefused as error:
            if error.code != "NOGROUP":
                raise
            await self._membership.heal(token)
            return True

    async def _walk(self, *, private: bool) -> bool:
        cursor: bytes | None = b""
        while cursor is not None:
            await self._until_room()
            async with self._taking:
                if self._gives_way():
                    return False
                claimed = await self._look(cursor, private=private)
                if claimed is None:
                    self.waited(self._settings.lease)  # owners first; and the next is decided on by a new time
                    return False
                cursor = (claimed.token and claimed.cursor) or None  # no token: recovered under the new one
        return True

    def _gives_way(self) -> bool:
        return self.stopping.is_set() or self._refused_since is not None or self._sweeps.held(now=self._clock())

    async def _look(self, cursor: bytes, *, private: bool) -> Claimed | None:
        """Take over from one window; None when the claim came too late."""
        sent = self._clock()
        claimed = await self._claim(cursor, private=private)
        if claimed is None:
            return None
        if claimed.token != self._membership.token:
            await self._membership.heal(self._membership.token)  # made anew, by us or by another
        if claimed.token:
            await self._take(claimed, private=private, sent=sent)
        return claimed

    async def _claim(self, cursor: bytes, *, private: bool) -> Claimed | None:
        waiting = sum(map(is_last, self._in_hand))
        return await self._commands.claim(
            private=private,
            cursor=cursor,
            lease=self._membership.lease,
            room=max(1, self._in_hand.room),
            lasts=max(0, LASTS - waiting),
            count=CRASHES,
            now=timestamp(),
            latest=self._clock() + self._ahead + self._settings.lease / 6,
        )

    async def _take(self, claimed: Claimed, *, private: bool, sent: float) -> None:
        taken = self._intake.take_over(claimed.entries, private=private, token=claimed.token, sent=sent, claimed=True)
        self._counts.claimed += taken
        if claimed.cut:
            self._counts.trimmed += len(claimed.cut)
            self._counts.dead[Reason.TRIMMED] += len(claimed.cut)
        about = {"eventbus": self._membership.about}
        if taken:
            _log.warning("%d entries of silent consumers were taken over", taken, extra=about)
        for entry_id in claimed.cut:
            _log.error("entry %s was cut from the stream while it was pending: a dead letter says so", entry_id.decode(), extra=about)
        own = self._own(claimed, now=sent)
        if own:
            await self._recovery.take(own, private=private, token=claimed.token)

    def _own(self, claimed: Claimed, *, now: float) -> list[bytes]:
        """Stale entries of this consumer that no read in flight can still bring."""
        reading = self._reading_since()
        since = 0.0 if reading is None else now - reading
        return [entry_id for entry_id, idle in claimed.own if idle > since]

    async def _until_room(self) -> None:
        if self._in_hand.room:
            return
        async with anyio.create_task_group() as tasks:

            async def stopped() -> None:
                await self.stopping.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(stopped)
            await self._in_hand.wait_for_room()
            tasks.cancel_scope.cancel()

    async def _rest(self, seconds: float) -> None:
        self._wake.clear()
        due = self._clock() + seconds
        with anyio.move_on_after(seconds) as scope:
            await self._wake.wait()
        if scope.cancelled_caught:
            # What kept this process from looking in time (a freeze of the machine) kept others from renewing.
            self._sweeps.waited(self._clock() - due, now=self._clock())
