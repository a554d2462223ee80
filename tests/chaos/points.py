"""Named points at which a worker kills itself: between a step's begin and its end, where it hurts most."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from tests.chaos.history import History

T = TypeVar("T")

SCRIPTS: Final = ("ack", "move", "beat", "claim", "mark", "promote", "announce")
"""Round trips of every run. `drop` and `recover` are rarer; they are met where a point waits for them long enough."""

RARE: Final = ("drop", "recover", "leave")

MOMENTS: Final = ("before", "sent", "answered")
"""Before a script is sent; while it is under way; when its answer came and nobody has looked at it yet."""

HANDLER: Final = ("handler.before", "handler.after")

POINTS: Final = (
    *("read.before", "read.answered"),
    *HANDLER,
    *(f"{name}.{moment}" for name in (*SCRIPTS, *RARE) for moment in MOMENTS),
)

TURNS: Final = 3
"""Turns of the event loop after which a command has been written."""


class Points:
    """Kills this process when it comes by its point often enough.

    Args:
        point: One of `POINTS`, a colon and how often it is passed; empty for none.
        history: Where it is noted.
    """

    def __init__(self, point: str, history: History) -> None:
        name, _, count = point.partition(":")
        self._name = name
        self._left = int(count or 1)
        self._history = history

    def passing(self, name: str) -> None:
        """Pass a point."""
        if name == self._name and self._due():
            self.die()

    async def around(self, name: str, call: Coroutine[Any, Any, T]) -> T:
        """Make a call, and pass the points around it."""
        if not self._name.startswith(name):
            return await call
        self.passing(f"{name}.before")
        if self._name == f"{name}.sent" and self._due():
            under_way = asyncio.ensure_future(call)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            self.die()
            return await under_way
        answer = await call
        self.passing(f"{name}.answered")
        return answer

    def _due(self) -> bool:
        self._left -= 1
        return self._left == 0

    def die(self) -> None:
        """Note it, and be gone."""
        self._history.fault("fault", "invoke", kind="point", of=self._history.process, point=self._name)
        os.kill(os.getpid(), signal.SIGKILL)


def deck(seed: str) -> list[str]:
    """Every point once, in an order that the seed decides, each with a number of passes."""
    chance = random.Random(seed)
    points = [f"{name}:{chance.randint(1, 40) if name.startswith(('ack', 'read', 'handler')) else 1}" for name in POINTS]
    chance.shuffle(points)
    return points
