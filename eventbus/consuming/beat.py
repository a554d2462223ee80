"""Renews the leases of everything in hand, and finds those that were lost."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eventbus.consuming.counts import Counts
    from eventbus.consuming.in_hand import InHand
    from eventbus.consuming.membership import Membership
    from eventbus.delivery import Alive, Delivery, Settings
    from eventbus.streams import Beaten, EntryCommands
    from eventbus.streams.wire import Turn

_log = logging.getLogger("eventbus.consuming")

PAGE: Final = 300
"""Entries one script renews: about 4 ms of the server's time."""


class Beat:
    """Renew every lease at a third of its time.

    Guarantees:
        Everything in hand is renewed, what waits or is being settled too. An entry that was sent and not
        returned is lost: `lose` is called with it. Entries of a group that began anew have no lease; they are
        left alone.
    Stops:
        When it is cancelled; the leases then run out.
    Survives:
        A lost group: it is healed. Anything else: `run` raises and is started again by the supervisor. On a
        new connection of the command wire it comes first of all.
    Redis cost:
        Every third of the lease one script for up to 300 entries.

    Args:
        settings: The bus's.
        commands: Those of the group's entries.
        membership: For the token.
        in_hand: What is held.
        counts: Where losses are counted.
        lose: Called with each delivery whose lease is another's.
        busy: Names the handlers that run now, for the log when the event loop was blocked.
        waited: Called with the seconds since the last renewal where that was too long ago: others may have
            been kept from renewing, too.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        commands: EntryCommands,
        membership: Membership,
        in_hand: InHand,
        counts: Counts,
        lose: Callable[[Delivery], None],
        busy: Callable[[], Iterable[str]],
        waited: Callable[[float], None],
    ) -> None:
        self._every = settings.lease / 3
        self._commands = commands
        self._membership = membership
        self._in_hand = in_hand
        self._counts = counts
        self._lose = lose
        self._busy = busy
        self._waited = waited
        self._renewed: float | None = None

    async def run(self, alive: Alive) -> None:
        """Renew for as long as the consumer lives."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._every
            await self.run_once()
            alive()
            begun = loop.time()
            await anyio.sleep(max(0.0, due - begun))
            self._notice(loop.time() - max(due, begun))

    async def run_once(self) -> None:
        """Renew everything in hand now.

        Raises:
            BackendError: Redis does not answer; what was renewed is.
        """
        token = self._membership.token
        if not await self._renew(self._commands, token):
            await self._membership.heal(token)
        now = asyncio.get_running_loop().time()
        if self._renewed is not None and now - self._renewed > 2 * self._every:
            self._waited(now - self._renewed)
        self._renewed = now

    async def greet(self, turn: Turn) -> None:
        """Renew everything on a new connection, before anything else is sent on it."""
        await self._renew(self._commands.on(turn), self._membership.token)

    async def _renew(self, commands: EntryCommands, token: str) -> bool:
        """Renew what has a lease under this token; False when the group is another one now."""
        loop = asyncio.get_running_loop()
        for private, batch in _batches(self._in_hand, token):
            sent = loop.time()
            beaten = await commands.beat([each.entry_id for each in batch], private=private, token=token)
            if beaten is None:
                return False
            self._take(batch, beaten, sent)
        return True

    def _take(self, batch: list[Delivery], beaten: Beaten, sent: float) -> None:
        for delivery in batch:
            if delivery.entry_id in beaten.kept:
                delivery.confirmed = sent
            elif delivery.entry_id in beaten.cut:
                self._say_cut(delivery)
            elif not delivery.settling and self._in_hand.find(private=delivery.private, entry_id=delivery.entry_id) is delivery:
                delivery.lost = True
                self._counts.lease_lost += 1
                self._lose(delivery)

    def _say_cut(self, delivery: Delivery) -> None:
        delivery.cut = True  # the only copy is here: it is neither renewed nor cancelled from now on
        self._counts.trimmed += 1
        _log.error(
            "entry %s was cut from the stream while it was in hand: only this process can still handle its event",
            delivery.entry_id.decode(),
            extra={"eventbus": self._membership.about},
        )

    def _notice(self, late: float) -> None:
        if late < self._every / 2:
            return
        self._counts.late_beats += 1
        names = ", ".join(sorted(set(self._busy()))) or "none that still runs; what blocked has ended"
        _log.warning(
            "the event loop was blocked: leases were renewed %.1f s late (every %.1f s is due); handlers that ran: %s. "
            "Move what blocks to a thread: a handler without async runs in one",
            late,
            self._every,
            names,
            extra={"eventbus": self._membership.about},
        )


def _batches(deliveries: Iterable[Delivery], token: str) -> list[tuple[bool, list[Delivery]]]:
    """What has a lease, by stream and in pieces that one script takes."""
    kinds: dict[bool, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        if delivery.token == token and not delivery.lost and not delivery.cut:
            kinds[delivery.private].append(delivery)
    return [(private, found[at : at + PAGE]) for private, found in kinds.items() for at in range(0, len(found), PAGE)]
