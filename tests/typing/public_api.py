"""The public interface as users write it. Type checkers read this file; nothing runs it.

A line with an ignore is a mistake that both checkers must report: one that they no longer see makes the
ignore itself an error (`warn_unused_ignores`, `reportUnnecessaryTypeIgnoreComment`).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, assert_type

from eventbus import (
    BackendUnavailable,
    BigInt,
    Context,
    DurabilityNotReached,
    EntryIdTooLow,
    Event,
    EventBus,
    Flat,
    Middleware,
    Published,
    PublishIncomplete,
    Replicated,
    Retry,
    Router,
    Topic,
    Value,
)
from eventbus.admin import Replayed
from eventbus.testing import running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


class Line(Value):
    sku: str
    count: int = 1


class OrderEvent(Event, topic="orders", key="order_id"):
    order_id: str


class OrderCreated(OrderEvent, version=2):
    total: Decimal
    lines: tuple[Line, ...] = ()
    number: BigInt = 0


class OrderPaid(OrderEvent, type="Paid"):
    pass


class SignedUp(Event, topic=Topic("accounts", max_len=1_000, max_age=3_600)):
    user: str


@asynccontextmanager
async def lifespan(bus: EventBus) -> AsyncGenerator[dict[str, int]]:
    yield {"connections": len(bus.subscriptions)}


async def timed(event: Event, ctx: Context, call_next: Callable[[Event, Context], Any]) -> None:
    await call_next(event, ctx)


layer: Middleware = timed
bus = EventBus("redis://localhost:6379", service="billing", drain=10, middleware=[timed, layer], lifespan=lifespan)
router = Router()
bus.include(router)

# -- handlers that fit: the class itself or a base class, with or without context, on the loop or in a thread


@bus.subscribe(OrderCreated, group="charge", concurrency=4, retry=Retry(attempts=3, backoff=[1, 5]), foreign=Flat(OrderCreated))
async def charge(event: OrderCreated) -> None:
    assert_type(event.total, Decimal)
    assert_type(event.number, int)
    assert_type(event.order_id, str)


@bus.subscribe(OrderCreated, group="shares", topic=Topic("tickets", priorities=("high", "normal")), weights={"high": 3, "normal": 1})
async def shares(event: OrderCreated, ctx: Context) -> None:
    assert_type(ctx.priority, str)


@bus.subscribe(OrderCreated, group="urgent", weights="strict")
async def urgent(event: OrderCreated) -> None: ...


@bus.subscribe(OrderCreated, topic=Topic("orders"), start="latest", prefetch=8, middleware=[timed])
async def with_context(event: OrderCreated, ctx: Context) -> None:
    assert_type(await ctx.publish(OrderPaid(order_id=event.order_id), headers={"tenant": ctx.headers["tenant"]}), Published)


@bus.subscribe(OrderCreated)
async def with_context_by_keyword(event: OrderCreated, *, ctx: Context) -> None:
    assert_type(ctx.id, str)
    assert_type(ctx.attempt, int)
    assert_type(ctx.key, str | None)


@bus.subscribe(OrderCreated)
async def takes_a_base(event: OrderEvent) -> None: ...


@bus.subscribe(OrderEvent)
async def takes_every_event(event: Event) -> None: ...


@bus.subscribe(OrderPaid)
def in_a_thread(event: OrderPaid, ctx: Context) -> int:
    return len(event.order_id) + ctx.attempt


@bus.subscribe(OrderCreated | OrderPaid, group="audit")
async def takes_a_union(event: OrderCreated | OrderPaid, ctx: Context) -> None:
    assert_type(event.order_id, str)


@bus.subscribe(OrderCreated)
async def takes_more(event: OrderCreated | SignedUp) -> None: ...


@router.subscribe(SignedUp, group="welcome")
async def welcome(event: SignedUp, ctx: Context) -> str:
    return event.user


class Service:
    async def on_created(self, event: OrderCreated, ctx: Context) -> None: ...

    async def __call__(self, event: OrderPaid) -> None: ...


async def with_a_database(database: str, event: OrderCreated) -> None: ...


service = Service()
bus.subscribe(OrderCreated)(service.on_created)
bus.subscribe(OrderPaid)(service)
bus.subscribe(OrderCreated, group="stored")(partial(with_a_database, "db"))

# -- the decorator returns the function as it was


async def decorated() -> None:
    assert_type(await charge(OrderCreated(order_id="o-1", total=Decimal(1))), None)
    assert_type(await welcome(SignedUp(user="ada"), _context()), str)
    assert_type(in_a_thread(OrderPaid(order_id="o-1"), _context()), int)


def _context() -> Context:
    raise NotImplementedError


# -- publishing


async def publishing() -> None:
    created = OrderCreated(order_id="o-1", total=Decimal("9.99"), lines=(Line(sku="a"),))
    async with bus:
        assert_type(await bus.publish(created), Published)
        assert_type(await asyncio.create_task(bus.publish(created)), Published)
        assert_type(await asyncio.gather(bus.publish(created), bus.publish(created)), tuple[Published, Published])
        assert_type(await bus.publish(created, topic="elsewhere", headers={"tenant": "acme"}, timeout=1), Published)
        assert_type(await bus.publish_many([created, OrderPaid(order_id="o-1")]), list[Published])
        assert_type(await bus.publish_many(event for event in (created, created)), list[Published])
        assert_type(await bus.publish(created, durability="fsync"), Published)
        assert_type(await bus.publish_many([created], durability=Replicated(2)), list[Published])
        assert_type(await bus.publish(created, priority="high"), Published)
        assert_type(await bus.publish(created, delay=timedelta(minutes=5), idempotency_key="o-1"), Published)
        assert_type(await bus.publish(created, at=datetime.now(UTC), idempotency_key=True, idempotency_window=60), Published)
        assert_type(await bus.publish(created, entry_id="1526919030474-0"), Published)
        assert_type((await bus.publish(created, delay=1)).due, datetime | None)
        assert_type(await bus.cancel_scheduled("0192", topic=OrderCreated), bool)
        assert_type(await bus.admin.cancel_scheduled("0192", topic="orders"), bool)
        assert_type(await bus.publish_many([created], priority="high", delay=1.5, idempotency_key=True), list[Published])
        async with bus.consuming():
            await bus.run()
    with bus.blocking() as blocking:
        assert_type(blocking.publish(created), Published)
        assert_type(blocking.publish_many([created]), list[Published])
        assert_type(blocking.publish(created, durability=Replicated()), Published)
        assert_type(blocking.publish_many([created], durability="fsync"), list[Published])
        assert_type(blocking.publish(created, priority="high", delay=1, idempotency_key="o-1"), Published)
        assert_type(blocking.publish_many([created], at=datetime.now(UTC)), list[Published])
        assert_type(blocking.cancel_scheduled("0192", topic=Topic("orders")), bool)


@bus.subscribe(OrderCreated)
async def publishes_durably(event: OrderCreated, ctx: Context) -> None:
    assert_type(await ctx.publish(OrderPaid(order_id=event.order_id), durability="fsync"), Published)
    assert_type(await ctx.publish(OrderPaid(order_id=event.order_id), delay=60, priority="low", idempotency_key=True), Published)


async def failing() -> None:
    try:
        await bus.publish_many([SignedUp(user="ada")])
    except PublishIncomplete as error:
        await bus.publish_many([failed.event for failed in error.unknown])
    except EntryIdTooLow as error:
        assert_type(error.last, str)
    except DurabilityNotReached as error:
        assert_type(error.event_id, str)
        assert_type(error.reached, int)
    except BackendUnavailable as error:
        assert_type(error.event_id, str | None)
        assert_type(error.maybe_executed, bool)


async def replaying() -> None:
    found = await bus.admin.replay(
        "orders", "charge", from_="0", to=datetime.now(UTC), rate=50, progress=lambda so_far: print(so_far.copied)
    )
    assert_type(found, Replayed)
    assert_type((found.copied, found.incomplete, found.cut), tuple[int, bool, tuple[str, str] | None])
    assert_type(await bus.admin.resume_replay(Topic("orders"), "charge", ahead=None), Replayed)
    assert_type(await bus.admin.unfinished_replay("orders", "charge"), Replayed | None)
    await bus.admin.replay("orders", "charge", from_=1763709419)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.admin.replay("orders", "charge")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@bus.subscribe(OrderCreated)
async def knows_a_replay(_: OrderCreated, ctx: Context) -> None:
    assert_type(ctx.replayed, bool)


async def tested() -> None:
    async with running(bus) as run:
        await run.idle(timeout=1)
        assert_type(run.handled(OrderCreated), list[OrderCreated])
        assert_type(run.published(Event), list[Event])


# -- mistakes that are seen before the program runs


@bus.subscribe(OrderCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def takes_another(event: OrderPaid) -> None: ...


@bus.subscribe(OrderEvent)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def takes_one_of_many(event: OrderCreated) -> None: ...


@bus.subscribe(OrderCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def takes_another_in_a_thread(event: OrderPaid, ctx: Context) -> None: ...


@bus.subscribe(OrderCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def takes_a_text(event: str) -> None: ...


@bus.subscribe(OrderCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def takes_nothing() -> None: ...


@bus.subscribe(OrderCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def takes_the_context_first(ctx: Context, event: OrderCreated) -> None: ...


@router.subscribe(SignedUp)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def takes_another_by_router(event: OrderCreated) -> None: ...


bus.subscribe(OrderPaid)(service.on_created)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
bus.subscribe(OrderCreated)(service)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
bus.subscribe(str)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportCallIssue]
bus.subscribe(OrderCreated, retry=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
bus.subscribe(OrderCreated, groups="g")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
bus.include(bus)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def mistaken() -> None:
    created = OrderCreated(order_id="o-1", total=Decimal(1))
    await bus.publish({"order_id": "o-1"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.publish(OrderCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.publish(Line(sku="a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.publish_many(created)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.publish_many(["o-1"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await bus.publish(created, headers={"tenant": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    await bus.publish(created, durability="disk")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.publish(created, durability=2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.publish(created, priority=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.publish(created, delay="1 minute")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.publish(created, at=60)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.publish(created, idempotency_key=False)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.publish(created, entry_id=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.publish_many([created], entry_id="5-0")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await bus.publish_many([created], idempotency_key="o-1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.cancel_scheduled(created, topic="orders")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bus.cancel_scheduled("0192")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Replicated("2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bus.publish(created)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    created.order_id = "o-2"  # type: ignore[misc]  # only pydantic's plugin for mypy knows that it is frozen
    OrderCreated(total=Decimal(1))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with bus.blocking() as blocking:
        blocking.publish("o-1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
