"""streaQ: tasks in streams, their data in keys of their own. Events travel pickled, as it does by itself.

Options:
    concurrency: Tasks at a time. Default 16.
    results: "kept" (default) for five minutes, or "none".
"""

from __future__ import annotations

from typing import Any

from streaq import Worker

from benchmarks.peer import Peer, Tally, Task, handler


class Library(Peer):
    """One task, which is the handler."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        concurrency = task.concurrency or int(task.options.get("concurrency", "16"))
        self.worker: Any = Worker(redis_url=task.url, queue_name=task.stream, concurrency=concurrency, handle_signals=False)

    async def open(self) -> None:
        self.handle = self._task(Tally(0, _nothing))
        await self.worker.__aenter__()

    async def publish(self, event: Any) -> None:
        await self.handle.enqueue(event)

    async def publish_many(self, events: list[Any]) -> None:
        await self.worker.enqueue_many([self.handle.enqueue(event) for event in events])

    async def consume(self, tally: Tally) -> None:
        self._task(tally)
        await self.worker.run_async()

    def _task(self, tally: Tally) -> Any:
        results = {"ttl": 0} if self.task.options.get("results") == "none" else {}
        return self.worker.task(handler(self.task, tally), name="handle", **results)


def _nothing() -> None:
    """A publisher handles nothing."""
