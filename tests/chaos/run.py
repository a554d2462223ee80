"""One run from its first process to its verdict."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redis import Redis as Client
from redis.asyncio import Redis

from tests.chaos.attack import Attack
from tests.chaos.faults import Fault, Menu, Planner
from tests.chaos.processes import cool_down
from tests.chaos.rig import Rig, Setup
from tests.chaos.servers import KillableServer
from tests.chaos.verdicts import Terms, Verdicts, judge
from tests.servers import packaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Program

DRAIN: Final = 60.0
"""Seconds after which a group that still owes something is given up."""

PER_SECOND: Final = {"kill": 1 / 9, "pause": 1 / 17, "term": 1 / 40, "redis": 1 / 58, "cut": 1 / 25, "hole": 1 / 60}
PER_SECOND |= {"drop": 1 / 20, "delay": 1 / 60, "split": 1 / 60}
"""Faults of a long run: 1,800 seconds make 200 SIGKILLs beside those at named points and by poison, 105 pauses, 31 kills of Redis."""

LEAST: Final = {"kill": 6, "pause": 3, "term": 2, "redis": 2, "cut": 3, "hole": 2, "drop": 6, "delay": 2, "split": 2}
"""Faults of the shortest run."""


@dataclass(frozen=True)
class Order:
    """What is to be run.

    Attributes:
        setup: Of what.
        seconds: For how long faults are made.
        at_least: Events to acknowledge at the least: faults are made, and events published, until there are so many.
        counts: How many of each kind; None for as many as the seconds allow.
        poison: Events that kill; points: the share of workers that die at a named point.
        program: The server to start; None for the packaged one. url: a server that is there, and is not killed.
        fsync: How it writes its append-only file.
        keep: Where the histories are to stay; None for nowhere.
        faults: The faults themselves, in place of a drawn schedule.
        allowance: Seconds that the drain may take beyond its limit, for handlers that take long.
        patience: Seconds after which a group that still owes something is given up.
    """

    setup: Setup
    seconds: float
    at_least: int = 0
    counts: dict[str, int] | None = None
    poison: int | None = None
    points: float = 0.3
    program: Program | None = None
    url: str = ""
    fsync: str = "always"
    keep: Path | None = None
    faults: tuple[Fault, ...] | None = None
    patience: float = DRAIN
    allowance: float = 0.0

    def menu(self) -> Menu:
        """The faults to draw."""
        counts = self.counts
        if counts is None:
            counts = {kind: max(LEAST[kind], int(self.seconds * often)) for kind, often in PER_SECOND.items()}
        if self.url:
            counts = {**counts, "redis": 0}
        setup = self.setup
        poison = max(2, int(self.seconds / 60)) if self.poison is None else self.poison
        workers = [f"w{number}" for number in range(setup.workers)]
        publishers = [f"p{number}" for number in range(setup.publishers)]
        return Menu(self.seconds, setup.lease, workers, publishers, counts, poison, self.points)


@dataclass
class Result:
    """What came of a run.

    Attributes:
        facts: About the run: seed, server, lease, seconds, rates.
        made: Faults by kind.
        verdicts: What every checker said.
    """

    facts: dict[str, Any]
    made: dict[str, int]
    verdicts: Verdicts
    schedule: list[Fault] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether no checker complains."""
        return not self.verdicts.complaining


async def run(order: Order, *, progress: bool = False) -> Result:
    """Run it."""
    with _folder(order.keep) as folder, _server(order) as (url, server):
        return await _Run(order, folder, url, server, progress=progress).run()


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    # Short, since the path of a unix socket has about a hundred bytes.
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        yield folder
    finally:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            for path in (*folder.glob("*.jsonl"), *folder.glob("*.log")):
                shutil.copy(path, keep)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _server(order: Order) -> Iterator[tuple[str, KillableServer | None]]:
    if order.url:
        with Client.from_url(order.url) as client:
            if client.dbsize():
                raise SystemExit(f"the server at {order.url} holds keys, and a run ends by emptying it: name an empty one")
            try:
                yield order.url, None
            finally:
                client.flushdb()
        return
    server = KillableServer(order.program or packaged(), fsync=order.fsync)
    try:
        yield server.url, server
    finally:
        server.stop()


