"""Everything an open bus holds, from its opening to its close."""

from __future__ import annotations

import logging
import os
import re
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from eventbus.consuming import Alone, Rooms, Slots, levels
from eventbus.delivery import Backoff, Settings, Subscription, Topics
from eventbus.errors import BackendError, BackendRefused
from eventbus.publishing import Publisher
from eventbus.reading import Readings
from eventbus.streams import ANSWER_TIMEOUT, UNFIT, Address, Connections, Wire, dangers, note_levels, probe
from eventbus.supervision.janitor import Janitor
from eventbus.supervision.promotion import PROMPT, Promotion
from eventbus.supervision.shift import GRACE, SHORTEST, Shift
from eventbus.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from eventbus.consuming import Consumer
    from eventbus.delivery import Observer, PublishEvent
    from eventbus.streams.embedded import EmbeddedServer
    from eventbus.supervision.loops import Loop

_log = logging.getLogger("eventbus.supervision")
_T = TypeVar("_T")

PATIENCE: Final = 10.0
"""Seconds that opening waits for a Redis that does not answer, or cannot work yet (it restarts, or starts beside us)."""

_warned: set[str] = set()


@dataclass(slots=True, kw_only=True)
class Runtime:
    """Connections, publisher and consumers of one open bus."""

    settings: Settings
    connections: Connections
    wire: Wire
    publisher: Publisher
    readings: Readings
    janitor: Janitor
    promotion: Promotion
    supervisor: Supervisor
    name: str
    embedded: EmbeddedServer | None
    rooms: Rooms
    shifts: list[Shift] = field(default_factory=list["Shift"])
    alone: Alone = field(default_factory=Alone)
    stuck: int = 0
    until: float = 0.0

    @classmethod
    async def open(
        cls,
        settings: Settings,
        topics: Topics,
        *,
        rooms: Rooms = Rooms(),  # noqa: B008 - frozen
        publisher_class: type[Publisher] = Publisher,
        janitor_class: type[Janitor] = Janitor,
        promotion_class: type[Promotion] = Promotion,
    ) -> Runtime:
        """Connect, look at the server, and start to publish.

        Args:
            settings: The bus's.
            topics: Those the bus knows.
            rooms: What consumers are put together from. Default: the ordinary ones.
            publisher_class: The publisher's class.
            janitor_class: The janitor's class.
            promotion_class: The class of what promotes scheduled events.

        Raises:
            ConfigurationError: A bad url, a server that is too old, or none to embed.
            BackendUnavailable: Redis did not answer for `PATIENCE` seconds.
            BackendRefused: It refused the user or password.
        """
        async with AsyncExitStack() as undo:
            embedded = await _embedded(settings.url)
            if embedded is not None:
                undo.push_async_callback(embedded.stop)
            name = _consumer_name(settings.service)
            connections = Connections(Address.parse(embedded.url if embedded else settings.url), name=name)
            # A black hole is to cost a reconnect and not the lease: found within a third, the beat is in time.
            wire = Wire(connections, "commands", silence=max(SHORTEST, min(ANSWER_TIMEOUT, settings.lease / 3)))
            undo.push_async_callback(wire.close)
            await _look_at(wire, str(connections.address), in_memory=settings.url == "embedded://")
            supervisor = Supervisor(lease=settings.lease)
            publisher = publisher_class(connections, settings, topics, supervisor.start)
            await supervisor.open()
            supervisor.start("publishing", publisher.run)
            supervisor.start("deadlines of publishes", publisher.sweep)
            janitor = janitor_class(wire, settings, topics)
            supervisor.start("tidying", janitor.run)
            promotion = promotion_class(connections, wire, settings, topics)
            publisher.scheduling = promotion.watch
            supervisor.start("promoting scheduled events", promotion.run, backoff=PROMPT)
            supervisor.start("waiting for scheduled events", promotion.listen, backoff=PROMPT)
            undo.pop_all()
        return cls(
            settings=settings,
            connections=connections,
            wire=wire,
            publisher=publisher,
            readings=Readings(connections, topics, settings.prefix),
            janitor=janitor,
            promotion=promotion,
            rooms=rooms,
            supervisor=supervisor,
            name=name,
            embedded=embedded,
        )

    @property
    def loops(self) -> list[Loop]:
        """Every loop, with its health."""
        return [loop for each in (self.supervisor, *(shift.supervisor for shift in self.shifts)) for loop in each.loops]

    @property
    def _instance(self) -> str:
        """This process among those of its service."""
        return self.name.removeprefix(f"{self.settings.service}.")

    async def consume(
        self, subscriptions: Sequence[Subscription], publish: PublishEvent, state: Any, observers: Sequence[Observer] = ()
    ) -> None:
        """Join every group, then start to read. Raises as `open` where a group cannot be joined.

        Whatever came of it, `drain` brings it down.
        """
        served = [subscription.instance(self._instance) if subscription.broadcast else subscription for subscription in subscriptions]
        shared = {
            "publish": publish,
            "state": state,
            "observers": observers,
            "besides": frozenset(subscription.group for subscription in served),
            "consumers": sum(subscription.consumers for subscription in served),
        }
        joined = [consumer for subscription in served for consumer in self._consumers(subscription, shared)]
        for consumer in joined:
            await _patiently(consumer.check)
        for consumer in joined:
            await _patiently(consumer.join)
        for subscription in filter(lambda each: each.priorities, subscriptions):
            await _patiently(partial(note_levels, self.wire, subscription.stream, subscription.priorities))
        for consumer in joined:
            shift = Shift(consumer, self.settings)
            self.shifts.append(shift)
            await shift.begin()
        self.janitor.consumers = joined
        names = ", ".join(map(str, subscriptions)) or "nothing (no subscriptions)"
        _log.info("%s consumes %s at %s", self.name, names, self.connections.address)

    async def drain(self, hurry: asyncio.Event) -> None:
        """Stop to read, finish what is in hand, leave the groups: all consumers at once."""
        self.until = anyio.current_time() + self.settings.drain + GRACE
        async with anyio.create_task_group() as tasks:
            for shift in self.shifts:
                tasks.start_soon(self._end, shift, hurry)
        self.shifts = []
        self.janitor.consumers = ()

    async def _end(self, shift: Shift, hurry: asyncio.Event) -> None:
        self.stuck += await shift.end(hurry)

    async def close(self, *, patience: float | None) -> None:
        """Wait for publishes under way, then end every loop and connection.

        Args:
            patience: Most seconds to wait for publishes; None for what the last drain left of its time.
        """
        self.readings.close()
        left = self.until - anyio.current_time()
        with anyio.move_on_after(max(SHORTEST, left) if patience is None else patience):
            await self.publisher.close()
        await self.supervisor.close()
        await self.publisher.abandon()
        await self.promotion.close()
        await self.wire.close()
        if self.embedded is not None:
            await self.embedded.stop()

    def _consumers(self, subscription: Subscription, shared: Mapping[str, Any]) -> list[Consumer]:
        """One for each priority of a subscription's topic, which share its handlers; else one."""
        slots = Slots.of(subscription) if subscription.priorities else None
        rooms = self.rooms.of(subscription)
        return [
            rooms.consumer(
                each,
                self.settings,
                connections=self.connections,
                wire=self.wire,
                name=self.name,
                alone=self.alone,
                slots=slots,
                rooms=rooms,
                **shared,
            )
            for each in levels(subscription)
        ]


