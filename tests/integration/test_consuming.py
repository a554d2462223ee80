"""From an entry in a stream to an acknowledged handler, on a real Redis."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections import Counter

import anyio
import pytest
from redis.asyncio import Redis

from eventbus import (
    BackendRefused,
    ConfigurationError,
    Context,
    Event,
    EventBus,
    Flat,
    LifecycleError,
    Reject,
    Retry,
    RetryLater,
    Router,
    Topic,
)
from eventbus.testing import running
from tests.support.events import OrderCreated, OrderPaid, orders

PRIVATE = ("retry", "parked", "due")
"""Where copies of a group wait."""


async def pending(redis_client, group, stream="orders"):
    return (await redis_client.xpending(stream, group))["pending"]


async def test_an_event_reaches_its_handler_and_is_acknowledged(redis_url, redis_client):
    """The main line: publish, handle, acknowledge."""
    bus = EventBus(redis_url, service="billing")
    seen = []

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        seen.append(event)

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
    assert seen == run.handled(OrderCreated) == run.published(OrderCreated) == [OrderCreated(order_id="o-1")]
    assert await pending(redis_client, "charge") == 0


async def test_every_group_sees_every_event_and_handlers_of_one_group_share_by_type(redis_url):
    """A group is a subscriber; the handlers in it divide the types among them."""
    bus = EventBus(redis_url, service="billing")
    seen = []

    @bus.subscribe(OrderCreated, group="books")
    async def created(event: OrderCreated) -> None:
        seen.append(("created", event.order_id))

    @bus.subscribe(OrderPaid, group="books")
    async def paid(event: OrderPaid) -> None:
        seen.append(("paid", event.order_id))

    @bus.subscribe(OrderCreated | OrderPaid)
    async def everything(event: OrderCreated | OrderPaid) -> None:
        seen.append(("all", event.order_id))

    async with running(bus) as run:
        assert {(s.topic, s.group) for s in bus.subscriptions} == {("orders", "books"), ("orders", "billing.everything")}
        await bus.publish_many([OrderCreated(order_id="1"), OrderPaid(order_id="2")])
        await run.idle()
    assert sorted(seen) == [("all", "1"), ("all", "2"), ("created", "1"), ("paid", "2")]


async def test_a_base_class_receives_its_descendants(redis_url):
    """Also those defined after the subscription."""

    class AccountEvent(Event):
        user: str

    bus = EventBus(redis_url, service="audit")
    seen = []

    @bus.subscribe(AccountEvent, group="audit")
    async def audit(event: AccountEvent) -> None:
        seen.append(event)

    class SignedUp(AccountEvent, topic="accounts"):
        pass

    class Left(AccountEvent, topic="departures"):
        pass

    async with running(bus) as run:
        await bus.publish(SignedUp(user="ada"))
        await bus.publish(Left(user="bob"))
        await run.idle()
    assert sorted(map(repr, seen)) == ["Left(user='bob')", "SignedUp(user='ada')"]


async def test_a_type_nobody_handles_is_acknowledged_and_counted(redis_url, redis_client):
    """Other services' events pass through the group."""
    bus = EventBus(redis_url, service="billing")

    @bus.subscribe(OrderPaid, group="charge")
    async def charge(event: OrderPaid) -> None: ...

    async with running(bus) as run:
        await bus.publish_many(orders(5))
        await run.idle()
        (consumer,) = bus.consumers
        assert (consumer.counts.skipped, consumer.counts.handled) == (5, 0)
    assert await pending(redis_client, "charge") == 0


