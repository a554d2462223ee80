"""taskiq with the stream broker of taskiq-redis; 100 tasks at a time, as its command line does it.

Options:
    count: Entries asked for at once. Default 100.
    prefetch: Tasks that may wait for one of the hundred. Default 0.
"""

from __future__ import annotations

from typing import Any

from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from benchmarks.peer import GROUP, Peer, Tally, Task, handler


class Library(Peer):
    """One task, which is the handler."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        count = int(task.options.get("count", "100"))
        self.broker = RedisStreamBroker(
            task.url, queue_name=task.stream, consumer_group_name=GROUP, consumer_name=task.consumer, consumer_id="0", xread_count=count
        )

    async def open(self) -> None:
        self.handle = self.broker.register_task(handler(self.task, Tally(0, _nothing)), task_name="handle")
        await self.broker.startup()

    async def publish(self, event: Any) -> None:
        await self.handle.kiq(event)

    async def consume(self, tally: Tally) -> None:
        self.broker.register_task(handler(self.task, tally), task_name="handle")
        self.broker.is_worker_process = True
        await self.broker.startup()
        tasks, prefetch = self.task.concurrency or 100, int(self.task.options.get("prefetch", "0"))
        await run_receiver_task(self.broker, max_async_tasks=tasks, max_prefetch=prefetch)


def _nothing() -> None:
    """A publisher handles nothing."""
