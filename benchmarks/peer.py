"""What every library is driven through, in its own process: the task it gets, the interface it fills, the handlers it calls.

This module and `benchmarks.events` are imported in every environment: they need the standard library and pydantic.
"""

from __future__ import annotations

import asyncio
import resource
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from benchmarks.events import MODELS, content

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

GROUP: Final = "bench"
"""The consumer group."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a process is to do.

    Attributes:
        role: A function of `benchmarks.child`.
        module: The file in `benchmarks/peers`.
        port: Of the Redis server, on 127.0.0.1.
        streams: Names of the streams, or queues.
        consumer: The name of this consumer; no two processes have the same.
        event: "reading", "order" or "document".
        handler: "plain" never suspends, "once" awaits `sleep(0)`, "millisecond" awaits 1 ms, "thread" is a synchronous
            function, "late" notes how long events took, "batch" is ours alone: "plain" for lists.
        concurrency: Handlers at a time; 0 for what the library does by itself.
        count: Events to publish, or to handle; 0 where another process counts.
        publishing: "each" awaits one after the other, "tasks" and "gather" so many at a time, "batch" uses the library's
            own call for many, "paced" keeps to a rate.
        width: How many tasks, how many in a gather or a batch, published or handled; or events a second.
        options: Settings of the library that differ from its defaults.
    """

    role: str
    module: str
    port: int
    streams: tuple[str, ...] | list[str]
    consumer: str = "c0"
    event: str = "order"
    handler: str = "plain"
    concurrency: int = 0
    count: int = 0
    publishing: str = "each"
    width: int = 1
    options: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where Redis is."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def stream(self) -> str:
        """The first stream, the only one of most cases."""
        return self.streams[0]

    @property
    def model(self) -> type[BaseModel]:
        """The event's class."""
        return MODELS[self.event]


class Peer(ABC):
    """One library. A file in `benchmarks/peers` holds one subclass, by the name `Library`.

    Args:
        task: What its process is to do.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    def event(self, number: int, sent_ns: int = 0) -> Any:
        """An event as this library takes it; for most the pydantic model itself."""
        return self.task.model.model_validate(content(self.task.event, number, sent_ns))

    async def open(self) -> None:  # noqa: B027 - a library that connects by itself has nothing to do
        """Be ready to publish."""

    @abstractmethod
    async def publish(self, event: Any) -> Any:
        """Publish one event and wait until Redis has confirmed it."""

    async def publish_many(self, events: list[Any]) -> Any:
        """Publish many events by the library's own call for that."""
        raise NotImplementedError(f"{self.task.module} has no call that publishes many events")

    @abstractmethod
    async def consume(self, tally: Tally) -> None:
        """Handle events, each with one call of a handler that tells the tally, until the process ends."""


class Tally:
    """What handlers tell that they handled an event: counts, adds up, and knows the first and the last.

    Args:
        expected: Events after which `complete` is called; 0 for never.
        complete: Told from whatever thread the last handler ran in.

    Attributes:
        handled: Events so far.
        total: The sum of their numbers.
        began: When the first came, in seconds of `time.perf_counter`.
        cpu_began: The CPU time of this process then, in seconds.
        delays: Nanoseconds from publishing to handling, where somebody notes them.
    """

    __slots__ = ("_complete", "_expected", "_lock", "began", "cpu_began", "delays", "handled", "total")

    def __init__(self, expected: int, complete: Callable[[], None]) -> None:
        self._expected = expected
        self._complete = complete
        self._lock = Lock()
        self.handled = 0
        self.total = 0
        self.began = 0.0
        self.cpu_began = 0.0
        self.delays: list[int] = []

    def add(self, number: int) -> None:
        """Another event was handled."""
        if not self.handled:
            self.began, self.cpu_began = time.perf_counter(), cpu()
        self.handled += 1
        self.total += number
        if self.handled == self._expected:
            self._complete()

    def add_from_thread(self, number: int) -> None:
        """The same, where several threads may call it at once."""
        with self._lock:
            self.add(number)

    def add_late(self, number: int, sent_ns: int) -> None:
        """The same, noting how long it took."""
        self.delays.append(time.perf_counter_ns() - sent_ns)
        self.add(number)


def handler(task: Task, tally: Tally, model: Any = None) -> Callable[[Any], Any]:
    """The handler that the task names, annotated with the event's class, so that libraries know what to decode.

    Args:
        task: Names it.
        tally: What it tells.
        model: The event's class, where the library has one of its own.
    """
    add = tally.add

    async def plain(event: Any) -> None:
        add(event.number)

    async def once(event: Any) -> None:
        await asyncio.sleep(0)
        add(event.number)

    async def millisecond(event: Any) -> None:
        await asyncio.sleep(0.001)
        add(event.number)

    async def late(event: Any) -> None:
        tally.add_late(event.number, event.sent_ns)

    def thread(event: Any) -> None:
        tally.add_from_thread(event.number)

    chosen: Any = {"plain": plain, "once": once, "millisecond": millisecond, "late": late, "thread": thread}[task.handler]
    chosen.__annotations__ = {"event": model or task.model, "return": None}
    return chosen  # type: ignore[no-any-return]


def cpu() -> float:
    """Seconds of CPU, user and system, that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
