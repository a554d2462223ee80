"""Subscriptions declared without a bus, to be taken in by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from eventbus.delivery import Batch, Declarations, Middleware, Order, Policy, Retry, Weights
from eventbus.errors import ConfigurationError
from eventbus.events import Event, Foreign, Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from types import UnionType

_E = TypeVar("_E", bound=Event)
_T = TypeVar("_T")
_P = ParamSpec("_P")
_R = TypeVar("_R")
_F = TypeVar("_F", bound="Callable[..., Any]")


class HandlerOf(Protocol[_T]):
    """A decorator for handlers of one event class, or of lists of such events; it returns the function unchanged.

    Type checkers hold the handler's first parameter against the class subscribed to.
    """

    def __call__(self, handler: Callable[Concatenate[_T, _P], _R], /) -> Callable[Concatenate[_T, _P], _R]:
        """Subscribe the handler."""
        ...


class Subscribes:
    """What a bus and a router have in common: `@….subscribe(EventClass)`."""

    def __init__(self) -> None:
        super().__init__()
        self.declarations = Declarations()

    def _check_may_subscribe(self) -> None:
        """Refuse a subscription that comes too late; a router's never does."""

    # mypy takes `A | B` for a UnionType or an A, so that the last of these must accept both
    @overload
    def subscribe(  # type: ignore[overload-overlap]
        self,
        event: type[_E],
        /,
        *,
        group: str | None = None,
        topic: str | Topic | None = None,
        start: str | None = None,
        concurrency: int | None = None,
        prefetch: int | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        foreign: Foreign | None = None,
        idempotent: bool | float | timedelta | None = None,
        broadcast: bool | None = None,
        ordered: bool | Order | None = None,
        weights: Weights | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> HandlerOf[_E]: ...

    @overload
    def subscribe(  # type: ignore[overload-overlap]
        self,
        event: type[_E],
        /,
        *,
        batch: Batch,
        group: str | None = None,
        topic: str | Topic | None = None,
        start: str | None = None,
        concurrency: int | None = None,
        prefetch: int | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        foreign: Foreign | None = None,
        idempotent: bool | float | timedelta | None = None,
        broadcast: bool | None = None,
        ordered: bool | Order | None = None,
        weights: Weights | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> HandlerOf[list[_E]]: ...

    @overload
    def subscribe(
        self,
        event: UnionType | type[_E],
        /,
        *,
        group: str | None = None,
        topic: str | Topic | None = None,
        start: str | None = None,
        concurrency: int | None = None,
        prefetch: int | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        foreign: Foreign | None = None,
        batch: Batch | None = None,
        idempotent: bool | float | timedelta | None = None,
        broadcast: bool | None = None,
        ordered: bool | Order | None = None,
        weights: Weights | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> Callable[[_F], _F]: ...

    def subscribe(
        self,
        event: Any,
        /,
        *,
        group: str | None = None,
        topic: str | Topic | None = None,
        start: str | None = None,
        concurrency: int | None = None,
        prefetch: int | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        foreign: Foreign | None = None,
        batch: Batch | None = None,
        idempotent: bool | float | timedelta | None = None,
        broadcast: bool | None = None,
        ordered: bool | Order | None = None,
        weights: Weights | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> Any:
        """Subscribe the decorated handler to an event class, its descendants, or a union of classes.

        The handler takes the event first and may take the `Context`, by annotation. An `async def`
        handler runs on the event loop, any other in a thread. An event is acknowledged when its handler
        has returned. One whose handler raised is handled again by its policy, and goes to the group's dead
        letters in the end; `raise RetryLater(seconds)` and `raise Reject(reason)` say so directly. Handlers
        may see an event more than once: make their effects idempotent.

        Args:
            event: A class derived from `Event`, or a union such as `OrderCreated | OrderPaid`.
            group: Handlers that name one group on one topic share its events: each event goes to the one
                whose type matches. Every group sees every event. Default `service.function`, a group of
                the handler's own; give one for what is to survive a renamed function.
            topic: A topic in place of the event class's own.
            start: Where a group that is new begins: "earliest" (default), "latest", or an entry id, after
                which it starts. A group that exists goes on where it is.
            concurrency: Handlers that run at a time in this process. Default 32 (EVENTBUS_CONCURRENCY); with `batch`, batches
                at a time, and default 1.
            prefetch: Entries read ahead of the handlers (EVENTBUS_PREFETCH). Default: what they finish in a tenth of a
                second, at least twice the concurrency, at most 1,000. Whatever it is, what a process holds is
                32 MiB, shared by its subscriptions, and what one read brings beyond.
            retry: What happens after the handler raised. Default `Retry()`.
            timeout: Seconds after which a run of the handler is cancelled, and counts as failed with a
                TimeoutError. A handler in a thread cannot be cancelled: that it is late is logged, and its
                own end decides. Default: never.
            foreign: How to read entries that other programs wrote without an envelope: `Flat(OrderCreated)`,
                `JsonField(OrderCreated, "data")`, `Debezium(RowChanged)`, or a list of such, of which the first that can read an
                entry does. Default: such entries are dead letters.
            batch: Give the handler a list of events and, if it asks for it, a `BatchContext`: `Batch(max_size=100, max_wait=0.2)`.
                What it does not fail by `ctx.fail(event, …)` is acknowledged when it returns. Default: one event.
            idempotent: Do not start what this group has finished: True for a day, or seconds, or a timedelta. Once the
                group has finished an event id, no run of it starts that asks afterwards, within the window, whoever
                publishes, redrives or replays it: it is acknowledged without one. The mark is written in the step that
                acknowledges. What remains possible: a run after a crash, or a cancellation, between the effect and the
                mark; after a failover, crash or flush of Redis that lost the mark; after the window. So effects outside
                of Redis still want a key of their own, `ctx.id`. At maxmemory nothing starts. Default False.
            broadcast: Give every process each event: a group for each of them, `group.host.pid.random`, which begins at
                "latest" unless `start` says otherwise, and ends with the process. Default False.
            ordered: Handle events with one key one at a time and in order, in one process at a time: True or "block", so
                that a key waits for its failed event, or "overtake". Default False.
            weights: How priorities share the handlers: `{"high": 6, "normal": 3, "low": 1}`, or "strict". Default: each is
                served twice as often as the next.
            middleware: Layers around this handler, the first outermost, inside those of the bus.

        Returns:
            A decorator that returns the function unchanged.

        Raises:
            LifecycleError: The bus is open already: the subscription would be passed over.
            ConfigurationError: An option is wrong. What needs all subscriptions together, and the
                handler's signature, is checked when the bus opens.

        Redis cost:
            None here. Consuming: one XREADGROUP and one script per batch of entries, one script per lease/3 for up
            to 300 entries in hand, and one script for each failed batch. With `idempotent` one more script for all that
            start at a moment.
        """
        self._check_may_subscribe()
        policy = Policy(
            start=start,
            concurrency=concurrency,
            prefetch=prefetch,
            retry=retry,
            timeout=timeout,
            foreign=foreign,
            batch=batch,
            idempotent=idempotent,
            broadcast=broadcast,
            ordered=ordered,
            weights=weights,
        )
        return self.declarations.declare(event, group=group, topic=topic, middleware=middleware, policy=policy)


class Router(Subscribes):
    """Subscriptions without a bus, for services whose handlers live in several modules.

    A bus takes them in with `bus.include(router)` before it opens; several buses may take in one router.
    """

    def include(self, router: Router) -> None:
        """Take in the subscriptions of another router."""
        check_router(router)
        self.declarations.extend(router.declarations)


def check_router(router: object) -> None:
    """Refuse what is no router, by name."""
    if not isinstance(router, Router):
        raise ConfigurationError(f"include() takes a Router, not {type(router).__name__}")
