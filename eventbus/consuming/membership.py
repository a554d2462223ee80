"""This process's place in one group: its token, its lease, and what is done when the group is lost."""

from __future__ import annotations

import json
import logging
import os
import socket
from typing import TYPE_CHECKING, ClassVar, Final

import anyio

from eventbus.errors import BackendError, BackendRefused, ConfigurationError
from eventbus.streams import COUNT_LIMIT, Member

if TYPE_CHECKING:
    from collections.abc import Collection

    from eventbus.consuming.counts import Counts
    from eventbus.consuming.in_hand import InHand
    from eventbus.delivery import Delivery, Settings, Subscription
    from eventbus.streams import Ensured, GroupCommands

_log = logging.getLogger("eventbus.consuming")

OTHER_ORDER: Final = "ORDERED"
"""The code of the refusal of a member that orders events where living ones do not, or the other way round."""


class Membership:
    """Knows the group's token and lease, and heals the group when Redis has lost it.

    A group is lost when its stream was deleted, the server flushed, or somebody destroyed it. It restarts just
    before the watermark that the last trim stored, else at the earliest entry: events may be handled again,
    and none is passed over.

    Args:
        subscription: What is consumed.
        settings: The bus's.
        commands: Those of the group.
        in_hand: What is held of it.
        counts: Where a loss is counted.
        besides: Groups this bus serves or is about to serve, which have no heartbeat yet. Default none.
    """

    restarts: ClassVar = "just before what was known to be settled"

    def __init__(
        self,
        subscription: Subscription,
        settings: Settings,
        commands: GroupCommands,
        in_hand: InHand,
        counts: Counts,
        *,
        besides: Collection[str] = (),
    ) -> None:
        self._subscription = subscription
        self._commands = commands
        self._in_hand = in_hand
        self._counts = counts
        self._settings = settings
        self._besides = besides
        self._lock = anyio.Lock()
        self._member = _member(subscription, settings)
        self._lease_said = settings.lease
        self.about = {"topic": subscription.topic, "group": subscription.group}
        if subscription.priority is not None:
            self.about["priority"] = subscription.priority
        self.token = ""  # what entries are held and settled under
        self.group_token = ""
        self.lease = settings.lease

    async def join(self) -> None:
        """Create the group where it is missing, adopt it where it exists, and say what that means.

        Raises:
            BackendUnavailable: No answer; what exists by then is adopted by the next try.
            BackendRefused: Among others with code WRONGTYPE: the topic's key is no stream.
        """
        ensured = await self._ensure(start=self._subscription.start)
        self._adopt(ensured.token)
        self._take_lease(ensured.lease)
        if ensured.created:
            await self._say_new(ensured)

    async def announce(self) -> None:
        """Write this consumer's heartbeat, and learn the group's lease, or that it was lost."""
        token = self.group_token
        lease = await self._commands.announce(self._member, token=token)
        if lease is None:
            await self.heal(token)
        else:
            self._take_lease(lease)

    async def heal(self, lost: str) -> None:
        """Make the group anew, unless that was already done since its token was `lost`."""
        async with self._lock:
            if self.group_token != lost:
                return
            ensured = await self._ensure(start=self._restart(), lost=lost)
            if ensured.token == lost:
                return
            self._adopt(ensured.token)
        self._counts.regrouped += 1
        _log.error(
            "the group %s was lost in Redis and begins anew: %s, else from the earliest "
            "entry; %d entries were in hand, and events may be handled again",
            self._subscription,
            self.restarts,
            len(self._in_hand),
            extra={"eventbus": self.about},
        )

    def _restart(self) -> str:
        """Where a lost group begins; nobody knows more than its watermark."""
        return "0"

    def orphaned(self, delivery: Delivery) -> bool:
        """Whether what this process holds is all there is of an event: its group was lost, or its entry was cut."""
        return delivery.token != self.token or delivery.cut

    def group_of(self, token: str) -> str:
        """The group's token, given what something in hand is held under: the same."""
        return token

    async def leave(self, *, busy: bool) -> None:
        """Remove this consumer, if it owes nothing.

        Args:
            busy: Handlers that nothing can stop still run.
        """
        del busy
        owed = await self._commands.leave()
        if owed:
            _log.warning("%s: %d entries stay pending for this consumer, until its lease runs out", self._subscription, owed)

    def _adopt(self, token: str) -> None:
        self.group_token = self.token = token

    async def _ensure(self, *, start: str, lost: str = "") -> Ensured:
        try:
            return await self._commands.ensure(self._member, start=start, lost=lost)
        except BackendRefused as error:
            if error.code != OTHER_ORDER:
                raise
            raise ConfigurationError(_mixed(self._subscription, str(error))) from error

    def _take_lease(self, lease: float) -> None:
        self.lease = max(lease, self._settings.lease)
        if self.lease != self._lease_said:
            self._lease_said = self.lease
            _log.warning(
                "%s: members of the group have different leases; the largest counts for all: %g s (here %g s is set)",
                self._subscription,
                self.lease,
                self._settings.lease,
            )

    async def _say_new(self, ensured: Ensured) -> None:
        subscription = self._subscription
        if ensured.known:
            _log.error("the group %s had been lost in Redis and begins anew, before everything that may be unsettled", subscription)
            return
        if subscription.start == "$":
            return
        try:
            await self._say_waiting()
        except BackendError as error:  # the group is there; what can be said of it keeps nobody from joining
            _log.warning("the new group %s was created; what waits in its topic is not known: %s", subscription, error)

    async def _say_waiting(self) -> None:
        waiting = await self._commands.waiting_after(self._subscription.start)
        if waiting:
            number = f"{COUNT_LIMIT}+ entries" if waiting > COUNT_LIMIT else f"{waiting} entr{'y' if waiting == 1 else 'ies'}"
            settings = self._settings
            unserved = await self._commands.unserved(settings.service, silence=settings.lease, besides=self._besides)
            hint = f"; groups of this service that nobody serves now: {', '.join(unserved)}" if unserved else ""
            _log.warning("the new group %s begins with %s already in the topic%s", self._subscription, number, hint)


def _mixed(subscription: Subscription, said: str) -> str:
    ours, theirs = ("ordered", "not ordered") if subscription.order else ("not ordered", "ordered")
    other = said.rpartition(" ")[2]
    return (
        f"{subscription}: it is {ours} here, and {theirs} for its member {other}, which lives: together they would break the order; "
        f"end the members of one kind first, or give this one another group="
    )


def _member(subscription: Subscription, settings: Settings) -> Member:
    about = {"service": settings.service, "host": socket.gethostname(), "pid": os.getpid(), "lease": settings.lease}
    return Member(settings.service, settings.lease, subscription.types, json.dumps(about).encode(), bool(subscription.order))
