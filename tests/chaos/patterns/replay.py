"""Ranges of the topic are replayed to one group and the other, by a process that is killed again and again."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from eventbus.streams import Address
from tests.chaos import load
from tests.chaos.checkers.replays import Apart, Replays, Workers
from tests.chaos.patterns.pattern import Pattern
from tests.chaos.planted import Plant
from tests.chaos.processes import Place
from tests.chaos.proxy import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.chaos.checkers import Checker
    from tests.chaos.rig import Rig, Setup
    from tests.chaos.run import Order
    from tests.chaos.scenarios import Scenarios
    from tests.chaos.troubles import Troubles
    from tests.chaos.verdicts import Terms

SECOND: Final = "replay cursor in a second call"

REPLAYER: Final = "r0"
"""The place of the process that replays."""

LIVES: Final = (0.5, 2.0)
"""Seconds that a replayer lives, from and to, before it is killed or cut off."""

ODDS: Final = {script: odds for script, odds in load.ODDS.items() if script not in ("fail", "reject", "never", "nobody")}
"""What ends well: a dead letter that is replayed dies twice, and of what nobody knows there is no run to be seen."""


def _no_bus(bus: type) -> type:
    return bus  # the replayer carries it


def _killed_replayer(scenarios: Scenarios) -> Order:
    """Nothing happens but that the replayer is killed."""
    return scenarios.order(replace(scenarios.times(0.0, 0.01), pattern="replay", rate=500), 12)


class Replay(Pattern):
    """The plain run, a part of it played again."""

    plants: ClassVar[Mapping[str, Plant]] = {SECOND: Plant("replays", _no_bus)}
    scenarios: ClassVar[Mapping[str, Callable[[Scenarios], Order]]] = {SECOND: _killed_replayer}

    def setup(self, setup: Setup) -> Setup:
        """At a rate that leaves room for what comes again."""
        return replace(setup, odds=ODDS, rate=setup.rate or 600.0)

    async def accompany(self, rig: Rig) -> None:
        """Replay, from the time there is something to replay, and kill who does it."""
        from tests.chaos.replayer import ReplayerSpec, main  # which is a process like a worker, and so knows the patterns

        def spec(process: str, _: int) -> ReplayerSpec:
            return ReplayerSpec(rig.folder, process, link.url, rig.setup.groups, rig.setup.plant)

        link, chance = Link(rig.folder / f"{REPLAYER}.sock", Address.parse(rig.url)), random.Random(f"replay {rig.setup.seed}")
        place = Place(REPLAYER, rig.history, main, spec)
        place.pause = lambda: chance.uniform(0.05, 0.2)
        await link.open()
        place.start()
        try:
            while True:
                await asyncio.sleep(chance.uniform(*LIVES))
                if chance.random() < 0.7:
                    place.kill()
                else:
                    link.cut()
        finally:
            place.again = False
            if place.kill():
                await place.ended.wait()
            place.abandon()
            await link.close()

    def checkers(self, troubles: Troubles, terms: Terms, plain: dict[str, Checker]) -> dict[str, Checker]:
        """Those of the plain run, which take a replayed run for one of another entry, and one for the replays."""
        del troubles, terms
        apart = {name: Apart(plain[name]) for name in ("accounting", "lease safety")}
        return {**plain, **apart, "effects": Workers(plain["effects"], REPLAYER), "replays": Replays()}
