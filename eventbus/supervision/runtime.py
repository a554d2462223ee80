"""Everything an open bus holds, from its opening to its close."""

from __future__ import annotations

import logging
import os
import re
import socket
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from eventbus.consuming import Consumer
from eventbus.delivery import Backoff, Settings, Subscription, Topics
from eventbus.errors import BackendUnavailable
from eventbus.publishing import Publisher
from eventbus.streams import Address, Connections, Wire, dangers, probe
from eventbus.streams.embedded import EmbeddedServer, start_embedded
from eventbus.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from eventbus.delivery import PublishEvent

_log = logging.getLogger("eventbus.supervision")
_T = TypeVar("_T")

PATIENCE: Final = 10.0
"""Seconds that opening waits for a Redis that does not answer (it restarts, or starts beside us)."""

_warned: set[str] = set()


@dataclass(slots=True, kw_only=True)
class Runtime:
    """Connections, publisher, supervisor and consumers of one open bus."""

    settings: Settings
    connections: Connections
    wire: Wire
    publisher: Publisher
    supervisor: Supervisor
    name: str
    embedded: EmbeddedServer | None
    consumers: list[Consumer] = field(default_factory=list[Consumer])

    @classmethod
    async def open(cls, settings: Settings, topics: Topics) -> Runtime:
        """Connect, look at the server, and start to publish.

        Raises:
            ConfigurationError: A bad url, a server that is too old, or none to embed.
            BackendUnavailable: Redis did not answer for `PATIENCE` seconds.
            BackendRefused: It refused the user or password.
        """
        embedded = await start_embedded(settings.url) if settings.url.startswith("embedded:") else None
        name = _consumer_name(settings.service)
        try:
            address = Address.parse(embedded.url if embedded else settings.url)
            connections = Connections(address, name=name)
            wire = Wire(connections, "commands")
            facts = await _patiently(lambda: probe(wire))
            for danger in dangers(facts, in_memory=embedded is not None):
                _warn_once(str(address), danger)
            publisher = Publisher(connections, settings, topics)
            supervisor = Supervisor(settings)
            await supervisor.open()
        except BaseException:
            if embedded is not None:
                await embedded.stop()
            raise
        supervisor.start("publishing", publisher.run)
        supervisor.start("deadlines of publishes", publisher.sweep)
        return cls(
            settings=settings,
            connections=connections,
            wire=wire,
            publisher=publisher,
            supervisor=supervisor,
            name=name,
            embedded=embedded,
        )

    async def consume(self, subscriptions: Sequence[Subscription], publish: PublishEvent, state: Any) -> None:
        """Join every group, then start to read. Raises as `open` where a group cannot be joined."""
        self.consumers = [
            Consumer(
                subscription,
                self.settings,
                connections=self.connections,
                wire=self.wire,
                name=self.name,
                publish=publish,
                state=state,
            )
            for subscription in subscriptions
        ]
        for consumer in self.consumers:
            await _patiently(consumer.join)
        for consumer in self.consumers:
            self.supervisor.consume(consumer)

    async def drain(self, hurry: asyncio.Event) -> None:
        """Stop to read, finish what is in hand, leave the groups."""
        consumers, self.consumers = self.consumers, []
        await self.supervisor.drain(consumers, hurry)
        for consumer in consumers:
            _log.info("%s: %s", consumer.subscription, consumer.counts)

    async def close(self) -> None:
        """Wait for publishes under way, then end every loop and connection."""
        await self.publisher.close()
        await self.supervisor.close()
        self.publisher.abandon()
        await self.wire.close()
        if self.embedded is not None:
            await self.embedded.stop()


def _consumer_name(service: str) -> str:
    """`service.host.pid.random`: new at every start and never used again, so that a row tells who holds it."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname()) or "host"
    return f"{service}.{host}.{os.getpid()}.{token_hex(4)}"


async def _patiently(step: Callable[[], Awaitable[_T]]) -> _T:
    """Try a step again while Redis does not answer, for `PATIENCE` seconds."""
    backoff, failures, until = Backoff(), 0, anyio.current_time() + PATIENCE
    while True:
        try:
            return await step()
        except BackendUnavailable as error:
            failures += 1
            if anyio.current_time() >= until:
                raise
            if failures == 1:
                _log.warning("waiting up to %g s for Redis: %s", PATIENCE, error)
        await anyio.sleep(backoff.delay(failures))


def _warn_once(address: str, danger: str) -> None:
    if (address + danger) not in _warned:
        _warned.add(address + danger)
        _log.warning("Redis at %s: %s", address, danger)