async def test_a_handler_that_raised_is_run_again_after_the_delay_and_the_others_go_on(redis_url, redis_client, caplog):
    """It waits in Redis, not in the loop: nothing stays behind, and nothing is behind it."""
    bus = EventBus(redis_url, service="billing")
    runs = []

    @bus.subscribe(OrderCreated, group="charge", concurrency=1, retry=Retry(backoff=[0.2], jitter=0))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        runs.append((event.order_id, ctx.attempt, ctx.entry_id, ctx.id))
        if event.order_id == "o-0" and ctx.attempt < 3:
            raise RuntimeError("no money")

    async with running(bus) as run:
        first, second = await bus.publish_many(orders(2))
        await run.idle()
        counts = bus.consumers[0].counts
        assert (counts.failed, counts.retried, counts.promoted, counts.handled) == (2, 2, 2, 2)
        assert not bus.consumers[0].in_hand
    tried = [("o-0", attempt, first.entry_id, first.event_id) for attempt in (1, 2, 3)]
    assert runs == [tried[0], ("o-1", 1, second.entry_id, second.event_id), *tried[1:]]
    assert await pending(redis_client, "charge") == 0
    assert [
        await redis_client.exists(f"{{orders}}:{key}:charge") and await redis_client.xlen(f"{{orders}}:{key}:charge") for key in PRIVATE
    ] == [0] * 3
    assert caplog.text.count("\nRuntimeError: no money") == 2


async def test_a_retry_reaches_no_other_group(redis_url, redis_client):
    """It is this group's failure."""
    bus = EventBus(redis_url, service="billing")
    runs = Counter()

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(backoff=[0]))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        runs["charge"] += 1
        if ctx.attempt < 4:
            raise RuntimeError("no money")

    @bus.subscribe(OrderCreated, group="ship")
    async def ship(event: OrderCreated) -> None:
        runs["ship"] += 1

    async with running(bus) as run:
        await bus.publish_many(orders(3))
        await run.idle()
    assert runs == {"charge": 12, "ship": 3}
    assert await redis_client.xlen("orders") == 3


async def letters(redis_client, group="charge"):
    """Names and values of the group's dead letters."""
    return [fields for _, fields in await redis_client.xrange(f"{{orders}}:dead:{group}")]


async def test_an_event_whose_attempts_are_spent_is_a_dead_letter_with_what_happened(redis_url, redis_client, caplog):
    """Its own fields untouched, and behind them what became of it."""
    bus = EventBus(redis_url, service="billing")

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(attempts=2, backoff=[0]))
    async def charge(event: OrderCreated) -> None:
        raise RuntimeError("no money")

    async with running(bus) as run:
        published = await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
        assert bus.consumers[0].counts.dead == {"attempts": 1}
        name = bus.consumers[0].commands.consumer
    ((_, original),) = await redis_client.xrange("orders")
    (letter,) = await letters(redis_client)
    assert list(letter)[: len(original)] == list(original)
    ours = {name: value for name, value in letter.items() if name not in original}
    assert ours.pop("ebtraceback").endswith('raise RuntimeError("no money")\nRuntimeError: no money\n')
    assert ours.pop("ebfailed").endswith("Z")
    assert ours == {
        "ebentry": published.entry_id,
        "ebattempts": "2",
        "ebreason": "attempts",
        "ebgroup": "charge",
        "ebdeliveries": "1",
        "eberror": "builtins.RuntimeError",
        "ebmessage": "no money",
        "ebconsumer": name,
        "ebtype": "OrderCreated",
    }
    assert "is a dead letter now (attempts) after 2 attempts" in caplog.text


async def test_a_handler_says_by_a_signal_what_becomes_of_its_event(redis_url, redis_client, caplog):
    """Later, at once and uncounted, or never."""
    bus = EventBus(redis_url, service="billing")
    attempts = []

    @bus.subscribe(OrderCreated, group="charge", concurrency=1, retry=Retry(attempts=3))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        match len(attempts):
            case 1:
                raise RetryLater(0.05)
            case 2 | 3 | 4:
                raise RetryLater(0, count=False)
            case 5:
                raise Reject("the account is closed")

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
        counts = bus.consumers[0].counts
        assert (counts.deferred, counts.rejected, counts.failed, counts.dead) == (4, 1, 0, {"rejected": 1})
    assert attempts == [1, 2, 2, 2, 2]
    (letter,) = await letters(redis_client)
    assert (letter["ebreason"], letter["ebmessage"], letter["ebattempts"]) == ("rejected", "the account is closed", "2")
    assert "the account is closed" not in caplog.text


