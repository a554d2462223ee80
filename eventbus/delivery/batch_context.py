"""What a handler of batches can learn about the events it was given, and do with each."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NoReturn

from eventbus.delivery.context import Context, Surroundings
from eventbus.delivery.outcome import Ended, Ending, raised
from eventbus.errors import ConfigurationError, LifecycleError
from eventbus.events import Envelope, info

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventbus.delivery.delivery import Delivery
    from eventbus.delivery.published import PublishEvent
    from eventbus.events import Event

_log = logging.getLogger("eventbus.handler")


class BatchContext:
    """The circumstances of a batch: pass it to a handler by annotating a parameter with it.

    What differs from event to event is in `ctx.of(event)`. Attributes are read only, but for `in_thread` and `over`, which
    are eventbus's own. The context is valid while the handler runs.

    Attributes:
        failures: How those ended that were failed.
        in_thread: The handler runs in a thread just now, which nothing can stop.
        over: The handler has ended.
    """

    __slots__ = ("_around", "_events", "_places", "failures", "in_thread", "over")

    def __init__(self, around: Surroundings, events: Mapping[Delivery, Event]) -> None:
        self._around = around
        self._events = events
        self._places: dict[int, list[Delivery]] = {}
        self.failures: dict[Delivery, Ended] = {}
        self.in_thread = self.over = False

    def fail(self, event: Event, error: BaseException | str) -> None:
        """Have one event of the batch fail, whatever becomes of the others.

        Of two failures of one event the later counts. Where the handler raises afterwards, what was failed before still goes
        its own way; where it is cancelled (by its timeout, or the end of the drain), all events end by that.

        Args:
            event: The very object that stands in the list: equal ones may stand there twice.
            error: What went wrong. An exception does what it would do if the handler of this one event had raised it,
                `RetryLater` and `Reject` included; a text is a failure, which the retry policy counts.

        Raises:
            ConfigurationError: The event is none of this batch, or the error is none.
            LifecycleError: The handler has ended: what becomes of its events was decided.
        """
        if self.over:
            raise LifecycleError("ctx.fail came after the handler had ended, and changes nothing: call it before")
        if not isinstance(error, (BaseException, str)):
            raise ConfigurationError(f"ctx.fail(event, {type(error).__name__}): give an exception or a text")
        for delivery in self._find(event):
            self.failures[delivery] = self._failure(delivery, error)

    def of(self, event: Event) -> Context:
        """The context of one event: its id, entry id, attempt, headers, and a `publish` that names it as the cause.

        Args:
            event: The very object that stands in the list.

        Raises:
            ConfigurationError: The event is none of this batch.
        """
        return self._context(self._find(event)[0])

    @property
    def remaining(self) -> list[Event]:
        """The events that were not failed so far, in order: those that are acknowledged if the handler returns now."""
        return [event for delivery, event in self._events.items() if delivery not in self.failures]

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self._around.topic

    @property
    def group(self) -> str:
        """The group that handles the events here."""
        return self._around.group

    @property
    def state(self) -> Any:
        """What the bus's `lifespan=` yielded, else None."""
        return self._around.state

    @property
    def publish(self) -> PublishEvent:
        """As `EventBus.publish`: an event that no single one has caused; `ctx.of(event).publish` names its cause."""
        return self._around.publish

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records say which group they belong to; those of `ctx.of(event).log` which event."""
        return logging.LoggerAdapter(_log, {"eventbus": {"topic": self.topic, "group": self.group}})

    def __repr__(self) -> str:
        """Name the batch, without its content."""
        return f"<BatchContext of {len(self._events)} events of {self.topic!r} for {self.group!r}>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Say where it is, of what each event has for itself: middleware may have been written for one event."""
            where = f": each of its events has, in ctx.of(event).{name}" if hasattr(Context, name) else ""
            raise AttributeError(f"a batch has no {name!r}{where}", name=name, obj=self)

    def _find(self, event: Event) -> list[Delivery]:
        if not self._places:
            places: dict[int, list[Delivery]] = defaultdict(list)
            for delivery, each in self._events.items():
                places[id(each)].append(delivery)  # a validator may make one object of several entries
            self._places = dict(places)
        found = self._places.get(id(event))
        if found is None:
            raise ConfigurationError(
                f"this {type(event).__name__} is none of the batch's events: give the object that stands in the list, and no copy of it"
            )
        return found

    def _context(self, delivery: Delivery) -> Context:
        envelope = Envelope.parse(delivery.fields)  # again: few handlers ask, and all would keep it
        return Context(self._around, delivery, envelope, info(type(self._events[delivery])).type)

    def _failure(self, delivery: Delivery, error: BaseException | str) -> Ended:
        context = self._context(delivery)
        ended = Ended(Ending.RAISED, error, type=context.type) if isinstance(error, str) else raised(error, context.type)
        if ended.ending is Ending.RAISED:
            context.log.error(
                "attempt %d of entry %s failed in its batch: %s",
                context.attempt,
                context.entry_id,
                error if isinstance(error, str) else type(error).__name__,
                exc_info=ended.error,
            )
        return ended
