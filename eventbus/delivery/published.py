"""What publishing answers, and the shape of publishing that a handler's context calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from datetime import datetime

    from eventbus.delivery.durability import Durability
    from eventbus.delivery.placement import OnceKey, Span
    from eventbus.events import Event, Topic

PUBLISH_TIMEOUT: Final = 10.0
"""Seconds after which an unconfirmed publish is given up, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Published:
    """Redis's confirmation that an event is in its stream.

    Attributes:
        event_id: The event's own id, the same at every publish of one event object.
        topic: The topic it was published to.
        entry_id: The stream entry's id; its place in the order of the topic.
    """

    event_id: str
    topic: str
    entry_id: str

    @property
    def due(self) -> datetime | None:
        """When it will be in its stream, by Redis's clock; None for what is in it."""
        return None


@dataclass(frozen=True, slots=True)
class Scheduled(Published):
    """Redis's confirmation that an event is held until it is due; cancel it by `EventBus.cancel_scheduled`.

    Attributes:
        event_id: As `Published`.
        topic: The topic it will be in.
        entry_id: Its id among what is scheduled; in the topic it gets another.
        due: When it is due, in UTC, by Redis's clock.
    """

    due: datetime = field()  # pyright: ignore[reportIncompatibleMethodOverride]


class PublishEvent(Protocol):
    """Publishes one event and waits for the confirmation."""

    def __call__(
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
        """Publish; see `EventBus.publish`."""
        ...
