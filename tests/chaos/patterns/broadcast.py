"""Broadcasts under faults: each process gets every event that is published while it lives, and leaves no group behind."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from redis.exceptions import RedisError

from eventbus.delivery import Subscription
from eventbus.streams import broadcasts
from tests.chaos.checkers import Complaints
from tests.chaos.load import STREAM, Times
from tests.chaos.patterns.pattern import Pattern
from tests.chaos.planted import Plant
from tests.chaos.servers import owed

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from tests.chaos.checkers import Checker
    from tests.chaos.history import Record
    from tests.chaos.rig import Rig, Setup
    from tests.chaos.scenarios import Scenarios

FAMILY: Final = "cache"

SILENT: Final = 6.0
"""Leases, for a run: longer than every pause."""

PATIENCE: Final = 45.0
"""Seconds after which groups of dead processes are not waited for any longer."""

NOT_FOR_ALL: Final = frozenset({"fresh", "nobody"})
"""Scripts of events that some worker does not know."""


# -- its planted bugs


def _one_group(bus: Any) -> Any:
    """Every process names its group alike: they share the events."""
    Subscription.instance = lambda self, _: replace(self, group=f"{self.group}.all", family=self.group)
    return bus


def _leaves_its_dead(bus: Any) -> Any:
    class Careless(bus.janitor_class):
        async def _end_silent(self, instance):
            return

    return type("PlantedBus", (bus,), {"janitor_class": Careless})


def _calm(scenarios: Scenarios) -> Any:
    return scenarios.order(_alone(scenarios), 4)


def _deaths(scenarios: Scenarios) -> Any:
    return scenarios.order(_alone(scenarios), 5, *scenarios.kills(2, 3))


def _alone(scenarios: Scenarios) -> Any:
    return replace(scenarios.times(0.0, 0.02), pattern="broadcast", groups=("charge",), rate=100)


# -- the pattern


class Broadcast(Pattern):
    """Beside the ordinary group every worker has one of its own."""

    def setup(self, setup: Setup) -> Setup:
        """One ordinary group; handlers that are met by faults, at a rate that one process keeps up with."""
        return replace(setup, groups=setup.groups[:1], rate=setup.rate or 120, times=Times(0.02, 0.12))

    def subscribe(self, bus, events, handle, **options) -> None:
        """Both with the same handler, which notes the name that all share."""
        broadcasts.SILENT = SILENT
        super().subscribe(bus, events, handle, **options)
        super().subscribe(bus, events, handle, **{**options, "group": FAMILY, "broadcast": True})

    async def settle(self, rig: Rig, client: Redis) -> None:
        """Wait until every process has what is for it, and the groups of the dead are gone."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with suppress(RedisError, OSError):
                if not await _left(rig, client) and not any(
                    [any((await owed(client, STREAM, each)).values()) for each in await _groups(client)]
                ):
                    break
            await asyncio.sleep(0.2)
        rig.history.write("instances", "ok", left=await _left(rig, client))

    def checkers(self, troubles, terms, plain: dict[str, Checker]) -> dict[str, Checker]:
        """The plain ones are not shown what belongs to the broadcast."""
        return {**{name: Without(checker) for name, checker in plain.items()}, "broadcast": Reached()}

    plants: ClassVar = {
        "broadcast in one group": Plant("broadcast", _one_group),
        "broadcast leaves its dead": Plant("broadcast", _leaves_its_dead),
    }
    scenarios: ClassVar = {
        "broadcast in one group": _calm,
        "broadcast leaves its dead": _deaths,
    }


async def _groups(client: Redis) -> list[str]:
    return sorted(name.decode() for name in await client.smembers(f"{{{STREAM}}}:groups") if name.startswith(f"{FAMILY}.".encode()))


async def _left(rig: Rig, client: Redis) -> list[str]:
    """Groups whose process is gone, by the process id in their name."""
    living = {str(place._process.pid) for place in rig.workers if place._process is not None}
    pids = {name: name.split(".")[-2] for name in await _groups(client)}
    return [name for name, pid in pids.items() if pid.isdigit() and pid not in living]


# -- its checker


@dataclass(slots=True)
class Without:
    """Shows a checker all records but those of the broadcast's groups."""

    checker: Any

    def see(self, record: Record) -> None:
        """Look at the next record."""
        if not str(record.get("g", "")).startswith(FAMILY):
            self.checker.see(record)

    def verdict(self) -> Any:
        """What the checker says."""
        return self.checker.verdict()


@dataclass(frozen=True, slots=True)
class ReachedVerdict:
    """What came out.

    Attributes:
        processes: Those that lived at the end, and are judged.
        wanted: Events that were for them, published after they were ready, each counted for each.
        missing: Those of them that never came.
        left: Groups of dead processes that nobody removed.
    """

    processes: int
    wanted: int
    missing: int
    left: int
    complaints: Complaints


@dataclass(slots=True)
class Reached:
    """Check that each process that lives at the end got every event that was published since it was ready.

    And that the groups of the dead are gone by then.
    """

    complaints: Complaints = field(default_factory=Complaints)
    _ready: dict[str, float] = field(default_factory=dict)
    _seen: dict[str, set[int]] = field(default_factory=dict)
    _sent: dict[int, float] = field(default_factory=dict)
    _acknowledged: list[int] = field(default_factory=list)
    _processes: int = 0
    _wanted: int = 0

    def see(self, record: Record) -> None:
        """Look at the next record."""
        match record["op"], record["is"]:
            case "ready", _:
                self._ready[record["p"]] = record["t"]
            case "exit", _:
                self._ready.pop(record["of"], None)
                self._seen.pop(record["of"], None)
            case "publish", "invoke":
                odd = record.get("odd", {})
                self._sent |= {n: record["t"] for n in record["n"] if odd.get(str(n), "") not in NOT_FOR_ALL}
            case "publish", "ok":
                self._acknowledged += [n for n in record["n"] if n in self._sent]
            case "run", "invoke" if record["g"] == FAMILY:
                self._seen.setdefault(record["p"], set()).add(record["n"])
            case "instances", _:
                self._judge(record["left"])

    def _judge(self, left: list[str]) -> None:
        for process, since in self._ready.items():
            wanted = {n for n in self._acknowledged if self._sent[n] >= since}
            self._processes += 1
            self._wanted += len(wanted)
            for n in sorted(wanted - self._seen.get(process, set())):
                self.complaints.add("missing", f"event {n} never came to {process}, which was ready {self._sent[n] - since:.2f} s before")
        for name in left:
            self.complaints.add("left", f"group {name} is there although its process is gone")

    def verdict(self) -> ReachedVerdict:
        """Say what came out."""
        if not self._processes:
            self.complaints.add("nothing", "no process lived at the end")
        counts = self.complaints.counts
        return ReachedVerdict(self._processes, self._wanted, counts.get("missing", 0), counts.get("left", 0), self.complaints)
