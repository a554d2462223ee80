"""What is done to the processes of a run, and when: decided before it begins, by its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS: Final = ("kill", "pause", "term", "redis", "cut", "hole", "drop", "delay", "split")

MUST_BITE: Final = ("kill", "point", "poison", "pause", "cut", "hole", "drop", "redis")
"""Faults of which each kind must force an entry to be handed over, or a command to be sent again, in every run."""

MUST_HIT: Final = ("delay", "split", "term")
"""Faults of which each kind must show the replies, or the held entries, that it met."""

DROPPED: Final = ("XREADGROUP", "EVALSHA", "XADD")
"""Commands whose replies are lost after their execution, in turn."""

REDIS_DOWN: Final = (0.1, 1.0)
LATE: Final = (0.02, 0.15)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        at: Seconds after the load began.
        kind: One of `KINDS`.
        places: Whom it meets, the first first.
        seconds: How long it lasts; of a term: after how long each of its places is killed in the middle of its drain,
            0 for never.
        detail: Of a drop: the command. Of a delay: the seconds.
    """

    at: float
    kind: str
    places: tuple[str, ...]
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True)
class Menu:
    """How many faults of each kind, over how long, and on whom.

    Attributes:
        seconds: Faults begin within so many seconds.
        lease: A pause and a hole last for two to five of them.
        workers: Their places.
        publishers: Theirs.
        counts: Faults by kind.
        poison: Events that kill their worker.
        points: Share of starts of a worker that end at a named point.
    """

    seconds: float
    lease: float
    workers: Sequence[str]
    publishers: Sequence[str]
    counts: dict[str, int]
    poison: int = 0
    points: float = 0.3


@dataclass(slots=True)
class Planner:
    """Draws a schedule. The same seed and menu give the same one."""

    menu: Menu
    seed: str
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the seed."""
        self._chance = random.Random(f"faults {self.seed}")

    def plan(self) -> list[Fault]:
        """All faults, in order."""
        found = [self._fault(kind, at, number) for kind in KINDS for number, at in enumerate(self._times(self.menu.counts.get(kind, 0)))]
        return sorted(found, key=lambda fault: fault.at)

    def poison(self, groups: Sequence[str]) -> list[tuple[float, str]]:
        """When an event goes out that kills, and in which group; early enough for its last kill to be within the run."""
        times = self._times(self.menu.poison)
        last = max(0.0, self.menu.seconds - 5 * self.menu.lease)
        return [(min(at, last), self._chance.choice(list(groups))) for at in times]

    def _times(self, count: int) -> list[float]:
        span = self.menu.seconds / max(1, count)
        return [(number + self._chance.random()) * span for number in range(count)]

    def _fault(self, kind: str, at: float, number: int) -> Fault:
        """One fault: a storm, an outage, a lost reply, or something that meets one place for a while."""
        if kind == "term":
            return self._storm(at, number)
        if kind == "drop":
            return self._drop(at, number)
        chance, lease = self._chance, self.menu.lease
        places = (
            ["*"] if kind == "redis" else self.menu.workers if kind in ("kill", "pause") else [*self.menu.workers, *self.menu.publishers]
        )
        place = chance.choice(list(places))
        least, most = {"pause": (2 * lease, 5 * lease), "redis": REDIS_DOWN, "hole": (1.5 * lease, 3 * lease), "delay": (0.5, 2)}.get(
            kind, (0.3, 1)
        )
        detail = f"{chance.uniform(*LATE):.3f}" if kind == "delay" else ""
        return Fault(at, kind, (place,), 0.0 if kind in ("kill", "cut") else chance.uniform(least, most), detail)

    def _places(self, kind: str) -> list[str]:
        workers = list(self.menu.workers)
        if kind == "redis":
            return ["*"]
        return workers if kind in ("kill", "pause") else [*workers, *self.menu.publishers]

    def _storm(self, at: float, number: int) -> Fault:
        """Most workers at once; every second time one of them is killed while it drains."""
        workers = list(self.menu.workers)
        places = self._chance.sample(workers, max(1, len(workers) - number % 2))
        return Fault(at, "term", tuple(places), self._chance.uniform(0.02, 0.4) if number % 2 else 0.0)

    def _drop(self, at: float, number: int) -> Fault:
        command = DROPPED[number % len(DROPPED)]
        places = self.menu.publishers if command == "XADD" else self.menu.workers
        return Fault(at, "drop", (self._chance.choice(list(places)),), detail=command)