async def _embedded(url: str) -> EmbeddedServer | None:
    if not url.startswith("embedded:"):
        return None
    # Not at the top: it needs what only POSIX has, and most programs never use it.
    from eventbus.streams.embedded import start_embedded  # noqa: PLC0415

    server: EmbeddedServer | None = None
    with anyio.CancelScope(shield=True):  # a server that was started has somebody to stop it
        server = await start_embedded(url)
    return server  # noqa: RET504 - mypy takes every scope for one that may end its block


async def _look_at(wire: Wire, address: str, *, in_memory: bool) -> None:
    facts = await _patiently(lambda: probe(wire))
    for danger in dangers(facts, in_memory=in_memory):
        _warn_once(address, danger)


def _consumer_name(service: str) -> str:
    """`service.host.pid.random`: new at every start and never used again, so that a row tells who holds it."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname()) or "host"
    return f"{service}.{host}.{os.getpid()}.{token_hex(4)}"


async def _patiently(step: Callable[[], Awaitable[_T]]) -> _T:
    """Try a step again while Redis does not answer or cannot work yet, for `PATIENCE` seconds."""
    backoff, failures, until = Backoff(), 0, anyio.current_time() + PATIENCE
    while True:
        try:
            return await step()
        except BackendError as error:
            failures += 1
            if anyio.current_time() >= until or (isinstance(error, BackendRefused) and error.code not in UNFIT):
                raise
            if failures == 1:
                _log.warning("waiting up to %g s for Redis: %s", PATIENCE, error)
        await anyio.sleep(backoff.delay(failures))


def _warn_once(address: str, danger: str) -> None:
    if (address + danger) not in _warned:
        _warned.add(address + danger)
        _log.warning("Redis at %s: %s", address, danger)
