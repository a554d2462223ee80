"""Where background tasks live: tasks of their own, whoever opens and closes the bus."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from anyio.abc import TaskGroup

_log = logging.getLogger("eventbus.supervision")

STUCK: Final = 1.0
"""Seconds that cancelled tasks get to end. Those of eventbus need none; a handler may ignore its cancel."""


class Home:
    """A task group that may be opened in one task and closed in another.

    A task group belongs to the task that enters it, but web frameworks and test fixtures start and stop
    an application in different tasks. So the group lives in a task of its own, which `close` awaits.
    """

    def __init__(self) -> None:
        self._tasks: TaskGroup | None = None
        self._root: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()

    async def open(self) -> None:
        """Start the root task and wait until its group stands."""
        ready = asyncio.Event()
        # A task that no group owns: this object does, and `close` awaits it.
        self._root = asyncio.get_running_loop().create_task(self._live(ready), name="eventbus")
        try:
            await ready.wait()
        except BaseException:
            self._root.cancel()
            raise

    def start(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a task in the group."""
        assert self._tasks is not None, "open() comes first"  # noqa: S101 - narrows the type
        self._tasks.start_soon(function)

    async def close(self) -> bool:
        """Cancel what still runs and wait for its end.

        Returns:
            Whether everything ended. A handler that ignores its cancel is left behind: nothing can end it
            but the end of the process.
        """
        root, self._root = self._root, None
        if root is None:
            return True
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        await asyncio.wait({root}, timeout=STUCK)
        if not root.done():
            return False
        if not root.cancelled() and (error := root.exception()):
            _log.error("background tasks ended by an error", exc_info=error)
        return True

    async def _live(self, ready: asyncio.Event) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                ready.set()
                await anyio.sleep_forever()
        finally:
            self.ended.set()


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run something to its end, also when the caller is cancelled meanwhile; the cancellation comes after it.

    A shield of anyio keeps off its own scopes only; `asyncio.timeout`, a test's runner or a second Ctrl-C
    cancel the task itself.
    """
    task = asyncio.get_running_loop().create_task(work, name="eventbus ending")
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()
