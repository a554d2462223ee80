"""What the demo runs, and who is owed which events."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eventbus.events import NORMAL
from eventbus.streams import keys
from services.orders.handlers import REVIEW_AFTER


@dataclass(frozen=True, slots=True)
class Group:
    """A group on one topic, and the types it has handlers for.

    Written down once more here, not asked from the bus, since it is what the bus is held against.
    """

    name: str
    topic: str
    types: frozenset[str]
    priorities: tuple[str, ...] = (NORMAL,)
    held: float = 0.0
    """Seconds for which its events are held before they are in their topic."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams it reads: its topic's, one for each priority."""
        return tuple(keys.level(self.topic, priority) for priority in self.priorities)

    def __str__(self) -> str:
        """How it is called on the screen."""
        return f"{self.topic}/{self.name}"


@dataclass(frozen=True, slots=True)
class App:
    """A service, run by `eventbus run TARGET` in so many processes; where `run` says another command, by that."""

    name: str
    target: str
    workers: int = 1
    groups: tuple[Group, ...] = ()
    run: tuple[str, ...] = ()

    @property
    def produces(self) -> bool:
        """Whether it makes events by itself, so that it is started last and stopped first."""
        return not self.groups


def _group(name: str, topic: str, *types: str, held: float = 0.0) -> Group:
    return Group(name, topic, frozenset(types), ("high", NORMAL) if topic == "orders" else (NORMAL,), held)


NOTIFIER = Path(__file__).parents[1] / "notifier" / "dist" / "src" / "main.js"
"""The service in TypeScript, as `make node` builds it."""

PLAN: tuple[App, ...] = (
    App("devices", "services.sensors.devices:bus"),
    App("shop", "services.orders.shop:bus"),
    App("sensors", "services.sensors.app:bus", 2, (_group("monitor", "sensors", "SensorReading"),)),
    App("payments", "services.payments.app:bus", 2, (_group("payments", "orders", "OrderCreated"),)),
    App("shipping", "services.shipping.app:bus", 2, (_group("shipping", "payments", "PaymentSucceeded"),)),
    App(
        "orders",
        "services.orders.app:bus",
        1,
        (_group("orders", "shipments", "OrderShipped"), _group("orders", "payments", "PaymentFailed")),
    ),
    App(
        "notifications",
        "services.notifications.app:bus",
        1,
        (
            _group("notifications", "orders", "OrderCreated"),
            _group("notifications", "shipments", "OrderShipped"),
            _group("notifications", "payments", "PaymentFailed"),
            _group("notifications", "alerts", "TemperatureAlert"),
            _group("notifications", "reviews", "ReviewWanted", held=REVIEW_AFTER),
            _group("notifications", "notifications", "NotificationSent"),
        ),
    ),
    App("notifier", str(NOTIFIER), 1, (_group("notifier", "orders", "OrderCreated"),), ("node",)),
)


def groups_of(plan: Iterable[App]) -> tuple[Group, ...]:
    """All groups of a plan."""
    return tuple(group for app in plan for group in app.groups)


def runnable(plan: Sequence[App]) -> tuple[tuple[App, ...], list[str]]:
    """The apps that can be run here, and why others cannot: what is not of Python may be missing."""
    reasons = {app: reason for app in plan if (reason := _lacking(app))}
    return tuple(app for app in plan if app not in reasons), list(reasons.values())


def _lacking(app: App) -> str | None:
    if app.run and shutil.which(app.run[0]) is None:
        return f"the demo runs without {app.name}: {app.run[0]} was not found"
    if app.run and not Path(app.target).exists():
        return f"the demo runs without {app.name}: it is not built (make node)"
    return None


def with_targets(plan: Sequence[App], targets: Iterable[str]) -> tuple[App, ...]:
    """Run other targets in place of some apps.

    Args:
        plan: What would be run.
        targets: Texts of the form `payments=my.module:bus`.

    Raises:
        ValueError: One has another form, or names no app of the plan.
    """
    others: dict[str, str] = {}
    for text in targets:
        name, equals, target = text.partition("=")
        if not equals or ":" not in target or name not in {app.name for app in plan}:
            known = ", ".join(app.name for app in plan)
            raise ValueError(f"--app {text!r}: write NAME=module:bus, NAME being one of {known}")
        others[name] = target
    return tuple(replace(app, target=others[app.name], run=()) if app.name in others else app for app in plan)
