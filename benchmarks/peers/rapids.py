"""rapids-streams, whose events derive from its own model. Only the event of 300 bytes.

Options:
    batch: Entries asked for at once. Default 10.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it
from typing import Any

from rapids import EventEmitter, EventRouter
from rapids.events.base import BaseEvent
from redis.asyncio import Redis

from benchmarks.events import Line, content
from benchmarks.peer import GROUP, Peer, Tally, Task, handler


class OrderPlaced(BaseEvent):  # type: ignore[misc] # of a library that is not installed here
    number: int
    sent_ns: int
    customer: str
    currency: str
    total: float
    lines: list[Line]
    placed: datetime


class Library(Peer):
    """An emitter and a router."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.redis = Redis(host="127.0.0.1", port=task.port)
        self.emitter = EventEmitter(self.redis, stream=task.stream)

    def event(self, number: int, sent_ns: int = 0) -> Any:
        return OrderPlaced(**content("order", number, sent_ns))

    async def publish(self, event: Any) -> None:
        await self.emitter.emit(event)

    async def publish_many(self, events: list[Any]) -> None:
        await self.emitter.emit(events)

    async def consume(self, tally: Tally) -> None:
        batch = {"batch_size": int(self.task.options["batch"])} if "batch" in self.task.options else {}
        router = EventRouter(redis=self.redis, stream=self.task.stream, group=GROUP, consumer=self.task.consumer, **batch)
        router.on(OrderPlaced)(handler(self.task, tally, OrderPlaced))
        await router.start()
