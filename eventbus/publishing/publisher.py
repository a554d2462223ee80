"""Publishes events: those of one turn of the event loop go to Redis in one write."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.delivery import PUBLISH_TIMEOUT, Alive, Placement, Published, Settings, Topics
from eventbus.errors import (
    BackendError,
    BackendRefused,
    ConfigurationError,
    EncodeError,
    EventBusError,
    Failed,
    LifecycleError,
    PublishIncomplete,
)
from eventbus.events import NORMAL, Event, Topic, info
from eventbus.publishing.confirmation import Confirmation
from eventbus.publishing.counts import PublishCounts
from eventbus.publishing.durable import Durable
from eventbus.publishing.sender import Sender
from eventbus.publishing.writing import Writing
from eventbus.streams import Connections, Wire, keys, load_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eventbus.delivery import Durability, Placing
    from eventbus.publishing.durable import Start
    from eventbus.streams import Turn

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

    Attributes:
        scheduling: Called with a topic's stream before something is scheduled there.

    Guarantees:
        A returned `Published` was confirmed by Redis. All tries of one publish carry one event id. A
        write whose answer is lost is repeated, so that an event may stand twice in its stream, with one id.
    Stops:
        `close` refuses new publishes and waits for those under way, each until its own deadline, all of
        them for 10 seconds at most.
    Survives:
        BackendUnavailable and passing refusals (failover): `run` raises and is started again by the
        supervisor, with backoff; each publish is tried until its own deadline.
    Cancellation:
        Of `run`: what is under way goes on, and is answered all the same.
    Redis cost:
        One XADD an event, or one script where more is asked for; those of one turn of the event loop share a write.
        After the first script one SCRIPT LOAD a connection. What is to be more durable goes its own way (`Durable`),
        on connections that are opened when first needed.
    """

    def __init__(self, connections: Connections, settings: Settings, topics: Topics, start: Start | None = None) -> None:
        self.counts = PublishCounts()
        self.durable = Durable(connections, self.counts, start, self._greet)
        self._settings = settings
        self._topics = topics
        self._wire = Wire(connections, "publishing")
        self._wire.greetings.append(self._greet)
        self._sender = Sender(self._wire, self.counts)
        self._writings: dict[tuple[object, ...], Writing] = {}  # by class and topic, and priority where one was given
        self._loop = asyncio.get_running_loop()
        self.scheduling: Callable[[str], None] = lambda _: None
        self._scripted = False
        self._closed = False
        self._troubled = False

    def publish(
        self,
        event: Event,
        *,
        topic: str | Topic | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = PUBLISH_TIMEOUT,
        durability: Durability | None = None,
        asked: Placing | None = None,
    ) -> Confirmation:
        """Begin to publish one event; see `EventBus.publish`. The confirmation raises whatever is wrong with it."""
        try:
            until = self._loop.time() + _seconds(timeout)
            if asked is None:
                confirmation = self._prepare(event, topic, headers, until)
            else:
                confirmation = self._place(event, topic, headers, until, Placement(**asked))
            self._enqueue((confirmation,), durability)
        except Exception as error:  # noqa: BLE001 - also what an event's own code raises: whoever awaits it is told
            confirmation = Confirmation(self._loop, b"", "", "", 0)
            confirmation.set_exception(error)
        return confirmation

    async def publish_many(
        self,
        events: Iterable[Event],
        *,
        topic: str | Topic | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = PUBLISH_TIMEOUT,
        durability: Durability | None = None,
        asked: Placing | None = None,
    ) -> list[Published]:
        """Publish many events; see `EventBus.publish_many`."""
        batch, until = several(events), self._loop.time() + _seconds(timeout)
        if asked is None:
            confirmations = [self._prepare(event, topic, headers, until) for event in batch]
        else:
            placement = Placement(**asked)
            placement.check_many()
            confirmations = [self._place(event, topic, headers, until, placement) for event in batch]
        self._enqueue(confirmations, durability)
        return _complete(batch, confirmations, await _answers(confirmations))

    async def run(self, alive: Alive) -> None:
        """Connect where there is something to be written, and raise what a write failed with.

        Raises:
            BackendError: What is to be tried again later; it is queued again, in its old order.
        """
        self._sender.resume(alive)
        if self._troubled:  # connect, also where nothing waits any more: readiness shall say that Redis is back
            await self._connect()
        self._sender.flush()
        if self._troubled and self._sender.empty.is_set():  # else the next write tells
            alive()
        self._troubled = False
        while True:
            await self._sender.stuck.wait()
            self._sender.stuck.clear()
            await self.run_once()

    async def run_once(self) -> None:
        """Connect and write what waits for that; raises as `run`."""
        if self._sender.failure is None:
            await self._connect()
            self._sender.flush()
        if self._sender.failure is not None:
            self.counts.retries += 1
            self._troubled = True
            # A demoted primary keeps its connections: a new one finds the new primary. What is under way ends first.
            await self._wire.close()
            raise self._sender.failure

    async def _connect(self) -> None:
        try:
            await self._wire.connect()
        except BackendError as error:
            self.counts.retries += 1
            self._troubled = True
            self._sender.note_failure(error)
            raise

    async def sweep(self, alive: Alive) -> None:
        """Give up publishes whose time is over. One timer for all: a timer each would cost more than the write."""
        while True:
            await anyio.sleep(SWEEP)
            now = self._loop.time()
            self._sender.give_up(now, "its time was over")
            self.durable.sweep(now)
            alive()

    async def close(self) -> None:
        """Refuse new publishes and wait until those under way have an answer or ran out of time."""
        self._closed = True
        with anyio.move_on_after(PUBLISH_TIMEOUT):
            await self._sender.empty.wait()
            await self.durable.emptied()

    async def abandon(self) -> None:
        """Answer everything that still waits, once the loops have ended, and disconnect."""
        self._closed = True
        self._sender.abandon()
        await self.durable.abandon()
        await self._wire.close()

    # -- from an event to a queued command

    def _prepare(self, event: Event, topic: str | Topic | None, headers: Mapping[str, str] | None, until: float) -> Confirmation:
        if not isinstance(event, Event):
            raise EncodeError(_no_event(event))
        chosen = None if topic is None else self._topics.register(topic).name
        writing = self._writings.get((type(event), chosen)) or self._begin_writing(type(event), chosen)
        command, event_id = writing.command(event, headers)
        return Confirmation(self._loop, command, event_id, writing.topic, until)

    def _place(
        self, event: Event, topic: str | Topic | None, headers: Mapping[str, str] | None, until: float, placement: Placement
    ) -> Confirmation:
        """As `_prepare`, with what was asked for beside the topic."""
        if not isinstance(event, Event):
            raise EncodeError(_no_event(event))
        chosen = None if topic is None else self._topics.register(topic).name
        known = self._writings.get((type(event), chosen, placement.priority))
        writing = known or self._begin_writing(type(event), chosen, placement)
        if placement.later:
            self.scheduling(writing.home)
        if not placement.scripted:
            command, event_id = writing.command(event, headers)
        else:
            command, event_id = writing.stored(event, headers, placement, known=self._scripted)
            self._scripted = True
        return Confirmation(self._loop, command, event_id, writing.topic, until)

    async def _greet(self, turn: Turn) -> None:
        """Load the script of special publishes where there were any: a new connection may lead to a server without it."""
        if self._scripted:
            await load_store(turn)

    def _begin_writing(self, event_class: type[Event], chosen: str | None, placement: Placement | None = None) -> Writing:
        wanted = chosen or info(event_class).topic
        if wanted is None:
            name = event_class.__name__
            raise EncodeError(f"{name} names no topic: write class {name}(Event, topic='…'), or publish with topic=")
        topic, settings = self._topics.register(wanted), self._settings
        key: tuple[object, ...] = (event_class, chosen)
        home = stream = settings.prefix + topic.name
        if placement is not None:
            placement.check_priority(topic)
            key, stream = (*key, placement.priority), keys.level(home, placement.priority or NORMAL)
        source = f"/{settings.service}"
        writing = Writing(event_class, topic.name, stream, home=home, source=source, max_bytes=settings.max_event_bytes)
        if len(self._writings) >= MOST_WRITINGS:
            self._writings.clear()
        self._writings[key] = writing
        return writing

    def _enqueue(self, confirmations: Sequence[Confirmation], durability: Durability | None) -> None:
        if self._closed:
            raise LifecycleError("the bus is closed: publish before it is, or open a new one")
        if durability is not None:
            self.durable.enqueue(confirmations, durability)
        elif confirmations:
            self._sender.add(confirmations)


