"""A worker of the rig: a bus with two subscriptions, which notes everything and dies where it is told to."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import signal
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from eventbus import EventBus, Retry
from eventbus.delivery import Health
from eventbus.events import NORMAL
from tests.chaos.board import Board
from tests.chaos.history import History
from tests.chaos.load import ATTEMPTS, BACKOFF, GROUPS, Load, Refused, Times, intact, play
from tests.chaos.patterns import pattern_of
from tests.chaos.points import Points
from tests.chaos.tape import Tape, place, recorded_entries, recorded_group, recorded_marks, recorded_reader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from eventbus import Context
    from eventbus.consuming import Rooms
    from tests.chaos.board import Row

TICK: Final = 0.05
LATE: Final = 0.2
"""Seconds by which the event loop must be late for it to be noted as a stall."""


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker is to be.

    Attributes:
        folder: The run's files.
        process: Its name.
        row: Its place on the board; rows: how many there are.
        url: Its way to Redis.
        lease: And the other settings of its bus, in seconds.
        newer: It knows every type.
        point: Where it kills itself; empty for nowhere.
        plant: The bug it carries; empty for none.
        pattern: What it subscribes with; empty for the plain run.
    """

    folder: Path
    process: str
    row: int
    rows: int
    url: str
    lease: float
    claim_interval: float
    drain: float
    concurrency: int = 16
    prefetch: int = 32
    newer: bool = True
    point: str = ""
    plant: str = ""
    times: Times = field(default_factory=Times)
    groups: tuple[str, ...] = GROUPS
    pattern: str = ""


def main(spec: WorkerSpec) -> None:
    """Be a worker, until a signal; the target of a process."""
    die_with_parent()
    _log_to(spec.folder / f"{spec.process.partition('.')[0]}.log")
    try:
        asyncio.run(_Worker(spec).run())
    except BaseException:
        logging.getLogger("tests.chaos").exception("%s ends", spec.process)
        raise


def die_with_parent() -> None:
    """Be killed when the process that started this one is gone: nothing of a run outlives it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the rig, which ends its processes by itself
    gc.freeze()


def _log_to(path: Path) -> None:
    logging.basicConfig(filename=path, level=logging.WARNING, format="%(asctime)s %(process)d %(levelname)s %(message)s", force=True)
    logging.getLogger("eventbus.consuming").addFilter(
        lambda record: "raised in attempt" not in record.msg and "is a dead letter" not in record.msg
    )


class _Worker:
    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._history = History(spec.folder, spec.process)
        self._points = Points(spec.point, self._history)
        self._row: Row = Board(spec.folder, spec.rows).rows[spec.row]
        self._pattern = pattern_of(spec.pattern)
        self._tape = Tape(self._history, self._points, self._pattern.known[spec.newer])

    async def run(self) -> None:
        bus = self._bus()
        for group in self._spec.groups:
            self._subscribe(bus, group)
        try:
            await bus.run()
        finally:
            self._history.write("end", "ok")

    def _bus(self) -> EventBus:
        spec, rooms, publisher = self._spec, self._rooms(EventBus.rooms), EventBus.publisher_class
        kind = type("RigBus", (EventBus,), {"rooms": rooms, "publisher_class": publisher})
        if spec.plant:
            from tests.chaos.planted import planted_bus

            kind = planted_bus(kind, spec.plant)
        return kind(
            spec.url, service="rig", lease=spec.lease, claim_interval=spec.claim_interval, drain=spec.drain, lifespan=self._lifespan
        )

    def _rooms(self, rooms: Rooms) -> Rooms:
        tape = self._tape
        return replace(
            rooms,
            entries=recorded_entries(rooms.entries, tape),
            marks=recorded_marks(rooms.marks, tape),
            group=recorded_group(rooms.group, tape),
            reader=recorded_reader(rooms.reader, tape),
            ordered=replace(
                rooms.ordered,
                entries=recorded_entries(rooms.ordered.entries, tape),
                group=recorded_group(rooms.ordered.group, tape),
                reader=recorded_reader(rooms.ordered.reader, tape),
            ),
        )

    def _subscribe(self, bus: EventBus, group: str) -> None:
        spec, retry = self._spec, Retry(attempts=ATTEMPTS, backoff=BACKOFF, never_on=(Refused,))
        options = {"group": group, "concurrency": spec.concurrency, "prefetch": spec.prefetch, "retry": retry}
        self._pattern.subscribe(bus, self._pattern.events(newer=spec.newer), self._handle, **options)

    async def _handle(self, event: Load, ctx: Context) -> None:
        delivery, level = ctx._delivery, "" if ctx.priority == NORMAL else f"{ctx.priority}:"
        about: dict[str, Any] = {
            "g": ctx.group,
            "n": event.n,
            "e": f"{level}{ctx.entry_id}",
            "at": place(delivery.entry_id, private=delivery.private, level=level),
        }
        if ctx.replayed:
            about["replayed"] = True
        self._points.passing("handler.before")
        damage = {} if intact(event) else {"sum": False}
        self._history.write("run", "invoke", **about, id=ctx.id, a=ctx.attempt, **damage)
        self._row.add("started")
        try:
            await play(event, ctx, self._spec.times, self._dying)
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            self._history.write("run", "fail", **about, why="cancelled" if cancelled else type(error).__name__)
            raise
        else:
            self._history.write("run", "ok", **about)
            self._row.add("settled")
        finally:
            self._row.add("ended")
        self._points.passing("handler.after")

    def _dying(self) -> None:
        self._history.fault("fault", "invoke", kind="poison", of=self._spec.process)

    @asynccontextmanager
    async def _lifespan(self, bus: EventBus) -> AsyncGenerator[None]:
        async with asyncio.TaskGroup() as tasks:
            watchers = [tasks.create_task(self._watch_loop()), tasks.create_task(self._say_ready(bus))]
            try:
                yield
            finally:
                for watcher in watchers:
                    watcher.cancel()

    async def _watch_loop(self) -> None:
        """Note when the event loop did not turn: whoever is stopped cannot renew a lease."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK)
            if time.monotonic() - before > TICK + LATE:
                self._history.fault("stall", "ok", since=before)

    async def _say_ready(self, bus: EventBus) -> None:
        while not (fetching := [loop for loop in bus.loops if loop.name.startswith("fetching")]) or any(
            loop.health not in (Health.RUNNING, Health.STANDBY) for loop in fetching
        ):
            await asyncio.sleep(TICK)
        self._history.fault("ready", "ok")
        self._row["ready"] = 1
