"""Stands for a parcel carrier's booking system."""

import asyncio
import random


async def book(order_id: str) -> str:
    """Book a parcel; returns its tracking number, the same one for the same order."""
    await asyncio.sleep(random.uniform(0.04, 0.12))
    return f"TRACK-{order_id.upper()}"
