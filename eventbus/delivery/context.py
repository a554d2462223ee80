"""What a handler can learn about the event it was given, and do with it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from eventbus.delivery.published import PUBLISH_TIMEOUT, Published, PublishEvent
from eventbus.events import NORMAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventbus.delivery.delivery import Delivery
    from eventbus.delivery.durability import Durability
    from eventbus.delivery.placement import OnceKey, Span
    from eventbus.events import Envelope, Event, Topic

_log = logging.getLogger("eventbus.handler")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all contexts of one subscription share.

    Attributes:
        topic: The topic's name, without prefix.
        group: The group's name.
        publish: The bus's publish.
        state: What the bus's lifespan yielded.
        priority: The priority they come from.
    """

    topic: str
    group: str
    publish: PublishEvent
    state: Any
    priority: str = NORMAL


def _written_at(entry_id: str) -> datetime:
    """The time in an entry id; the last there is for an id that somebody chose beyond all times."""
    try:
        return datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


class Context:
    """The circumstances of one event: pass it to a handler by annotating a parameter with it.

    Attributes are read only, but for `in_thread`, which is eventbus's own: a handler that set it could not be cancelled
    any more. The context is valid while the handler runs.
    """

    __slots__ = ("_around", "_delivery", "_envelope", "_type", "in_thread")

    def __init__(self, around: Surroundings, delivery: Delivery, envelope: Envelope | None, event_type: str) -> None:
        self._around = around
        self._delivery = delivery
        self._envelope = envelope
        self._type = event_type
        self.in_thread = False  # a handler runs in a thread just now, which nothing can stop

    @property
    def id(self) -> str:
        """The event's id. An entry without envelope has no id of its own: then its place, topic/entry id."""
        return self._envelope.id if self._envelope else f"{self.topic}/{self.entry_id}"

    @property
    def type(self) -> str:
        """The event's type."""
        return self._type

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self._around.topic

    @property
    def group(self) -> str:
        """The group that handles the event here."""
        return self._around.group

    @property
    def priority(self) -> str:
        """The priority it was published with; "normal" on a topic that has none."""
        return self._around.priority

    @property
    def entry_id(self) -> str:
        """The entry's id in the topic: the same at every attempt."""
        return self._delivery.origin

    @property
    def attempt(self) -> int:
        """Which run of the handler for this event this is, from 1. Runs that were not counted do not show."""
        return self._delivery.carried.attempts + 1

    @property
    def replayed(self) -> bool:
        """Whether this run comes from a replay (`bus.admin.replay`): the group was given the event before.

        Stays so through retries, and through the dead letters.
        """
        return self._delivery.carried.replayed

    @property
    def time(self) -> datetime:
        """When the event was first published, in UTC; the entry's own time where the publisher gave none.

        An entry id beyond all times, which somebody chose, is the last moment there is.
        """
        time = self._envelope.time if self._envelope else None
        return time or _written_at(self.entry_id)

    @property
    def key(self) -> str | None:
        """The value that orders the event among others, if its class names a key."""
        return self._envelope.key if self._envelope else None

    @property
    def headers(self) -> Mapping[str, str]:
        """Further attributes the publisher added."""
        return self._envelope.headers if self._envelope else {}

    @property
    def correlation_id(self) -> str:
        """The id of the event that began the chain this one belongs to; its own id if it began it."""
        return (self._envelope.correlation_id if self._envelope else None) or self.id

    @property
    def causation_id(self) -> str | None:
        """The id of the event whose handler published this one, if any."""
        return self._envelope.causation_id if self._envelope else None

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records say which event they belong to."""
        about = {"topic": self.topic, "group": self.group, "event_id": self.id, "type": self.type}
        return logging.LoggerAdapter(_log, {"eventbus": about})

    @property
    def state(self) -> Any:
        """What the bus's `lifespan=` yielded, else None."""
        return self._around.state

    async def publish(
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
        """Publish an event that this one caused.

        As `EventBus.publish`, and the new event carries this event's id as its causation id and the
        chain's correlation id; `headers` may name others. A synchronous handler calls it by
        `anyio.from_thread.run(ctx.publish, event)`.
        """
        carried = {"correlationid": self.correlation_id, "causationid": self.id, **(headers or {})}
        return await self._around.publish(
            event,
            topic=topic,
            headers=carried,
            timeout=timeout,
            durability=durability,
            priority=priority,
            delay=delay,
            at=at,
            idempotency_key=idempotency_key,
            idempotency_window=idempotency_window,
            entry_id=entry_id,
        )

    def __repr__(self) -> str:
        """Name the event, without its content."""
        return f"<Context {self.type} {self.id} of {self.topic!r} for {self.group!r}>"
