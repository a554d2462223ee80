"""Puts a run together: Redis, a link for each process, workers, publishers, and somebody who watches."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from eventbus.streams import Address
from tests.chaos import publisher, worker
from tests.chaos.board import Board
from tests.chaos.history import History
from tests.chaos.load import GROUPS, ODDS, Times
from tests.chaos.patterns import pattern_of
from tests.chaos.points import deck
from tests.chaos.processes import Place, warm_up
from tests.chaos.proxy import Link
from tests.chaos.publisher import PublisherSpec
from tests.chaos.servers import dead_letters, owed
from tests.chaos.tape import level_of, number_of
from tests.chaos.worker import LATE, TICK, WorkerSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.chaos.faults import Menu
    from tests.chaos.servers import KillableServer

PATIENCE: Final = 30.0
"""Seconds for the first processes to be ready."""

SLOW: Final = 0.25
"""Seconds that an answer of Redis may take before it is noted as trouble of everybody's."""


@dataclass(frozen=True)
class Setup:
    """What a run is made of.

    Attributes:
        seed: Decides the schedule.
        workers: Places for workers; the first one's know fewer types than the others', every second start.
        publishers: Places for publishers.
        events: Events to acknowledge; 0 for as many as there is time for.
        rate: Most events a second, of all publishers; 0 for no limit.
        lag: Deliveries that may wait before the publishers are held up.
        pattern: What is run; empty for the plain run.
    """

    seed: str
    workers: int = 3
    publishers: int = 1
    events: int = 0
    rate: float = 0.0
    lag: int = 6_000
    lease: float = 3.0
    claim_interval: float = 1.0
    drain: float = 1.0
    concurrency: int = 16
    prefetch: int = 32
    batch: int = 100
    groups: tuple[str, ...] = GROUPS
    times: Times = field(default_factory=Times)
    odds: dict[str, float] = field(default_factory=lambda: dict(ODDS))
    plant: str = ""
    all_newer: bool = False
    pattern: str = ""


