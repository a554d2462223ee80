"""How an order ends: other services say what happened, this one draws the conclusion."""

from eventbus import Context, Router
from services.orders import book
from services.orders.events import OrderCancelled, OrderCompleted, ReviewWanted
from services.payments.events import PaymentFailed
from services.shipping.events import OrderShipped

router = Router()

REVIEW_AFTER = 3.0
"""Seconds that a customer gets before we ask; a shop would say days."""


@router.subscribe(OrderShipped, group="orders")
async def complete(event: OrderShipped, ctx: Context) -> None:
    """Close an order that has left the house, and have the customer asked how it was, once and not at once."""
    await book.close(event.order_id, "completed")
    await ctx.publish(OrderCompleted(order_id=event.order_id, tracking=event.tracking))
    review = ReviewWanted(order_id=event.order_id, customer_id=event.customer_id)
    await ctx.publish(review, delay=REVIEW_AFTER, idempotency_key=f"review {event.order_id}")


@router.subscribe(PaymentFailed, group="orders")
async def cancel(event: PaymentFailed, ctx: Context) -> None:
    """Give up an order that nobody pays."""
    await book.close(event.order_id, "cancelled")
    await ctx.publish(OrderCancelled(order_id=event.order_id, reason=event.reason))
