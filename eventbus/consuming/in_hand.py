"""What this process holds of one group: from the parse of a read until the answer to its settlement."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventbus.delivery import Delivery


class InHand:
    """Deliveries by place, and the credit for reading more.

    Args:
        limit: Most deliveries to hold: those that run, those that wait, those whose ack is unanswered.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[tuple[bool, bytes], Delivery] = {}
        self._left: set[tuple[bool, bytes, str]] = set()
        self._room = asyncio.Event()
        self._empty = asyncio.Event()
        self._room.set()
        self._empty.set()

    def __len__(self) -> int:
        """How many deliveries are in hand."""
        return len(self._held)

    @property
    def credit(self) -> int:
        """How many more may be read."""
        return max(0, self._limit - len(self._held))

    @property
    def left(self) -> int:
        """How many entries this process left pending."""
        return len(self._left)

    def take(self, delivery: Delivery) -> bool:
        """Take a delivery in hand; False when it is there already, read twice under one token."""
        place = (delivery.private, delivery.entry_id)
        known = self._held.get(place)
        if known is not None and known.token == delivery.token:
            return False
        self._held[place] = delivery
        self._empty.clear()
        return True

    def find(self, *, private: bool, entry_id: bytes) -> Delivery | None:
        """The delivery of an entry, if it is in hand."""
        return self._held.get((private, entry_id))

    def unknown(self, ids: Iterable[bytes], *, private: bool, token: str) -> list[bytes]:
        """Those ids that are neither in hand under this token nor were left pending."""
        return [entry_id for entry_id in ids if not self._knows((private, entry_id), token)]

    def _knows(self, place: tuple[bool, bytes], token: str) -> bool:
        held = self._held.get(place)
        return (*place, token) in self._left or (held is not None and held.token == token)

    def settled(self, delivery: Delivery) -> None:
        """Let go of a delivery whose settlement was answered."""
        place = (delivery.private, delivery.entry_id)
        if self._held.get(place) is delivery:  # a flush may have put another event in its place
            del self._held[place]
        self._room.set()
        if not self._held:
            self._empty.set()

    def leave(self, delivery: Delivery) -> None:
        """Let go of a delivery that stays pending in Redis, and do not take it up again by ourselves."""
        self._left.add((delivery.private, delivery.entry_id, delivery.token))
        self.settled(delivery)

    def regrouped(self) -> None:
        """The group began anew: what was left pending in the old one will be read again."""
        self._left.clear()

    async def wait_for_room(self, least: int) -> None:
        """Wait until at least so many more may be read."""
        while self.credit < least:
            self._room.clear()
            await self._room.wait()

    async def wait_until_empty(self) -> None:
        """Wait until nothing is in hand."""
        await self._empty.wait()
