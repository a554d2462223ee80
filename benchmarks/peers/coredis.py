"""coredis, used directly.

Options:
    ack: "each" (default) acknowledges one entry after the other, "batch" all that one read brought.
    count: Entries asked for at once. Default 100.
"""

from __future__ import annotations

from typing import Any

from coredis import Redis

from benchmarks.peer import GROUP, Peer, Tally, handler


class Library(Peer):
    """One client for everything."""

    async def open(self) -> None:
        self.redis = Redis(host="127.0.0.1", port=self.task.port)
        await self.redis.__aenter__()

    async def publish(self, event: Any) -> None:
        await self.redis.xadd(self.task.stream, fields(event))

    async def publish_many(self, events: list[Any]) -> None:
        async with self.redis.pipeline(transaction=False) as pipeline:
            for event in events:
                pipeline.xadd(self.task.stream, fields(event))

    async def consume(self, tally: Tally) -> None:
        await self.open()
        handle, validate = handler(self.task, tally), self.task.model.__pydantic_validator__.validate_json
        each = self.task.options.get("ack", "each") == "each"
        while True:
            for stream, entries in (await self._read()).items():
                for entry in entries:
                    await handle(validate(entry.field_values[b"data"]))
                    if each:
                        await self.redis.xack(stream, GROUP, [entry.identifier])
                if not each:
                    await self.redis.xack(stream, GROUP, [entry.identifier for entry in entries])

    async def _read(self) -> Any:
        count = int(self.task.options.get("count", "100"))
        return await self.redis.xreadgroup(GROUP, self.task.consumer, dict.fromkeys(self.task.streams, ">"), count=count, block=1000) or {}


def fields(event: Any) -> Any:
    """The fields of an event's entry."""
    return {b"type": type(event).__name__, b"data": event.__pydantic_serializer__.to_json(event)}
