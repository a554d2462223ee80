"""How an order ends: other services say what happened, this one draws the conclusion."""

from eventbus import Context, Router
from services.orders import book
from services.orders.events import OrderCancelled, OrderCompleted
from services.payments.events import PaymentFailed
from services.shipping.events import OrderShipped

router = Router()


@router.subscribe(OrderShipped, group="orders")
async def complete(event: OrderShipped, ctx: Context) -> None:
    """Close an order that has left the house."""
    await book.close(event.order_id, "completed")
    await ctx.publish(OrderCompleted(order_id=event.order_id, tracking=event.tracking))


@router.subscribe(PaymentFailed, group="orders")
async def cancel(event: PaymentFailed, ctx: Context) -> None:
    """Give up an order that nobody pays."""
    await book.close(event.order_id, "cancelled")
    await ctx.publish(OrderCancelled(order_id=event.order_id, reason=event.reason))
