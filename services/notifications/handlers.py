"""Who is told what. One group over six topics; the services that publish know nothing of it."""

from eventbus import Router
from services.notifications import history, post
from services.notifications.events import NotificationSent
from services.orders.events import OrderCreated, ReviewWanted
from services.payments.events import PaymentFailed
from services.sensors.events import TemperatureAlert
from services.shipping.events import OrderShipped

router = Router()


@router.subscribe(OrderCreated, group="notifications")
async def tell_received(event: OrderCreated) -> None:
    """Tell a customer that the order has arrived here."""
    await post.send(event.customer_id, f"We have received your order {event.order_id} of {event.total}")


@router.subscribe(OrderShipped, group="notifications")
async def tell_shipped(event: OrderShipped) -> None:
    """Tell a customer that the parcel is on its way."""
    await post.send(event.customer_id, f"Your order {event.order_id} is on its way: {event.tracking}")


@router.subscribe(ReviewWanted, group="notifications")
async def ask_for_review(event: ReviewWanted) -> None:
    """Ask a customer how it was."""
    await post.send(event.customer_id, f"How do you like what you ordered with {event.order_id}?")


@router.subscribe(PaymentFailed, group="notifications")
async def tell_declined(event: PaymentFailed) -> None:
    """Tell a customer that the order was not paid."""
    await post.send(event.customer_id, f"Your order {event.order_id} was not paid: {event.reason}")


@router.subscribe(NotificationSent, group="notifications")
async def remember(event: NotificationSent) -> None:
    """Keep on record what the notifier, a service in another language, told a customer."""
    await history.note(event.customer_id, f"order {event.order_id} received, by {event.channel}", event.sent_at)


@router.subscribe(TemperatureAlert, group="notifications")
async def tell_caretaker(alert: TemperatureAlert) -> None:
    """Tell the caretaker that a room is unusually warm."""
    await post.send("caretaker", f"{alert.sensor_id}: {alert.celsius} °C, usually {alert.usual} °C")