def several(events: Iterable[Event]) -> list[Event]:
    """The events of a batch; raises EncodeError for a single one, which is iterable: its fields would be taken for events."""
    given: object = events
    if isinstance(given, Event):
        raise EncodeError(f"publish_many takes several events: give it a list, or this {type(given).__name__} to publish")
    return list(events)


def _no_event(what: object) -> str:
    if isinstance(what, type):
        return f"{what.__name__} is a class: publish an instance of it"
    name = type(what).__name__
    several = "; for several events there is publish_many" if name in ("list", "tuple", "set") else ""
    return f"{name} is no event: publish an instance of a class derived from Event{several}"


def _seconds(timeout: object) -> float:
    if timeout is PUBLISH_TIMEOUT:  # the default, as nearly always
        return PUBLISH_TIMEOUT
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise ConfigurationError(f"timeout={timeout!r}: give a number of seconds, 0 or more")
    return min(timeout, LONGEST)


async def _answers(confirmations: Sequence[Confirmation]) -> list[Published | BaseException]:
    """Wait for all of them. Those of one write are answered together, so that only the first of them wakes anybody."""
    try:
        for each in confirmations:
            if not each.done():
                with suppress(EventBusError):
                    _ = await each
    except asyncio.CancelledError:
        for each in confirmations:
            _ = each.cancel()
        raise
    return [each.exception() or each.result() for each in confirmations]


def _complete(batch: list[Event], confirmations: Sequence[Confirmation], answers: list[Published | BaseException]) -> list[Published]:
    written = [answer for answer in answers if isinstance(answer, Published)]
    if len(written) == len(batch):
        return written
    unfit = next((answer for answer in answers if isinstance(answer, ConfigurationError)), None)
    if unfit is not None and not written and not any(each.maybe_written for each in confirmations):
        raise unfit
    failed = [
        (each, Failed(index, batch[index], answer if isinstance(answer, BackendError) else BackendRefused(str(answer), code="ERR")))
        for index, (each, answer) in enumerate(zip(confirmations, answers, strict=True))
        if isinstance(answer, BackendError | ConfigurationError)
    ]
    raise PublishIncomplete(
        written=written,
        refused=[record for each, record in failed if not each.maybe_written],
        unknown=[record for each, record in failed if each.maybe_written],
    )
