"""One harness for every trouble that Redis may have: a worker under load, the trouble, and the same questions each time."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from redis.asyncio import Redis

from eventbus import BackendError, BackendRefused, Context, Event, EventBus, Reject, Retry
from eventbus.delivery import Health
from tests.support.replicas import Listening

LEASE = 2.0
PASSWORD = "open-sesame"  # of the server; no log shows it
CARD = "4242-4242"  # in every payload; no log shows it

PACE = 0.04  # seconds from one publish to the next
BUSIEST = 500  # commands a second, the load's own among them; a loop without backoff makes thousands
HEALS = 8.0  # seconds; a backoff lasts no longer than a sixth of the lease, the rest is this machine's
SENT = {"auth", "client", "eval", "evalsha", "hello", "select", "xadd", "xreadgroup"}
"""Commands that every loop's pass has one of. Of all others most are made by scripts."""


class Order(Event, topic="orders", key="number"):
    number: str
    card: str = CARD


class Guarded(Listening):
    """A server with a password and a port; what was written outlives a kill."""

    def __init__(self, program):
        super().__init__(program, keeps=True)

    def _started(self):
        if PASSWORD not in self._command:
            self.url = f"unix://:{PASSWORD}@{self._socket}"
            self._command += ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
        return super()._started()


@dataclass
class Figures:
    """What was measured; pytest shows it with `-rP`.

    Attributes:
        during: Commands a second while the trouble lasted, by the server's own count; None where it was not there.
        tries: Failures of all loops a second meanwhile.
        healed: Seconds from the end of the trouble until everything was well.
        after: Commands a second at rest afterwards.
        again: Events that were handled more than once, each time but the first.
        lost: Confirmed events that were never handled.
    """

    during: float | None = None
    tries: float = 0.0
    healed: float = 0.0
    after: float = 0.0
    again: int = 0
    lost: int = 0


