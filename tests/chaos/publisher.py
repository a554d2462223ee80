"""A publisher of the rig: batches of numbered events, published until each is confirmed."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from eventbus import EventBus, PublishIncomplete
from eventbus.events import identity
from tests.chaos.board import Board
from tests.chaos.history import History
from tests.chaos.load import ODDS, Load, script_of
from tests.chaos.patterns import pattern_of
from tests.chaos.worker import _log_to, die_with_parent

if TYPE_CHECKING:
    from pathlib import Path

PAUSE: Final = 0.005


@dataclass(frozen=True)
class PublisherSpec:
    """What a publisher is to do.

    Attributes:
        folder: The run's files.
        process: Its name.
        row: Its place on the board; rows: how many there are.
        url: Its way to Redis.
        seed: Decides the scripts.
        first: Its first number; step: how much further each following one is.
        count: How many events; 0 for as many as there is time for.
        rate: Most events a second; 0 for no limit.
        batch: Events that are published together.
        size: Bytes of a payload.
        odds: How often an event has a script of its own.
        poison: Seconds from the start at which an event goes out that kills its worker in a group.
        pattern: How it publishes; empty for the plain run.
    """

    folder: Path
    process: str
    row: int
    rows: int
    url: str
    seed: str
    first: int
    step: int
    count: int = 0
    rate: float = 0.0
    batch: int = 100
    size: int = 100
    odds: dict[str, float] = field(default_factory=lambda: dict(ODDS))
    poison: tuple[tuple[float, str], ...] = ()
    plant: str = ""
    timeout: float = 10.0
    pattern: str = ""


def main(spec: PublisherSpec) -> None:
    """Be a publisher, until everything is published; the target of a process."""
    die_with_parent()
    _log_to(spec.folder / f"{spec.process.partition('.')[0]}.log")
    asyncio.run(_Publisher(spec).run())


class _Publisher:
    def __init__(self, spec: PublisherSpec) -> None:
        self._spec = spec
        self._pattern = pattern_of(spec.pattern)
        self._history = History(spec.folder, spec.process)
        self._row = Board(spec.folder, spec.rows).rows[spec.row]
        self._chance = random.Random(f"scripts {spec.seed} {spec.first}")
        self._poison = list(spec.poison)
        self._made = 0
        self._begun = time.monotonic()

    async def run(self) -> None:
        spec, kind = self._spec, EventBus
        if spec.plant:
            from tests.chaos.planted import planted_bus

            kind = planted_bus(kind, spec.plant)
        async with kind(spec.url, service="rig") as self._bus:
            self._begun = time.monotonic()
            self._row["ready"] = 1
            while not self._row["stop"] and (batch := self._batch()):
                await self._publish(batch)
                await self._hold()
        self._history.write("end", "ok")

    def _batch(self) -> list[Load]:
        size = min(self._spec.batch, self._spec.count - self._made if self._spec.count else self._spec.batch)
        return [self._make() for _ in range(size)]

    def _make(self) -> Load:
        spec = self._spec
        number, script = spec.first + self._made * spec.step, script_of(self._chance, spec.odds)
        self._made += 1
        if self._poison and time.monotonic() - self._begun >= self._poison[0][0]:
            script = f"kill:{self._poison.pop(0)[1]}"
        return self._pattern.make(number, script, size=spec.size)

    async def _publish(self, batch: list[Load]) -> None:
        """Publish until every event is confirmed: what is unknown goes out again as the same object."""
        while batch:
            self._invoke(batch)
            counts = self._bus._runtime.publisher.counts
            before = counts.retries
            unknown: list[Load] = []
            refused: list[Load] = []
            try:
                written = await self._pattern.publish(self._bus, batch, timeout=self._spec.timeout)
            except PublishIncomplete as error:
                written = list(error.written)
                unknown, refused = [each.event for each in error.unknown], [each.event for each in error.refused]
            again = {"again": counts.retries - before} if counts.retries > before else {}
            done = {each.event_id: each.entry_id for each in written}
            confirmed = [event for event in batch if identity(event).id in done]
            self._history.write(
                "publish", "ok", n=[event.n for event in confirmed], e=[done[identity(event).id] for event in confirmed], **again
            )
            for how, events in (("unknown", unknown), ("fail", refused)):
                if events:
                    self._history.write("publish", how, n=[event.n for event in events], **again)
            self._row.add("published", len(confirmed))
            batch = [*unknown, *refused]

    def _invoke(self, batch: list[Load]) -> None:
        odd = {str(event.n): event.script for event in batch if event.script}
        ids = [identity(event).id for event in batch]
        self._history.write("publish", "invoke", n=[event.n for event in batch], id=ids, **({"odd": odd} if odd else {}))

    async def _hold(self) -> None:
        """Keep to the rate, and wait while the workers are far behind."""
        if self._spec.rate:
            await asyncio.sleep(max(0.0, self._begun + self._made / self._spec.rate - time.monotonic()))
        while self._row["hold"] and not self._row["stop"]:
            await asyncio.sleep(PAUSE)
