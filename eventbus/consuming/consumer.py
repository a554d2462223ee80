"""One Redis consumer: this process's share of one subscription, put together from its rooms."""

from __future__ import annotations

import json
import logging
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from eventbus.consuming.counts import Counts
from eventbus.consuming.executors import Executors
from eventbus.consuming.fetcher import Fetcher
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.membership import Membership
from eventbus.consuming.settler import Settler
from eventbus.consuming.work import Work
from eventbus.delivery import Delivery, Ending, Outcome, Settings, Subscription, Surroundings, decide
from eventbus.streams import Connections, Group, GroupCommands, GroupReader, Wire

if TYPE_CHECKING:
    from collections.abc import Collection

    from eventbus.delivery import PublishEvent
    from eventbus.streams import Backlog

_log = logging.getLogger("eventbus.consuming")

TYPES_SAID: Final = 100
"""Types of others that are named in the log; further ones are only counted."""

_COUNTED: Final = {
    Ending.HANDLED: "handled",
    Ending.NOBODY: "skipped",
    Ending.RAISED: "failed",
    Ending.UNDECODABLE: "undecodable",
    Ending.NEWER: "newer",
    Ending.CUT: "cut",
}


class Consumer:
    """Reads, handles and settles the events of one subscription.

    Args:
        subscription: What is consumed.
        settings: The bus's.
        connections: For the reader's own connection.
        wire: The command connection, shared with the bus's other consumers.
        name: This process's consumer name, new at every start.
        publish: What contexts publish with.
        state: What the bus's lifespan yielded.
        besides: The bus's other groups, which have no heartbeat while they all begin.
    """

    def __init__(
        self,
        subscription: Subscription,
        settings: Settings,
        *,
        connections: Connections,
        wire: Wire,
        name: str,
        publish: PublishEvent,
        state: Any,
        besides: Collection[str] = (),
    ) -> None:
        self.subscription = subscription
        self.counts = Counts()
        group = Group(subscription.stream, subscription.group)
        self._settings = settings
        self._commands = GroupCommands(wire, group, name)
        self._reader = GroupReader(connections, group, name)
        self._work = Work()
        self.in_hand = InHand(subscription.concurrency + subscription.prefetch)
        self._membership = Membership(subscription, settings, self._commands, self.in_hand, self.counts, besides=besides)
        self.fetcher = Fetcher(
            reader=self._reader,
            commands=self._commands,
            membership=self._membership,
            in_hand=self.in_hand,
            work=self._work,
            counts=self.counts,
        )
        self.settler = Settler(self._commands, self._membership, self.in_hand, self.counts)
        around = Surroundings(subscription.topic, subscription.group, publish, state)
        self.executors = Executors(subscription, around, self._work, self._finish)
        self._types_skipped: set[str] = set()

    async def check(self) -> None:
        """Look whether the group can be joined, before any group of the bus is created; see `GroupCommands.check`."""
        await self._commands.check()

    async def join(self) -> None:
        """Create or adopt the group.

        Raises:
            BackendError: Redis does not answer, or refuses.
        """
        await self._membership.join()

    async def announce(self) -> None:
        """Write this consumer's heartbeat."""
        settings = self._settings
        about = {"service": settings.service, "host": socket.gethostname(), "pid": os.getpid(), "lease": settings.lease}
        await self._commands.announce(json.dumps(about).encode())

    async def backlog(self) -> Backlog:
        """Count what the group has still to do, whoever does it."""
        return await self._commands.backlog()

    @property
    def threads(self) -> dict[str, int]:
        """Threads that handlers occupy now, by handler."""
        found = {route.handler.name: len(route.handler.threads) for route in self.subscription.routes.values()}
        return {name: count for name, count in found.items() if count}

    async def leave(self) -> None:
        """Close the reader and remove this consumer, if it owes nothing."""
        await self._reader.close()
        owed = await self._commands.leave()
        if owed:
            _log.warning("%s: %d entries stay pending for this consumer", self.subscription, owed)

    def _finish(self, delivery: Delivery, ending: Ending, reason: str) -> None:
        """Count a delivery's ending and pass it on to what its outcome needs."""
        field = _COUNTED[ending]
        setattr(self.counts, field, getattr(self.counts, field) + 1)
        match decide(ending):
            case Outcome.ACK:
                self.settler.add(delivery)
            case Outcome.SKIP:
                self._say_skipped(reason)
                self.settler.add(delivery)
            case Outcome.LEAVE:
                self._say_left(delivery, reason)
                self.in_hand.leave(delivery)

    def _say_skipped(self, reason: str) -> None:
        # Once a type, since a busy topic has many entries that are others' work; and not for ever, since
        # the types are whatever anybody writes.
        if reason not in self._types_skipped and len(self._types_skipped) < TYPES_SAID:
            self._types_skipped.add(reason)
            _log.info("%s: skipped, here and from now on: %s", self.subscription, reason)

    def _say_left(self, delivery: Delivery, reason: str) -> None:
        _log.error("%s: entry %s stays pending: %s", self.subscription, delivery.entry_id.decode(), reason)
