"""A bus as metrics see it, with counters set by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from eventbus.consuming.counts import Counts
from eventbus.publishing import PublishCounts
from eventbus.supervision.promotion import PromotionCounts

ROUTES = {"OrderCreated": None, "OrderPaid": None}


def subscription(topic: str = "orders", group: str = "charge", priority: str | None = None) -> Any:
    return SimpleNamespace(topic=topic, stream=topic, group=group, label=group, routes=ROUTES, priority=priority)


def consumer(
    topic: str = "orders", group: str = "charge", priority: str | None = None, *, running: int = 0, in_hand: int = 0, **counts: Any
) -> Any:
    return SimpleNamespace(
        subscription=subscription(topic, group, priority),
        counts=Counts(**counts),
        executors=SimpleNamespace(running=running),
        in_hand=range(in_hand),
    )


def runtime(*, opened: int = 1, trimmed: int = 0, cut: int = 0, promoted: int = 0, missing: int = 0, **published: int) -> Any:
    return SimpleNamespace(
        publisher=SimpleNamespace(counts=PublishCounts(**published)),
        janitor=SimpleNamespace(counts=SimpleNamespace(trimmed=trimmed, cut=cut)),
        promotion=SimpleNamespace(counts=PromotionCounts(promoted, missing)),
        wire=SimpleNamespace(opened=opened),
    )


@dataclass
class FakeBus:
    """What `instrument` looks at."""

    consumers: list[Any] = field(default_factory=list)
    runtime: Any = None
    stuck: int = 0
    observers: list[Any] = field(default_factory=list)
    groups: list[Any] = field(default_factory=list)
    unserved: list[Any] = field(default_factory=list)

    def census(self) -> Any:
        return SimpleNamespace(groups=self.groups, unserved=self.unserved)
