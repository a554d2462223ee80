"""eventbus with its default settings and everything switched on that it has: leases, retries, contexts, metrics."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from benchmarks.events import content
from benchmarks.peer import GROUP, Peer, Tally, Task
from eventbus import Batch, BatchContext, Context, Event, EventBus, Value
from eventbus.observe.prometheus import instrument

if TYPE_CHECKING:
    from collections.abc import Callable


class Reading(Event, topic="bench-0"):
    number: int
    sent_ns: int
    celsius: float


class Line(Value):
    sku: str
    quantity: int
    price: float


class Order(Event, topic="bench-0"):
    number: int
    sent_ns: int
    customer: str
    currency: str
    total: float
    lines: list[Line]
    placed: datetime


class Document(Event, topic="bench-0"):
    number: int
    sent_ns: int
    title: str
    text: str
    written: datetime


EVENTS: dict[str, type[Event]] = {"reading": Reading, "order": Order, "document": Document}


class Library(Peer):
    """The bus as a service would write it."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.bus = EventBus(task.url, service="bench")
        instrument(self.bus, CollectorRegistry())
        self.publish = self.bus.publish  # type: ignore[method-assign]
        self.publish_many = self.bus.publish_many  # type: ignore[method-assign]

    def event(self, number: int, sent_ns: int = 0) -> Event:
        return EVENTS[self.task.event].model_validate(content(self.task.event, number, sent_ns))

    async def open(self) -> None:
        await self.bus.open()

    async def publish(self, event: Event) -> Any:
        return await self.bus.publish(event)

    async def consume(self, tally: Tally) -> None:
        event = EVENTS[self.task.event]
        concurrency = self.task.concurrency or None  # None: what the bus does by itself
        options: dict[str, Any] = {"group": GROUP, "concurrency": concurrency}
        if self.task.handler == "batch":
            options["batch"] = Batch(max_size=self.task.width)
        for topic in self.task.streams:
            self.bus.subscribe(event, topic=topic, **options)(handler(self.task.handler, tally, event))
        async with self.bus, self.bus.consuming():
            await asyncio.Event().wait()


def handler(kind: str, tally: Tally, event: type[Event]) -> Callable[[Any, Any], Any]:
    """The handlers of `benchmarks.peer.handler`, with the context that only this library hands them; and one of batches."""
    add = tally.add
    if kind == "batch":
        return of_batches(tally, event)

    async def plain(event: Any, ctx: Context) -> None:  # noqa: ARG001 - to be given it is what is measured
        add(event.number)

    async def once(event: Any, ctx: Context) -> None:  # noqa: ARG001
        await asyncio.sleep(0)
        add(event.number)

    async def millisecond(event: Any, ctx: Context) -> None:  # noqa: ARG001
        await asyncio.sleep(0.001)
        add(event.number)

    async def late(event: Any, ctx: Context) -> None:  # noqa: ARG001
        tally.add_late(event.number, event.sent_ns)

    def thread(event: Any, ctx: Context) -> None:  # noqa: ARG001
        tally.add_from_thread(event.number)

    chosen: Any = {"plain": plain, "once": once, "millisecond": millisecond, "late": late, "thread": thread}[kind]
    chosen.__annotations__ = {"event": event, "ctx": Context, "return": None}
    return chosen  # type: ignore[no-any-return]


def of_batches(tally: Tally, event: type[Event]) -> Callable[[Any, BatchContext], Any]:
    """A handler of batches that does what "plain" does with each event."""
    add = tally.add

    async def batch(events: Any, ctx: BatchContext) -> None:  # noqa: ARG001
        for each in events:
            add(each.number)

    batch.__annotations__ = {"events": list[event], "ctx": BatchContext, "return": None}  # type: ignore[valid-type]
    return batch
