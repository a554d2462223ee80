"""What payments say. A declined card is news like any other, so it is an event and no error."""

from decimal import Decimal

from eventbus import Event


class PaymentSucceeded(Event, topic="payments", key="order_id"):
    """The order is paid."""

    order_id: str
    customer_id: str
    amount: Decimal


class PaymentFailed(Event, topic="payments", key="order_id"):
    """The order could not be charged."""

    order_id: str
    customer_id: str
    reason: str
