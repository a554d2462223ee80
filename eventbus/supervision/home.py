"""Where background tasks live: one task group in one task, whoever opens and closes the bus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from anyio.abc import TaskGroup


class Home:
    """A task group that may be opened in one task and closed in another.

    A task group belongs to the task that enters it, but web frameworks and test fixtures start and stop
    an application in different tasks. So the group lives in a task of its own, which `close` awaits.
    """

    def __init__(self) -> None:
        self._tasks: TaskGroup | None = None
        self._root: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the root task and wait until its group stands."""
        ready = asyncio.Event()
        # The one task that no group owns: this object does, and `close` awaits it.
        self._root = asyncio.get_running_loop().create_task(self._live(ready), name="eventbus")
        await ready.wait()

    def start(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a task in the group."""
        assert self._tasks is not None, "open() comes first"  # noqa: S101 - narrows the type
        self._tasks.start_soon(function)

    async def close(self) -> None:
        """Cancel what still runs and wait for its end; what ended by an error raises it here."""
        root, self._root = self._root, None
        if root is None:
            return
        assert self._tasks is not None, "the root task set it"  # noqa: S101 - narrows the type
        self._tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await root

    async def _live(self, ready: asyncio.Event) -> None:
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            ready.set()
            await anyio.sleep_forever()
