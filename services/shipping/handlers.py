"""What shipping does."""

from eventbus import Context, Router
from services.payments.events import PaymentSucceeded
from services.shipping import carrier
from services.shipping.events import OrderShipped

router = Router()


@router.subscribe(PaymentSucceeded, group="shipping", concurrency=8)
async def ship(payment: PaymentSucceeded, ctx: Context) -> None:
    """Send what was paid."""
    tracking = await carrier.book(payment.order_id)
    await ctx.publish(OrderShipped(order_id=payment.order_id, customer_id=payment.customer_id, tracking=tracking))
