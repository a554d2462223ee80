"""Deliveries, subscriptions and settings as the inner floors pass them around, without any Redis."""

from __future__ import annotations

from itertools import count
from typing import Any

from eventbus.delivery import Declarations, Delivery, Policy, Settings, Subscription, Topics, compile_subscriptions
from eventbus.events import Event, encode
from tests.support.events import OrderCreated

SETTINGS = Settings(url="redis://nowhere", service="billing")
_places = count(1)


def subscription(
    handler, *, spec: object = OrderCreated, settings: Settings = SETTINGS, middleware: Any = (), **policies: Any
) -> Subscription:
    """Subscribe one handler as group `charge`."""
    declarations = Declarations()
    policy = Policy(**policies)
    declarations.declare(spec, group="charge", topic=None, middleware=middleware, policy=policy)(handler)
    (compiled,) = compile_subscriptions(declarations, settings, topics=Topics())
    return compiled


def delivery(event: Event | None = None, *, entry_id: bytes = b"", private: bool = False, token: str = "token", **facts: Any) -> Delivery:
    """An entry that was read, at a place of its own unless one is named."""
    fields = encode(event, source="/shop") if event else []
    return Delivery(entry_id or b"%d-0" % next(_places), fields, private, token, **facts)
