"""Stands for a mail server."""

import asyncio
import random


async def send(to: str, text: str) -> None:
    """Send a mail."""
    del to, text
    await asyncio.sleep(random.uniform(0.02, 0.06))
