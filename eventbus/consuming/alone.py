"""Lets entries at their last allowed start run one at a time in a process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventbus.delivery import Delivery


class Alone:
    """One place for the whole process, whatever the subscription.

    A poison event takes its process down, and every start beside it is lost too. At their last allowed start
    innocents would spend their budget together with it; one after the other they do not.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._holder: Delivery | None = None

    async def enter(self, delivery: Delivery) -> None:
        """Wait until nothing else is there."""
        if self._holder is not delivery:
            await self._lock.acquire()
            self._holder = delivery

    def leave(self, delivery: Delivery) -> bool:
        """Make room for the next; returns whether it was there."""
        if self._holder is not delivery:
            return False
        self._holder = None
        self._lock.release()
        return True
