"""Writes every outcome that is not a success: retries, releases, dead letters, skips. All of them are fenced."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventbus.delivery import Decision, Ending, Outcome, carry, dead_letter, hop
from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.streams import Copy, Destination, Moved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventbus.consuming.counts import Counts
    from eventbus.consuming.in_hand import InHand
    from eventbus.consuming.membership import Membership
    from eventbus.delivery import Alive, Delivery, Ended, Subscription
    from eventbus.streams import EntryCommands

_log = logging.getLogger("eventbus.consuming")

MOST: Final = 100
"""Entries one script moves."""

MOST_BYTES: Final = 1 << 20
"""Bytes one script moves, unless a single entry is larger."""

TYPES_SAID: Final = 100
"""Types of others that are named in the log; further ones are only counted."""


@dataclass(slots=True, eq=False)
class Move:
    """An outcome on its way to Redis."""

    delivery: Delivery
    ended: Ended
    decision: Decision
    copy: Copy
    sent: bool = False

    @property
    def destination(self) -> Destination | None:
        """The stream it goes to; None for a skip, which goes nowhere."""
        match self.decision.outcome:
            case Outcome.RELEASE:
                return Destination.RETRY
            case Outcome.RETRY:
                return Destination.PARKED if self.decision.delay else Destination.RETRY
            case Outcome.HOP:
                return Destination.PARKED
            case Outcome.DEAD:
                return Destination.DEAD
            case _:
                return None


class Mover:
    """Settle what is not a success.

    Guarantees:
        An event stands in exactly one place at every moment: each move is one script, fenced by the entry's
        owner and the group's token, and sent again until it is answered. A delivery is in hand until then.
        What belonged to a group that began anew is rescued without a fence: it may exist twice then.
    Stops:
        `flush` waits for what is not answered yet; then the loop may be cancelled between passes.
    Survives:
        A lost group: it is healed first. Anything else, maxmemory among it: `run` raises and is started again
        by the supervisor; what is unanswered is kept.
    Redis cost:
        One script for up to 100 entries that go to one place.

    Args:
        subscription: What is consumed.
        commands: Those of the group's entries.
        membership: For the token.
        in_hand: What is held.
        counts: Where outcomes are counted.
        parked: Called with the seconds until something that was parked is due.
    """

    def __init__(
        self,
        *,
        subscription: Subscription,
        commands: EntryCommands,
        membership: Membership,
        in_hand: InHand,
        counts: Counts,
        parked: Callable[[float], None],
    ) -> None:
        self._subscription = subscription
        self._commands = commands
        self._membership = membership
        self._in_hand = in_hand
        self._counts = counts
        self._parked = parked
        self._open: list[Move] = []
        self._said: set[str] = set()
        self._work = asyncio.Event()
        self._answered = asyncio.Event()
        self._answered.set()

    def add(self, delivery: Delivery, ended: Ended, decision: Decision) -> None:
        """Have an outcome written. Returns at once."""
        self._open.append(Move(delivery, ended, decision, self._copy(delivery, ended, decision)))
        self._answered.clear()
        self._work.set()

    async def run(self, alive: Alive) -> None:
        """Write what there is, for as long as the consumer lives."""
        while True:
            await self._work.wait()
            await self.run_once()
            alive()

    async def run_once(self) -> None:
        """Write what there is now; what is refused for one destination does not hold up the others.

        Raises:
            BackendUnavailable: What is unanswered is kept and sent by the next pass.
            BackendRefused: Something was refused: the first of it. It is kept, too.
        """
        refusals: list[Exception] = []
        for batch in _batches(self._open):
            try:
                await self._send(batch)
            except BackendUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one copy must not hold up all others
                refusals += await self._apart(batch, error)
        if not self._open:
            self._work.clear()
            self._answered.set()
        if refusals:
            raise refusals[0]

    async def _apart(self, batch: list[Move], error: Exception) -> list[Exception]:
        """After a refusal that may be about one copy alone: send each by itself. Returns what is still refused."""
        if len(batch) == 1 or (isinstance(error, BackendRefused) and error.code != "ERR"):
            return [error]
        refusals: list[Exception] = []
        for each in batch:
            try:
                await self._send([each])
            except BackendUnavailable:
                raise
            except Exception as again:  # noqa: BLE001 - as above
                refusals.append(again)
        return refusals

    async def flush(self) -> None:
        """Wait until every outcome so far was answered."""
        await self._answered.wait()

    async def rescue(self, deliveries: Sequence[Delivery]) -> None:
        """Write copies of deliveries whose group was lost and that nothing in Redis knows any more."""
        copies = [Copy(each.entry_id, [*each.fields, *carry(each).fields()]) for each in deliveries]
        if copies:
            await self._commands.rescue(copies, Destination.RETRY)
            self._counts.rescued += len(copies)

    def _copy(self, delivery: Delivery, ended: Ended, decision: Decision) -> Copy:
        if decision.outcome is Outcome.DEAD:
            group, consumer = self._subscription.group, self._commands.consumer
            letter = dead_letter(delivery, ended, decision, group=group, consumer=consumer)
            return Copy(delivery.entry_id, letter, unless=decision.unless)
        delay = decision.delay if decision.outcome in (Outcome.RETRY, Outcome.HOP) and decision.delay else None
        return Copy(delivery.entry_id, [*delivery.fields, *decision.carried.fields()], delay=delay)

    async def _send(self, batch: list[Move]) -> None:
        first = batch[0]
        private, token = first.delivery.private, first.delivery.token
        # A heal since the batch was made may have had some adopted and left others orphans: those are another batch.
        batch = [each for each in batch if each.delivery.token == token]
        before = {id(each) for each in batch if each.sent}
        for each in batch:
            each.sent = True
        answers = await self._write(batch, first.destination, private=private, token=token)
        if answers is None:
            await self._membership.heal(token)
            if self._membership.token != token:
                await self._rescue([each for each in batch if each.delivery.token == token])
            return
        for each, answer in zip(batch, answers, strict=True):
            self._take(each, answer, again=id(each) in before)
        await self._rescue([each for each in batch if each in self._open and each.delivery.cut and each.delivery.lost])

    async def _write(self, batch: list[Move], destination: Destination | None, *, private: bool, token: str) -> list[Moved] | None:
        if destination is None:
            entries = [(each.delivery.entry_id, each.ended.type) for each in batch]
            return await self._commands.drop(entries, private=private, token=token)
        return await self._commands.move([each.copy for each in batch], destination, private=private, token=token)

    def _take(self, move: Move, answer: Moved, *, again: bool) -> None:
        match answer:
            case Moved.DECLARED:
                self._hop(move)
            case Moved.DONE:
                self._done(move, written=True)
            case Moved.TAKEN | Moved.GONE:
                if move.delivery.cut:
                    move.delivery.lost = True  # buried by another consumer, while the event is here
                elif again:  # on the second try of an unanswered move: the first one was executed
                    self._done(move, written=True)
                else:
                    self._lose(move)

    def _lose(self, move: Move) -> None:
        if not move.delivery.lost:
            move.delivery.lost = True
            self._counts.lease_lost += 1
        self._done(move, written=False)

    def _hop(self, move: Move) -> None:
        """A member of the group knows what this program does not: it waits for that one."""
        decision = hop(move.delivery, self._subscription.retry, now=time.time())
        move.decision, move.sent = decision, False
        move.copy = self._copy(move.delivery, move.ended, decision)

    async def _rescue(self, orphans: list[Move]) -> None:
        for each in orphans:
            if each.decision.outcome is Outcome.SKIP or each.copy.unless:
                self._hop(each)  # a group that was lost does not know its types yet
        for batch in _batches(orphans):
            await self._commands.rescue([each.copy for each in batch], batch[0].destination or Destination.RETRY)
            self._counts.rescued += len(batch)
            for each in batch:
                self._done(each, written=True)

    def _done(self, move: Move, *, written: bool) -> None:
        self._open.remove(move)
        self._in_hand.settled(move.delivery)
        if written:
            self._count(move)

    def _count(self, move: Move) -> None:
        counts, decision = self._counts, move.decision
        match decision.outcome:
            case Outcome.RETRY:
                counts.retried += 1
            case Outcome.RELEASE:
                counts.released += 1
            case Outcome.HOP:
                counts.hopped += 1
            case Outcome.DEAD:
                assert decision.reason is not None, "a dead letter has one"  # noqa: S101 - narrows the type
                counts.dead[decision.reason] += 1
                self._say_dead(move)
            case _:
                counts.skipped += 1
                self._say_skipped(move.ended.reason)
        if decision.delay:
            self._parked(decision.delay)

    def _say_skipped(self, reason: str) -> None:
        # Once a type, since a busy topic has many entries that are others' work; and not for ever, since
        # the types are whatever anybody writes.
        if reason not in self._said and len(self._said) < TYPES_SAID:
            self._said.add(reason)
            _log.info("%s: skipped, here and from now on: %s", self._subscription, reason)

    def _say_dead(self, move: Move) -> None:
        # What a handler raised may show values; why an entry cannot be read never does.
        why = f": {move.ended.reason}" if move.ended.ending is Ending.UNDECODABLE else ""
        _log.error(
            "%s: entry %s%s is a dead letter now (%s) after %d attempts%s",
            self._subscription,
            move.delivery.origin,
            f" of type {move.ended.type!r}" if move.ended.type else "",
            move.decision.reason,
            move.decision.carried.attempts,
            why,
            extra={"eventbus": self._membership.about},
        )


def _batches(moves: Sequence[Move]) -> list[list[Move]]:
    """Split by source, token and destination, and into pieces that one script takes."""
    kinds: dict[tuple[bool, str, Destination | None], list[Move]] = defaultdict(list)
    for move in moves:
        kinds[move.delivery.private, move.delivery.token, move.destination].append(move)
    return [batch for found in kinds.values() for batch in _pieces(found)]


def _pieces(moves: list[Move]) -> list[list[Move]]:
    pieces: list[list[Move]] = []
    size = 0
    for move in moves:
        size += sum(map(len, move.copy.fields))
        if not pieces or len(pieces[-1]) == MOST or size > MOST_BYTES:
            pieces.append([])
            size = sum(map(len, move.copy.fields))
        pieces[-1].append(move)
    return pieces
