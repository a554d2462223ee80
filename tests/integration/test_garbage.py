"""What another hand wrote, or a user's own exception class does, costs itself only."""

from __future__ import annotations

import asyncio
import functools
from datetime import timedelta

import pytest

from eventbus import Context, Event, EventBus, Retry, RetryLater

RETRY = Retry(attempts=2, backoff=[0.05], jitter=0)


class Order(Event, topic="orders"):
    name: str


class WithoutInit(RetryLater):
    def __init__(self, why):
        self.why = why


class WithOwnUnits(RetryLater):
    def __init__(self, after):
        self.after, self.count = after, True


class WithNonsense(RetryLater):
    def __init__(self):
        self.after, self.count = "soon", True


def bus_at(url, seen, raised=None, **options):
    bus = EventBus(url, service="billing", lease=2, claim_interval=0.2, drain=5)

    @bus.subscribe(Order, group="charge", retry=RETRY, concurrency=4, **options)
    async def charge(event: Order, ctx: Context):
        seen.append((event.name, ctx.attempt))
        if event.name == "bad" and ctx.attempt == 1:
            raise raised
        await asyncio.sleep(0.1)

    return bus


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "error", [WithoutInit("later"), WithOwnUnits(timedelta(seconds=0.1)), WithNonsense()], ids=lambda e: type(e).__name__
)
async def test_an_exception_that_is_hard_to_read_is_a_failure_like_any_other(redis_url, error):
    """The handlers beside it go on, and it is run again."""
    seen = []
    bus = bus_at(redis_url, seen, error)
    async with bus, bus.consuming():
        await bus.publish_many([Order(name=name) for name in ("a", "bad", "b", "c")])
        await until(lambda: len(bus.consumers) and not len(bus.consumers[0].in_hand) and ("bad", 2) in seen)
        assert sorted(seen) == [("a", 1), ("b", 1), ("bad", 1), ("bad", 2), ("c", 1)]
        assert bus.consumers[0].counts.handled == 4


async def write_parked(redis, *fields):
    copy = await redis.execute_command("XADD", "{orders}:parked:charge", "*", *fields)
    await redis.zadd("{orders}:due:charge", {copy: 1})


@pytest.mark.parametrize("kind", ["many fields", "no time"])
async def test_a_parked_entry_of_another_hand_holds_up_no_retry(redis_url, redis_client, kind):
    """It stands first, and is put off, passed on, or left."""
    seen = []
    bus = bus_at(redis_url, seen, ValueError("again"))
    async with bus, bus.consuming():
        if kind == "many fields":
            await write_parked(redis_client, *("x",) * 9_000)
        else:
            await redis_client.hset("{orders}:types:charge", "Other", 1)
            await write_parked(redis_client, "type", "Other", "ebentry", "1-1", "ebhops", "1", "ebhopped", "x")
        await bus.publish(Order(name="bad"))
        await until(lambda: ("bad", 2) in seen)


async def test_a_count_that_nobody_counted_hangs_nothing(redis_url, redis_client):
    """Hops are an exponent of the delay: of 2 to the power of ten million million nobody needs the digits."""
    seen = []
    bus = bus_at(redis_url, seen)
    async with bus, bus.consuming():
        await redis_client.hset("{orders}:types:charge", "Other", 1)
        fields = {
            "specversion": "1.0",
            "id": "1",
            "type": "Other",
            "source": "/x",
            "data": "{}",
            "ebentry": "1-1",
            "ebhops": "9999999999999",
        }
        await redis_client.xadd("{orders}:retry:charge", fields)
        await until(lambda: bus.consumers[0].counts.hopped)
        await bus.publish(Order(name="fine"))
        await until(lambda: ("fine", 1) in seen)


def traced(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


async def test_a_coroutine_behind_a_plain_decorator_is_cancelled_like_any_other(redis_url):
    """The decorator's part runs in a thread; what it hands back does not."""
    ended = []
    bus = EventBus(redis_url, service="billing", lease=2, claim_interval=0.2, drain=5)

    @bus.subscribe(Order, group="charge", retry=Retry(attempts=1), timeout=0.3)
    @traced
    async def charge(event: Order):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append(event.name)
            raise

    async with bus, bus.consuming():
        await bus.publish(Order(name="long"))
        await until(lambda: bus.consumers[0].counts.dead["attempts"])
        assert (ended, bus.consumers[0].counts.timed_out) == (["long"], 1)


async def test_a_name_that_is_no_text_among_the_groups_stops_no_other_topic(redis_url, redis_client):
    """What is trimmed is trimmed, and new groups begin."""
    await redis_client.execute_command("SADD", "{orders}:groups", b"\xff\xfe")
    seen = []
    bus = bus_at(redis_url, seen)
    async with bus, bus.consuming():
        await bus.publish(Order(name="fine"))
        await until(lambda: ("fine", 1) in seen)
        trimmed = await bus.admin.trim("orders", max_len=1)
        assert trimmed.missing == ("\ufffd\ufffd",)