@dataclass
class Ordeal:
    """A worker that runs as `bus.run()` does, publishes to itself all the time, and holds two events in their handlers."""

    url: str
    figures: Figures = field(default_factory=Figures)
    confirmed: dict[str, float] = field(default_factory=dict)
    refused: dict[str, BackendError] = field(default_factory=dict)
    unknown: dict[str, BackendError] = field(default_factory=dict)
    begun: Counter = field(default_factory=Counter)
    done: Counter = field(default_factory=Counter)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    beside: Ordeal | None = None

    def __post_init__(self):
        if self.beside:  # one that only handles; what the other knows counts
            self.begun, self.done, self.release = self.beside.begun, self.beside.done, self.beside.release
        self.bus = EventBus(self.url, service="billing", lease=LEASE, claim_interval=0.5, drain=5)
        self.loading = False
        self._numbers = count()
        self._tasks = asyncio.TaskGroup()

        @self.bus.subscribe(Order, group="charge", concurrency=8, retry=Retry(attempts=9, backoff=[0.3]))
        async def charge(event: Order, ctx: Context) -> None:
            self.begun[event.number] += 1
            if event.number.startswith("held"):
                await self.release.wait()
            await asyncio.sleep(0.005)
            if event.number.endswith("wrong"):
                raise Reject("nobody can handle it")
            if event.number.endswith("fails") and self.begun[event.number] == 1:
                raise ValueError("not at the first time")
            self.done[event.number] += 1

    @property
    def counts(self):
        return self.bus.consumers[0].counts

    @property
    def in_hand(self):
        """The orders that this process holds, queued ones too."""
        found = (each.fields for each in self.bus.consumers[0].in_hand)
        return {json.loads(fields[fields.index(b"data") + 1])["number"] for fields in found}

    def loop(self, name):
        """The loop that does something."""
        (found,) = [loop for loop in self.bus.loops if loop.name.startswith(name)]
        return found

    async def publish(self, number):
        try:
            await self.bus.publish(Order(number=number), timeout=30)
        except BackendRefused as error:
            self.refused[number] = error
        except BackendError as error:
            self.unknown[number] = error
        else:
            self.confirmed[number] = time.monotonic()

    async def begin(self):
        """Open, and be well under way: events handled, one failed and handled again, two held."""
        self.running = self._tasks.create_task(self.bus.run())
        await until(lambda: self.bus.consumers and len(self.bus.loops) > 8)
        if self.beside:
            return
        for number in ("held-fine", "held-fails"):
            await self.publish(number)
        self.load()
        await until(lambda: len(self.done) >= 10 and any(number.endswith("fails") for number in self.done))
        await until(lambda: {"held-fine", "held-fails"} <= self.begun.keys())

    def load(self):
        """Publish all the time; every fifth event fails at the first time."""
        self.loading = True
        self._tasks.create_task(self._load())

    async def _load(self):
        while self.loading:
            number = next(self._numbers)
            self._tasks.create_task(self.publish(f"{number}-fails" if number % 5 == 0 else f"{number}"))
            await asyncio.sleep(PACE)

    def lives(self):
        """The process goes on, and no loop has ended."""
        assert not self.running.done()
        assert self.bus.loops
        stopped = [loop.name for loop in self.bus.loops if loop.health is Health.STOPPED]
        assert not stopped

    async def suffer(self, client, seconds=0.8):
        """Let the trouble last, and measure how much is asked meanwhile. Without a client only failures are counted."""
        before, failures, began = client and await asked(client), self._failures(), time.process_time()
        await asyncio.sleep(seconds)
        self.lives()
        self.figures.tries = max(0, self._failures() - failures) / seconds
        assert self.figures.tries < BUSIEST
        assert time.process_time() - began < 0.7 * seconds
        if client:
            self.figures.during = (await asked(client) - before) / seconds
            assert self.figures.during < BUSIEST

    async def heal(self):
        """The trouble is over: an event goes through, what was held ends, and every loop is well again."""
        began = time.monotonic()
        async with asyncio.timeout(HEALS):
            await self.publish("afterwards")
            self.release.set()
            await until(lambda: self.done["afterwards"])
            await until(lambda: self.done["held-fine"] and self.done["held-fails"])
            await until(self._well)
        self.figures.healed = time.monotonic() - began

    async def rest(self, client):
        """Publish no more, come to an end with everything, and then ask little."""
        self.loading = False
        async with asyncio.timeout(HEALS):
            await until(lambda: len(self._tasks._tasks) == 1)  # the bus
            while any([await client.xlen(key) for key in ("{orders}:retry:charge", "{orders}:parked:charge")]) or self.in_hand:
                await asyncio.sleep(0.02)
            while (await client.xpending("orders", "charge"))["pending"]:
                await asyncio.sleep(0.02)
        before = await asked(client)
        await asyncio.sleep(0.3)
        self.figures.after = (await asked(client) - before) / 0.3
        assert self.figures.after < BUSIEST / 10
        self.lives()

    def handled(self, *, but=frozenset()):
        """Whatever was confirmed was handled, except what Redis itself lost."""
        self.figures.again = sum(self.done.values()) - len(self.done)
        missing = {number for number in self.confirmed.keys() - self.done.keys() if not number.endswith("wrong")}
        self.figures.lost = len(missing)
        assert missing <= but

    def _well(self):
        return all(loop.health is Health.RUNNING for loop in self.bus.loops)

    def _failures(self):
        return sum(loop.failures for loop in self.bus.loops)

    async def end(self):
        if not self.beside:
            print(self.figures, self.counts)
        self.loading = False
        self.release.set()
        self.running.cancel()


@asynccontextmanager
async def ordeal(url, *, beside=None):
    """Run an ordeal's worker while the block lasts."""
    found = Ordeal(url, beside=beside)
    async with found._tasks:
        try:
            await found.begin()
            yield found
        finally:
            await found.end()


@asynccontextmanager
async def repeated(trouble, *, every):
    """Make trouble again and again while the block lasts."""
    over = asyncio.Event()

    async def repeat():
        while not over.is_set():
            await trouble()
            await asyncio.sleep(every)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(repeat())
        try:
            yield
        finally:
            over.set()


async def until(condition, within=10.0):
    """Let the loop turn until a condition holds."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.002)


async def asked(client):
    """How many commands the server was sent so far, those it refused too."""
    rows = await client.info("commandstats")
    known = {name.removeprefix("cmdstat_").partition("|")[0]: 0 for name in rows}
    for name, row in rows.items():
        known[name.removeprefix("cmdstat_").partition("|")[0]] += int(row["calls"]) + int(row.get("rejected_calls", 0))
    return sum(number for name, number in known.items() if name in SENT)


def client_of(server):
    """A client that looks at what is really in Redis; it speaks str."""
    return Redis.from_url(server.url, decode_responses=True)