async def test_what_cannot_be_decoded_is_a_dead_letter_without_its_content_in_the_log(redis_url, redis_client, caplog):
    """Garbage, a damaged envelope, a newer version: each is kept as it came, once, and none stops the loop."""
    bus = EventBus(redis_url, service="billing")
    seen = asyncio.Event()

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        seen.set()

    envelope = {"specversion": "1.0", "id": "1", "type": "OrderCreated", "source": "/x", "time": "2026-11-21T07:16:59.123Z"}
    damaged = [
        {"hello": "s3cret"},
        {**envelope, "data": "{s3cret"},
        {**envelope, "data": '{"order_id": ["s3cret"]}'},
        {**envelope, "data": '{"order_id": "s3cret"}', "dataversion": "2"},
    ]
    for fields in damaged:
        await redis_client.xadd("orders", fields)
    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="good"))
        await run.idle()
        counts = bus.consumers[0].counts
        assert (counts.undecodable, counts.newer, counts.handled) == (3, 1, 1)
        assert counts.dead == {"undecodable": 3, "newer": 1}
    assert seen.is_set()
    kept = [
        ({name: value for name, value in letter.items() if not name.startswith("eb")}, letter["ebreason"])
        for letter in await letters(redis_client)
    ]
    expected = list(zip(damaged, ["undecodable"] * 3 + ["newer"], strict=True))
    assert sorted(kept, key=repr) == sorted(expected, key=repr)
    assert "s3cret" not in caplog.text


async def test_bytes_that_are_no_text_are_kept_as_they_are(redis_url):
    """A dead letter is what the entry was."""
    bus = EventBus(redis_url, service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    async with Redis.from_url(redis_url) as raw:
        await raw.xadd("orders", {b"\xff\x00": b"\xfe s3cret"})
        async with running(bus) as run:
            await run.idle()
        ((_, fields),) = await raw.xrange("{orders}:dead:charge")
    assert (fields[b"\xff\x00"], fields[b"ebreason"]) == (b"\xfe s3cret", b"undecodable")


async def test_an_entry_with_more_fields_than_a_script_can_write_is_retried_and_dead_lettered_whole(redis_url, redis_client):
    """Lua's stack has room for 8,000 values: nothing of it is lost on the way."""
    bus = EventBus(redis_url, service="billing")
    seen = []

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(attempts=3, backoff=[0]), foreign=Flat(OrderCreated))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        seen.append(event.order_id)
        raise RuntimeError

    fields = {**{f"name {number}": f"value {number}" for number in range(5_000)}, "order_id": "at the end"}
    await redis_client.xadd("orders", fields)
    async with running(bus) as run:
        await run.idle()
        letter = await bus.admin.dead_letters("orders", "charge").latest()
    assert seen == ["at the end"] * 3
    assert list(letter.fields) == [part.encode() for pair in fields.items() for part in pair]


async def test_a_foreign_producers_flat_entry_becomes_an_event(redis_url, redis_client):
    """As any tutorial writes it with redis-cli."""
    bus = EventBus(redis_url, service="billing")
    seen = []

    @bus.subscribe(OrderCreated, group="charge", foreign=Flat(OrderCreated))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        seen.append((event, ctx.id, ctx.topic, ctx.headers, ctx.time.year >= 2026))

    entry_id = await redis_client.xadd("orders", {"order_id": "ord_123", "customer_id": "cus_456", "total": "99.99"})
    async with running(bus) as run:
        await run.idle()
    assert seen == [(OrderCreated(order_id="ord_123", total="99.99"), f"orders/{entry_id}", "orders", {}, True)]


