"""A short schedule for each planted bug: the one under which it does its harm. Without the bug all checkers pass it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tests.chaos.faults import Fault
from tests.chaos.load import Times
from tests.chaos.patterns import PATTERNS
from tests.chaos.rig import Setup
from tests.chaos.run import Order

if TYPE_CHECKING:
    from collections.abc import Callable

LEASE: Final = 2.0


def _base(seed: str, plant: str) -> Setup:
    return Setup(seed=seed, plant=plant, lease=LEASE, claim_interval=0.4, drain=0.5, rate=300, odds={}, all_newer=True, batch=20)


def order(setup: Setup, seconds: float, *faults: Fault, poison: int = 0, **rest: float) -> Order:
    """What is to be run, with these faults and no others."""
    ordered = tuple(sorted(faults, key=lambda each: each.at))
    return Order(setup, seconds, counts={}, poison=poison, points=0.0, faults=ordered, **{"patience": 15.0, **rest})


class Scenarios:
    """Builds orders; what is left to chance is drawn from the seed.

    Args:
        seed: Decides the times.
        plant: The bug that is put in; empty for none.

    Attributes:
        setup: What they are made of, where they do not say otherwise.
    """

    order = staticmethod(order)

    def __init__(self, seed: str, plant: str = "") -> None:
        self.setup = _base(seed, plant)
        self._chance = random.Random(f"scenario {seed}")

    def at(self, least: float, most: float) -> float:
        """A time between two."""
        return self._chance.uniform(least, most)

    def worker(self) -> str:
        """The place of some worker."""
        return self._chance.choice(["w0", "w1", "w2"])

    def kills(self, count: int, span: float) -> list[Fault]:
        """Workers that are killed, spread over some seconds."""
        return [
            Fault(self.at(1 + number * span / count, 1 + (number + 1) * span / count), "kill", (self.worker(),)) for number in range(count)
        ]

    def times(self, least: float, most: float, **rest: float) -> Setup:
        """The setup, with handlers that take so long."""
        return replace(self.setup, times=Times(least, most, **rest))

    def busy_deaths(self) -> Order:
        """Workers die while they run handlers."""
        return order(self.times(0.05, 0.2), 5, *self.kills(4, 4))

    def queued_deaths(self) -> Order:
        """Workers die with a queue before their handlers."""
        setup = replace(self.times(0.05, 0.15), concurrency=4, prefetch=40, rate=150)
        return order(setup, 5, *self.kills(3, 3.5))

    def one_death(self) -> Order:
        """One worker dies, and is followed by another."""
        return order(self.times(0.02, 0.1), 4, *self.kills(2, 2), patience=9)

    def death_behind_healthy(self) -> Order:
        """A worker dies behind a thousand entries that healthy ones are busy with."""
        times = Times(0.02, 0.1, long=12.0, slow_first=1_150, slices=False)
        setup = replace(self.setup, times=times, groups=("charge",), concurrency=600, prefetch=200, rate=1_000, lag=10_000, batch=100)
        return order(setup, 5, Fault(self.at(2.5, 3.5), "kill", ("w1",)), patience=60, allowance=40)

    def nothing_at_all(self) -> Order:
        """No fault; handlers that take their time."""
        return order(self.times(0.2, 0.5), 5)

    def lost_confirmations(self) -> Order:
        """Replies to publishes are lost after they were executed."""
        return order(self.times(0.0, 0.01), 5, *(Fault(self.at(at, at + 1), "drop", ("p0",), detail="XADD") for at in (0.5, 1.5, 2.5, 3.5)))

    def pause_under_slow_handlers(self) -> Order:
        """A worker is stopped for more than two leases while its handlers have far to go."""
        setup = replace(self.times(5.0, 6.0), concurrency=8, prefetch=8, rate=6)
        return order(setup, 7, Fault(self.at(1, 2), "pause", (self.worker(),), self.at(2.1, 2.5) * LEASE), patience=30)

    def pause_before_failures(self) -> Order:
        """A worker is stopped, and its handlers fail when it wakes, while another one runs the same events."""
        setup = replace(self.times(2.5, 2.6, slices=False), concurrency=24, prefetch=8, rate=6, batch=3, odds={"at once": 1.0})
        return order(setup, 6, Fault(self.at(1.5, 2.5), "pause", (self.worker(),), self.at(1.35, 1.5) * LEASE), patience=30)

    def cut_moves(self) -> Order:
        """Connections are cut between commands, while many events fail."""
        setup = replace(self.times(0.0, 0.02), odds={"fail": 0.3}, rate=150)
        return order(setup, 5, *(Fault(self.at(at, at + 0.8), "cut", (self.worker(),), detail="XACK") for at in (0.5, 1.5, 2.5, 3.5)))

    def failures(self) -> Order:
        """Events fail once, and nothing else happens."""
        return order(replace(self.times(0.0, 0.02), odds={"once": 0.1}, rate=200), 4)

    def long_queues(self) -> Order:
        """More is read ahead than can be started within a lease."""
        setup = replace(self.times(1.0, 1.2), concurrency=4, prefetch=40, rate=30, groups=("charge",))
        return order(setup, 5, patience=40)

    def poison_beside_queues(self) -> Order:
        """An event kills worker after worker, each with a queue of innocents."""
        setup = replace(self.times(0.3, 0.5, kill=0.1), concurrency=8, prefetch=88, rate=300, events=240, groups=("charge",))
        return order(setup, 5 * LEASE + 0.4, poison=1, patience=60)  # after 0.4 s: in the midst of the others

    def capable_ones_stopped(self) -> Order:
        """The members that know a type are stopped; one that does not reads its events."""
        setup = replace(self.times(0.0, 0.02), odds={"fresh": 0.2}, all_newer=False, rate=100)
        pause, begin = self.at(2.6, 3.2) * LEASE, self.at(1, 1.5)
        return order(setup, 7, *(Fault(begin, "pause", (name,), pause) for name in ("w1", "w2")), patience=25)


SCENARIOS: Final[dict[str, Callable[[Scenarios], Order]]] = {
    "ack before handler": Scenarios.busy_deaths,
    "no claim loop": Scenarios.one_death,
    "cursor always at the start": Scenarios.death_behind_healthy,
    "claim takes ids in hand": Scenarios.nothing_at_all,
    "delconsumer with pending": Scenarios.queued_deaths,
    "fresh event id at each try": Scenarios.lost_confirmations,
    "unfenced beat": Scenarios.pause_under_slow_handlers,
    "unfenced move": Scenarios.pause_before_failures,
    "xadd and xack in two calls": Scenarios.cut_moves,
    "retry to the topic": Scenarios.failures,
    "trim past pending": Scenarios.busy_deaths,
    "queued entries not beaten": Scenarios.long_queues,
    "cancelled read": Scenarios.nothing_at_all,
    "crash charged to neighbours": Scenarios.poison_beside_queues,
    "skip by liveness": Scenarios.capable_ones_stopped,
}


def scenarios() -> dict[str, Callable[[Scenarios], Order]]:
    """The schedule of every bug, those of the patterns included."""
    return {**SCENARIOS, **{name: made for pattern in PATTERNS.values() for name, made in pattern.scenarios.items()}}


def scenario(plant: str, seed: str, *, planted: bool) -> Order:
    """The schedule of a bug, with it or without."""
    return scenarios()[plant](Scenarios(seed, plant if planted else ""))
