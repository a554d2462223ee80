"""Stands for the record of what each customer was told."""

import asyncio
import random
from datetime import datetime


async def note(customer_id: str, what: str, sent_at: datetime) -> None:
    """Write that a customer was told something; the same note written twice is there once."""
    del customer_id, what, sent_at
    await asyncio.sleep(random.uniform(0.005, 0.02))