async def test_the_context_tells_where_an_event_came_from_and_carries_the_chain_on(redis_url):
    """Correlation names the first event of a chain, causation the one before."""
    bus = EventBus(redis_url, service="billing", prefix="test:")
    contexts = {}

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated, ctx: Context) -> None:
        contexts["charge"] = ctx
        await ctx.publish(OrderPaid(order_id=event.order_id))

    @bus.subscribe(OrderPaid, group="ship")
    async def ship(event: OrderPaid, *, context: Context) -> None:
        contexts["ship"] = context

    async with running(bus) as run:
        first = await bus.publish(OrderCreated(order_id="1"), headers={"tenant": "acme"})
        await run.idle()
    charge_ctx, ship_ctx = contexts["charge"], contexts["ship"]
    assert (charge_ctx.id, charge_ctx.entry_id, charge_ctx.topic) == (first.event_id, first.entry_id, "orders")
    assert (charge_ctx.group, charge_ctx.attempt, charge_ctx.key) == ("charge", 1, "1")
    assert dict(charge_ctx.headers) == {"tenant": "acme"}
    assert (ship_ctx.correlation_id, ship_ctx.causation_id) == (first.event_id, first.event_id)
    assert ship_ctx.log.extra["eventbus"]["event_id"] == ship_ctx.id


async def test_the_context_shows_what_the_lifespan_yielded(redis_url):
    """Resources of the service live as long as its handlers."""
    from contextlib import asynccontextmanager

    log = []

    @asynccontextmanager
    async def lifespan(bus):
        log.append("open")
        yield {"db": "connection"}
        log.append("close")

    bus = EventBus(redis_url, service="billing", lifespan=lifespan)

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated, ctx: Context) -> None:
        log.append(ctx.state["db"])

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="1"))
        await run.idle()
    assert log == ["open", "connection", "close"]


async def test_middleware_wraps_the_bus_outside_and_the_subscription_inside(redis_url):
    """Layers are called in the order they are written."""
    log = []

    def layer(name):
        async def middleware(event, ctx, call_next):
            log.append(f"{name} in")
            await call_next(event, ctx)
            log.append(f"{name} out")

        return middleware

    bus = EventBus(redis_url, service="billing", middleware=[layer("bus")])

    @bus.subscribe(OrderCreated, group="charge", middleware=[layer("a"), layer("b")])
    def charge(event: OrderCreated) -> None:
        log.append("handler")

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="1"))
        await run.idle()
    assert log == ["bus in", "a in", "b in", "handler", "b out", "a out", "bus out"]


async def test_synchronous_handlers_run_in_threads_bounded_by_concurrency(redis_url):
    """They never block the event loop, and never exceed the bound."""
    bus = EventBus(redis_url, service="billing")
    barrier = threading.Barrier(3)
    together, most = [], []

    @bus.subscribe(OrderCreated, group="charge", concurrency=3)
    def charge(event: OrderCreated) -> None:
        together.append(threading.get_ident())
        barrier.wait(timeout=10)
        most.append(bus.consumers[0].executors.running)

    async with running(bus) as run:
        await bus.publish_many(orders(9))
        await run.idle()
    assert threading.get_ident() not in together
    assert max(most) <= 3
    assert len(most) == 9


async def test_a_synchronous_handler_publishes_through_its_context(redis_url):
    """As the docstring of `Context.publish` says."""
    bus = EventBus(redis_url, service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    def charge(event: OrderCreated, ctx: Context) -> None:
        anyio.from_thread.run(ctx.publish, OrderPaid(order_id=event.order_id))

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="1"))
        await run.idle()
    assert run.published(OrderPaid) == [OrderPaid(order_id="1")]


async def test_bound_methods_and_callable_objects_are_handlers(redis_url):
    """Whatever can be called with an event."""
    seen = []

    class Service:
        async def on_created(self, event: OrderCreated) -> None:
            seen.append("method")

        async def __call__(self, event: OrderPaid) -> None:
            seen.append("object")

    service = Service()
    bus = EventBus(redis_url, service="billing")
    assert bus.subscribe(OrderCreated)(service.on_created) == service.on_created
    assert bus.subscribe(OrderPaid)(service) is service
    async with running(bus) as run:
        assert {s.group for s in bus.subscriptions} == {"billing.on_created", "billing.Service"}
        await bus.publish_many([OrderCreated(order_id="1"), OrderPaid(order_id="1")])
        await run.idle()
    assert sorted(seen) == ["method", "object"]


