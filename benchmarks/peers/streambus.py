"""streambus: blocking redis-py and dataclasses of strings, without an event loop. Only the event of 300 bytes.

Options:
    batch: Entries asked for at once. Default 10.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from streambus.config import RedisConfig
from streambus.event import StreamBusEvent
from streambus.listener import EventListener
from streambus.publisher import EventPublisher
from streambus.transports.redis_streams import RedisStreamsTransport

from benchmarks.peer import GROUP, Peer, Tally, Task


@dataclass(kw_only=True)
class OrderPlaced(StreamBusEvent):  # type: ignore[misc] # of a library that is not installed here
    number: str
    sent_ns: str
    customer: str
    currency: str
    total: str
    lines: str
    placed: str


class Library(Peer):
    """A publisher and a listener; handlers are ordinary functions, whatever the case says, since nothing else can be called."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.transport = RedisStreamsTransport(RedisConfig(url=task.url))

    def event(self, number: int, sent_ns: int = 0) -> Any:
        said = super().event(number, sent_ns).model_dump(mode="json")
        said["lines"] = json.dumps(said["lines"])
        return OrderPlaced(event_type="order", **{name: str(value) for name, value in said.items()})

    async def open(self) -> None:
        self.publisher = EventPublisher(self.task.stream, self.transport)

    async def publish(self, event: Any) -> None:
        self.publisher.publish(event)

    async def consume(self, tally: Tally) -> None:
        def handle(event: Any) -> None:
            tally.add_late(int(event.number), int(event.sent_ns)) if late else tally.add(int(event.number))

        late = self.task.handler == "late"
        batch = {"batch_size": int(self.task.options["batch"])} if "batch" in self.task.options else {}
        listener = EventListener(self.task.stream, GROUP, handle, OrderPlaced, self.transport, consumer=self.task.consumer, **batch)
        await asyncio.to_thread(listener.run)
