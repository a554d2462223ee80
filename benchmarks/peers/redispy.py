"""redis-py's asyncio client, used directly.

Options:
    ack: "each" (default) acknowledges one entry after the other, "batch" all that one read brought.
    count: Entries asked for at once. Default 100.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from benchmarks.peer import GROUP, Peer, Tally, Task, handler


class Library(Peer):
    """XADD, XREADGROUP, XACK."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.redis = Redis(host="127.0.0.1", port=task.port)

    async def publish(self, event: Any) -> None:
        await self.redis.xadd(self.task.stream, fields(event))

    async def publish_many(self, events: list[Any]) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for event in events:
            pipeline.xadd(self.task.stream, fields(event))  # type: ignore[unused-awaitable] # it is awaited with the pipeline
        await pipeline.execute()

    async def consume(self, tally: Tally) -> None:
        handle, validate = handler(self.task, tally), self.task.model.__pydantic_validator__.validate_json
        each = self.task.options.get("ack", "each") == "each"
        while True:
            for stream, entries in await self._read():
                for entry_id, found in entries:
                    await handle(validate(found[b"data"]))
                    if each:
                        await self.redis.xack(stream, GROUP, entry_id)
                if not each:
                    await self.redis.xack(stream, GROUP, *[entry_id for entry_id, _ in entries])

    async def _read(self) -> list[Any]:
        count = int(self.task.options.get("count", "100"))
        streams: Any = dict.fromkeys(self.task.streams, ">")
        found: Any = await self.redis.xreadgroup(GROUP, self.task.consumer, streams, count=count, block=1000)
        if isinstance(found, dict):  # RESP3
            return [(stream, entries[0]) for stream, entries in found.items()]
        return found or []


def fields(event: Any) -> Any:
    """The fields of an event's entry."""
    return {b"type": type(event).__name__, b"data": event.__pydantic_serializer__.to_json(event)}
