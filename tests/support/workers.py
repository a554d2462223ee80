"""Workers in processes of their own, which may be killed and stopped, and do what their events say.

`python -m tests.support.workers OPTIONS` is such a process; EVENTBUS_URL is in its environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import field_validator

from eventbus import Batch, BatchContext, Context, Event, EventBus, Retry
from eventbus.consuming import Rooms
from eventbus.consuming.fetcher import Fetcher
from eventbus.consuming.instance_place import InstanceFetcher
from eventbus.consuming.rooms import BroadcastRooms, OrderedRooms
from eventbus.consuming.succession import OwnedFetcher
from tests.support.tasks import Task

ROOT = Path(__file__).parents[2]
DEADLINE = 15.0  # seconds; reached only by a failure
DEADLY = bytearray(b"\0")
"""Whether reading a `Trap` kills this process: not the one that publishes it."""


class Errand(Event, topic="errands", key="name"):
    """What a worker does when it gets this: end | sleep SECONDS | wait | raise | die SECONDS."""

    name: str
    do: str = "end"


class Step(Event, topic="errands", key="key"):
    """An errand that is to be done after those with the same key."""

    key: str
    name: str
    do: str = "end"


class Parcel(Event, topic="errands", key="name"):
    """An event that not every worker knows."""

    name: str


class Trap(Event, topic="errands", key="name"):
    """An event whose decoding kills."""

    name: str

    @field_validator("name")
    @classmethod
    def spring(cls, value: str) -> str:
        if DEADLY[0]:
            tell("trapped", value)
            os.kill(os.getpid(), signal.SIGKILL)
        return value


def errands(count: int, do: str = "end", name: str = "e") -> list[Errand]:
    """So many errands, numbered."""
    return [Errand(name=f"{name}-{number}", do=do) for number in range(count)]


# ------------------------------------------------------------------------------------------- the test's side


class Worker:
    """A worker's process as the test sees it.

    Attributes:
        lines: What it said so far.
        name: Its consumer name.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.name = ""
        self._more = asyncio.Event()

    async def said(self, line: str, times: int = 1) -> None:
        """Wait until it said a line that begins so, so many times."""
        async with asyncio.timeout(DEADLINE):
            while self.count(line) < times:
                assert not self.ended, f"it ended without saying {line!r}, but: {self.lines}"
                self._more.clear()
                await self._more.wait()

    def count(self, line: str) -> int:
        """How many of its lines begin so."""
        return sum(each.startswith(line) for each in self.lines)

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None

    async def begin(self) -> None:
        """Let it consume, if it waits for that; returns when it reads."""
        self.process.stdin.write(b"\n")
        await self.said("ready")

    async def kill(self) -> None:
        """End it as the kernel does when memory is short; returns when it is gone."""
        self.process.kill()
        await self.process.wait()

    def stop(self) -> None:
        """Freeze it: its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on, after `stop`."""
        self.process.send_signal(signal.SIGCONT)

    async def listen(self) -> None:
        """Collect what it says, until it is gone."""
        while raw := await self.process.stdout.readline():
            line = raw.decode().rstrip("\n")
            self.lines.append(line)
            if line.startswith("ready "):
                self.name = line.removeprefix("ready ")
            self._more.set()
        await self.process.wait()
        self._more.set()


@asynccontextmanager
async def worker(url: str, *, waits: bool = False, **options: Any):
    """A worker that does not outlive the block; it reads when the block begins, unless it `waits` for `Worker.begin`.

    Options are those of `consume`.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")} | {"EVENTBUS_URL": url}
    command = (sys.executable, "-m", "tests.support.workers", json.dumps(options))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=clean, stdin=pipe, stdout=pipe)
    found = Worker(process)
    listening = asyncio.ensure_future(found.listen())
    try:
        await found.said("here")
        if not waits:
            await found.begin()
        yield found
    finally:
        if process.returncode is None:
            process.kill()  # a stopped one, too
        await listening


# ----------------------------------------------------------------------------------------- the worker's side


def tell(*words: object) -> None:
    """Say something in one write: what a killed process said was heard."""
    os.write(sys.stdout.fileno(), " ".join(map(str, words)).encode() + b"\n")


class TellingFetcher(Fetcher):
    """Says when it is about to read."""

    async def run(self, alive) -> None:
        tell("ready", self._commands.consumer)
        await super().run(alive)


class TellingInstanceFetcher(TellingFetcher, InstanceFetcher):
    """The same for a process of a broadcast."""


class TellingOwnedFetcher(TellingFetcher, OwnedFetcher):
    """Says when it is about to stand by, or to read."""


class WorkerBus(EventBus):
    rooms = Rooms(
        fetcher=TellingFetcher,
        broadcast=BroadcastRooms(fetcher=TellingInstanceFetcher),
        ordered=OrderedRooms(fetcher=TellingOwnedFetcher),
    )


async def wait(name: str) -> None:
    """Wait for the cancel, and say that it came."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        tell("cancelled", name)
        raise


async def work(event: Any, ctx: Context) -> None:
    """Do what the event says."""
    tell("started", event.name, ctx.attempt, ctx.priority)
    await do(event)
    tell("ended", event.name)


async def work_together(events: list[Any], ctx: BatchContext) -> None:
    """Do what each event says, one after the other; one that raises fails alone."""
    for event in events:
        tell("started", event.name, ctx.of(event).attempt)
    for event in events:
        try:
            await do(event)
        except RuntimeError as error:
            ctx.fail(event, error)
    for event in ctx.remaining:
        tell("ended", event.name)


async def do(event: Any) -> None:
    """What an event says."""
    match getattr(event, "do", "end").split():
        case ["die", seconds]:
            await asyncio.sleep(float(seconds))
            os.kill(os.getpid(), signal.SIGKILL)
        case ["sleep", seconds]:
            await asyncio.sleep(float(seconds))
        case ["wait"]:
            await wait(event.name)
        case ["raise"]:
            raise RuntimeError(event.name)


KINDS = {"errand": Errand, "parcel": Parcel, "trap": Trap, "step": Step, "task": Task}


async def consume(
    *, group: str = "charge", kinds: tuple[str, ...] = ("errand",), backoff: tuple[float, ...] = (1.0,), lease: float = 1.0, **options: Any
) -> None:
    """Consume until SIGTERM.

    Args:
        group: The group.
        kinds: The event types it knows.
        backoff: Delays of its retries.
        lease: Seconds.
        options: concurrency, prefetch, idempotent, broadcast, ordered, batch (the values of a `Batch`); and claim_interval, drain
            of the bus.
    """
    policy = {name: options.pop(name) for name in ("concurrency", "prefetch", "idempotent", "broadcast", "ordered") if name in options}
    handler: Any = work
    if "batch" in options:
        handler, policy["batch"] = work_together, Batch(**options.pop("batch"))
    bus = WorkerBus(service="worker", lease=lease, **{"claim_interval": 0.1, **options})
    for kind in kinds:
        bus.subscribe(KINDS[kind], group=group, retry=Retry(backoff=backoff, jitter=0), **policy)(handler)
    await bus.run()


def main(options: str) -> None:
    tell("here")
    sys.stdin.readline()
    DEADLY[0] = 1
    asyncio.run(consume(**json.loads(options)))


if __name__ == "__main__":
    from tests.support import workers  # the events' classes are those of the module, not of a script

    workers.main(*sys.argv[1:])
