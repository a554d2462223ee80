"""Values and decisions of delivery: settings, subscriptions, deliveries, outcomes. No I/O."""

from eventbus.delivery.backoff import Backoff
from eventbus.delivery.context import Context, Surroundings
from eventbus.delivery.delivery import Delivery
from eventbus.delivery.handlers import Middleware
from eventbus.delivery.loop import Alive
from eventbus.delivery.outcome import Ending, Outcome, decide
from eventbus.delivery.published import PUBLISH_TIMEOUT, Published, PublishEvent
from eventbus.delivery.resolution import Ready, Unready, resolve
from eventbus.delivery.retry import Retry
from eventbus.delivery.settings import Settings, check_arguments
from eventbus.delivery.settings import resolve as resolve_settings
from eventbus.delivery.subscription import (
    Declaration,
    Declarations,
    Policy,
    Route,
    Subscription,
    compile_subscriptions,
)
from eventbus.delivery.topics import Topics

__all__ = [
    "PUBLISH_TIMEOUT",
    "Alive",
    "Backoff",
    "Context",
    "Declaration",
    "Declarations",
    "Delivery",
    "Ending",
    "Middleware",
    "Outcome",
    "Policy",
    "PublishEvent",
    "Published",
    "Ready",
    "Retry",
    "Route",
    "Settings",
    "Subscription",
    "Surroundings",
    "Topics",
    "Unready",
    "check_arguments",
    "compile_subscriptions",
    "decide",
    "resolve",
    "resolve_settings",
]
