"""Events that the tests share."""

from __future__ import annotations

from decimal import Decimal

from eventbus import Event


class OrderCreated(Event, topic="orders", key="order_id"):
    order_id: str
    total: Decimal = Decimal("9.99")


class OrderPaid(Event, topic="orders", key="order_id"):
    order_id: str


def orders(count: int) -> list[OrderCreated]:
    """So many orders, numbered."""
    return [OrderCreated(order_id=f"o-{number}") for number in range(count)]
