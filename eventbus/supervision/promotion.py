"""Promotes scheduled events into their topics when they are due."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.delivery import Backoff
from eventbus.errors import BackendError, BackendRefused, ConfigurationError
from eventbus.events import NORMAL, info
from eventbus.streams import ANSWER_TIMEOUT, Schedule, Wire, keys, pack

if TYPE_CHECKING:
    from eventbus.delivery import Alive, Settings, Topics
    from eventbus.events import Event, Topic
    from eventbus.streams import Connections

_log = logging.getLogger("eventbus.supervision")

WINDOW: Final = 200
"""Scheduled events one script looks at: 2 to 3 ms of the server's time."""

WINDOW_BYTES: Final = 1 << 20
"""Bytes after which it promotes no more, so that nobody waits long behind it."""

BLOCK: Final = 5.0
"""Seconds that one read waits: a key that vanished under a reader wakes nobody on 6.2."""

PROMPT: Final = Backoff(first=0.05, most=0.5)
"""What is due is late by no more than a second after an outage: these loops ask again sooner than those of leases."""


@dataclass(slots=True)
class PromotionCounts:
    """Plain counters, read when somebody asks.

    Attributes:
        promoted: Scheduled events this process promoted.
        missing: Due times it found whose event had been deleted by another hand.
        mended: Scheduled events without a due time that it gave theirs again.
    """

    promoted: int = 0
    missing: int = 0
    mended: int = 0


@dataclass(slots=True)
class _Watched:
    """A topic where something is, was or will be scheduled.

    Attributes:
        schedule: Its commands.
        priorities: Those that are known of it.
        due: The event loop's time of the next pass.
        woken: The last id of what wakes promoters; empty before the first pass.
    """

    schedule: Schedule
    priorities: set[str] = field(default_factory=lambda: {NORMAL})
    due: float = -math.inf
    woken: str = ""


