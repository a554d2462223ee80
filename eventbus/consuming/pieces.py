"""Deliveries in the pieces that scripts take."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventbus.delivery import Delivery


def in_pieces(deliveries: Iterable[Delivery], most: int) -> list[tuple[tuple[bool, str], list[Delivery]]]:
    """Split by whether they are private, and by token; and into pieces of so many at most, that one script takes."""
    kinds: dict[tuple[bool, str], list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        kinds[delivery.private, delivery.token].append(delivery)
    return [(kind, found[at : at + most]) for kind, found in kinds.items() for at in range(0, len(found), most)]
