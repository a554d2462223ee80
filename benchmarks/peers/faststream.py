"""FastStream's RedisBroker over streams.

Options:
    mode: "single" (default) hands over one event at a time, "batch" a list of up to 500, "workers" runs 100 handlers at a time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from faststream.redis import RedisBroker, StreamSub
from redis.asyncio import Redis

from benchmarks.peer import GROUP, Peer, Tally, Task, handler

if TYPE_CHECKING:
    from collections.abc import Callable


class Library(Peer):
    """A broker without logging."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.broker = RedisBroker(task.url, logger=None)
        self.redis = Redis(host="127.0.0.1", port=task.port)
        self.mode = task.options.get("mode", "single")

    async def open(self) -> None:
        self.broker.publisher(stream=self.task.stream)
        await self.broker.start()

    async def publish(self, event: Any) -> None:
        await self.broker.publish(event, stream=self.task.stream)

    async def publish_many(self, events: list[Any]) -> None:
        async with self.redis.pipeline(transaction=False) as pipeline:
            for event in events:
                await self.broker.publish(event, stream=self.task.stream, pipeline=pipeline)
            await pipeline.execute()

    async def consume(self, tally: Tally) -> None:
        handle = batched(self.task, tally) if self.mode == "batch" else handler(self.task, tally)
        for stream in self.task.streams:
            self.broker.subscriber(stream=self._source(stream), **self._workers())(handle)
        await self.broker.start()
        await asyncio.Event().wait()

    def _source(self, stream: str) -> StreamSub:
        batch = {"batch": True, "max_records": 500} if self.mode == "batch" else {}
        return StreamSub(stream, group=GROUP, consumer=self.task.consumer, **batch)

    def _workers(self) -> dict[str, int]:
        return {"max_workers": self.task.concurrency or 100} if self.mode == "workers" else {}


def batched(task: Task, tally: Tally) -> Callable[[Any], Any]:
    """A handler of lists, which treats each event as the others do."""
    one = handler(task, tally)

    async def handle(events: Any) -> None:
        for event in events:
            await one(event)

    handle.__annotations__ = {"events": list[task.model], "return": None}  # type: ignore[name-defined]
    return handle