class _Run:
    def __init__(self, order: Order, folder: Path, url: str, server: KillableServer | None, *, progress: bool) -> None:
        self._order = order
        self._folder = folder
        self._progress = progress
        planner = Planner(order.menu(), order.setup.seed)
        self._schedule = self._plan(1)
        poison = planner.poison(order.setup.groups)
        self._rig = Rig(order.setup, folder, url, server=server, menu=planner.menu, poison=poison)
        self._attack = Attack(self._rig, self._schedule)
        self._began = 0.0
        self._loaded = 0.0
        self._backlog = 0

    async def run(self) -> Result:
        rig, status = self._rig, asyncio.create_task(self._show())
        try:
            async with rig.running_processes():
                await rig.start_publishers()
                self._began = time.monotonic()
                await self._load()
                await self._calm_down()
        finally:
            status.cancel()
            with suppress(asyncio.CancelledError):
                await status
            cool_down()
        return self._result(await self._facts())

    async def _load(self) -> None:
        """Publish and make faults, until both are over."""
        rig = self._rig
        async with asyncio.TaskGroup() as tasks:
            company = tasks.create_task(rig.pattern.accompany(rig))
            tasks.create_task(self._make_faults())
            await rig.published()
            company.cancel()
        self._loaded = time.monotonic() - self._began
        self._backlog = rig.waiting
        rig.history.write("phase", "ok", name="calm", waiting=self._backlog)

    async def _make_faults(self) -> None:
        """Make all faults, and those of a further schedule as long as there are too few events; then end the load."""
        rig, order, part = self._rig, self._order, 1
        while True:
            began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._attack.run(began))
                if not rig.setup.events:
                    await asyncio.sleep(order.seconds)
            if rig.acknowledged >= order.at_least:
                break
            part += 1
            more = self._plan(part)
            self._schedule += more
            self._attack = Attack(rig, more, self._attack.made)
        if not rig.setup.events:  # else they end by themselves
            rig.stop_publishers()

    def _plan(self, part: int) -> list[Fault]:
        order = self._order
        if order.faults is not None:
            return list(order.faults)
        seed = order.setup.seed if part == 1 else f"{order.setup.seed} part {part}"
        return Planner(order.menu(), seed).plan()

    async def _calm_down(self) -> None:
        """See that everything ends, then end the workers, and look at what is left."""
        rig = self._rig
        await rig.drained(within=self._order.patience)
        await rig.settle()
        await asyncio.gather(*(place.end() for place in rig.workers))
        await rig.look_at_the_end()

    async def _facts(self) -> dict[str, Any]:
        order, setup = self._order, self._order.setup
        async with Redis.from_url(self._rig.url) as client:
            version = (await client.info("server"))["redis_version"]
        acknowledged = self._rig.acknowledged
        return {
            **({"pattern": setup.pattern} if setup.pattern else {}),
            "seed": setup.seed,
            "server": version,
            "fsync": order.fsync if not order.url else "as given",
            "seconds": round(self._loaded, 1),
            "events": acknowledged,
            "rate": round(acknowledged / self._loaded) if self._loaded else 0,
            "workers": setup.workers,
            "groups": len(setup.groups),
            "concurrency": setup.concurrency,
            "lease": setup.lease,
            "claim interval": setup.claim_interval,
        }

    def _result(self, facts: dict[str, Any]) -> Result:
        setup, began = self._order.setup, time.monotonic()
        kinds = {fault.kind for fault in self._schedule if not (fault.kind == "redis" and self._order.url)}
        backlog = self._backlog / max(1, facts["rate"] * len(setup.groups))
        allowance = backlog + setup.times.long + self._order.allowance
        terms = Terms(
            setup.groups,
            setup.lease,
            setup.claim_interval,
            setup.concurrency,
            tuple(sorted(kinds)),
            allowance,
            self._order.fsync != "always",
            setup.pattern,
        )
        verdicts = judge(self._folder, terms)
        size = sum(path.stat().st_size for path in self._folder.glob("*.jsonl"))
        facts |= {"history MB": round(size / 1e6, 1), "judged in": round(time.monotonic() - began, 1)}
        return Result(facts, self._attack.made, verdicts, self._schedule)

    # -- progress

    async def _show(self) -> None:
        """One line of what is going on, written over itself."""
        before, last = time.monotonic(), 0
        while self._progress:
            await asyncio.sleep(1.0)
            now, count, made = time.monotonic(), self._rig.acknowledged, self._attack.made
            rate = (count - last) / (now - before)
            before, last = now, count
            rest = " ".join(f"{kind} {number}" for kind, number in made.items())
            at = now - self._began if self._began else 0.0
            line = f"{at:6.0f} s  {count:>9,} events  {rate:6,.0f}/s  waiting {self._rig.waiting:>6,}  {rest}"
            sys.stderr.write(f"\r{line:<110.110}" if sys.stderr.isatty() else f"{line}\n" if int(at) % 10 == 0 else "")
            sys.stderr.flush()
