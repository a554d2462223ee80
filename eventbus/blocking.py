"""Publishing from synchronous code."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

from anyio.from_thread import start_blocking_portal

from eventbus.delivery import PUBLISH_TIMEOUT, Published, Settings, Topics, placing
from eventbus.errors import LifecycleError
from eventbus.supervision import Runtime

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from datetime import datetime

    from anyio.from_thread import BlockingPortal

    from eventbus.delivery import Durability, OnceKey, Span
    from eventbus.events import Event, Topic


class BlockingBus:
    """The publishing half of a bus, for synchronous code and any number of threads."""

    def __init__(self, portal: BlockingPortal, runtime: Runtime) -> None:
        self._open_portal: BlockingPortal | None = portal
        self._publisher = runtime.publisher
        self._promotion = runtime.promotion

    def close(self) -> None:
        """Refuse what comes after the block."""
        self._open_portal = None

    @property
    def _portal(self) -> BlockingPortal:
        if self._open_portal is None:
            raise LifecycleError("the block of bus.blocking() has ended: publish inside it")
        return self._open_portal

    def publish(
        self,
        event: Event,
        *,
        topic: str | Topic | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = PUBLISH_TIMEOUT,
        durability: Durability | None = None,
        priority: str | None = None,
        delay: Span | None = None,
        at: datetime | None = None,
        idempotency_key: OnceKey | None = None,
        idempotency_window: Span | None = None,
        entry_id: str | None = None,
    ) -> Published:
        """Publish an event and wait for the confirmation; as `EventBus.publish`."""
        asked = placing(
            priority=priority,
            delay=delay,
            at=at,
            idempotency_key=idempotency_key,
            idempotency_window=idempotency_window,
            entry_id=entry_id,
        )
        call = partial(self._publisher.publish, event, topic=topic, headers=headers, timeout=timeout, durability=durability, asked=asked)
        return self._portal.call(call)

    def publish_many(
        self,
        events: Iterable[Event],
        *,
        topic: str | Topic | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = PUBLISH_TIMEOUT,
        durability: Durability | None = None,
        priority: str | None = None,
        delay: Span | None = None,
        at: datetime | None = None,
        idempotency_key: Literal[True] | None = None,
        idempotency_window: Span | None = None,
    ) -> list[Published]:
        """Publish many events; as `EventBus.publish_many`."""
        asked = placing(
            priority=priority,
            delay=delay,
            at=at,
            idempotency_key=idempotency_key,
            idempotency_window=idempotency_window,
        )
        publish_many = self._publisher.publish_many
        call = partial(publish_many, events, topic=topic, headers=headers, timeout=timeout, durability=durability, asked=asked)
        return self._portal.call(call)

    def cancel_scheduled(self, event_id: str, *, topic: str | Topic | type[Event]) -> bool:
        """Take back an event that is not in its topic yet; as `EventBus.cancel_scheduled`."""
        return self._portal.call(self._promotion.cancel, event_id, topic)


@contextmanager
def blocking_bus(settings: Settings) -> Generator[BlockingBus]:
    """Run an event loop in a thread, with a publisher in it, while the block lasts."""
    _refuse_on_a_loop()
    with start_blocking_portal() as portal:
        runtime = portal.call(Runtime.open, settings, Topics())
        try:
            bus = BlockingBus(portal, runtime)
            try:
                yield bus
            finally:
                bus.close()
        finally:
            portal.call(partial(runtime.close, patience=PUBLISH_TIMEOUT))


def _refuse_on_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise LifecycleError("bus.blocking() would block the running event loop: use `await bus.publish(event)` here")
