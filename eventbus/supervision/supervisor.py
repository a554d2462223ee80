"""Owns loops: starts them in one task group, keeps them running, ends them together."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from eventbus.delivery import Alive, Backoff
from eventbus.supervision.home import Home
from eventbus.supervision.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Supervisor:
    """Runs loops side by side.

    Guarantees:
        A loop that fails is started again with backoff; no loop's failure ends another.
    Stops:
        `close` cancels what still runs, and waits for it.

    Args:
        lease: The bus's lease in seconds, within which delays are kept: see `Backoff.within`.
    """

    def __init__(self, *, lease: float) -> None:
        self._backoff = Backoff.within(lease)
        self._home = Home()
        self.loops: list[Loop] = []

    async def open(self) -> None:
        """Make room for loops."""
        await self._home.open()

    def start(
        self,
        name: str,
        body: Callable[[Alive], Awaitable[None]],
        stopping: asyncio.Event | None = None,
        *,
        backoff: Backoff | None = None,
    ) -> None:
        """Start a loop.

        Args:
            name: What it does and for what, for logs and readiness.
            body: See `Loop.body`.
            stopping: Set when the loop is to end by itself and not to be started again.
            backoff: Delays after its failures, in place of the ordinary ones.
        """
        loop = Loop(name, body, stopping or asyncio.Event())
        self.loops.append(loop)
        self._home.start(partial(loop.supervise, backoff or self._backoff))

    @property
    def ended(self) -> asyncio.Event:
        """Set when nothing runs any more, by `close` or because the program is being torn down."""
        return self._home.ended

    async def close(self) -> bool:
        """Cancel what still runs; returns whether everything ended."""
        self.loops.clear()
        return await self._home.close()
