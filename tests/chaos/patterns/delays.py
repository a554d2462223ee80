"""Every second event is scheduled for a moment within three seconds; some of those are taken back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from eventbus import BackendRefused, BackendUnavailable, EventBusError, Failed, Published, PublishIncomplete
from eventbus.events import identity
from eventbus.streams import keys
from tests.chaos.checkers import Accounting, TotalQueue
from tests.chaos.checkers.due import CANCELLED, Due
from tests.chaos.load import STREAM
from tests.chaos.patterns.pattern import Pattern
from tests.chaos.planted import Plant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventbus import EventBus
    from tests.chaos.checkers import Checker
    from tests.chaos.history import Record
    from tests.chaos.load import Load
    from tests.chaos.planted import Bus
    from tests.chaos.rig import Rig, Setup
    from tests.chaos.run import Order
    from tests.chaos.scenarios import Scenarios
    from tests.chaos.troubles import Troubles
    from tests.chaos.verdicts import Terms

LONGEST: Final = 3.0
RATE: Final = 1_000.0
TAKEN_BACK: Final = 101
"""Of so many events one is."""


def delay_of(number: int) -> int:
    """The milliseconds for which an event is held; 0 for those that are published at once."""
    return 0 if number % 2 == 0 else 50 + number * 37 % int(LONGEST * 1000 - 50)


def taken_back(number: int) -> bool:
    """Whether a publisher takes it back at once."""
    return delay_of(number) > 1_000 and number % TAKEN_BACK == 0


def due_of(event_id: str, number: int) -> int:
    """When an event is due: its id's own time, and its delay later."""
    return int(event_id.replace("-", "")[:12], 16) + delay_of(number) if delay_of(number) else 0


class _Queue(TotalQueue):
    """What was scheduled is confirmed under another id than it comes with; what was taken back is not acknowledged."""

    def see(self, record: Record) -> None:
        super().see(_kept(record))

    def _check_entry(self, number: int, entry: str) -> None:
        if not delay_of(number):
            super()._check_entry(number, entry)


class _Accounting(Accounting):
    def see(self, record: Record) -> None:
        super().see(_kept(record))


def _kept(record: Record) -> Record:
    """A record without the publishes that were taken back."""
    if record["op"] != "publish" or record["is"] != "ok" or CANCELLED not in record["e"]:
        return record
    pairs = [(number, entry) for number, entry in zip(record["n"], record["e"], strict=True) if entry != CANCELLED]
    return {**record, "n": [number for number, _ in pairs], "e": [entry for _, entry in pairs]}


# -- bugs


def _promotion(**methods: Any) -> Callable[[Bus], Bus]:
    def plant(bus: Bus) -> Bus:
        return type("PlantedBus", (bus,), {"promotion_class": type("Planted", (bus.promotion_class,), methods)})

    return plant


async def _advance_early(self: Any, watched: Any) -> float | None:
    """Makes due what will be within half a second, as a clock of its own might have it."""
    due = keys.scheduled_due(STREAM)
    seconds, micro = await self._wire.one("TIME")
    soon = int(seconds) * 1000 + int(micro) // 1000 + 500
    for member in await self._wire.one("ZRANGEBYSCORE", due, "-inf", soon, "LIMIT", 0, 20):
        await self._wire.one("ZADD", due, "XX", 1, member)
    return await super(type(self), self)._advance(watched)


async def _deaf(self: Any, alive: Any) -> None:
    """Hears of nothing that is scheduled elsewhere, or here."""
    alive()
    await asyncio.Event().wait()


async def _advance_in_steps(self: Any, watched: Any) -> float | None:
    """Copies what is due, and removes it by a further command."""
    done = await watched.schedule.promote(["normal"], count=0, size=0)
    watched.woken = done.woken
    seconds, micro = await self._wire.one("TIME")
    now = int(seconds) * 1000 + int(micro) // 1000
    scheduled, due = keys.scheduled(STREAM), keys.scheduled_due(STREAM)
    for member in await self._wire.one("ZRANGEBYSCORE", due, "-inf", now, "LIMIT", 0, 20):
        for entry_id, fields in await self._wire.one("XRANGE", scheduled, member, member):
            await self._wire.one("XADD", STREAM, "*", *fields[:-6])
            await self._wire.one("XDEL", scheduled, entry_id)
        await self._wire.one("ZREM", due, member)
    return 0.05


async def _forgetful_cancel(self: Any, event_id: str, topic: Any) -> bool:
    """Forgets the event's id, and leaves the event."""
    return bool(await self._wire.one("HDEL", keys.scheduled_ids(STREAM), event_id))


def _calm(scenarios: Scenarios) -> Order:
    """Deaths of workers, some at the side of a promoter, and nothing else."""
    return scenarios.order(replace(scenarios.setup, pattern="delays", odds={}), 6, *scenarios.kills(2, 4), patience=20)


class Delays(Pattern):
    """Scheduled events among others."""

    plants: ClassVar[Mapping[str, Plant]] = {
        "promoted by another clock": Plant("due", _promotion(_advance=_advance_early)),
        "promoter that nobody wakes": Plant("due", _promotion(listen=_deaf, _interval=lambda _: 4.0)),
        "promoted in two steps": Plant("due", _promotion(_advance=_advance_in_steps)),
        "cancelled by half": Plant("due", _promotion(cancel=_forgetful_cancel)),
    }
    scenarios: ClassVar[Mapping[str, Callable[[Scenarios], Order]]] = {
        "promoted by another clock": _calm,
        "promoter that nobody wakes": _calm,
        "promoted in two steps": _calm,
        "cancelled by half": _calm,
    }

    def setup(self, setup: Setup) -> Setup:
        return replace(setup, rate=min(setup.rate, RATE) or RATE)

    async def publish(self, bus: EventBus, batch: list[Load], *, timeout: float) -> list[Published]:
        answers = await asyncio.gather(*(_publish(bus, event, timeout) for event in batch), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, BackendUnavailable | BackendRefused):
                raise answer
        written = [answer for answer in answers if isinstance(answer, Published)]
        failed = [Failed(at, batch[at], answer) for at, answer in enumerate(answers) if isinstance(answer, Exception)]
        unknown = [each for each in failed if isinstance(each.error, BackendUnavailable) and each.error.maybe_executed]
        if failed:
            raise PublishIncomplete(written=written, refused=[each for each in failed if each not in unknown], unknown=unknown)
        return written

    async def accompany(self, rig: Rig) -> None:
        rig.history.write("clock", "ok", wall=time.time())
        await super().accompany(rig)

    def checkers(self, troubles: Troubles, terms: Terms, plain: dict[str, Checker]) -> dict[str, Checker]:
        plain["liveness"].allowance += LONGEST
        own: dict[str, Checker] = {
            "total-queue": _Queue(terms.groups),
            "accounting": _Accounting(terms.groups, troubles),
            "due": Due(troubles, due_of),
        }
        return {**plain, **own}


async def _publish(bus: EventBus, event: Load, timeout: float) -> Published:
    """Publish one event, and take it back where it is one of those."""
    event_id = identity(event).id
    due = due_of(event_id, event.n)
    at = datetime.fromtimestamp(due / 1000, UTC) if due else None
    published = await bus.publish(event, at=at, timeout=timeout)
    if not taken_back(event.n) or published.due is None:
        return published
    try:
        in_time = await bus.cancel_scheduled(event_id, topic=STREAM)
    except EventBusError as error:  # whether it was taken back is not known, and it may be published again
        raise BackendUnavailable(str(error), event_id=event_id) from error
    return replace(published, entry_id=CANCELLED) if in_time else published