class Rig:
    """Everything that runs.

    Args:
        setup: What it is made of.
        folder: Where its files go.
        url: Where Redis is.
        server: It, where it may be killed.
        menu: The faults to come, for what processes must know of them beforehand.
        poison: When events go out that kill, and in which group.
    """

    def __init__(
        self,
        setup: Setup,
        folder: Path,
        url: str,
        *,
        server: KillableServer | None = None,
        menu: Menu | None = None,
        poison: list[tuple[float, str]] | None = None,
    ) -> None:
        self.setup = setup
        self.pattern = pattern_of(setup.pattern)
        self.folder = folder
        self.url = url
        self.server = server
        self.history = History(folder, "rig")
        rows = setup.workers + setup.publishers
        self.board = Board(folder, rows)
        names = [*(f"w{number}" for number in range(setup.workers)), *(f"p{number}" for number in range(setup.publishers))]
        self.links = {name: Link(folder / f"{name}.sock", Address.parse(url)) for name in names}
        self._rows = dict(zip(names, self.board.rows, strict=True))
        self._numbers = {name: number for number, name in enumerate(names)}
        self._menu = menu
        self._poison = poison or []
        self._chance = random.Random(f"rig {setup.seed}")
        self.workers = [self._place(name, worker.main, self._worker) for name in names if name[0] == "w"]
        self.publishers = [self._place(name, publisher.main, self._publisher, again=False) for name in names if name[0] == "p"]

    def place(self, name: str) -> Place:
        """A place by its name."""
        return next(place for place in (*self.workers, *self.publishers) if place.name == name)

    def running(self, name: str) -> int:
        """How many handlers run in a place now."""
        return self._rows[name].running

    def _place(self, name: str, target: Any, spec: Any, *, again: bool = True) -> Place:
        place = Place(name, self.history, target, lambda process, before: spec(name, process, before), again=again)
        place.pause = lambda: self._chance.uniform(0.05, 0.6)
        place.on_end = lambda: self._forget(name)
        return place

    def _forget(self, name: str) -> None:
        row = self._rows[name]
        row["ended"], row["ready"] = row["started"], 0  # what ran there runs no more

    # -- what processes are to be

    def _worker(self, name: str, process: str, before: int) -> WorkerSpec:
        setup = self.setup
        points = deck(f"{setup.seed} {name} {before // 40}")
        dies = self._menu is not None and random.Random(f"{setup.seed} {name} {before}").random() < self._menu.points
        return WorkerSpec(
            folder=self.folder,
            process=process,
            row=self._numbers[name],
            rows=len(self.links),
            url=self.links[name].url,
            lease=setup.lease,
            claim_interval=setup.claim_interval,
            drain=setup.drain,
            concurrency=setup.concurrency,
            prefetch=setup.prefetch,
            # A rolling deploy that never ends: the first place is old and new in turn.
            newer=setup.all_newer or name != "w0" or before % 2 == 1,
            point=points[before % len(points)] if dies else "",
            plant=setup.plant,
            times=setup.times,
            groups=setup.groups,
            pattern=setup.pattern,
        )

    def _publisher(self, name: str, process: str, _: int) -> PublisherSpec:
        setup, number = self.setup, int(name[1:])
        share = setup.publishers
        return PublisherSpec(
            folder=self.folder,
            process=process,
            row=self._numbers[name],
            rows=len(self.links),
            url=self.links[name].url,
            seed=setup.seed,
            first=number,
            step=share,
            count=-(-setup.events // share) if setup.events else 0,
            rate=setup.rate / share,
            batch=setup.batch,
            odds=setup.odds,
            poison=tuple(each for at, each in enumerate(self._poison) if at % share == number),
            plant=setup.plant,
            pattern=setup.pattern,
        )

    # -- running

    @asynccontextmanager
    async def running_processes(self) -> AsyncIterator[None]:
        """Open the links and start the workers; end everything afterwards."""
        warm_up()
        for link in self.links.values():
            await link.open()
        watchers = {asyncio.create_task(watch()) for watch in (self._watch_redis, self._watch_loop, self._watch_lag)}
        try:
            for place in self.workers:
                place.start()
            await self._until_ready(self.workers)
            yield
        finally:
            for place in (*self.workers, *self.publishers):
                place.abandon()
                if place.alive:
                    await place.ended.wait()
            while watchers:  # a client in the midst of connecting may take a cancel for its own timeout
                for watcher in watchers:
                    watcher.cancel()
                _, watchers = await asyncio.wait(watchers, timeout=0.5)
            for link in self.links.values():
                await link.close()

    async def start_publishers(self) -> None:
        """Let the load begin: after every type was declared, or it would rightly be nobody's."""
        for place in self.publishers:
            place.start()
        await self._until_ready(self.publishers)

    def stop_publishers(self) -> None:
        """Let the load end after the batches under way."""
        for place in self.publishers:
            self._rows[place.name]["stop"] = 1

    async def published(self) -> None:
        """Wait until every publisher has ended by itself."""
        for place in self.publishers:
            await place.ended.wait()

    async def _until_ready(self, places: list[Place]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not all(self._rows[place.name]["ready"] for place in places):
                await asyncio.sleep(0.02)

    # -- the end

    async def drained(self, *, within: float) -> bool:
        """Wait until no group owes anything."""
        until = time.monotonic() + within
        async with Redis.from_url(self.url) as client:
            while time.monotonic() < until:
                if not any([any((await self._owed(client, group)).values()) for group in self.setup.groups]):
                    self.history.write("phase", "ok", name="drained")
                    return True
                await asyncio.sleep(0.1)
        return False

    async def settle(self) -> None:
        """Wait for what the pattern waits for."""
        async with Redis.from_url(self.url) as client:
            await self.pattern.settle(self, client)

    async def look_at_the_end(self) -> None:
        """Note what every group owes, and its dead letters."""
        async with Redis.from_url(self.url) as client:
            for group in self.setup.groups:
                self.history.write("state", "ok", g=group, **(await self._owed(client, group)))
                for stream in self.pattern.streams:
                    for letter in await dead_letters(client, stream, group):
                        self._note_letter(group, letter, level_of(stream))
            await self.pattern.look(self, client)
        self.history.write("phase", "ok", name="end")

    async def _owed(self, client: Redis, group: str) -> dict[str, int]:
        found = Counter[str]()
        for stream in self.pattern.streams:
            found.update(await owed(client, stream, group))
        return dict(found)

    def _note_letter(self, group: str, letter: dict[bytes, bytes], level: str) -> None:
        flat = [part for pair in letter.items() for part in pair]
        about = {"n": number_of(flat), "id": letter.get(b"id", b"").decode(), "e": level + letter[b"ebentry"].decode()}
        counts = {name: letter.get(f"eb{name}".encode(), b"0").decode() for name in ("attempts", "crashes", "deliveries")}
        if b"ebreplayed" in letter:
            about["replayed"] = True
        self.history.write("dead", "ok", g=group, **about, reason=letter[b"ebreason"].decode(), **counts)

    # -- watching

    async def _watch_redis(self) -> None:
        """Note when Redis itself is slow, which is nobody's fault of those that wait for it."""
        async with Redis.from_url(self.url, socket_timeout=PATIENCE, single_connection_client=True) as client:
            while True:
                since = time.monotonic()
                with suppress(RedisError, OSError):
                    await client.ping()
                if time.monotonic() - since > SLOW:
                    self.history.fault("stall", "ok", of="*", since=since)
                await asyncio.sleep(TICK)

    async def _watch_loop(self) -> None:
        """Note when this process was late: every link goes through it."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK)
            if time.monotonic() - before > TICK + LATE:
                self.history.fault("stall", "ok", of="*", since=before)

    async def _watch_lag(self) -> None:
        """Hold the publishers up while the workers are far behind."""
        while True:
            await asyncio.sleep(TICK)
            hold = int(self.waiting > self.setup.lag)
            for place in self.publishers:
                self._rows[place.name]["hold"] = hold

    @property
    def acknowledged(self) -> int:
        """Events whose publish was confirmed so far."""
        return self.board.total("published")

    @property
    def waiting(self) -> int:
        """Deliveries that are still to come, about: what is dead or was skipped counts as settled a little too late."""
        odd = sum(share for script, share in self.setup.odds.items() if script in ("fail", "reject", "never", "nobody"))
        wanted = int(self.acknowledged * len(self.setup.groups) * (1 - odd))
        return max(0, wanted - self.board.total("settled"))
