"""Publishes events: those of one turn of the event loop go to Redis in one write."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NoReturn

import anyio

from eventbus.delivery import PUBLISH_TIMEOUT, Alive, Published, Settings, Topics
from eventbus.errors import (
    BackendError,
    BackendRefused,
    BackendUnavailable,
    ConfigurationError,
    EncodeError,
    Failed,
    LifecycleError,
    PublishIncomplete,
)
from eventbus.events import Event, Topic, identity, info
from eventbus.publishing.durable import Durable
from eventbus.publishing.waiting import TRANSIENT, PublishCounts, Waiting, give_up
from eventbus.publishing.writing import Writing
from eventbus.streams import Connections, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from eventbus.delivery import Durability
    from eventbus.publishing.durable import Start

CHUNK: Final = 500
"""Commands in one write. Larger ones gain nothing measurable and make the first wait for the last."""

CHUNK_BYTES: Final = 1 << 20
"""Bytes in one write, unless a single event is larger."""

MOST_WRITINGS: Final = 1_000
"""Packed parts of commands that are kept, one for each class and topic: a program may make up topics for ever."""

LONGEST: Final = 1e9
"""Seconds that every longer timeout stands for: a clock cannot add whatever number somebody writes."""

SWEEP: Final = 0.05
"""Seconds between looks for publishes whose time is over: one timer for all of them."""


class Publisher:
    """Publish events on one connection of its own.

    Args:
        connections: Where its connections come from.
        settings: The bus's.
        topics: Those that the bus knows.
        start: Starts a loop beside `run` and `sweep`, where publishes are to be more durable than others.

    Guarantees:
        A returned `Published` was confirmed by Redis. All tries of one publish carry one event id. A
        write whose answer is lost is repeated, so that an event may stand twice in its stream, with one id.
    Stops:
        `close` refuses new publishes and waits for those under way, each until its own deadline, all of
        them for 10 seconds at most.
    Survives:
        BackendUnavailable and passing refusals (failover): `run` raises and is started again by the
        supervisor, with backoff; each publish is tried until its own deadline.
    Redis cost:
        One XADD an event; those of one turn of the event loop share a write and a reply. What is to be
        more durable goes its own way (`Durable`), on connections that are opened when first needed.
    """

    def __init__(self, connections: Connections, settings: Settings, topics: Topics, start: Start | None = None) -> None:
        self.counts = PublishCounts()
        self.durable = Durable(connections, self.counts, start)
        self._settings = settings
        self._topics = topics
        self._wire = Wire(connections, "publishing")
        self._writings: dict[tuple[type[Event], str | None], Writing] = {}
        self._queue: deque[Waiting] = deque()
        self._sent: list[Waiting] = []
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False

    async def publish(
        self,
        event: Event,
        *,
        topic: str | Topic | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = PUBLISH_TIMEOUT,
        durability: Durability | None = None,
    ) -> Published:
        """Publish one event; see `EventBus.publish`."""
        waiting = self._prepare(event, topic, headers, timeout)
        self._enqueue([waiting], durability)
        return await waiting.answer

    async def publish_many(
        self,
        events: Iterable[Event],
        *,
        topic: str | Topic | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = PUBLISH_TIMEOUT,
        durability: Durability | None = None,
    ) -> list[Published]:
        """Publish many events; see `EventBus.publish_many`."""
        batch = list(events)
        waiting = [self._prepare(event, topic, headers, timeout) for event in batch]
        self._enqueue(waiting, durability)
        return _complete(batch, waiting, await _answers(waiting))

    async def run(self, alive: Alive) -> None:
        """Write what is queued, for as long as the bus is open; raises what is to be tried again later."""
        self._requeue(self._sent)
        while True:
            if not self._queue:
                self._empty.set()
                self._wake.clear()
                await self._wake.wait()
            await self.run_once()
            alive()

    async def run_once(self) -> None:
        """Write one chunk and hand out its answers.

        Raises:
            BackendError: Some of it has to be tried again later; it is queued again, in its old order.
        """
        await self._connect()
        # Taken only now: whoever was given up or cancelled while it connected was told that nothing was written.
        self._sent = chunk = self._take()
        if not chunk:
            return
        answers = _Answers(chunk, self._settle)
        lost: BackendUnavailable | BackendRefused | None = None
        try:
            self.counts.writes += 1
            await self._wire.call([waiting.command for waiting in chunk], into=answers)
        except (BackendUnavailable, BackendRefused) as error:
            lost = error
        finally:
            # Also where it was cancelled: what is sent and unanswered then is for `run` or `abandon`.
            rest = chunk[len(answers) :]
            _mark_unanswered(rest, lost)
            self._sent = [*answers.again, *rest]
        self._requeue(self._sent)
        if lost or answers.again:
            await self._try_later(lost or answers.again[0].last)

    async def _connect(self) -> None:
        if self._wire.connected:
            return
        try:
            await self._wire.connect()
        except BackendError as error:
            for waiting in self._queue:
                waiting.last = error
            await self._try_later(error)

    async def sweep(self, alive: Alive) -> None:
        """Give up publishes whose time is over. One timer for all: a timer each would cost more than the write."""
        loop = asyncio.get_running_loop()
        while True:
            await anyio.sleep(SWEEP)
            now = loop.time()
            for waiting in (*self._sent, *self._queue):
                if waiting.until <= now and not waiting.answer.done():
                    waiting.maybe_written |= waiting in self._sent
                    self.counts.given_up += 1
                    give_up(waiting, "its time was over")
            self.durable.sweep(now)
            alive()

    async def close(self) -> None:
        """Refuse new publishes and wait until those under way have an answer or ran out of time."""
        self._closed = True
        with anyio.move_on_after(PUBLISH_TIMEOUT):
            await self._empty.wait()
            await self.durable.emptied()

    async def abandon(self) -> None:
        """Answer everything that still waits, once the loops have ended, and disconnect."""
        self._closed = True
        for waiting in (*self._sent, *self._queue):
            give_up(waiting, "the bus was closed")
        self._queue.clear()
        self._empty.set()
        await self.durable.abandon()
        await self._wire.close()

    # -- from an event to a queued command

    def _prepare(self, event: Event, topic: str | Topic | None, headers: Mapping[str, str] | None, timeout: float) -> Waiting:
        if not isinstance(event, Event):
            raise EncodeError(f"{type(event).__name__} is no event: publish an instance of a class derived from Event")
        chosen = None if topic is None else self._topics.register(topic).name
        writing = self._writings.get((type(event), chosen)) or self._begin_writing(type(event), chosen)
        command = writing.command(event, headers)
        loop = asyncio.get_running_loop()
        return Waiting(command, identity(event).id, writing.topic, loop.time() + _seconds(timeout), loop.create_future())

    def _begin_writing(self, event_class: type[Event], chosen: str | None) -> Writing:
        wanted = chosen or info(event_class).topic
        if wanted is None:
            name = event_class.__name__
            raise EncodeError(f"{name} names no topic: write class {name}(Event, topic='…'), or publish with topic=")
        name, settings = self._topics.register(wanted).name, self._settings
        writing = Writing(name, settings.prefix + name, source=f"/{settings.service}", max_bytes=settings.max_event_bytes)
        if len(self._writings) >= MOST_WRITINGS:
            self._writings.clear()
        self._writings[event_class, chosen] = writing
        return writing

    def _enqueue(self, waiting: list[Waiting], durability: Durability | None) -> None:
        if self._closed:
            raise LifecycleError("the bus is closed: publish before it is, or open a new one")
        if durability is not None:
            self.durable.enqueue(waiting, durability)
            return
        self._queue.extend(waiting)
        if waiting:
            self._empty.clear()
            self._wake.set()

    # -- from the queue to Redis

    def _take(self) -> list[Waiting]:
        chunk: list[Waiting] = []
        size = 0
        while self._queue and len(chunk) < CHUNK:
            waiting = self._queue.popleft()
            if waiting.answer.done():  # cancelled by its caller, or out of time
                continue
            size += len(waiting.command)
            if chunk and size > CHUNK_BYTES:
                self._queue.appendleft(waiting)
                break
            chunk.append(waiting)
        return chunk

    def _settle(self, waiting: Waiting, reply: bytes | BackendRefused) -> bool:
        """Hand out one answer; False when the event has to be sent again."""
        if isinstance(reply, bytes):
            self.counts.published += 1
            if not waiting.answer.done():
                waiting.answer.set_result(Published(waiting.event_id, waiting.topic, reply.decode()))
            return True
        error = waiting.last = BackendRefused(f"publishing to topic {waiting.topic!r}: {reply}", code=reply.code)
        if error.code in TRANSIENT:
            return False
        self.counts.refused += 1
        if waiting.maybe_written:
            give_up(waiting, "an earlier try had no answer")
        elif not waiting.answer.done():
            waiting.answer.set_exception(error)
        return True

    def _requeue(self, waiting: list[Waiting]) -> None:
        self._queue.extendleft(reversed(waiting))
        self._sent = []

    async def _try_later(self, error: BackendError | None) -> NoReturn:
        self.counts.retries += 1
        if isinstance(error, BackendRefused):
            # A demoted primary keeps its connections: a new one finds the new primary.
            await self._wire.close()
        raise error or BackendUnavailable("publishing: no answer")


class _Answers(list[Any]):
    """The replies to one write, each handed out as it comes: whoever awaits it is spared a turn of the event loop.

    Args:
        chunk: What was written.
        settle: Takes a publish and its reply; False when the event has to be sent again.

    Attributes:
        again: What has to be sent again.
    """

    def __init__(self, chunk: list[Waiting], settle: Callable[[Waiting, Any], bool]) -> None:
        super().__init__()
        self._chunk = chunk
        self._settle = settle
        self.again: list[Waiting] = []

    def append(self, reply: Any) -> None:
        """Take the next reply."""
        waiting = self._chunk[len(self)]
        super().append(reply)
        if not self._settle(waiting, reply):
            self.again.append(waiting)


def _seconds(timeout: object) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise ConfigurationError(f"timeout={timeout!r}: give a number of seconds, 0 or more")
    return min(timeout, LONGEST)


def _mark_unanswered(rest: list[Waiting], lost: BackendUnavailable | BackendRefused | None) -> None:
    """Note what is known of a write without answer; None for the error where it was cancelled."""
    maybe_written = lost is None or (isinstance(lost, BackendUnavailable) and lost.maybe_executed)
    for waiting in rest:
        waiting.last = lost or waiting.last
        waiting.maybe_written |= maybe_written


async def _answers(waiting: list[Waiting]) -> list[Published | BaseException]:
    """Wait for all of them. Those of one write are answered together, so that only the first of them wakes anybody."""
    try:
        for each in waiting:
            if not each.answer.done():
                _ = await asyncio.wait([each.answer])
    except asyncio.CancelledError:
        for each in waiting:
            _ = each.answer.cancel()
        raise
    return [each.answer.exception() or each.answer.result() for each in waiting]


def _complete(batch: list[Event], waiting: list[Waiting], answers: list[Published | BaseException]) -> list[Published]:
    written = [answer for answer in answers if isinstance(answer, Published)]
    if len(written) == len(batch):
        return written
    unfit = next((answer for answer in answers if isinstance(answer, ConfigurationError)), None)
    if unfit is not None and not written and not any(each.maybe_written for each in waiting):
        raise unfit
    failed = [
        (each, Failed(index, batch[index], answer if isinstance(answer, BackendError) else BackendRefused(str(answer), code="ERR")))
        for index, (each, answer) in enumerate(zip(waiting, answers, strict=True))
        if isinstance(answer, BackendError | ConfigurationError)
    ]
    raise PublishIncomplete(
        written=written,
        refused=[record for each, record in failed if not each.maybe_written],
        unknown=[record for each, record in failed if each.maybe_written],
    )
