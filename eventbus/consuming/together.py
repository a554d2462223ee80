"""Asks Redis about many deliveries in one go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventbus.delivery import Delivery


class Together:
    """One question for all deliveries that wait at that moment; those that come meanwhile wait for the next.

    Args:
        ask: Asks about them, and keeps what was answered. It may raise: then nothing is known of any of them.
    """

    def __init__(self, ask: Callable[[list[Delivery]], Awaitable[None]]) -> None:
        self._ask = ask
        self._asking: dict[Delivery, None] = {}  # in order
        self._answered: asyncio.Event | None = None  # of what is asked now

    async def ask_for(self, delivery: Delivery) -> None:
        """Wait until it was asked for, by whoever is next. All whom one answer concerns go on in the same turn of the event loop.

        Raises:
            BackendError: From the question, to the one of them who sent it; the others find no answer, and ask again.
        """
        self._asking[delivery] = None
        try:
            while delivery in self._asking:
                if self._answered is None:
                    await self._ask_next()
                else:
                    await self._answered.wait()
        finally:
            self._asking.pop(delivery, None)

    async def _ask_next(self) -> None:
        self._answered = answered = asyncio.Event()
        try:
            await asyncio.sleep(0)  # whoever comes in this turn is asked for, too
            asking, self._asking = list(self._asking), {}
            await self._ask(asking)
        finally:
            self._answered = None
            answered.set()
