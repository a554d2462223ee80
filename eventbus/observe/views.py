"""What observing needs to see of a bus and its census, which live higher up, or in another room. Shapes only."""
# ruff: noqa: D102 - members are explained where the real ones are: EventBus, Loop, GroupCensus

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.consuming import Consumer
    from eventbus.delivery import Health, Observer
    from eventbus.publishing import Publisher
    from eventbus.streams import Wire


class Counting(Protocol):
    """Something with plain counters."""

    @property
    def counts(self) -> Any: ...


class RuntimeView(Protocol):
    """What an open bus holds."""

    @property
    def publisher(self) -> Publisher: ...
    @property
    def janitor(self) -> Counting: ...
    @property
    def promotion(self) -> Counting: ...
    @property
    def wire(self) -> Wire: ...


class LagView(Protocol):
    """A lag, exact or a lower bound."""

    @property
    def entries(self) -> int: ...
    @property
    def exact(self) -> bool: ...


class GroupView(Protocol):
    """What one group owes."""

    @property
    def topic(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def priority(self) -> str | None: ...
    @property
    def length(self) -> int: ...
    @property
    def lag(self) -> LagView: ...
    @property
    def pending(self) -> int: ...
    @property
    def oldest_pending(self) -> float: ...
    @property
    def retry_entries(self) -> int: ...
    @property
    def parked(self) -> int: ...
    @property
    def due(self) -> int: ...
    @property
    def dead_letters(self) -> int: ...
    @property
    def cut(self) -> int: ...
    @property
    def scheduled(self) -> int: ...


class UnservedView(Protocol):
    """A group that nobody serves."""

    @property
    def topic(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def priority(self) -> str | None: ...
    @property
    def seconds(self) -> float: ...


class CensusView(Protocol):
    """What the groups owe in which this process is the one to count."""

    @property
    def groups(self) -> Sequence[GroupView]: ...
    @property
    def unserved(self) -> Sequence[UnservedView]: ...


class Measured(Protocol):
    """What metrics look at: an `EventBus`."""

    observers: list[Observer]
    stuck: int

    @property
    def consumers(self) -> Sequence[Consumer]: ...
    @property
    def runtime(self) -> RuntimeView | None: ...
    def census(self) -> CensusView: ...


class Flag(Protocol):
    """An event that is set or not."""

    def is_set(self) -> bool: ...


class LoopView(Protocol):
    """A loop under supervision."""

    @property
    def name(self) -> str: ...
    @property
    def health(self) -> Health: ...
    @property
    def failures(self) -> int: ...
    @property
    def last_error(self) -> str: ...
    @property
    def stopping(self) -> Flag: ...


class SubscriptionView(Protocol):
    """A subscription of an open bus."""

    @property
    def consumers(self) -> int: ...


class Supervised(Protocol):
    """What readiness looks at: an `EventBus`."""

    @property
    def subscriptions(self) -> Sequence[SubscriptionView]: ...
    @property
    def consumers(self) -> Sequence[object]: ...
    @property
    def loops(self) -> Sequence[LoopView]: ...
