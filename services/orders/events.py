"""What happens to an order in our own hands."""

from decimal import Decimal

from eventbus import Event, Topic

ORDERS = Topic("orders", priorities=("high", "normal"))
"""Express orders are of high priority: whoever handles orders sees to them first, and to the others as well."""


class OrderEvent(Event, topic=ORDERS, key="order_id"):
    """Whatever happens to an order."""

    order_id: str


class OrderCreated(OrderEvent):
    """A customer has ordered."""

    customer_id: str
    total: Decimal


class OrderCompleted(OrderEvent):
    """The order was paid and is on its way; nothing is left to do."""

    tracking: str


class ReviewWanted(Event, topic="reviews", key="order_id"):
    """The customer has had some time with the order: an opinion is welcome."""

    order_id: str
    customer_id: str


class OrderCancelled(OrderEvent):
    """The order will not be carried out."""

    reason: str
