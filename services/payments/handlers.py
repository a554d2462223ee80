"""What payments do."""

from eventbus import Context, Retry, Router
from services.orders.events import OrderCreated
from services.payments import cards
from services.payments.events import PaymentFailed, PaymentSucceeded

router = Router()


@router.subscribe(OrderCreated, group="payments", concurrency=1, weights={"high": 4, "normal": 1}, retry=Retry(attempts=5))
async def charge(order: OrderCreated, ctx: Context) -> None:
    """Charge an order, and tell how that went. The processor takes one call at a time of us: express orders overtake."""
    try:
        await cards.charge(order.customer_id, order.total, idempotency_key=order.order_id)
    except cards.Declined as declined:
        await ctx.publish(PaymentFailed(order_id=order.order_id, customer_id=order.customer_id, reason=str(declined)))
    else:
        await ctx.publish(PaymentSucceeded(order_id=order.order_id, customer_id=order.customer_id, amount=order.total))
