"""Batches: handlers take lists, and fail single events of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from eventbus import Batch, BatchContext
from eventbus.consuming.standing import HANDLED
from eventbus.delivery import Ending
from tests.chaos.checkers.apart import Apart
from tests.chaos.patterns.pattern import Pattern
from tests.chaos.planted import Plant, rooms_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventbus import Context, EventBus
    from tests.chaos.checkers import Checker
    from tests.chaos.load import Load
    from tests.chaos.rig import Setup
    from tests.chaos.run import Order
    from tests.chaos.scenarios import Scenarios
    from tests.chaos.troubles import Troubles
    from tests.chaos.verdicts import Terms

AT_A_TIME: Final = 2
"""Batches that a worker handles at a time."""


def _acks_all(base: Any) -> Any:
    class AcksAll(base):
        def _told(self, ended, event, took, time):
            return HANDLED if ended.ending is Ending.RAISED else super()._told(ended, event, took, time)

    return AcksAll


def _failures(scenarios: Scenarios) -> Order:
    order = scenarios.failures()
    return replace(order, setup=replace(order.setup, pattern="batches", odds={"once": 0.1, "fail": 0.05}))


class Batches(Pattern):
    """Each event of a batch is accounted for as if it had been alone, and what failed is not acknowledged with the others."""

    options: ClassVar = {"batch": Batch(max_size=16, max_wait=0.05), "concurrency": AT_A_TIME}
    plants: ClassVar = {"failed event acknowledged with its batch": Plant("apart", rooms_of("batches", executors=_acks_all))}
    scenarios: ClassVar = {"failed event acknowledged with its batch": _failures}

    def setup(self, setup: Setup) -> Setup:
        """No handler that is slower than a lease: a batch goes on as long as one of its events is still its own."""
        return replace(setup, odds={name: share for name, share in setup.odds.items() if name != "long"})

    def checkers(self, troubles: Troubles, terms: Terms, plain: dict[str, Checker]) -> dict[str, Checker]:
        """The plain ones, and whether failures kept apart."""
        return {**plain, "apart": Apart()}

    def subscribe(self, bus: EventBus, events: Any, handle: Callable[[Load, Context], Awaitable[None]], **options: Any) -> None:
        """Subscribe a handler that sees to all events of its batch side by side, and fails those that raise."""

        @bus.subscribe(events, **{**options, **self.options})
        async def handler(batch: list[Any], ctx: BatchContext) -> None:
            results = await asyncio.gather(*(handle(event, ctx.of(event)) for event in batch), return_exceptions=True)
            for event, result in zip(batch, results, strict=True):
                if result is not None:
                    ctx.fail(event, result)
