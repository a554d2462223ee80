"""arq: a sorted set and a key for each job. Events travel pickled, as it does by itself.

Options:
    max_jobs: Jobs at a time. Default 10.
    results: "kept" (default) for an hour, or "none".
"""

from __future__ import annotations

from typing import Any

from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks.peer import Peer, Tally, Task, handler


class Library(Peer):
    """One function, which is the handler."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.settings = RedisSettings(host="127.0.0.1", port=task.port)

    async def open(self) -> None:
        self.pool = await create_pool(self.settings)

    async def publish(self, event: Any) -> None:
        await self.pool.enqueue_job("handle", event)

    async def consume(self, tally: Tally) -> None:
        one = handler(self.task, tally)

        async def handle(_: Any, event: Any) -> None:
            await one(event)

        jobs = self.task.concurrency or int(self.task.options.get("max_jobs", "10"))
        results = {"keep_result": 0} if self.task.options.get("results") == "none" else {}
        functions = [func(handle, name="handle")]
        worker = Worker(functions, redis_settings=self.settings, max_jobs=jobs, handle_signals=False, **results)
        await worker.async_run()
