"""A question that is put to Redis about many deliveries in one go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from eventbus.delivery import Delivery


class Question:
    """One for all deliveries that wait at that moment; those that come meanwhile wait for the next.

    Args:
        ask: Asks about them, and keeps what was answered. It may raise: then nothing is known of any of them.
    """

    def __init__(self, ask: Callable[[list[Delivery]], Awaitable[None]]) -> None:
        self._ask = ask
        self._waiting: dict[Delivery, None] = {}  # in order
        self._answered: asyncio.Event | None = None  # of what is asked now

    async def ask_for(self, deliveries: Collection[Delivery]) -> None:
        """Wait until they were asked for, by whoever is next. All whom one answer concerns go on in the same turn of the event loop.

        Raises:
            BackendError: From the question, to the one of them who sent it; the others find no answer, and ask again.
        """
        self._waiting.update(dict.fromkeys(deliveries))
        try:
            while not self._waiting.keys().isdisjoint(deliveries):
                if self._answered is None:
                    await self._ask_next()
                else:
                    await self._answered.wait()
        finally:
            for delivery in deliveries:
                self._waiting.pop(delivery, None)

    async def _ask_next(self) -> None:
        self._answered = answered = asyncio.Event()
        try:
            await asyncio.sleep(0)  # whoever comes in this turn is asked for, too
            waiting, self._waiting = list(self._waiting), {}
            await self._ask(waiting)
        finally:
            self._answered = None
            answered.set()
