"""The front door: a thin object that wires the rooms together."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import anyio

from eventbus.admin import Admin, Census
from eventbus.blocking import blocking_bus
from eventbus.consuming import Rooms
from eventbus.delivery import (
    PUBLISH_TIMEOUT,
    Middleware,
    Settings,
    Subscription,
    Topics,
    check_arguments,
    compile_subscriptions,
    resolve_settings,
)
from eventbus.errors import LifecycleError
from eventbus.publishes import Publishes
from eventbus.publishing import Publisher
from eventbus.reads import Reads
from eventbus.router import Router, Subscribes, check_router
from eventbus.supervision import Janitor, Promotion, Runtime, StopRequest, finish, stop_on_signals

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import TracebackType

    from eventbus.blocking import BlockingBus
    from eventbus.consuming import Consumer
    from eventbus.delivery import Observer
    from eventbus.events import Event, Topic
    from eventbus.reading import Readings
    from eventbus.supervision import Loop


class _State(Enum):
    NEW = "not open yet"
    OPENING = "being opened"
    OPEN = "open"
    CLOSED = "closed"


class EventBus(Subscribes, Publishes, Reads):
    """Publishes typed events to Redis Streams, and runs the handlers that are subscribed to them.

    Making a bus connects to nothing: modules may create one and declare subscriptions while they are
    imported. Arguments are checked at once; variables of the environment are read when it opens.

    Args:
        url: `redis://`, `rediss://` (TLS), `unix://`, or `embedded://` for a real server that this process
            starts and ends. Else EVENTBUS_URL; there is no default.
        service: The service's name: the source of its events, the prefix of its default groups. Else
            EVENTBUS_SERVICE; there is no default.
        prefix: Put before every topic's name. Default none (EVENTBUS_PREFIX).
        lease: Seconds after which entries of a silent consumer may be taken over. Default 30 (EVENTBUS_LEASE).
        claim_interval: Seconds between looks for such entries. Default 5 (EVENTBUS_CLAIM_INTERVAL).
        drain: Seconds that handlers get to finish at shutdown. Default 25 (EVENTBUS_DRAIN).
        max_event_bytes: Largest entry that is published. Default 1 MiB (EVENTBUS_MAX_EVENT_BYTES).
        middleware: Layers around every handler, the first outermost:
            `async def m(event, ctx, call_next): await call_next(event, ctx)`.
        lifespan: Called with the bus when it begins to consume; an asynchronous context manager that lasts
            until the last handler ended, and whose value contexts show as `ctx.state`.

    Attributes:
        middleware: The layers; may be changed until the bus opens.
        on_published: Called with each event and its `Published` after Redis confirmed it, on the event loop:
            for counters and audits. Also where the publish then raises: for what `PublishIncomplete.written` or
            a `DurabilityNotReached` names. Must not block; what it raises, `publish` raises. Not called for what
            `blocking()` publishes, which happens on a loop of its own, nor for a publish that was cancelled.
        observers: Called with a `Handled` after each run of a handler, on the event loop: for metrics. May be
            changed until the bus consumes. Must not block.
        rooms: What consumers are put together from; a subclass of the bus may put other rooms in their place.
        publisher_class: The publisher's class, likewise.
        janitor_class: The janitor's class, likewise.
        promotion_class: The class of what promotes scheduled events, likewise.
        stuck: Handlers that were still running when the last `run` or `consuming` ended, since they ignored
            their cancel or sat in a thread: only the end of the process ends them.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    rooms: ClassVar[Rooms] = Rooms()
    publisher_class: ClassVar[type[Publisher]] = Publisher
    janitor_class: ClassVar[type[Janitor]] = Janitor
    promotion_class: ClassVar[type[Promotion]] = Promotion

    def __init__(
        self,
        url: str | None = None,
        *,
        service: str | None = None,
        prefix: str | None = None,
        lease: float | None = None,
        claim_interval: float | None = None,
        drain: float | None = None,
        max_event_bytes: int | None = None,
        middleware: Iterable[Middleware] = (),
        lifespan: Callable[[EventBus], AbstractAsyncContextManager[Any]] | None = None,
    ) -> None:
        super().__init__()
        self._arguments = check_arguments(
            {
                "url": url,
                "service": service,
                "prefix": prefix,
                "lease": lease,
                "claim_interval": claim_interval,
                "drain": drain,
                "max_event_bytes": max_event_bytes,
            }
        )
        self.middleware: list[Middleware] = list(middleware)
        self.observers: list[Observer] = []
        self.stuck = 0
        self._lifespan = lifespan
        self._state = _State.NEW
        self._consumes = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runtime: Runtime | None = None
        self._census: Census | None = None
        self._admin: Admin | None = None
        self._subscriptions: tuple[Subscription, ...] = ()

    def include(self, router: Router) -> None:
        """Take in a router's subscriptions.

        Raises:
            LifecycleError: The bus is open: they would be passed over.
            ConfigurationError: It is no router.
        """
        check_router(router)
        self._check_may_subscribe()
        self.declarations.extend(router.declarations)

    def _check_may_subscribe(self) -> None:
        if self._state in (_State.OPENING, _State.OPEN):
            raise LifecycleError(f"the bus is {self._state.value}: declare subscriptions before it opens, they would be passed over")

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The subscriptions of an open bus, one per topic and group."""
        return self._subscriptions

    @property
    def consumers(self) -> tuple[Consumer, ...]:
        """What consumes now, one per subscription, and per priority of its topic; empty while the bus only publishes."""
        return tuple(shift.consumer for shift in self._runtime.shifts) if self._runtime else ()

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The loops of an open bus, each with its health."""
        return tuple(self._runtime.loops) if self._runtime else ()

    @property
    def runtime(self) -> Runtime | None:
        """What an open bus holds, for metrics to look at; None while it is not open."""
        return self._runtime

    def census(self) -> Census:
        """Have counted what the bus's groups owe, every 15 seconds while it consumes, in one process for each group.

        For metrics. The same object at every call; ask before the bus opens, else nothing is counted.
        """
        if self._census is None:
            self._census = Census(lambda: [consumer.subscription for consumer in self.consumers])
        return self._census

    @property
    def admin(self) -> Admin:
        """Look at topics and groups, redrive dead letters, trim; on a connection that closes with the bus.

        Raises:
            LifecycleError: The bus is not open.
        """
        runtime = self._opened()
        if self._admin is None:
            self._admin = Admin(runtime.connections, prefix=runtime.settings.prefix)
        return self._admin

    async def cancel_scheduled(self, event_id: str, *, topic: str | Topic | type[Event]) -> bool:
        """Take back an event that was published with a delay, or for a moment, and is not in its topic yet.

        Args:
            event_id: The event's id, as its `Scheduled` has it.
            topic: The topic it was published to, or its class.

        Returns:
            Whether it came in time: then the event never is in its topic, and its idempotency key is free again. Else
            it was promoted or cancelled before, or never scheduled.

        Raises:
            LifecycleError: The bus is not open.
            ConfigurationError: No event id, or a class without a topic.
            BackendUnavailable: No answer: it may or may not have been cancelled; ask again.
            BackendRefused: Redis answered with an error.

        Redis cost:
            Two reads and a script.
        """
        return await self._opened().promotion.cancel(event_id, topic)

    # -- opening and closing

    async def open(self) -> None:
        """Connect and be ready to publish; the same as entering `async with bus`.

        Raises:
            LifecycleError: It is open already.
            ConfigurationError: Settings, subscriptions or handlers are wrong; nothing was written.
            BackendUnavailable: Redis did not answer for 10 seconds.
            BackendRefused: Redis refused the user or password.

        Redis cost:
            One INFO. Connections: one for publishing, one for commands, and one reader per subscription
            while consuming.
        """
        self._forget_dead_loop()
        if self._state in (_State.OPEN, _State.OPENING):
            raise LifecycleError(f"the bus is {self._state.value} already: open it once, and share the object")
        before, self._state = self._state, _State.OPENING
        try:
            settings = self.settings()
            topics = Topics()
            self._subscriptions = compile_subscriptions(self.declarations, settings, middleware=self.middleware, topics=topics)
            self._runtime = await Runtime.open(
                settings,
                topics,
                rooms=self.rooms,
                publisher_class=self.publisher_class,
                janitor_class=self.janitor_class,
                promotion_class=self.promotion_class,
            )
        except BaseException:
            self._state = before
            raise
        if self._census is not None:
            count = partial(self._census.run, self._runtime.connections, self._runtime.name)
            self._runtime.supervisor.start("counting what groups owe", count)
        self._loop = asyncio.get_running_loop()
        self._state = _State.OPEN

    async def close(self) -> None:
        """Wait for publishes under way, then close every connection. A closed bus may be opened again.

        Who waits for an event of a tail or a history hears by a LifecycleError that there will be none.

        Raises:
            LifecycleError: It is consuming: end `run()` or `consuming()` first.

        Cancellation:
            Everything is closed all the same; the cancellation comes after it.
        """
        await self._close(patience=PUBLISH_TIMEOUT)

    async def _close(self, *, patience: float | None) -> None:
        if self._runtime is None:
            return
        runtime = self._opened()
        if self._consumes:
            raise LifecycleError("the bus is consuming: leave consuming(), or stop run(), before it is closed")
        admin, self._admin = self._admin, None
        self._runtime, self._state = None, _State.CLOSED
        await finish(_close_all(runtime, admin, patience))

    def _forget_dead_loop(self) -> None:
        """A bus that was left open when its event loop ended has nothing that could still be closed."""
        if self._loop is not None and self._loop.is_closed():
            self._runtime, self._admin, self._state, self._consumes = None, None, _State.CLOSED, False

    async def __aenter__(self) -> Self:
        """Open the bus."""
        await self.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the bus."""
        await self.close()

    def settings(self) -> Settings:
        """The settings as they hold now: arguments, else variables of the environment, else defaults.

        Raises:
            ConfigurationError: A variable is wrong, or url or service are missing.
        """
        return resolve_settings(self._arguments, os.environ)

    def blocking(self) -> AbstractContextManager[BlockingBus]:
        """Publish from synchronous code: `with bus.blocking() as b: b.publish(event)`.

        A thread of its own runs an event loop and its own connections while the block lasts; the bus
        itself need not be open.

        Raises:
            LifecycleError: Called on a running event loop, which it would block: `await bus.publish` there.
            ConfigurationError, BackendError: As `open`.
        """
        return blocking_bus(self.settings())

    # -- consuming

    async def run(self) -> None:
        """Open, consume until SIGTERM or SIGINT, drain, close: what a service's main does.

        On a bus that is open already it consumes and drains, and leaves the closing to whoever opened it.
        What never started is handed to other workers at once. A second signal (another one, or the same
        after half a second) cancels handlers instead of waiting for them; what they held is released. An application
        with signal handlers of its own uses `consuming()`.

        Raises:
            LifecycleError: It consumes already.
            ConfigurationError, BackendError: As `open`; a group's key may be of a wrong type.

        Cancellation:
            As a signal: it drains, and the cancellation comes after it.
        """
        with stop_on_signals() as request:
            async with self._working(request):
                await request.stop.wait()

    @asynccontextmanager
    async def consuming(self) -> AsyncGenerator[None]:
        """Consume while the block lasts, without touching signals: for web applications.

        Opens the bus if it is not open. At the end it drains like `run`.

        Raises:
            LifecycleError, ConfigurationError, BackendError: As `run`.

        Cancellation:
            As `run`.
        """
        async with self._working(StopRequest()):
            yield

    @asynccontextmanager
    async def _working(self, request: StopRequest) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            if self._state is not _State.OPEN:
                # Before the opening: a cancel that comes just after it must find somebody to close.
                stack.push_async_callback(self._close, patience=None)
                await _unless(request.stop, self.open)
            if self._state is _State.OPEN:  # else the wish to stop came first
                await stack.enter_async_context(self._consuming(request))
            yield

    @asynccontextmanager
    async def _consuming(self, request: StopRequest) -> AsyncGenerator[None]:
        runtime = self._opened()
        if self._consumes:
            raise LifecycleError("the bus consumes already: run() or consuming() once")
        self._consumes = True
        try:
            async with AsyncExitStack() as stack:
                state = await stack.enter_async_context(self._lifespan(self)) if self._lifespan else None
                try:
                    await _unless(request.stop, partial(runtime.consume, self._subscriptions, self.publish, state, self.observers))
                    yield
                finally:
                    await finish(runtime.drain(request.hurry))
                    self.stuck = runtime.stuck
        finally:
            self._consumes = False

    def _open_publisher(self) -> Publisher:
        return self._opened().publisher

    def _open_readings(self) -> Readings:
        return self._opened().readings

    def _publisher_here(self) -> Publisher | None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:  # this thread has none
            return None
        runtime = self._runtime
        return runtime.publisher if runtime is not None and self._state is _State.OPEN and self._loop is here else None

    def _opened(self) -> Runtime:
        if self._runtime is None or self._state is not _State.OPEN:
            raise LifecycleError(f"the bus is {self._state.value}: use it inside `async with bus:`, or after `await bus.open()`")
        if self._loop is not asyncio.get_running_loop():
            raise LifecycleError("the bus was opened on another event loop: close it there, and open it here")
        return self._runtime

    def __repr__(self) -> str:
        """Name the service and the state; never the url."""
        return f"<EventBus {self._arguments.get('service', '')!r}, {self._state.value}>"


async def _close_all(runtime: Runtime, admin: Admin | None, patience: float | None) -> None:
    if admin is not None:
        await admin.close()
    await runtime.close(patience=patience)


async def _unless(stop: asyncio.Event, step: Callable[[], Awaitable[None]]) -> None:
    """Take a step that gives way as soon as the wish to stop comes."""
    failed: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            await stop.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - raised below, not inside of a group
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
