"""What this process holds of one group: from the parse of a read until the answer to its settlement."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from eventbus.consuming.work import Queue
    from eventbus.delivery import Delivery


class InHand:
    """Deliveries by place, the credit for reading more, and the room for taking over more.

    Args:
        limit: Most deliveries to hold of what was read: those that run, that wait, whose settlement is unanswered.
        room: Most deliveries to hold beyond that of what was taken over, so that a backlog cannot keep it out.

    Attributes:
        limit: As above; it may change.
        let_go: Deliveries that were let go of so far.
    """

    def __init__(self, limit: int, room: int) -> None:
        self.limit = limit
        self.let_go = 0
        self._room = room
        self._held: tuple[dict[bytes, Delivery], dict[bytes, Delivery]] = ({}, {})  # of the topic, of the private stream
        self._displaced: set[Delivery] = set()
        self._taken_over: set[Delivery] = set()
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def queued_in(self, work: Queue[Any]) -> None:
        """Name where deliveries wait for an executor; it matters to those that wait for each other."""

    def __len__(self) -> int:
        """How many deliveries are in hand."""
        topic, private = self._held
        return len(topic) + len(private) + len(self._displaced)

    def __iter__(self) -> Iterator[Delivery]:
        """Every delivery in hand now."""
        topic, private = self._held
        return iter([*topic.values(), *private.values(), *self._displaced])

    @property
    def credit(self) -> int:
        """How many more may be read."""
        return max(0, self.limit - (len(self) - len(self._taken_over)))

    @property
    def room(self) -> int:
        """How many more may be taken over."""
        return max(0, self._room - len(self._taken_over))

    def take(self, delivery: Delivery, *, taken_over: bool = False) -> bool:
        """Take a delivery in hand; False when its entry is there already, under the same token."""
        places = self._held[delivery.private]
        known = places.setdefault(delivery.entry_id, delivery)
        if known is not delivery:
            if known.token == delivery.token:
                return False
            self._displaced.add(known)  # ids are used again after a flush: both are events
            places[delivery.entry_id] = delivery
        if taken_over:
            self._taken_over.add(delivery)
        self._empty.clear()
        return True

    def take_read(self, deliveries: dict[bytes, Delivery], *, private: bool) -> bool:
        """Take deliveries in hand that were read together, by their entry ids; False, and none is, when one is there already."""
        places = self._held[private]
        if not places.keys().isdisjoint(deliveries):
            return False
        places.update(deliveries)
        if deliveries:
            self._empty.clear()
        return True

    def find(self, *, private: bool, entry_id: bytes) -> Delivery | None:
        """The delivery of an entry, if it is in hand."""
        return self._held[private].get(entry_id)

    def unknown(self, ids: Iterable[bytes], *, private: bool, token: str) -> list[bytes]:
        """Those ids that are not in hand under this token."""
        found = ((entry_id, self._held[private].get(entry_id)) for entry_id in ids)
        return [entry_id for entry_id, held in found if held is None or held.token != token]

    def settled(self, *deliveries: Delivery) -> None:
        """Let go of deliveries whose settlement was answered."""
        for delivery in deliveries:
            places = self._held[delivery.private]
            if places.get(delivery.entry_id) is delivery:
                del places[delivery.entry_id]
        if self._displaced or self._taken_over:
            self._displaced.difference_update(deliveries)
            self._taken_over.difference_update(deliveries)
        self.let_go += len(deliveries)
        self._changed.set()
        if not self:
            self._empty.set()

    async def wait_for_credit(self, least: int, *, unless: Callable[[], bool]) -> None:
        """Wait until at least so many more may be read, or `unless` is true; whoever makes it true calls `look_again`."""
        while self.credit < least and not unless():
            self._changed.clear()
            await self._changed.wait()

    def look_again(self) -> None:
        """Have those who wait look once more whether they still do."""
        self._changed.set()

    async def wait_for_room(self) -> None:
        """Wait until at least one more may be taken over."""
        while not self.room:
            self._changed.clear()
            await self._changed.wait()

    async def wait_until_empty(self) -> None:
        """Wait until nothing is in hand."""
        await self._empty.wait()
