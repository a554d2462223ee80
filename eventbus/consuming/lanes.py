"""Deliveries of an ordered group on their way to the executors: one at a time of each key."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from eventbus.consuming.in_hand import InHand
from eventbus.consuming.work import Queue, Work

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventbus.delivery import Delivery

BEHIND: Final = 1_000
"""Deliveries that may wait for keys that wait for a failed event, beyond what is read ahead anyway: so many keep nothing
from the other keys."""


class Lanes(Work):
    """A queue of queues: of each key only the first may run, and the next one when that is settled. Pure, but for waking.

    A lane is one key's deliveries, in the order in which they came; those without a key share one. The first of a lane
    stands at the executors' door, or runs, or is being settled, or waits for its next attempt; it stays the first until
    `settled`. Lanes take turns.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lanes: dict[bytes | None, deque[Delivery]] = {}
        self._held: dict[Delivery, deque[Delivery]] = {}
        self.closed = False

    @property
    def held_up(self) -> int:
        """How many deliveries wait for a next attempt: those that failed, and those behind them."""
        return sum(map(len, self._held.values()))

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """Add deliveries at the ends of their lanes."""
        for delivery in deliveries:
            lane = self._lanes.setdefault(key_of(delivery), deque())
            lane.append(delivery)
            if len(lane) == 1:
                self._waiting.append(delivery)
        self._wake(1)

    def put_first(self, deliveries: Iterable[Delivery]) -> None:
        """Give back what is the first of its lane and did not run after all; what is new goes to its lane's end.

        What was taken over comes in order, before anything is read: it needs no better place.
        """
        for delivery in deliveries:
            lane = self._lanes.get(key_of(delivery))
            if lane and lane[0] is delivery:
                self._waiting.appendleft(delivery)
            else:
                self.put([delivery])
        self._wake(1)

    def remove(self, delivery: Delivery) -> bool:
        """Take out one delivery; False when it does not wait here, or runs."""
        if delivery in self._held:
            del self._held[delivery]
            return True
        if super().remove(delivery):
            return True  # it stays the first of its lane until it is settled
        lane = self._lanes.get(key_of(delivery))
        if not lane or lane[0] is delivery or delivery not in lane:
            return False
        lane.remove(delivery)
        return True

    def clear(self) -> list[Delivery]:
        """Take out everything that does not run, in order, and hold nothing any more."""
        self.closed = True
        doors = {*self._waiting, *self._held}
        waiting = [each for lane in self._lanes.values() for each in lane if each in doors or each is not lane[0]]
        self._lanes = {key: deque([lane[0]]) for key, lane in self._lanes.items() if lane[0] not in doors}
        self._waiting.clear()
        self._held.clear()
        return waiting

    def hold(self, delivery: Delivery) -> None:
        """It failed: its lane waits until `resume`."""
        self._held[delivery] = self._lanes.get(key_of(delivery)) or deque([delivery])

    def resume(self, delivery: Delivery) -> None:
        """It may run again, unless it was taken out meanwhile."""
        if self._held.pop(delivery, None) is not None:
            self._waiting.append(delivery)
            self._wake(1)

    def settled(self, deliveries: Iterable[Delivery]) -> None:
        """Let the lanes of what was settled go on."""
        for delivery in deliveries:
            key = key_of(delivery)
            lane = self._lanes.get(key)
            if lane and lane[0] is delivery:
                _ = lane.popleft()
                if lane:
                    self._waiting.append(lane[0])
                else:
                    del self._lanes[key]
        self._wake(len(self._waiting))


class LanesInHand(InHand):
    """As `InHand`; what is let go of lets its lane go on, and what a failed event holds up leaves credit to other keys."""

    lanes: Lanes

    def queued_in(self, work: Queue[Any]) -> None:
        """Name the lanes."""
        self.lanes = cast("Lanes", work)

    @property
    def credit(self) -> int:
        """How many more may be read."""
        held_up = min(BEHIND, self.lanes.held_up)
        return max(0, self.limit - (len(self) - len(self._taken_over) - held_up))

    def settled(self, *deliveries: Delivery) -> None:
        """Let go of deliveries whose settlement was answered."""
        super().settled(*deliveries)
        self.lanes.settled(deliveries)


def key_of(delivery: Delivery) -> bytes | None:
    """The key of an entry, read without its data; None where it has none."""
    fields = delivery.fields
    for at in range(0, len(fields) - 1, 2):  # the first of a name counts
        if fields[at] == b"partitionkey":
            return fields[at + 1]
    return None
