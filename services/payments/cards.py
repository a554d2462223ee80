"""Stands for a card processor, which is reached over the network and takes its time."""

import asyncio
import random
from decimal import Decimal

LIMIT = Decimal(450)
"""What every customer's card is good for."""


class Declined(Exception):
    """The processor does not charge this card; says why."""


async def charge(customer_id: str, amount: Decimal, *, idempotency_key: str) -> None:
    """Charge a customer's card; the same key charges once, however often it is sent.

    Raises:
        Declined: Nothing was charged.
    """
    del customer_id, idempotency_key
    await asyncio.sleep(random.uniform(0.06, 0.18))
    if amount > LIMIT:
        raise Declined(f"the card is limited to {LIMIT}")