async def test_no_event_sees_a_context_variable_that_an_earlier_one_set(redis_url):
    """Standing executors leak nothing."""
    variable = contextvars.ContextVar("variable", default=None)
    seen = []
    bus = EventBus(redis_url, service="billing")

    @bus.subscribe(OrderCreated, group="charge", concurrency=1)
    async def charge(event: OrderCreated) -> None:
        seen.append(variable.get())
        variable.set(event.order_id)

    async with running(bus) as run:
        await bus.publish_many(orders(5))
        await run.idle()
    assert seen == [None] * 5


async def test_a_handler_that_raises_cancelled_by_itself_does_not_end_its_executor(redis_url):
    """An inner task of the handler was cancelled: that is the handler's failure, nobody else's."""
    bus = EventBus(redis_url, service="billing")
    seen = []

    @bus.subscribe(OrderCreated, group="charge", concurrency=1, retry=Retry(attempts=2, backoff=[0]))
    async def charge(event: OrderCreated) -> None:
        if event.order_id == "o-0":
            raise asyncio.CancelledError
        seen.append(event.order_id)

    async with running(bus) as run:
        await bus.publish_many(orders(3))
        await run.idle()
        counts = bus.consumers[0].counts
        assert (seen, counts.failed, counts.dead) == (["o-1", "o-2"], 2, {"attempts": 1})


async def test_a_router_declares_without_a_bus(redis_url):
    """Handlers of other modules are taken in by name of their router."""
    router, seen = Router(), []

    @router.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        seen.append(event.order_id)

    bus = EventBus(redis_url, service="billing")
    bus.include(router)
    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="1"))
        await run.idle()
        with pytest.raises(LifecycleError, match="before"):
            bus.include(router)
        with pytest.raises(LifecycleError, match="before"):
            bus.subscribe(OrderCreated, group="late")
    assert seen == ["1"]


async def test_a_new_group_starts_at_the_earliest_entry_and_says_how_many_wait(redis_url, redis_client, caplog):
    """Nobody is surprised by a backlog, and a renamed handler shows the group it left behind."""

    def bus_with(name):
        bus = EventBus(redis_url, service="billing")

        async def handler(event: OrderCreated) -> None: ...

        handler.__name__ = name
        bus.subscribe(OrderCreated)(handler)
        return bus

    async with EventBus(redis_url, service="shop") as shop:
        await shop.publish_many(orders(3))
    async with running(bus_with("charge")) as run:
        await run.idle()
    caplog.clear()
    async with running(bus_with("collect")) as run:
        await run.idle()
        assert len(run.handled(OrderCreated)) == 3
    assert "billing.collect begins with 3 entries already in the topic" in caplog.text
    assert "nobody serves now: billing.charge" in caplog.text


async def test_start_latest_passes_over_what_was_there_and_holds_for_new_groups_only(redis_url):
    """A second start goes on where the group is."""

    def bus_with(seen):
        bus = EventBus(redis_url, service="billing")

        @bus.subscribe(OrderCreated, group="charge", start="latest")
        async def charge(event: OrderCreated) -> None:
            seen.append(event.order_id)

        return bus

    first, second = [], []
    async with EventBus(redis_url, service="shop") as shop:
        await shop.publish(OrderCreated(order_id="old"))
        async with running(bus_with(first)) as run:
            await shop.publish(OrderCreated(order_id="new"))
            await run.idle()
        await shop.publish(OrderCreated(order_id="between"))
        async with running(bus_with(second)) as run:
            await run.idle()
    assert (first, second) == (["new"], ["between"])


