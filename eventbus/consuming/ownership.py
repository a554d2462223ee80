"""This process's place in an ordered group: its owner, or one that stands by."""

from __future__ import annotations

import asyncio
import logging
import random
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, cast

from eventbus.consuming.membership import Membership
from eventbus.consuming.sweeps import JITTER
from eventbus.delivery import Health
from eventbus.events import info
from eventbus.streams import parse_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventbus.delivery import Delivery
    from eventbus.streams import OwnedGroupCommands

_log = logging.getLogger("eventbus.consuming")

SOONEST: Final = 0.02
"""Seconds between two questions whose the group is, at least."""


class Ownership(Membership):
    """Knows whether this process owns the group, and gives up everything it holds when it does not any more.

    What others know as the token that entries are held under is the ownership's epoch here: random, another one each
    time the group changes hands, and checked by every script that settles, reads or claims. It ends with the group's own
    token, so that it guards against a lost group as well.

    Guarantees:
        At most one consumer owns the group. One whose lease was not renewed within its time has given up by its own
        clock before Redis lets another one have it: what waited does not start, what runs is cancelled, as long as the
        event loop turns. It does not own the group again before all of that has ended.
    Redis cost:
        Standing by: one script every `claim_interval`, and one when the owner's lease runs out.

    Attributes:
        confirmed: When the renewal was sent that was answered last; the event loop's time.
        reading: What the reads since the last take-over are called.
    """

    _lose: Callable[[Delivery], None]
    _rescue: Callable[[list[Delivery]], Awaitable[None]]
    _grace: Callable[[], bool]
    _taken: Callable[[], None]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._own = cast("OwnedGroupCommands", self._commands)
        self._clock = asyncio.get_running_loop().time
        self.confirmed = 0.0
        self.reading = ""
        self._ahead: float | None = None
        self._end: asyncio.TimerHandle | None = None
        self._given_up: list[tuple[Delivery, str]] = []  # with the token of the group they were held in
        self._owned_under = ""

    def attach(
        self,
        *,
        lose: Callable[[Delivery], None],
        rescue: Callable[[list[Delivery]], Awaitable[None]],
        grace: Callable[[], bool],
        taken: Callable[[], None],
    ) -> None:
        """Name those that are concerned.

        Args:
            lose: Called with each delivery that is given up.
            rescue: Called with those that nothing in Redis knows any more.
            grace: Whether owners have time to renew now, after an outage.
            taken: Called when the group is owned from now on.
        """
        self._lose, self._rescue, self._grace, self._taken = lose, rescue, grace, taken

    @property
    def health(self) -> Health:
        """How it is with whoever reads."""
        return Health.RUNNING if self.token else Health.STANDBY

    async def join(self) -> None:
        """Create or adopt the group, as `Membership.join`; nothing is owned yet."""
        await super().join()
        keyless = [route.event_class.__name__ for route in self._subscription.routes.values() if info(route.event_class).key is None]
        if keyless:
            _log.warning(
                "%s is ordered, and %s has no key: all events without one are handled one after the other; declare key=",
                self._subscription,
                ", ".join(sorted(set(keyless))),
            )

    async def take(self) -> float | None:
        """Own the group if nobody does. Nothing may be in hand.

        Returns:
            None when it is owned now; else seconds after which to ask again.
        """
        epoch, sent = token_hex(8), self._clock()
        # As a claim: decided on now, and not to be executed when it was held up while the owner could not renew either.
        late = self._ahead is None or self._grace()
        latest = 0.0 if late else sent + (self._ahead or 0.0) + self._settings.lease / 6
        taken = await self._own.take(epoch, lease=self._settings.lease, token=self.group_token, latest=latest)
        self._ahead = taken.now - self._clock()
        if taken.regrouped:
            await super().heal(self.group_token)
            return SOONEST
        if not taken.taken:
            return max(SOONEST, min(taken.left, self._settings.claim_interval * (1 - JITTER * random.random())))  # noqa: S311 - jitter
        self.token, self._owned_under = epoch, self.group_token
        self.confirm(epoch, sent)
        _log.info("%s: this process owns the group", self._subscription, extra={"eventbus": self.about})
        self._taken()
        return None

    def confirm(self, epoch: str, sent: float) -> None:
        """The ownership was renewed by what was sent then: nobody else has it for a lease."""
        if epoch != self.token:
            return
        self.confirmed = sent
        for delivery in self._in_hand:
            if delivery.token == epoch:
                delivery.confirmed = sent
        self._disarm()
        self._end = asyncio.get_running_loop().call_at(sent + self._settings.lease, self.resign, epoch)

    def give_up(self, *deliveries: Delivery) -> None:
        """They are left to the next owner, who finds them pending: if the group stands, which has to be seen."""
        self._given_up += [(each, self._owned_under) for each in deliveries]

    def resign(self, lost: str) -> None:
        """Give up everything that is held under an epoch, if it is this process's: another may own the group."""
        if not lost or lost != self.token:
            return
        self.token = ""
        self._disarm()
        held = [each for each in self._in_hand if each.token == lost]
        self.give_up(*held)
        for delivery in held:
            delivery.lost = True  # all of them, before any that waits could start
        for delivery in held:
            self._lose(delivery)
        self._counts.lease_lost += len(held)
        _log.warning(
            "%s: this process owns the group no more; %d entries in hand were given up, and what ran was cancelled",
            self._subscription,
            len(held),
            extra={"eventbus": self.about},
        )

    async def heal(self, lost: str) -> None:
        """Something was refused under an epoch: it is given up, and the group is looked at, and made anew where it was lost."""
        self.resign(lost)
        before = self.group_token
        await super().heal(before)
        if self.group_token != before:
            self.resign(self.token)
        self.stands()
        await self._rescue_orphans()

    async def announce(self) -> None:
        """Write this consumer's heartbeat, as `Membership.announce`."""
        await super().announce()
        await self._rescue_orphans()

    def orphaned(self, delivery: Delivery) -> bool:
        """Nothing is: what is given up is pending, and its next owner's."""
        del delivery
        return False

    def group_of(self, token: str) -> str:
        """The group's token, given the epoch that something in hand is held under: all of it is of the last one."""
        del token
        return self._owned_under

    async def leave(self, *, busy: bool) -> None:
        """Give the group up to one who stands by, unless handlers still run, and remove this consumer where it owes nothing.

        What it leaves to the next owner is written again where the group was lost meanwhile.
        """
        epoch, self.token = self.token, ""
        self._disarm()
        if epoch and not busy:
            _ = await self._own.release(epoch, silence=self._settings.lease)
        elif epoch:
            _log.warning("%s: handlers still run, so the group is left to the ownership's lease", self._subscription)
        if self._given_up:
            await self.heal("")
        _ = await self._own.leave()

    def _adopt(self, token: str) -> None:
        self.group_token = token

    def _disarm(self) -> None:
        if self._end is not None:
            self._end.cancel()

    def stands(self) -> None:
        """The group was seen to stand: what was given up in it is pending, and its next owner's.

        A heartbeat that is answered is no proof: where only the topic was deleted, the group's hash still has its token.
        """
        self._given_up = [(each, token) for each, token in self._given_up if token != self.group_token]

    async def _rescue_orphans(self) -> None:
        """Where the group was lost, this process may hold the only copies of what it gave up.

        Where the entry still stands it is read again: a group that is made anew begins before it.
        """
        given_up, self._given_up = self._given_up, []
        try:
            self._given_up = [(each, token) for each, token in given_up if token == self.group_token]
            orphans = [each for each, token in given_up if token != self.group_token]
            gone = [each for each in orphans if not await self._own.stands(each.entry_id, each.fields, private=each.private)]
            if gone:
                await self._rescue(sorted(gone, key=_place))
                _log.error("%s: %d events that only this process held were written again", self._subscription, len(gone))
        except BaseException:
            self._given_up = given_up + [each for each in self._given_up if each not in given_up]
            raise


def _place(delivery: Delivery) -> tuple[bool, tuple[int, int]]:
    """Where it stood: in the topic, or behind all of that in the private stream."""
    return delivery.private, parse_id(delivery.entry_id)
