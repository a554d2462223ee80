"""The priorities of one subscription: a consumer each, that share its handlers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eventbus.consuming.executors import Executors
from eventbus.consuming.turns import Turns
from eventbus.consuming.work import Work
from eventbus.streams import keys

if TYPE_CHECKING:
    import asyncio

    from eventbus.consuming.runs import Run
    from eventbus.delivery import Alive, Delivery, Subscription


def levels(subscription: Subscription) -> list[Subscription]:
    """A subscription as it is consumed: one for each of its topic's priorities, the most urgent first; else itself."""
    if not subscription.priorities:
        return [subscription]
    return [replace(subscription, priority=each, stream=keys.level(subscription.stream, each)) for each in subscription.priorities]


class Slots:
    """The handlers that all priorities of a subscription may run at a time, together.

    Nothing is reserved: whoever has work may use all of them, and each that becomes free goes to whose turn it is.

    Args:
        number: How many.
        turns: Whose turn it is.
    """

    def __init__(self, number: int, turns: Turns) -> None:
        self._free = number
        self._turns = turns
        self._works: dict[str, LevelWork] = {}

    @classmethod
    def of(cls, subscription: Subscription) -> Slots:
        """Those of a subscription: its concurrency, by its weights."""
        weights = None if subscription.weights == "strict" else subscription.weights
        return cls(subscription.concurrency, Turns(subscription.priorities, weights))

    def join(self, priority: str, work: LevelWork) -> None:
        """Let the work of one priority take part."""
        self._works[priority] = work

    def grant(self) -> None:
        """Give away what is free, one after the other."""
        while self._free:
            ready = [priority for priority, work in self._works.items() if work.wants]
            if not ready:
                return
            self._free -= 1
            self._works[self._turns.next(ready)].take_slot()

    def give_back(self, number: int = 1) -> None:
        """Have slots that were given away free again."""
        self._free += number
        self.grant()


class LevelWork(Work):
    """Deliveries of one priority, each of which needs a slot to start.

    A slot is given to the first that waits here, not to a reader: whichever reader comes next takes both. So readers that
    are just between two deliveries lose no turn to another priority, and what is taken out before it starts leaves its
    slot behind. There are never more slots here than deliveries.

    Args:
        slots: Those of the subscription.
        priority: Whose deliveries.
    """

    def __init__(self, slots: Slots, priority: str) -> None:
        super().__init__()
        self._slots = slots
        self._granted = 0
        self._served = False
        slots.join(priority, self)

    @property
    def wants(self) -> bool:
        """Whether a slot could be used here: more waits than has one, and somebody takes it."""
        return self._served and len(self._waiting) > self._granted

    def take_slot(self) -> None:
        """A slot is given to the first that has none yet."""
        self._granted += 1
        self._wake_one()

    def open(self) -> None:
        """Readers stand: from now on slots are of use here."""
        self._served = True
        self._slots.grant()

    def close(self) -> None:
        """No reader stands any more: what waits goes on waiting, and keeps no slot from the others."""
        self._served = False
        self._give_up(self._granted)

    def ended(self) -> None:
        """A delivery that was taken here has ended, or was put aside: its slot is free."""
        self._slots.give_back()

    def pop(self) -> Delivery | None:
        """Take the first delivery with its slot, if it has one."""
        if not self._granted:
            return None
        self._granted -= 1
        return super().pop()

    def remove(self, delivery: Delivery) -> bool:
        """Take out one delivery; False when it does not wait here."""
        removed = super().remove(delivery)
        self._give_up(self._granted - len(self))
        return removed

    def clear(self) -> list[Delivery]:
        """Take out everything that never started."""
        never_started = super().clear()
        self._give_up(self._granted)
        return never_started

    def _give_up(self, number: int) -> None:
        if number > 0:
            self._granted -= number
            self._slots.give_back(number)

    def _wake(self, most: int) -> None:  # noqa: ARG002 - slots say how many
        self._slots.grant()  # which wakes a reader for each that is given here

    def _wake_one(self) -> None:
        super()._wake(1)

    def _give_back(self, turn: asyncio.Future[None]) -> None:
        if turn in self._idle:
            self._idle.remove(turn)
        elif self._granted:
            self._wake_one()


class LevelExecutors(Executors):
    """Run the handlers of one priority, in slots that all priorities of the subscription share.

    As many stand as the subscription may run: while the others have nothing to do, one priority may use them all. A slot
    is held from the taking of a delivery to its end, its wait at the gate included, and not while it is put aside. Those
    that fail give theirs back, and take new ones when they stand again.

    Args:
        work: Where deliveries and slots come from.
        others: As `Executors`.
    """

    def __init__(self, *, work: LevelWork, **others: Any) -> None:
        super().__init__(work=work, **others)
        self._level = work

    async def run(self, alive: Alive) -> None:
        """Keep the executors standing until cancelled; see `Executors.run`."""
        self._level.open()
        try:
            await super().run(alive)
        finally:
            self._level.close()

    async def _execute(self, run: Run[Delivery], given: Delivery) -> None:
        try:
            await super()._execute(run, given)
        finally:
            self._level.ended()
