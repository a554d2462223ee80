"""What shipping says."""

from eventbus import Event


class OrderShipped(Event, topic="shipments", key="order_id"):
    """The order has left the house."""

    order_id: str
    customer_id: str
    tracking: str
