"""Idempotent handling: many events are published twice, and a group finishes each of them once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final

from eventbus.streams import Start, keys
from eventbus.streams.scripts import run_script
from tests.chaos.checkers.handled_once import HandledOnce
from tests.chaos.checkers.liveness import Liveness
from tests.chaos.checkers.total_queue import TotalQueue
from tests.chaos.load import BACKOFF, STREAM
from tests.chaos.patterns.pattern import Pattern
from tests.chaos.planted import Plant, room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redis.asyncio import Redis

    from eventbus import EventBus, Published
    from tests.chaos.checkers import Checker
    from tests.chaos.load import Load
    from tests.chaos.rig import Rig, Setup
    from tests.chaos.run import Order
    from tests.chaos.scenarios import Scenarios
    from tests.chaos.troubles import Troubles
    from tests.chaos.verdicts import Terms

NAME: Final = "idempotent"

TWICE: Final = 3
"""One event of so many is published twice, at once; and another one a moment later, when the first is likely finished."""

LATER: Final = 1.0
"""Seconds for which a copy is put off that meets another one in progress."""

PAGE: Final = 5_000
"""Ids in one record of the history."""


def _in_two_calls(base: Any) -> Any:
    class InTwoCalls(base):
        async def finish(self, entries, *, private, token, window):
            entries = list(entries)
            source, ids = self.group.source(private=private), [entry_id for entry_id, _ in entries]
            count = await run_script(self._wire, "ack", (source, self.group.hash), (self.group.name, token, "1" if private else "0", *ids))
            await asyncio.sleep(0.05)  # as it may take on a busy machine
            await super().finish(entries, private=private, token=token, window=window)
            return count

    return InTwoCalls


def _nothing_in_progress(base: Any) -> Any:
    class NothingInProgress(base):
        async def start(self, entries, **rest):
            answers = await super().start(entries := list(entries), **rest)
            await self._wire.one("HDEL", self.group.doing, *(name for _, name in entries))
            return [Start.FREE if answer is Start.TWIN else answer for answer in answers]

    return NothingInProgress


def _forgetful(base: Any) -> Any:
    class Forgetful(base):
        async def start(self, entries, **rest):
            entries = list(entries)
            await self._wire.one("ZREM", self.group.done, *(name for _, name in entries))
            return await super().start(entries, **rest)

    return Forgetful


def _busy(make: Scenarios) -> Order:
    """Workers die while events come twice and take their time."""
    return make.order(replace(make.times(0.02, 0.1), pattern=NAME), 5, *make.kills(4, 4))


def _undisturbed(make: Scenarios) -> Order:
    """Events come twice, and nothing else happens."""
    return make.order(replace(make.times(0.02, 0.2), pattern=NAME), 4)


class Twice(TotalQueue):
    """As the plain checker, for events each of which may stand twice in the topic."""

    def _check_entry(self, number: int, entry: str) -> None:
        """Its second entry is one that the publisher meant."""


class Idempotent(Pattern):
    """Every group remembers what it has finished; one event in three is published again, at once or a little later."""

    options: ClassVar[Mapping[str, Any]] = {"idempotent": True}
    plants: ClassVar[Mapping[str, Plant]] = {
        "mark after the ack": Plant("handled once", room("marks", _in_two_calls)),
        "no mark in progress": Plant("handled once", room("marks", _nothing_in_progress)),
        "forgets what it finished": Plant("handled once", room("marks", _forgetful)),
    }
    scenarios: ClassVar[Mapping[str, Callable[[Scenarios], Order]]] = {
        "mark after the ack": _busy,
        "no mark in progress": _undisturbed,
        "forgets what it finished": _undisturbed,
    }

    def __init__(self) -> None:
        self._before: list[Load] = []

    def setup(self, setup: Setup) -> Setup:
        """As a plain one."""
        return replace(setup, rate=setup.rate or 1_500.0)

    async def publish(self, bus: EventBus, batch: list[Load], *, timeout: float) -> list[Published]:
        """Publish events with copies of some, and further copies of some that went out before."""
        copies = [*islice(batch, 0, None, TWICE), *islice(self._before, 1, None, TWICE)]
        self._before = list(batch)
        return await bus.publish_many([*batch, *copies], timeout=timeout)

    async def look(self, rig: Rig, client: Redis) -> None:
        """Note what every group remembers."""
        for group in rig.setup.groups:
            found = [name.decode() for name in await client.zrange(keys.done(STREAM, group), 0, -1)]
            for at in range(0, len(found), PAGE):
                rig.history.write("remembered", "ok", g=group, id=found[at : at + PAGE])

    def checkers(self, troubles: Troubles, terms: Terms, plain: dict[str, Checker]) -> dict[str, Checker]:
        """The plain ones, of which some know that copies are meant and are put off; and its own."""
        backoff = max(*BACKOFF, LATER)
        return {
            **plain,
            "total-queue": Twice(terms.groups),
            "liveness": Liveness(troubles, sweep=terms.claim_interval, backoff=backoff, allowance=terms.allowance, room=terms.concurrency),
            "handled once": HandledOnce(troubles),
        }
