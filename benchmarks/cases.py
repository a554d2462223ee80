"""What is measured: the cases, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

LEAST: Final = 500
"""Events of the shortest measurement."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure.

    Attributes:
        name: What commands and results call it.
        title: What the report calls it.
        kind: "publish" measures a publishing process, "consume" processes that handle a backlog, "both" a consumer while
            another process publishes as fast as it can, "latency" the same at a rate.
        events: How many, for those who are as fast as one can be; others are given a part of it.
        event: "reading" (50 bytes), "order" (300 bytes) or "document" (4 KB).
        handler: As in `benchmarks.peer.Task`.
        publishing: As in `benchmarks.peer.Task`.
        width: As in `benchmarks.peer.Task`.
        concurrency: Handlers at a time; 0 for what the library does by itself.
        topics: Streams in one process, which share the events.
        workers: Consumer processes.
        before: Entries that the stream has before those that are measured, settled long ago.
        held: Entries that somebody else was given and still holds.
        backlog: Entries that wait; 0 for as many as are handled. A slow library need not handle all of a large one.
    """

    name: str
    title: str
    kind: str
    events: int
    event: str = "order"
    handler: str = "plain"
    publishing: str = "each"
    width: int = 1
    concurrency: int = 0
    topics: int = 1
    workers: int = 1
    before: int = 0
    held: int = 0
    backlog: int = 0

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of its streams."""
        return tuple(f"bench-{number}" for number in range(self.topics))

    def count(self, pace: tuple[float, float]) -> int:
        """How many events somebody of this pace is given: a multiple of the topics."""
        if self.kind == "latency":
            return self.events  # the rate is the same for all
        wanted = int(self.events * pace[self.kind == "publish"])
        return max(min(LEAST, self.events), wanted) // self.topics * self.topics


ONCE: Final = Case("consume-once", "consume, handler awaits once", "consume", 100_000, handler="once")
PLAIN: Final = Case("consume-plain", "consume, handler does not suspend", "consume", 100_000)
LISTS: Final = Case("consume-batch", "consume, handler takes lists of 100", "consume", 100_000, handler="batch", width=100)
TASKS: Final = Case("publish-100", "publish, 100 tasks", "publish", 100_000, publishing="tasks", width=100)
BOTH: Final = Case("both", "publisher and consumer processes at once", "both", 60_000, handler="once", publishing="tasks", width=100)

MEMORY: Final = Case("memory", "memory with a backlog of 50,000", "consume", 50_000, handler="once", backlog=50_000)

_ALL: Final = (
    ONCE,
    PLAIN,
    Case("consume-1ms", "consume, handler awaits 1 ms, concurrency 100", "consume", 60_000, handler="millisecond", concurrency=100),
    Case("consume-thread", "consume, synchronous handler in a thread", "consume", 20_000, handler="thread"),
    LISTS,
    replace(LISTS, name="consume-batch-500", title="consume, handler takes lists of 500", width=500),
    Case("publish-each", "publish, awaited one by one", "publish", 20_000),
    TASKS,
    replace(TASKS, name="publish-1000", title="publish, 1,000 tasks", width=1_000),
    replace(TASKS, name="publish-gather", title="publish, gather of 1,000", publishing="gather", width=1_000),
    Case("publish-many", "publish, the call for many, 500 at a time", "publish", 100_000, publishing="batch", width=500),
    BOTH,
    Case("latency", "latency at 200 events a second", "latency", 800, handler="late", publishing="paced", width=200),
    MEMORY,
    replace(MEMORY, name="memory-4KB", title="memory with a backlog of 50,000 of 4 KB", event="document"),
    # the same at other sizes, widths and depths
    replace(ONCE, name="consume-50B", title="consume, 50 B", event="reading"),
    replace(ONCE, name="consume-4KB", title="consume, 4 KB", event="document", events=30_000),
    replace(TASKS, name="publish-50B", title="publish, 100 tasks, 50 B", event="reading"),
    replace(TASKS, name="publish-4KB", title="publish, 100 tasks, 4 KB", event="document", events=20_000),
    replace(ONCE, name="consume-4-topics", title="consume, 4 topics", topics=4),
    replace(ONCE, name="consume-16-topics", title="consume, 16 topics", topics=16),
    replace(ONCE, name="consume-2-workers", title="consume, 2 processes", workers=2),
    replace(ONCE, name="consume-4-workers", title="consume, 4 processes", workers=4),
    replace(ONCE, name="consume-10k", title="consume, stream of 10,000", events=10_000),
    replace(ONCE, name="consume-1M", title="consume, the last 10,000 of a stream of 1,000,000", events=10_000, before=990_000),
    replace(ONCE, name="consume-held", title="consume, 100,000 held by another consumer", held=100_000),
)

CASES: Final = {case.name: case for case in _ALL}
