"""The gate of an idempotent subscription: nothing starts that the group has finished, or has in progress elsewhere."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from eventbus.consuming.gate import PAGE, Gate
from eventbus.consuming.pieces import in_pieces
from eventbus.consuming.question import Question
from eventbus.delivery import Ended, Ending, type_of
from eventbus.errors import RetryLater
from eventbus.streams import Start

if TYPE_CHECKING:
    from collections.abc import Collection

    from eventbus.consuming.marks import Marks
    from eventbus.delivery import Delivery

LATER: Final = 1.0
"""Seconds after which a delivery asks again that found another one of its event in progress; a third of the lease at most."""

_log = logging.getLogger("eventbus.consuming")


class IdempotentGate(Gate):
    """What every delivery of an idempotent subscription passes before its data is decoded.

    Guarantees:
        As `Gate`; and once the group has finished an event no delivery of it starts that asks afterwards, within the
        window. Of several deliveries of one event one is in progress at a time, as long as its lease is: the others
        are put off for a second, uncounted. What starts has asked within two thirds of the lease.
        A delivery of a lost group starts, unless its event is known to be finished.
    Survives:
        As `Gate`. At maxmemory no mark can be written: nothing starts until there is memory.
    Redis cost:
        One script for all that wait at that moment, and that of `Gate` for what was claimed.

    Args:
        marks: The group's.
        others: As `Gate`.
    """

    def __init__(self, *, marks: Marks, **others: Any) -> None:
        super().__init__(**others)
        self._marks = marks
        self._later = min(LATER, others["settings"].lease / 3)
        self._starting = Question(self._start)
        self._asked_for: set[Delivery] = set()
        self._answers: dict[Delivery, Start] = {}

    def passes(self, delivery: Delivery, now: float) -> bool:  # noqa: ARG002 - as the gate's
        """Nothing starts unasked."""
        return False

    async def _admit(self, delivery: Delivery) -> Ended | None:
        sure = super().passes(delivery, asyncio.get_running_loop().time())
        while True:
            if not sure and (refused := await super()._admit(delivery)):
                return await self._finished_instead(delivery, refused)
            answer = await self._answer(delivery)
            if answer in (Start.FINISHED, Start.TWIN):
                return self._refused(delivery, answer)
            # The answer may have been long on its way.
            sure = not delivery.lost and self._is_sure(delivery)
            if sure:
                return None

    async def _finished_instead(self, delivery: Delivery, refused: Ended) -> Ended:
        """What has spent its starts is no dead letter where a copy of it was finished."""
        if refused.ending is Ending.CRASHED and await self._answer(delivery) is Start.FINISHED:
            return self._refused(delivery, Start.FINISHED)
        return refused

    def _is_sure(self, delivery: Delivery) -> bool:
        recent = asyncio.get_running_loop().time() - delivery.confirmed < self._fresh
        return recent or delivery.cut or delivery.token != self._membership.token

    async def admit_together(self, deliveries: Collection[Delivery]) -> dict[Delivery, Ended]:
        """As the gate's; what is finished, or in progress elsewhere, leaves the batch."""
        refused: dict[Delivery, Ended] = {}
        while True:
            left = [each for each in deliveries if each not in refused]
            for each, ended in (await super().admit_together(left)).items():
                refused[each] = await self._patiently(partial(self._finished_instead, each, ended))
            left = [each for each in left if each not in refused]
            answers = await self._patiently(partial(self._answers_of, left))
            refused |= {each: self._refused(each, answer) for each, answer in answers.items() if answer in (Start.FINISHED, Start.TWIN)}
            if all(not each.lost and self._is_sure(each) for each in left if each not in refused):
                return refused

    async def _answer(self, delivery: Delivery) -> Start:
        return (await self._answers_of([delivery]))[delivery]

    async def _answers_of(self, deliveries: Collection[Delivery]) -> dict[Delivery, Start]:
        self._asked_for.update(deliveries)
        try:
            while unknown := [each for each in deliveries if each not in self._answers]:
                await self._starting.ask_for(unknown)
            return {each: self._answers[each] for each in deliveries}
        finally:
            self._asked_for.difference_update(deliveries)
            for each in deliveries:
                self._answers.pop(each, None)

    async def _start(self, asking: list[Delivery]) -> None:
        for (private, token), batch in in_pieces(asking, PAGE):
            answers = await self._marks.start(batch, private=private, token=token)
            if Start.REGROUPED in answers:
                await self._membership.heal(token)
            # Whoever was cancelled meanwhile takes no answer; it must not find an old one when it asks again.
            self._answers.update((each, answer) for each, answer in zip(batch, answers, strict=True) if each in self._asked_for)

    def _refused(self, delivery: Delivery, answer: Start) -> Ended:
        if answer is Start.FINISHED:
            self._say_finished(delivery)
            return Ended(Ending.FINISHED, "the group had finished its event before", type=type_of(delivery.fields))
        reason = "another delivery of its event is in progress"
        return Ended(Ending.TWIN, reason, RetryLater(self._later, count=False), type_of(delivery.fields))

    def _say_finished(self, delivery: Delivery) -> None:
        # Who redrives wants it to be run: that it is not has to be seen.
        _log.log(
            logging.INFO if delivery.carried.redrives else logging.DEBUG,
            "event %s was finished before, and entry %s is acknowledged without a run; to have it run again, remove its mark from %s",
            self._marks.name(delivery),
            delivery.origin,
            self._marks.key,
            extra={"eventbus": self._membership.about},
        )
