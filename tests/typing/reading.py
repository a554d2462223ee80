"""What type checkers make of tails and histories. Read by mypy and pyright, never run; see subscribing.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import assert_type

from eventbus import Debezium, Event, EventBus, Flat, History, Tail

bus = EventBus("redis://localhost", service="typing")


class OrderCreated(Event, topic="orders"):
    order_id: str


class OrderPaid(Event, topic="orders"):
    order_id: str


# ----------------------------------------------------------------------------------------- accepted


async def reads_what_it_asked_for() -> None:
    async with bus.tail(OrderCreated, start=datetime(2026, 1, 1, tzinfo=UTC)) as tail:
        assert_type(tail, Tail[OrderCreated])
        async for event in tail:
            assert_type(event, OrderCreated)
            assert_type(tail.entry_id, str)
    async for event in bus.history(OrderCreated, from_="1700000000000-0", reverse=True, foreign=Flat(OrderCreated)):
        assert_type(event, OrderCreated)


async def reads_a_union_as_events() -> None:
    async for event in bus.tail(OrderCreated | OrderPaid, foreign=[Debezium(OrderPaid), Flat(OrderCreated)]):
        assert_type(event, Event)


def is_a_tail_of_a_base(tail: Tail[OrderCreated], history: History[OrderCreated]) -> tuple[Tail[Event], History[Event]]:
    return tail, history


# ------------------------------------------------------------------------------------------ refused

bus.tail(str)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportCallIssue]
bus.tail(OrderCreated, start=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
bus.history(OrderCreated, start="latest")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
