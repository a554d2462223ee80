"""What a bus offers to those who read without a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from eventbus.events import Event

if TYPE_CHECKING:
    from datetime import datetime
    from types import UnionType

    from eventbus.events import Foreign, Topic
    from eventbus.reading import History, Readings, Tail

_E = TypeVar("_E", bound=Event)


class Reads:
    """The reading half of a bus: `tail` and `history`."""

    def _open_readings(self) -> Readings:
        """The open bus's; raises LifecycleError where it is not open."""
        raise NotImplementedError

    @overload
    def tail(
        self, event: type[_E], /, *, start: str | datetime = "latest", topic: str | Topic | None = None, foreign: Foreign | None = None
    ) -> Tail[_E]: ...

    @overload
    def tail(
        self, event: UnionType, /, *, start: str | datetime = "latest", topic: str | Topic | None = None, foreign: Foreign | None = None
    ) -> Tail[Event]: ...

    def tail(
        self, event: Any, /, *, start: str | datetime = "latest", topic: str | Topic | None = None, foreign: Foreign | None = None
    ) -> Tail[Any]:
        """Read events as they come, without a group: `async for event in bus.tail(OrderCreated): …`.

        Nothing is acknowledged, retried or kept back for it: who tails sees every event while it reads, and may be told
        that it fell behind. Where events must be handled, subscribe. Entering `async with bus.tail(…) as tail` begins to
        read; without it the first event that is asked for does. What is published after that is seen.

        Args:
            event: An event class, which stands for its descendants too, or a union; all of one topic. Entries of other
                types are passed over.
            start: "latest" (default), "earliest", an entry id after which to begin, a time with its zone from which on,
                or the `place` of an earlier tail, to go on where that one was.
            topic: A topic in place of the event class's own.
            foreign: How to read entries without an envelope: `Flat(OrderCreated)`, or as in `subscribe`.

        Returns:
            An asynchronous iterator of the events. It tells the `entry_id` and the `envelope` of the last one, its
            `place`, and what it `missed`.

        Raises:
            LifecycleError: The bus is not open. Where it is closed later, whoever waits for an event hears it by this.
            ConfigurationError: `start` is none, or a time without a zone; there is no topic, or more than one.
            BackendRefused: When it begins, with code WRONGTYPE: the topic's key is no stream.

        Guarantees:
            It survives the loss of Redis, and goes on after the last event it returned. What was trimmed in between is
            logged and counted, and a stream that was deleted is read anew from its beginning.

        Cancellation:
            Nothing is lost; the next event that is asked for is the same.

        Redis cost:
            One connection; one script for a page of up to 500 entries or about 1 MiB; at rest an XREAD and a script every
            two seconds.
        """
        return self._open_readings().tail(event, start=start, topic=topic, foreign=foreign)

    @overload
    def history(
        self,
        event: type[_E],
        /,
        *,
        from_: str | datetime | None = None,
        to: str | datetime | None = None,
        reverse: bool = False,
        topic: str | Topic | None = None,
        foreign: Foreign | None = None,
    ) -> History[_E]: ...

    @overload
    def history(
        self,
        event: UnionType,
        /,
        *,
        from_: str | datetime | None = None,
        to: str | datetime | None = None,
        reverse: bool = False,
        topic: str | Topic | None = None,
        foreign: Foreign | None = None,
    ) -> History[Event]: ...

    def history(
        self,
        event: Any,
        /,
        *,
        from_: str | datetime | None = None,
        to: str | datetime | None = None,
        reverse: bool = False,
        topic: str | Topic | None = None,
        foreign: Foreign | None = None,
    ) -> History[Any]:
        """Read events that are in a topic, page by page: `async for event in bus.history(OrderCreated, from_=yesterday): …`.

        Args:
            event: As `tail`.
            from_: Where to begin: an entry id, itself included, or a time with its zone. Default: the oldest entry.
            to: Where to end: an entry id, itself included, or a time with its zone, itself left out. Default: the newest
                entry there is when it begins.
            reverse: Read from the newest to the oldest. Default False.
            topic: As `tail`.
            foreign: As `tail`.

        Returns:
            An asynchronous iterator of the events, as `tail`. It ends after the last one. A topic that does not exist has
            none; nor are those returned that were trimmed before it began.

        Raises:
            LifecycleError: As `tail`.
            ConfigurationError: A place is none, or a time without a zone; `from_` is not before `to`; there is no topic, or
                more than one.
            BackendUnavailable: While iterating: Redis does not answer. Iterating again goes on where it was.
            BackendRefused: As `tail`.

        Cancellation:
            As `tail`.

        Redis cost:
            One connection; one script for a page of up to 500 entries or about 1 MiB.
        """
        return self._open_readings().history(event, from_=from_, to=to, reverse=reverse, topic=topic, foreign=foreign)