async def test_start_at_an_entry_id_begins_after_it(redis_url):
    """For a group that takes over from something else."""
    bus = EventBus(redis_url, service="billing")
    async with EventBus(redis_url, service="shop") as shop:
        records = await shop.publish_many(orders(4))

    @bus.subscribe(OrderCreated, group="charge", start=records[1].entry_id)
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        await run.idle()
    assert [event.order_id for event in run.handled(OrderCreated)] == ["o-2", "o-3"]


async def test_what_a_group_finds_in_its_private_stream_is_handled_and_removed(redis_url, redis_client):
    """Both streams are read from the start; a settled private entry leaves nothing behind."""
    bus = EventBus(redis_url, service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="1"))
        await run.idle()
        ((_, fields),) = await redis_client.xrange("orders")
        await redis_client.xadd("{orders}:retry:charge", fields)
        await run.idle()
        assert len(run.handled(OrderCreated)) == 2
    assert await redis_client.xlen("{orders}:retry:charge") == 0


async def test_never_more_is_in_hand_than_concurrency_and_prefetch_allow(redis_url, redis_client):
    """A slow worker does not hoard what others could do."""
    bus = EventBus(redis_url, service="billing")
    started, release = asyncio.Semaphore(0), asyncio.Event()

    @bus.subscribe(OrderCreated, group="charge", concurrency=2, prefetch=4)
    async def charge(event: OrderCreated) -> None:
        started.release()
        await release.wait()

    async with running(bus) as run:
        await bus.publish_many(orders(50))
        await started.acquire()
        await started.acquire()
        (consumer,) = bus.consumers
        while len(consumer.in_hand) < 5:  # credit is halved between the two streams, so 6 is not reached
            await asyncio.sleep(0)
        assert await pending(redis_client, "charge") == 5
        release.set()
        await run.idle()
        assert len(run.handled(OrderCreated)) == 50


async def test_a_topic_whose_key_is_no_stream_is_refused_at_the_start(redis_url, redis_client):
    """By name, with the remedy, before anything is written."""
    await redis_client.set("orders", "a string")
    bus = EventBus(redis_url, service="billing")

    @bus.subscribe(OrderPaid, topic="first", group="books")  # joined before the wrong one, were it joined at all
    async def book(event: OrderPaid) -> None: ...

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    async with bus:
        with pytest.raises(BackendRefused, match="another topic name") as caught:
            async with bus.consuming():
                pass
    assert caught.value.code == "WRONGTYPE"
    assert await redis_client.keys() == ["orders"]


async def test_conflicts_are_found_when_the_bus_opens_and_name_both_sides(redis_url, redis_client):
    """Two handlers, two classes, two declarations of a topic: nothing was written by then."""

    class Other(Event, topic="orders", type="OrderCreated"):
        pass

    class Limited(Event, topic=Topic("orders", max_len=10)):
        pass

    class LimitedOtherwise(Event, topic=Topic("orders", max_len=20)):
        pass

    async def one(event: Event) -> None: ...
    async def two(event: Event) -> None: ...

    for first, second, words in (
        (OrderCreated, OrderCreated, "both handle 'OrderCreated'"),
        (OrderCreated, Other, "both of type 'OrderCreated'"),
        (Limited, LimitedOtherwise, "declared twice"),
    ):
        bus = EventBus(redis_url, service="billing")
        bus.subscribe(first, group="g")(one)
        bus.subscribe(second, group="g")(two)
        with pytest.raises(ConfigurationError, match=words):
            await bus.open()
    assert await redis_client.keys() == []


async def test_consuming_twice_is_refused(redis_url):
    """One bus has one set of loops."""
    bus = EventBus(redis_url, service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    async with bus, bus.consuming():
        with pytest.raises(LifecycleError, match="already"):
            async with bus.consuming():
                pass


async def test_dangers_of_the_server_are_said_once_with_their_remedy(redis_url, caplog):
    """The test server keeps no append-only file."""
    caplog.set_level(logging.WARNING)
    from eventbus.supervision import runtime

    runtime._warned.clear()
    for _ in range(2):
        async with EventBus(redis_url, service="billing"):
            pass
    assert caplog.text.count("appendonly yes") == 1
