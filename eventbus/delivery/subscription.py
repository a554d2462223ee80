"""What a service subscribes to: declarations as they were written, subscriptions as they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from eventbus.delivery.handlers import Handler, Invoke, Middleware, handler_name, inspect_handler, short_name
from eventbus.delivery.patterns import Batch, Order, Weights, order_of, weights_of, window_of
from eventbus.delivery.policy import Policy, check_together, start_of
from eventbus.delivery.retry import Retry
from eventbus.errors import ConfigurationError
from eventbus.events import Event, ForeignReader, Topic, check_name, descendants, info, readers_of

if TYPE_CHECKING:
    from eventbus.delivery.settings import Settings
    from eventbus.delivery.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One use of `@subscribe`, kept as it was written until the bus opens.

    Attributes:
        spec: An event class, or a union of them.
        function: The decorated handler.
        group: The group's name, or None for `service.function`.
        topic: A topic in place of the event class's own, or None.
        policy: The rest of the arguments.
        middleware: Layers around this handler only, the first outermost.
    """

    spec: Any
    function: Callable[..., Any]
    group: str | None = None
    topic: Topic | None = None
    policy: Policy = field(default_factory=Policy)
    middleware: tuple[Middleware, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """Where a subscription sends the events of one type."""

    event_class: type[Event]
    version: int
    handler: Handler
    invoke: Invoke


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic, a group, its handlers by event type, and how it is run.

    Where the topic has priorities, each of them is consumed as a subscription of its own, with its `priority` and its stream.
    """

    topic: str
    stream: str
    group: str
    start: str
    concurrency: int
    prefetch: int | None
    retry: Retry
    timeout: float | None
    foreign: tuple[ForeignReader, ...]
    routes: Mapping[str, Route]
    batch: Batch | None = None
    window: float | None = None
    broadcast: bool = False
    order: Order | None = None
    weights: Weights | None = None
    priorities: tuple[str, ...] = ()
    priority: str | None = None
    family: str = ""

    def instance(self, name: str) -> Subscription:
        """What one process of a broadcast serves: a group of its own."""
        return replace(self, group=f"{self.group}.{name}", family=self.group)

    @property
    def label(self) -> str:
        """The group as the program named it: of a broadcast the name that all its instances share."""
        return self.family or self.group

    @property
    def at_once(self) -> int:
        """How many events its handlers can have at a time."""
        return self.concurrency if self.batch is None else self.concurrency * self.batch.max_size

    @property
    def types(self) -> dict[str, int]:
        """The event types it handles, with the highest version it knows of each."""
        return {name: route.version for name, route in self.routes.items()}

    @property
    def consumers(self) -> int:
        """How many consumers a process has of it."""
        return len(self.priorities) or 1

    def __str__(self) -> str:
        """How it is called in logs."""
        level = "" if self.priority is None else f" ({self.priority})"
        return f"{self.topic}/{self.group}{level}"


_F = TypeVar("_F", bound=Callable[..., Any])


class Declarations:
    """The `@subscribe` of one bus or router: checks what can be checked at once, and keeps the rest."""

    def __init__(self) -> None:
        self._kept: list[Declaration] = []

    def __iter__(self) -> Iterator[Declaration]:
        """The declarations in the order they were written."""
        return iter(self._kept)

    def extend(self, others: Iterable[Declaration]) -> None:
        """Take in the declarations of another."""
        self._kept.extend(others)

    def declare(
        self,
        spec: Any,
        *,
        group: str | None,
        topic: str | Topic | None,
        middleware: Sequence[Middleware],
        policy: Policy,
    ) -> Callable[[_F], _F]:
        """Make the decorator that keeps the declaration and returns the function unchanged."""
        checked = None if group is None else check_name("group", group)
        place = None if topic is None else Topic.of(topic)

        def decorate(function: _F) -> _F:
            self._kept.append(
                Declaration(spec=spec, function=function, group=checked, topic=place, policy=policy, middleware=tuple(middleware))
            )
            return function

        return decorate


@dataclass(slots=True)
class _Draft:
    """A subscription while its handlers are being collected."""

    topic: Topic
    policy: Policy
    routes: dict[str, Route]


def compile_subscriptions(
    declarations: Iterable[Declaration],
    settings: Settings,
    *,
    middleware: Sequence[Middleware] = (),
    topics: Topics,
) -> tuple[Subscription, ...]:
    """Turn declarations into subscriptions, one per topic and group.

    Args:
        declarations: Of the bus and its routers.
        settings: The bus's.
        middleware: The bus's layers, outside those of a subscription.
        topics: The bus's topics, for finding two declarations of one that differ.

    Raises:
        ConfigurationError: A conflict or a wrong handler, by name, with the remedy.
    """
    drafts: dict[tuple[str, str], _Draft] = {}
    for declaration in declarations:
        classes = _concrete(declaration)
        handler = inspect_handler(declaration.function, classes, batch=declaration.policy.batch is not None)
        invoke = handler.invoker((*middleware, *declaration.middleware))
        group = declaration.group or _default_group(declaration, settings)
        for event_class in classes:
            topic = topics.register(declaration.topic or info(event_class).topic or "")
            where = f"group {group!r} on topic {topic.name!r}"
            draft = drafts.setdefault((topic.name, group), _Draft(topic, Policy(), {}))
            draft.policy = draft.policy.merged(declaration.policy, where)
            _add_route(draft, Route(event_class, info(event_class).version, handler, invoke), where)
    return tuple(_finish(group, draft, settings, topics.register(draft.topic)) for (_, group), draft in drafts.items())


def _concrete(declaration: Declaration) -> tuple[type[Event], ...]:
    """The classes a declaration stands for that have a topic; without `topic=` abstract bases have none."""
    everyone = descendants(declaration.spec)
    found = everyone if declaration.topic else tuple(each for each in everyone if info(each).topic)
    if not found:
        name = getattr(declaration.spec, "__name__", str(declaration.spec))
        raise ConfigurationError(
            f"{handler_name(declaration.function)} subscribes to {name}, but neither it nor a class derived from it "
            f"names a topic: write class {name}(Event, topic='…'), or subscribe with topic="
        )
    return found


def _default_group(declaration: Declaration, settings: Settings) -> str:
    name = short_name(declaration.function)
    if not name.isidentifier():
        raise ConfigurationError(f"handler {handler_name(declaration.function)} has no name to call its group by; pass group=")
    return f"{settings.service}.{name}"


def _add_route(draft: _Draft, route: Route, where: str) -> None:
    event_type = info(route.event_class).type
    known = draft.routes.setdefault(event_type, route)
    if known is route:
        return
    if known.event_class is not route.event_class:
        one, two = (f"{cls.__module__}.{cls.__qualname__}" for cls in (known.event_class, route.event_class))
        raise ConfigurationError(
            f"{where}: {one} and {two} are both of type {event_type!r}; give one of them another type=, or another group"
        )
    raise ConfigurationError(
        f"{where}: {known.handler.name} and {route.handler.name} both handle {event_type!r}; "
        f"an event goes to one handler of a group, so give one of them another group="
    )


def _finish(group: str, draft: _Draft, settings: Settings, declared: Topic) -> Subscription:
    policy, topic = draft.policy, draft.topic.name
    # Batches are there to be written together: several at a time would share out what comes, and each be small.
    concurrency = policy.concurrency or (settings.concurrency if policy.batch is None else 1)
    where = f"group {group!r} on topic {topic!r}"
    check_together(policy, declared.priorities, where)
    foreign = readers_of(policy.foreign)
    _check_foreign(foreign, draft, where)
    _check_one_list(policy.batch, draft, where)
    return Subscription(
        topic=topic,
        stream=settings.prefix + topic,
        group=group,
        start=start_of(policy),
        concurrency=concurrency,
        prefetch=policy.prefetch or settings.prefetch,
        retry=policy.retry or Retry(),
        timeout=policy.timeout,
        foreign=foreign,
        routes=draft.routes,
        batch=policy.batch,
        window=window_of(policy.idempotent or False),
        broadcast=bool(policy.broadcast),
        order=order_of(policy.ordered or False),
        weights=weights_of(policy.weights, declared.priorities, where),
        priorities=declared.priorities,
    )


def _check_foreign(readers: Iterable[ForeignReader], draft: _Draft, where: str) -> None:
    for reader in readers:
        route = draft.routes.get(info(reader.event_class).type)
        if route is None or route.event_class is not reader.event_class:
            raise ConfigurationError(f"{where}: foreign={reader}, but none of its handlers subscribes to {reader.event_class.__name__}")


def _check_one_list(batch: Batch | None, draft: _Draft, where: str) -> None:
    """A batch goes to one handler, as it came: no event of it waits for others of its type."""
    names = sorted({route.handler.name for route in draft.routes.values()})
    if batch is not None and len(names) > 1:
        raise ConfigurationError(
            f"{where}: {' and '.join(names)} share a group that takes batches, which go to one handler: "
            f"subscribe one to a union of the classes, or use another group"
        )
