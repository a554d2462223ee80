"""Values and decisions of delivery: settings, subscriptions, deliveries, outcomes. No I/O."""

from eventbus.delivery.backoff import Backoff
from eventbus.delivery.batch_context import BatchContext
from eventbus.delivery.carried import Carried, split
from eventbus.delivery.context import Context, Surroundings
from eventbus.delivery.delivery import Delivery
from eventbus.delivery.durability import Durability, Replicated, check_durability
from eventbus.delivery.handlers import Middleware
from eventbus.delivery.letter import dead_letter, timestamp
from eventbus.delivery.loop import Alive, Health
from eventbus.delivery.observer import Handled, Observer
from eventbus.delivery.outcome import CRASHES, UNHANDLED, Decision, Ended, Ending, Outcome, Reason, carry, decide, hop, raised
from eventbus.delivery.patterns import Batch, Order, Weights
from eventbus.delivery.placement import NOTHING, OnceKey, Placement, Placing, Span, placing
from eventbus.delivery.policy import Policy
from eventbus.delivery.published import PUBLISH_TIMEOUT, Published, PublishEvent, Scheduled
from eventbus.delivery.resolution import Ready, refuse_early, resolve, type_of
from eventbus.delivery.retry import Exponential, Retry, exponential
from eventbus.delivery.settings import Settings, check_arguments
from eventbus.delivery.settings import resolve as resolve_settings
from eventbus.delivery.subscription import Declaration, Declarations, Route, Subscription, compile_subscriptions
from eventbus.delivery.topics import Topics

__all__ = [
    "CRASHES",
    "NOTHING",
    "PUBLISH_TIMEOUT",
    "UNHANDLED",
    "Alive",
    "Backoff",
    "Batch",
    "BatchContext",
    "Carried",
    "Context",
    "Decision",
    "Declaration",
    "Declarations",
    "Delivery",
    "Durability",
    "Ended",
    "Ending",
    "Exponential",
    "Handled",
    "Health",
    "Middleware",
    "Observer",
    "OnceKey",
    "Order",
    "Outcome",
    "Placement",
    "Placing",
    "Policy",
    "PublishEvent",
    "Published",
    "Ready",
    "Reason",
    "Replicated",
    "Retry",
    "Route",
    "Scheduled",
    "Settings",
    "Span",
    "Subscription",
    "Surroundings",
    "Topics",
    "Weights",
    "carry",
    "check_arguments",
    "check_durability",
    "compile_subscriptions",
    "dead_letter",
    "decide",
    "exponential",
    "hop",
    "placing",
    "raised",
    "refuse_early",
    "resolve",
    "resolve_settings",
    "split",
    "timestamp",
    "type_of",
]
