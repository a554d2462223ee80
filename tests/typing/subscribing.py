"""What type checkers must accept, and must refuse. Read by mypy and pyright, never run.

A line that must be refused carries an ignore of each checker; an ignore that ignores nothing is an error in both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, assert_type

from eventbus import (
    Batch,
    BatchContext,
    Context,
    Debezium,
    Event,
    EventBus,
    Flat,
    ForeignReader,
    JsonField,
    Published,
    Reject,
    Retry,
    RetryLater,
    Router,
    exponential,
)

Invoke = Callable[[Any, Any], Awaitable[Any]]
bus = EventBus("redis://localhost", service="typing")
router = Router()


class OrderCreated(Event, topic="orders", key="order_id"):
    order_id: str


class OrderPaid(Event, topic="orders"):
    order_id: str


class ExpressOrderCreated(OrderCreated):
    hours: int


# ----------------------------------------------------------------------------------------- accepted


@bus.subscribe(OrderCreated, group="charge", concurrency=32, retry=Retry(attempts=5))
async def charge(event: OrderCreated) -> None: ...


@bus.subscribe(OrderCreated, group="ledger", ordered=True)
async def post(event: OrderCreated) -> None: ...


@bus.subscribe(OrderCreated | OrderPaid, group="ledger", ordered="overtake")
async def post_either(event: OrderCreated | OrderPaid) -> None: ...


@bus.subscribe(OrderCreated, group="notify")
async def notify(event: OrderCreated, ctx: Context) -> None:
    await ctx.publish(OrderPaid(order_id=event.order_id))


@bus.subscribe(OrderCreated)
def in_a_thread(event: OrderCreated) -> None: ...


@bus.subscribe(OrderCreated, timeout=30, retry=Retry(backoff=exponential(1, most=60), on=OSError, never_on=(TimeoutError, KeyError)))
async def says_what_becomes_of_it(event: OrderCreated) -> None:
    match event.order_id:
        case "later":
            raise RetryLater(60)
        case "much later":
            raise RetryLater(timedelta(hours=1), count=False)
        case _:
            raise Reject("it is no order")


@bus.subscribe(OrderCreated, idempotent=True)
async def once_a_day(event: OrderCreated) -> None: ...


@bus.subscribe(OrderCreated, idempotent=timedelta(hours=1))
async def once_an_hour(event: OrderCreated) -> None: ...


class Pipes(ForeignReader):
    def read(self, fields: Sequence[bytes]) -> Event | None:
        return OrderPaid(order_id=fields[1].decode()) if fields[1] else None


@bus.subscribe(OrderCreated, foreign=[Flat(OrderCreated), JsonField(OrderCreated, field="data")])
async def in_several_layouts(event: OrderCreated) -> None: ...


@router.subscribe(OrderPaid, foreign=(Pipes(OrderPaid), Debezium(OrderPaid, null_value="null")))
async def in_a_layout_of_ones_own(event: OrderPaid) -> None: ...


@router.subscribe(OrderCreated | OrderPaid)
async def either(event: OrderCreated | OrderPaid) -> None: ...


@bus.subscribe(ExpressOrderCreated)
async def takes_the_base(event: OrderCreated) -> None: ...


@bus.subscribe(OrderCreated, batch=Batch(max_size=500, max_wait=0.2))
async def many(events: list[OrderCreated]) -> None: ...


@router.subscribe(OrderCreated, batch=Batch(), concurrency=2)
def many_in_a_thread(events: list[OrderCreated], ctx: BatchContext) -> None:
    for event in events:
        assert_type(ctx.of(event), Context)
        ctx.fail(event, Reject("it is no order"))
        ctx.fail(event, "the row is locked")


@bus.subscribe(OrderCreated, batch=Batch())
async def any_sequence(events: Sequence[OrderCreated]) -> None: ...


@bus.subscribe(ExpressOrderCreated, batch=Batch())
async def any_sequence_of_the_base(events: Sequence[OrderCreated], ctx: BatchContext) -> None:
    await ctx.publish(OrderPaid(order_id="all"))
    await ctx.of(events[0]).publish(OrderPaid(order_id=events[0].order_id))


@bus.subscribe(OrderCreated | OrderPaid, batch=Batch())
async def many_of_either(events: list[OrderCreated | OrderPaid]) -> None: ...


async def timed(event: object, ctx: Context | BatchContext, call_next: Invoke) -> None:
    await call_next(event, ctx)


async def of_batches(events: list[OrderCreated], ctx: BatchContext, call_next: Invoke) -> None:
    await call_next(ctx.remaining, ctx)


@bus.subscribe(OrderCreated, batch=Batch(), middleware=[timed, of_batches])
async def surrounded(events: list[OrderCreated]) -> None: ...


class Shipping:
    async def ship(self, event: OrderPaid) -> None: ...


bus.subscribe(OrderPaid)(Shipping().ship)


async def the_function_stays_what_it_was(event: OrderCreated) -> None:
    await charge(event)
    in_a_thread(event)
    assert_type(in_a_thread(event), None)


async def publishing_tells_what_was_written() -> None:
    assert_type(await bus.publish(OrderPaid(order_id="o-1")), Published)
    assert_type(await bus.publish_many([OrderPaid(order_id="o-1")]), list[Published])


# ------------------------------------------------------------------------------------------ refused


bus.subscribe(OrderCreated, ordered="strict")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


@bus.subscribe(OrderCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def another_event(event: OrderPaid) -> None: ...


@router.subscribe(OrderCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def another_event_in_a_thread(event: OrderPaid, ctx: Context) -> None: ...


@bus.subscribe(OrderCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def narrower_than_subscribed(event: ExpressOrderCreated) -> None: ...


@bus.subscribe(OrderCreated, batch=Batch())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def one_for_many(event: OrderCreated) -> None: ...


@router.subscribe(OrderCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def many_for_one(events: list[OrderCreated]) -> None: ...


@bus.subscribe(OrderCreated, batch=Batch())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def many_others(events: list[OrderPaid]) -> None: ...


bus.subscribe(OrderCreated, foreign=OrderCreated)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
bus.subscribe(OrderCreated, foreign=[Flat(OrderCreated), "data"])  # type: ignore[list-item]  # pyright: ignore[reportCallIssue, reportArgumentType]
Flat("OrderCreated")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
JsonField(OrderCreated)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Debezium(OrderCreated, "null")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
bus.subscribe(OrderCreated, batch=500)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
bus.subscribe(OrderCreated)(Shipping().ship)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
bus.subscribe(OrderCreated, timeout="30")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
bus.subscribe(OrderCreated, idempotent="a day")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
Retry(attempts="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Retry(backoff=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Retry(on="TimeoutError")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Retry(5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
RetryLater("soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RetryLater(5, False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
bus.subscribe(OrderCreated, retry=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
OrderCreated(order_id=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
OrderCreated(order_id="o-1", colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def events_are_frozen_and_typed(event: OrderCreated) -> None:
    event.order_id = "o-2"  # type: ignore[misc]  # pyright knows no inherited frozen=True; pydantic refuses it when it runs
    await bus.publish("o-1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
