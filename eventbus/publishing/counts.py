"""What a publisher counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class PublishCounts:
    """Plain counters, read when somebody asks.

    Attributes:
        published: Events that were confirmed, whether anybody still waited or not; with a durability, that reached it.
        writes: Writes that were sent; with a durability, rounds.
        retries: Failures to connect or to write after which it was tried again.
        refused: Events that were refused for good.
        given_up: Publishes that were given up: their time was over, the bus was closed, or their durability cannot be had.
    """

    published: int = 0
    writes: int = 0
    retries: int = 0
    refused: int = 0
    given_up: int = 0
