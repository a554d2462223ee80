"""valkey-glide, a client with a core in Rust, used directly.

Options:
    ack: "each" (default) acknowledges one entry after the other, "batch" all that one read brought.
    count: Entries asked for at once. Default 100.
"""

from __future__ import annotations

from typing import Any

from glide import Batch, GlideClient, GlideClientConfiguration, NodeAddress, StreamReadGroupOptions

from benchmarks.peer import GROUP, Peer, Tally, handler


class Library(Peer):
    """One client for everything."""

    async def open(self) -> None:
        configuration = GlideClientConfiguration([NodeAddress("127.0.0.1", self.task.port)], request_timeout=10_000)
        self.client = await GlideClient.create(configuration)

    async def publish(self, event: Any) -> None:
        await self.client.xadd(self.task.stream, fields(event))

    async def publish_many(self, events: list[Any]) -> None:
        batch = Batch(is_atomic=False)
        for event in events:
            batch.xadd(self.task.stream, fields(event))
        await self.client.exec(batch, raise_on_error=True)

    async def consume(self, tally: Tally) -> None:
        await self.open()
        handle, validate = handler(self.task, tally), self.task.model.__pydantic_validator__.validate_json
        each = self.task.options.get("ack", "each") == "each"
        while True:
            for stream, entries in (await self._read()).items():
                for entry_id, found in entries.items():
                    await handle(validate(found[1][1]))
                    if each:
                        await self.client.xack(stream, GROUP, [entry_id])
                if not each:
                    await self.client.xack(stream, GROUP, list(entries))

    async def _read(self) -> Any:
        options = StreamReadGroupOptions(block_ms=1000, count=int(self.task.options.get("count", "100")))
        return await self.client.xreadgroup(dict.fromkeys(self.task.streams, ">"), GROUP, self.task.consumer, options) or {}


def fields(event: Any) -> Any:
    """The fields of an event's entry."""
    return [(b"type", type(event).__name__), (b"data", event.__pydantic_serializer__.to_json(event))]
