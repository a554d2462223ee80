"""The events that are measured: the same fields and values for every library, in three sizes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel

FIRST: Final = 100_000_000_000
"""The number of the first event. All numbers have twelve digits, so that a stored event can be copied with another one in its place."""


class Reading(BaseModel):
    """About 50 bytes of JSON."""

    number: int
    sent_ns: int
    celsius: float


class Line(BaseModel):
    """A part of an order."""

    sku: str
    quantity: int
    price: float


class Order(BaseModel):
    """About 300 bytes of JSON: what most cases are measured with."""

    number: int
    sent_ns: int
    customer: str
    currency: str
    total: float
    lines: list[Line]
    placed: datetime


class Document(BaseModel):
    """About 4 KB of JSON."""

    number: int
    sent_ns: int
    title: str
    text: str
    written: datetime


MODELS: Final[dict[str, type[BaseModel]]] = {"reading": Reading, "order": Order, "document": Document}

_WHEN: Final = datetime(2026, 1, 31, 7, 30, 0, 123456, tzinfo=UTC)

_CONSTANT: Final[dict[str, dict[str, Any]]] = {
    "reading": {"celsius": 21.5},
    "order": {
        "customer": "c-5f2c9a7e-1d34-4c5b-9c61-2f1f0a77b1c9",
        "currency": "EUR",
        "total": 149.97,
        "lines": [
            {"sku": "lamp-brass-small-2026", "quantity": 2, "price": 49.99},
            {"sku": "lamp-brass-large-2026", "quantity": 1, "price": 49.99},
        ],
        "placed": _WHEN,
    },
    "document": {"title": "On lamps", "text": "A lamp of brass, as bright as the day it was made. " * 78, "written": _WHEN},
}


def content(event: str, number: int, sent_ns: int = 0) -> dict[str, Any]:
    """What an event says.

    Args:
        event: "reading", "order" or "document".
        number: What the handler adds up, counted from 0.
        sent_ns: When it was published, in nanoseconds of `time.perf_counter_ns`; 0 where nobody asks.
    """
    return {"number": FIRST + number, "sent_ns": sent_ns, **_CONSTANT[event]}
