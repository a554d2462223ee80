"""What is said of notifications: by `services/notifier`, a service in another language."""

from typing import Literal

from pydantic import AwareDatetime

from eventbus import Event


class NotificationSent(Event, topic="notifications", key="order_id"):
    """A customer was told that an order has arrived."""

    order_id: str
    customer_id: str
    channel: Literal["mail"]
    sent_at: AwareDatetime
