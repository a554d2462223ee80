"""A process that is measured: `python -m benchmarks.child TASK`, where the task is JSON.

It says and hears one line at a time, over its standard output and input: `ready`, hears `go`, `handled` where it knows the
end, hears `stop`, and reports. When its input ends, it ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.peer import Peer, Tally, Task, cpu

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator

WARM: Final = 200
"""Events published before the measuring begins."""


class Line:
    """The line to the process that measures. What else is printed goes to standard error."""

    def __init__(self) -> None:
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._in: asyncio.StreamReader | None = None

    def say(self, word: str, **facts: Any) -> None:
        """Say a word, from any thread."""
        os.write(self._out, json.dumps({"word": word, **facts}).encode() + b"\n")

    async def hear(self, word: str) -> None:
        """Wait for a word. The process ends where nobody speaks to it any more."""
        self._in = self._in or await _lines()
        heard = (await self._in.readline()).decode().strip()
        if heard != word:
            os._exit(1)


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


# -- what a process may be told to do


async def store(task: Task, peer: Peer, line: Line) -> None:
    """Publish events, not measured: a backlog, or the one entry that the others are copies of."""
    await peer.open()
    await publish_all(peer, [peer.event(number) for number in range(task.count)], "tasks", 100)
    line.say("stored")


async def publish(task: Task, peer: Peer, line: Line) -> None:
    """Publish events as the task says, and report."""
    await peer.open()
    await publish_all(peer, [peer.event(number) for number in range(WARM)], "tasks", 1)
    events = frozen(peer.event(number) for number in range(task.count))
    before = peak_mb()
    line.say("ready")
    await line.hear("go")
    cpu_began, began = cpu(), time.perf_counter()
    await publish_all(peer, events, task.publishing, task.width)
    ended, cpu_ended = time.perf_counter(), cpu()
    line.say("published", began=began, ended=ended, cpu=cpu_ended - cpu_began, before_mb=before, peak_mb=peak_mb())


def frozen(events: Iterable[Any]) -> list[Any]:
    """Events made beforehand, which no program would hold: the garbage collector shall not walk through them."""
    made = list(events)
    gc.collect()
    gc.freeze()
    return made


async def feed(task: Task, peer: Peer, line: Line) -> None:
    """Publish for a consumer that is measured, at a rate or as fast as it goes."""
    await peer.open()
    events = frozen(peer.event(number) for number in range(0 if task.publishing == "paced" else task.count))
    line.say("ready")
    await line.hear("go")
    if task.publishing == "paced":
        await pace(peer, task.count, task.width)
    else:
        await publish_all(peer, events, task.publishing, task.width)
    line.say("fed")


async def consume(task: Task, peer: Peer, line: Line) -> None:
    """Handle events until told to stop, and report."""
    tally = Tally(task.count, lambda: line.say("handled"))
    line.say("ready")
    await line.hear("go")
    consuming = asyncio.ensure_future(peer.consume(tally))
    stopped = asyncio.ensure_future(line.hear("stop"))
    await asyncio.wait({consuming, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if consuming.done():
        consuming.result()  # raises what ended it
    await stopped
    line.say(
        "consumed",
        handled=tally.handled,
        total=tally.total,
        began=tally.began,
        cpu=cpu() - tally.cpu_began if tally.handled else 0.0,
        delays=sorted(tally.delays[len(tally.delays) // 10 :]),
        before_mb=_imported[0],
        peak_mb=peak_mb(),
    )


ROLES: Final[dict[str, Callable[[Task, Peer, Line], Coroutine[Any, Any, None]]]] = {
    "store": store,
    "publish": publish,
    "feed": feed,
    "consume": consume,
}


# -- publishing


async def publish_all(peer: Peer, events: list[Any], how: str, width: int) -> None:
    """Publish events in one of the ways that are compared."""
    match how:
        case "each":
            for event in events:
                await peer.publish(event)
        case "tasks":
            await by_tasks(peer.publish, iter(events), width)
        case "gather":
            for at in range(0, len(events), width):
                await asyncio.gather(*map(peer.publish, events[at : at + width]))
        case "batch":
            for at in range(0, len(events), width):
                await peer.publish_many(events[at : at + width])
        case _:
            raise ValueError(f"{how!r} is no way to publish")


async def by_tasks(do: Callable[[Any], Awaitable[Any]], events: Iterator[Any], width: int) -> None:
    """So many tasks share the events; each awaits one after the other."""

    async def share() -> None:
        for event in events:
            await do(event)

    await asyncio.gather(*(share() for _ in range(width)))


async def pace(peer: Peer, count: int, rate: int) -> None:
    """Publish so many events a second, each carrying the moment at which it was published."""
    due = time.perf_counter()
    for number in range(count):
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await peer.publish(peer.event(number, time.perf_counter_ns()))


# -- memory


def peak_mb() -> float:
    """The largest resident set of this process so far, in MB.

    What getrusage says is no less than what the process had that started this one; Linux also tells this one's own.
    """
    try:
        rows = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(row.split()[1]) / 1024 for row in rows if row.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1024 if sys.platform == "linux" else 1024 * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


_imported = [0.0]


def main() -> None:
    """Do the task, report, and end at once: how libraries shut down is not measured."""
    task = Task(**json.loads(sys.argv[1]))
    line = Line()
    library: type[Peer] = import_module(f"benchmarks.peers.{task.module}").Library
    _imported[0] = peak_mb()
    asyncio.run(ROLES[task.role](task, library(task), line))
    os._exit(0)


if __name__ == "__main__":
    main()
