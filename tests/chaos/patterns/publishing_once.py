"""Every event is published by its own id as a key, while replies to publishers are lost after their execution."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from tests.chaos.attack import Attack
from tests.chaos.checkers.published_once import PublishedOnce
from tests.chaos.faults import Fault
from tests.chaos.patterns.pattern import Pattern
from tests.chaos.planted import Plant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventbus import EventBus, Published
    from tests.chaos.checkers import Checker
    from tests.chaos.load import Load
    from tests.chaos.planted import Bus
    from tests.chaos.rig import Rig
    from tests.chaos.run import Order
    from tests.chaos.scenarios import Scenarios
    from tests.chaos.troubles import Troubles
    from tests.chaos.verdicts import Terms


def _no_key(bus: Bus) -> Bus:
    class Publisher(bus.publisher_class):
        def _place(self, event: Any, topic: Any, headers: Any, until: float, placement: Any) -> Any:
            return super()._place(event, topic, headers, until, replace(placement, idempotency_key=None))

    return type("PlantedBus", (bus,), {"publisher_class": Publisher})


def _key_of_the_try(bus: Bus) -> Bus:
    class Publisher(bus.publisher_class):
        def _place(self, event: Any, topic: Any, headers: Any, until: float, placement: Any) -> Any:
            return super()._place(event, topic, headers, until, replace(placement, idempotency_key=f"{time.monotonic_ns()}"))

    return type("PlantedBus", (bus,), {"publisher_class": Publisher})


def _lost_replies(scenarios: Scenarios) -> Order:
    """Replies to publishes are lost, and connections of publishers fall silent for longer than they wait."""
    setup = replace(scenarios.setup, pattern="once")
    holes = [Fault(at, "hole", ("p0",), 2.0) for at in (1.0, 5.0)]
    return scenarios.order(setup, 9, *holes, patience=20)


class PublishingOnce(Pattern):
    """Idempotent publishes."""

    plants: ClassVar[Mapping[str, Plant]] = {
        "key left out": Plant("published once", _no_key),
        "key of the try": Plant("published once", _key_of_the_try),
    }
    scenarios: ClassVar[Mapping[str, Callable[[Scenarios], Order]]] = {
        "key left out": _lost_replies,
        "key of the try": _lost_replies,
    }

    async def publish(self, bus: EventBus, batch: list[Load], *, timeout: float) -> list[Published]:
        return await bus.publish_many(batch, timeout=min(timeout, 1.0), idempotency_key=True)

    async def accompany(self, rig: Rig) -> None:
        """Lose replies to publishers, whatever they publish by: the drawn schedule loses those to XADD, which nobody sends here."""
        places = [place.name for place in rig.publishers]
        for number in range(1 << 20):
            await Attack(rig, [Fault(1.0, "drop", (places[number % len(places)],), detail="specversion")]).run(time.monotonic())

    def checkers(self, troubles: Troubles, terms: Terms, plain: dict[str, Checker]) -> dict[str, Checker]:
        return {**plain, "published once": PublishedOnce()}
