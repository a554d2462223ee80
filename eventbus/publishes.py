"""What a bus offers to those who publish."""

from __future__ import annotations

import asyncio
import inspect
import sys
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from eventbus.delivery import NOTHING, PUBLISH_TIMEOUT, Published, placing
from eventbus.errors import DurabilityNotReached, PublishIncomplete
from eventbus.publishing import several

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
    from datetime import datetime

    from eventbus.delivery import Durability, OnceKey, Span
    from eventbus.events import Event, Topic
    from eventbus.publishing import Publisher


_F = TypeVar("_F", bound="Callable[..., Any]")


def _like_a_coroutine_function(function: _F) -> _F:
    """Mark a function that returns what can be awaited, so that frameworks call it on the event loop and not in a thread."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    mark = "_is_coroutine"  # what 3.11's asyncio.iscoroutinefunction looks for
    setattr(function, mark, getattr(asyncio.coroutines, mark))
    return function


class Publishes:
    """The publishing half of a bus: `publish`, `publish_many`, and who is told of what was published."""

    def __init__(self) -> None:
        super().__init__()
        self.on_published: list[Callable[[Event, Published], None]] = []

    def _open_publisher(self) -> Publisher:
        """The open bus's publisher; raises LifecycleError where it is not open."""
        raise NotImplementedError

    def _publisher_here(self) -> Publisher | None:
        """The open bus's publisher; None where it is not open, or open on another event loop than this."""
        raise NotImplementedError

    @_like_a_coroutine_function
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
    ) -> Coroutine[Any, Any, Published]:
        """Publish an event and wait until Redis has confirmed it: `await` what it returns.

        Publishes that are made concurrently travel together: `asyncio.gather` over thousands is fine. It begins when
        it is called; on another thread when it is awaited there. Whatever is wrong is raised where it is awaited.

        Args:
            event: An instance of a class derived from `Event`. Its id is made at its first publish and
                stays the same for this object, whatever happens.
            topic: A topic in place of the event class's own.
            headers: Further attributes: names of a-z and 0-9 that do not start with `eb`, text values.
            timeout: Seconds after which to give up, tries and waiting included. Default 10.
            durability: Wait for more than the server's confirmation: "fsync" until the event is in the
                append-only file on its disk (Redis 7.2, Valkey 7.2), or `Replicated(n)` until n replicas
                have it. Default neither.
            priority: One of the topic's priorities. Default "normal".
            delay: Seconds, or a timedelta, for which the event is held in Redis before it is in its topic. 0 and less:
                at once. Default none.
            at: The moment until which it is held, a datetime with a time zone. One in the past: at once. Default none.
            idempotency_key: A text of up to 512 bytes. What is published with a key that was published within the
                window is not stored: the first one's confirmation is returned. True: the event's own id. Default none.
            idempotency_window: Seconds, or a timedelta, for which the key is remembered, counted from when the event
                was, or will be, in its topic. Default a day.
            entry_id: The entry's id, in place of the one that Redis makes: for imports, and positions of other systems.
                It has to be above every one the stream ever had. Not together with a time. Default none.

        Returns:
            Event id, topic and entry id.

        Raises:
            LifecycleError: The bus is not open.
            ConfigurationError: The timeout is no number from 0, the durability is none, or this server
                cannot do "fsync". Nothing was written.
            EncodeError: The event is abstract, too large (EventTooLarge), or a header is wrong. Nothing
                was written.
            BackendRefused: Redis answered with an error, such as OOM or WRONGTYPE. It was not written.
            BackendUnavailable: No confirmation in time; `.maybe_executed` tells whether it may have been
                written. The same event object is safe to publish again, since its id stays the same.
            DurabilityNotReached: It was written, and the durability was not reached in time. The same
                event object is safe to publish again.

        Guarantees:
            What returned is in Redis, as durably as Redis is configured, and as durably as was asked. A
            publish whose answer was lost is repeated with the same event id, so that it may stand in the
            stream twice. No durability makes Redis strongly consistent: a failover to a replica that has
            not got the event loses it.

        Cancellation:
            An event that was not sent yet is not written; one that was may be. It is sent by the end of the turn of
            the event loop in which it begins; later where Redis cannot be reached, or earlier writes are unanswered.

        Redis cost:
            One XADD. With a durability one WAITAOF or WAIT more, shared by what is published together, on
            a connection that is opened for that durability when first needed.
        """
        publisher = self._publisher_here()
        asked = None
        if (priority, delay, at, idempotency_key, idempotency_window, entry_id) != NOTHING:  # a call is spared nearly always
            asked = placing(
                priority=priority,
                delay=delay,
                at=at,
                idempotency_key=idempotency_key,
                idempotency_window=idempotency_window,
                entry_id=entry_id,
            )
        if publisher is None:
            return self._publish_here(event, topic=topic, headers=headers, timeout=timeout, durability=durability, asked=asked)
        confirmation = publisher.publish(event, topic=topic, headers=headers, timeout=timeout, durability=durability, asked=asked)
        return self._told(event, confirmation) if self.on_published else confirmation

    async def _publish_here(self, event: Event, **options: Any) -> Published:
        """Publish on the event loop on which this is awaited, or say why that cannot be."""
        return await self._told(event, self._open_publisher().publish(event, **options))

    async def _told(self, event: Event, confirmation: Awaitable[Published]) -> Published:
        try:
            published = await confirmation
        except DurabilityNotReached as error:
            self._tell(event, error.published)
            raise
        self._tell(event, published)
        return published

    async def publish_many(
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
        """Publish many events, in order, in writes of bounded size.

        All of them are encoded before the first is written: a wrong one is found while nothing has
        happened. Other publishes may come in between; the batch is not a transaction.

        Args:
            events: The events; the other arguments are those of `publish`, for each of them.
            topic: As `publish`.
            headers: As `publish`.
            timeout: Seconds after which to give up what is not confirmed. Default 10.
            durability: As `publish`, for each of them.
            priority: As `publish`, for all of them.
            delay: As `publish`, for all of them.
            at: As `publish`, for all of them.
            idempotency_key: True: each is stored once, known by its own id. A text would be the same for all of them.
            idempotency_window: As `publish`.

        Returns:
            A record per event, in the order given.

        Raises:
            ConfigurationError: As `publish`. Nothing was written.
            EncodeError: One of the events is wrong. Nothing was written.
            PublishIncomplete: Not all were confirmed: `.written`, `.refused` (certainly not written) and
                `.unknown` (may have been) say which. What was written and did not reach its durability is
                among `.unknown`, its error a DurabilityNotReached.
            LifecycleError: The bus is not open.

        Cancellation:
            As `publish`, for each of them.

        Redis cost:
            One XADD an event, in writes of up to 500; with a durability up to 5,000, and one WAITAOF or
            WAIT for each write.
        """
        batch, publisher = several(events), self._open_publisher()
        asked = placing(
            priority=priority,
            delay=delay,
            at=at,
            idempotency_key=idempotency_key,
            idempotency_window=idempotency_window,
        )
        try:
            records = await publisher.publish_many(batch, topic=topic, headers=headers, timeout=timeout, durability=durability, asked=asked)
        except PublishIncomplete as error:
            for event, published in _confirmed(batch, error):
                self._tell(event, published)
            raise
        if self.on_published:
            for event, published in zip(batch, records, strict=True):
                self._tell(event, published)
        return records

    def _tell(self, event: Event, published: Published) -> None:
        for observe in self.on_published:
            observe(event, published)


def _confirmed(batch: Sequence[Event], error: PublishIncomplete) -> list[tuple[Event, Published]]:
    """The events of a batch that Redis confirmed, in their order, those included that are not as durable as was asked."""
    failed = {each.index: each.error for each in (*error.refused, *error.unknown)}
    written = iter(error.written)
    found: list[tuple[Event, Published]] = []
    for index, event in enumerate(batch):
        trouble = failed.get(index)
        if trouble is None:
            found.append((event, next(written)))
        elif isinstance(trouble, DurabilityNotReached):
            found.append((event, trouble.published))
    return found
