"""The course of the demo: start, disturb, drain, stop, count."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.demo.audit import Audit, Totals
from services.demo.looks import Look, look_at_all
from services.demo.meters import Meters
from services.demo.plan import App, Group, groups_of
from services.demo.processes import Crew, Worker, environment
from services.demo.reading import Ledgers
from services.demo.replacements import Replacement, candidates, has_joined, held_by
from services.demo.screen import Screen, Snapshot

TICK = 0.25
"""Seconds between two looks at everything."""

JOIN = 60.0
"""Seconds that all workers together get to start."""

LEAVE = 35.0
"""Seconds a worker gets to leave: a bus's drain of 25 and its grace, and a little more."""

CLEAR = 5.0
"""Seconds that what is left after all gets, before it is killed."""


class Trouble(Exception):
    """The demo cannot go on; says why, with the log of who is to blame."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the demo runs.

    Attributes:
        plan: What it runs.
        seconds: How long events are made; None until interrupted.
        kill_every: Seconds between two kills.
        stall: Seconds after which what has not moved counts as missing.
        kill: Names of the apps whose workers are killed; empty for all.
    """

    plan: tuple[App, ...]
    seconds: float | None = None
    kill_every: float = 5.0
    stall: float = 10.0
    kill: frozenset[str] = frozenset()


class Interrupt:
    """What Ctrl-C asks for: the first time to come to an end, the second time to do so at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()

    def __call__(self) -> None:
        """Ask (again)."""
        (self.hurry if self.asked.is_set() else self.asked).set()


class Show:
    """One run of the demo on a server at `url`, with ledgers and logs below `directory`."""

    def __init__(self, options: Options, url: str, directory: Path, screen: Screen, interrupt: Interrupt) -> None:
        ledger, logs = directory / "ledger", directory / "logs"
        for needed in (ledger, logs):
            needed.mkdir()
        self._options = options
        self._groups = groups_of(options.plan)
        self._crew = Crew(environment(url, ledger), logs)
        self._redis = Redis.from_url(url, decode_responses=True)  # pyright: ignore[reportUnknownMemberType] - of redis-py
        self._screen, self._interrupt = screen, interrupt
        self._ledgers, self._audit, self._meters = Ledgers(ledger), Audit(self._groups), Meters(self._groups)
        self._looks: dict[Group, Look] = {}
        self._phase, self._began, self._moved = "starting", time.monotonic(), time.monotonic()
        self.replacements: list[Replacement] = []
        self.stalled = False

    async def run(self) -> None:
        """Run until everything published was handled, or nothing moves any more.

        Raises:
            Trouble: A process ended by itself or did not start in time, or the server went away.
        """
        try:
            with self._screen.shown():
                await self._start()
                await self._disturb()
                await self._drain()
                await self._stop()
        except RedisError as error:
            raise Trouble(f"the server does not answer: {error}") from error
        finally:
            await self._crew.end(0 if self._interrupt.hurry.is_set() else CLEAR)
            self._read()
            await self._redis.aclose()

    def totals(self) -> Totals:
        """What was published and handled."""
        return self._audit.totals()

    def missing(self) -> dict[Group, dict[str, str]]:
        """Ids and types of what is missing, of the groups that miss something."""
        return {group: missing for group in self._groups if (missing := self._audit.missing(group))}

    def waits(self) -> dict[Group, dict[str, float]]:
        """How long events took at each priority, of the groups whose topic has any, and of those whose events are held."""
        return {group: self._meters.waits(group) for group in self._groups if len(group.priorities) > 1 or group.held}

    def ended_badly(self) -> list[Worker]:
        """Workers that were told to leave and ended with an error."""
        return [worker for worker in self._crew.workers if worker.ended_badly]

    # -- the acts

    async def _start(self) -> None:
        consumers = [await self._crew.start(app) for app in self._plan(produces=False) for _ in range(app.workers)]
        deadline = time.monotonic() + JOIN

        def joined() -> bool:
            late = [worker for worker in consumers if not has_joined(worker, self._looks)]
            if late and time.monotonic() > deadline:
                raise Trouble(f"{late[0]} did not join its groups in {JOIN:.0f} s; its log ends:\n{late[0].tail()}")
            return not late

        await self._until(joined)
        if not self._interrupt.asked.is_set():
            for app in self._plan(produces=True):
                await self._crew.start(app)

    async def _disturb(self) -> None:
        self._phase = "running"
        begin = time.monotonic()
        due = begin + self._options.kill_every
        seconds = float("inf") if self._options.seconds is None else self._options.seconds
        while time.monotonic() < begin + seconds and not self._interrupt.asked.is_set():
            await self._tick()
            if time.monotonic() >= due and await self._replace_one():
                due = time.monotonic() + self._options.kill_every

    async def _drain(self) -> None:
        self._phase = "draining"
        producers = [worker for worker in self._crew.running() if worker.app.produces]
        for worker in producers:
            worker.stop()
        await self._until(lambda: not any(worker.runs for worker in producers))
        self._moved = time.monotonic()
        await self._until(self._settled)

    async def _stop(self) -> None:
        self._phase = "stopping"
        for worker in self._crew.running():
            worker.stop()
        deadline = time.monotonic() + LEAVE
        await self._until(lambda: not self._crew.running() or time.monotonic() > deadline)

    # -- their parts

    def _plan(self, *, produces: bool) -> list[App]:
        return [app for app in self._options.plan if app.produces is produces]

    def _settled(self) -> bool:
        """Nothing is missing, or nothing has moved for so long that nothing will."""
        self.stalled = time.monotonic() - self._moved > self._options.stall
        return not self.totals().missing or self.stalled

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Go on until the condition holds; during the start also until interrupted, later until hurried."""
        given_up = self._interrupt.asked if self._phase == "starting" else self._interrupt.hurry
        while not given_up.is_set():
            await self._tick()
            if condition():
                return

    async def _tick(self) -> None:
        await asyncio.sleep(TICK)
        self._read()
        self._looks = await look_at_all(self._redis, self._groups)
        self._screen.show(self._snapshot())
        for worker in self._crew.ended():
            if worker.told is None:
                code = worker.process.returncode
                raise Trouble(f"{worker} ended by itself with code {code}; its log ends:\n{worker.tail()}")

    def _read(self) -> None:
        for record in self._ledgers.new():
            self._audit.take(record)
            self._meters.take(record)
            self._moved = time.monotonic()

    async def _replace_one(self) -> bool:
        """Kill one busy worker and start another; False where nobody holds anything just now."""
        chosen = self._options.kill
        workers = [worker for worker in self._crew.running() if not chosen or worker.app.name in chosen]
        for worker in candidates(workers, self._looks, self.replacements):
            with worker.frozen():
                held = held_by(worker, await look_at_all(self._redis, worker.app.groups))
                if held:
                    worker.kill()
            if held:
                successor = await self._crew.start(worker.app)
                self.replacements.append(Replacement(self._elapsed(), worker, held, successor))
                return True
        return False

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _snapshot(self) -> Snapshot:
        now = time.time()
        return Snapshot(
            phase=self._phase,
            elapsed=self._elapsed(),
            workers=len(self._crew.running()),
            topics=self._meters.topics(now),
            groups=self._meters.groups(now, {group: len(ids) for group, ids in self.missing().items()}, self._looks),
            totals=self.totals(),
            replaced=[str(replacement) for replacement in self.replacements],
        )