class Promotion:
    """Promote the scheduled events of every topic this bus consumes or publishes to, when they are due.

    Guarantees:
        An event is never in two streams, nor in none; several promoters at once are safe. None is promoted before it is
        due by Redis's clock. One that is due is promoted by whichever process is open, within milliseconds where
        something was scheduled on its topic within a day before, from wherever; else within `claim_interval`. Those of
        one topic are promoted in the order of their due times.
    Stops:
        Between scripts.
    Survives:
        Anything: both loops raise, and are started again by the supervisor within half a second.
    Redis cost:
        Every `claim_interval` an EXISTS a topic; where something is or lately was scheduled, a script a topic in its place,
        one for up to 200 events that are due, and a connection of its own that waits for what is scheduled elsewhere.

    Args:
        connections: For that connection.
        wire: The command connection.
        settings: The bus's.
        topics: Those that the bus knows.
    """

    def __init__(self, connections: Connections, wire: Wire, settings: Settings, topics: Topics) -> None:
        self._wire = wire
        self._reader = Wire(connections, "waiting for what is scheduled")
        self._settings = settings
        self._topics = topics
        self._watched: dict[str, _Watched] = {}
        self._clock = asyncio.get_running_loop().time
        self._look = self._clock()
        self._wake = asyncio.Event()
        self._listening = anyio.CancelScope()
        self.counts = PromotionCounts()

    def watch(self, stream: str) -> None:
        """Something is scheduled, or will be at once, on the topic of this stream."""
        if stream not in self._watched:
            self._watched[stream] = _Watched(Schedule(self._wire, stream))
            self._wake.set()

    async def cancel(self, event_id: str, topic: str | Topic | type[Event]) -> bool:
        """Take a scheduled event back; see `EventBus.cancel_scheduled`."""
        name = info(topic).topic if isinstance(topic, type) else topic
        if name is None:
            raise ConfigurationError(f"cancel_scheduled(topic={topic!r}): this class names no topic; give the one that it was published to")
        stream = self._settings.prefix + self._topics.register(name).name
        return await Schedule(self._wire, stream).cancel(event_id)

    async def close(self) -> None:
        """Disconnect, once the loops have ended."""
        await self._reader.close()

    async def run(self, alive: Alive) -> None:
        """Promote whenever something is due."""
        while True:
            self._wake.clear()  # before the pass: what is scheduled meanwhile comes sooner
            await self.run_once()
            alive()
            await self._rest()

    async def run_once(self) -> None:
        """Promote what is due now, and look from time to time whether something was scheduled on further topics.

        Raises:
            BackendError: Redis does not answer, or refused something.
        """
        now = self._clock()
        if now >= self._look:
            await self._find()
            self._look = now + self._interval()
        refusals: list[BackendRefused] = []
        for stream, each in [(stream, each) for stream, each in self._watched.items() if each.due <= now]:
            try:
                await self._promote(each)
            except BackendRefused as error:  # of one topic: the others shall not wait for it
                refusals.append(BackendRefused(f"what is due on {stream!r}: {error}", code=error.code))
        if refusals:
            raise refusals[0]

    async def listen(self, alive: Alive) -> None:
        """Wait for what is scheduled before all else, from wherever, where anything is scheduled at all."""
        while True:
            alive()
            heard = {stream: each for stream, each in self._watched.items() if each.woken}
            with anyio.CancelScope() as self._listening:  # cancelled where a topic joins: an XREAD takes nothing with it
                await (self._hear(heard) if heard else anyio.sleep_forever())
            if self._listening.cancelled_caught:
                await self._reader.close()  # else its next command would wait behind the read

    # -- promoting

    async def _find(self) -> None:
        """Watch topics on which something is or lately was scheduled."""
        others = [each for topic in self._topics if (each := self._settings.prefix + topic.name) not in self._watched]
        if not others:
            return
        questions = [pack("EXISTS", keys.scheduled_due(each), keys.scheduled_wake(each)) for each in others]
        for stream, found in zip(others, await self._wire.call(questions), strict=True):
            if isinstance(found, int) and found:
                self.watch(stream)

    async def _promote(self, watched: _Watched) -> None:
        watched.due = self._clock() + self._interval()  # before the script: what is scheduled meanwhile comes sooner
        try:
            wait = await self._advance(watched)
            while wait == 0.0:
                wait = await self._advance(watched)
        except BackendError:
            watched.due = -math.inf
            raise
        if wait is not None:
            watched.due = min(watched.due, self._clock() + wait)

    async def _advance(self, watched: _Watched) -> float | None:
        """One script; returns the seconds until more is due."""
        done = await watched.schedule.promote(sorted(watched.priorities), count=WINDOW, size=WINDOW_BYTES)
        watched.priorities.update(done.unknown)
        if not watched.woken:
            self._listening.cancel()
        watched.woken = done.woken
        self._count(done.promoted, done.missing)
        if done.lost and (mended := await watched.schedule.mend()):
            self.counts.mended += mended
            _log.error("%d scheduled events had lost their due times; they have them again", mended)
            return 0.0
        return done.wait

    def _count(self, promoted: int, missing: int) -> None:
        self.counts.promoted += promoted
        if missing:
            self.counts.missing += missing
            _log.error("%d scheduled events were deleted by another hand before they were due", missing)

    def _interval(self) -> float:
        return self._settings.claim_interval * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret

    async def _rest(self) -> None:
        seconds = min(self._look, *(each.due for each in self._watched.values()), math.inf) - self._clock()
        with anyio.move_on_after(max(0.0, seconds)):
            await self._wake.wait()

    # -- listening

    async def _hear(self, heard: dict[str, _Watched]) -> None:
        """One read; whoever it names is looked at at once."""
        names = {keys.scheduled_wake(stream): each for stream, each in heard.items()}
        ids = [each.woken for each in heard.values()]
        options = ("COUNT", 1, "BLOCK", int(BLOCK * 1000))
        reply = await self._reader.one("XREAD", *options, "STREAMS", *names, *ids, timeout=BLOCK + ANSWER_TIMEOUT)
        for name, entries in reply or ():
            each = names[name.decode()]
            each.woken, each.due = entries[-1][0].decode(), -math.inf
            self._wake.set()
