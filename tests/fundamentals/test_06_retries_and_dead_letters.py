"""6. When something goes wrong: retries, signals, timeouts and dead letters.

An event whose handler raised waits in Redis and is handled again, by whichever worker of the group is free. What
cannot be handled, or not by any retry, ends among the group's dead letters: whole, with the reason, until somebody
looks at it. Nothing disappears.
"""

import asyncio

import pytest

from eventbus import (
    ConfigurationError,
    Context,
    EncodeError,
    Event,
    EventBus,
    EventTooLarge,
    LifecycleError,
    Reject,
    Retry,
    RetryLater,
    exponential,
)
from eventbus.testing import running


class OrderCreated(Event, topic="orders"):
    order_id: str


class AccountClosed(Exception):
    """What no retry makes better."""


async def test_an_event_whose_handler_raised_is_handled_again(caplog):
    """By default five runs, after 1, 5, 30 and 120 s; the group goes on with others meanwhile."""
    bus = EventBus("embedded://", service="billing")
    attempts = []

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(attempts=5, backoff=[0.1, 0.2], jitter=0))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        attempts.append((event.order_id, ctx.attempt))
        if event.order_id == "wrong" and ctx.attempt < 3:
            raise ConnectionError("the bank does not answer")

    async with running(bus) as run:
        await bus.publish_many([OrderCreated(order_id="wrong"), OrderCreated(order_id="right")])
        await run.idle()  # nothing is unread, pending or waiting for its time

    assert attempts == [("wrong", 1), ("right", 1), ("wrong", 2), ("wrong", 3)]
    assert caplog.text.count("the bank does not answer\n") == 2  # each failed run is logged, with its traceback


async def test_an_event_whose_attempts_are_spent_becomes_a_dead_letter():
    """With the exception, and the event exactly as it was published."""
    bus = EventBus("embedded://", service="billing")

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(attempts=2, backoff=[0]))
    async def charge(event: OrderCreated) -> None:
        raise ConnectionError("the bank does not answer")

    async with running(bus) as run:
        published = await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()

        dead = await bus.admin.dead_letters("orders", "charge").latest()
        assert dead is not None
        assert (dead.letter.reason, dead.letter.attempts) == ("attempts", 2)
        assert (dead.letter.error, dead.letter.message) == ("builtins.ConnectionError", "the bank does not answer")
        assert (dead.letter.event_id, dead.letter.entry) == (published.event_id, published.entry_id)
        assert "in charge" in dead.traceback
        assert b'{"order_id":"o-1"}' in dead.fields


async def test_a_dead_letter_that_is_redriven_is_handled_anew():
    """After the bank is back, say: its attempts count from the beginning."""
    bus = EventBus("embedded://", service="billing")
    bank_is_there, attempts = False, []

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(attempts=1))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if not bank_is_there:
            raise ConnectionError

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
        letters = bus.admin.dead_letters("orders", "charge")
        assert await letters.count() == 1

        bank_is_there = True
        [letter] = await letters.page()
        redriven = await letters.redrive(letter.id)
        assert redriven.done == 1
        await run.idle()

        assert await letters.count() == 0
    assert attempts == [1, 1]
    assert run.handled(OrderCreated) == [OrderCreated(order_id="o-1")]


async def test_a_policy_says_which_errors_are_worth_a_retry():
    """`on` names those that are, `never_on` those that are not; a subclass counts as its base."""
    bus = EventBus("embedded://", service="billing")
    runs = []

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(attempts=3, backoff=[0], never_on=AccountClosed))
    async def charge(event: OrderCreated) -> None:
        runs.append(event.order_id)
        raise AccountClosed if event.order_id == "closed" else ConnectionError

    async with running(bus) as run:
        await bus.publish_many([OrderCreated(order_id="closed"), OrderCreated(order_id="open")])
        await run.idle()
        letters = await bus.admin.dead_letters("orders", "charge").page()

    assert sorted(runs) == ["closed", "open", "open", "open"]
    assert sorted((letter.reason, letter.attempts) for letter in letters) == [("attempts", 3), ("never", 1)]


async def test_a_handler_may_ask_to_be_run_again_later():
    """Whatever the policy's delays are. `count=False` puts it off without spending an attempt."""
    bus = EventBus("embedded://", service="billing")
    attempts = []

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(attempts=2, backoff=[3600]))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if len(attempts) < 4:
            raise RetryLater(0.05, count=False)  # the bank opens at nine
        if len(attempts) == 4:
            raise RetryLater(0.05)

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()

    assert attempts == [1, 1, 1, 1, 2]


async def test_a_handler_may_reject_an_event():
    """It is a dead letter at once. A signal is a decision, not a failure: nothing is logged with a traceback."""
    bus = EventBus("embedded://", service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        raise Reject("the account is closed")

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
        [letter] = await bus.admin.dead_letters("orders", "charge").page()

    assert (letter.reason, letter.message) == ("rejected", "the account is closed")


async def test_a_handler_that_takes_too_long_is_cancelled_and_run_again():
    """`timeout=` is in seconds; it counts as a failed run, with a TimeoutError."""
    bus = EventBus("embedded://", service="billing")
    attempts = []

    @bus.subscribe(OrderCreated, group="charge", timeout=0.1, retry=Retry(attempts=2, backoff=[0]))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if event.order_id == "hangs" or ctx.attempt == 1:
            await asyncio.Event().wait()

    async with running(bus) as run:
        await bus.publish_many([OrderCreated(order_id="hangs"), OrderCreated(order_id="slow once")])
        await run.idle()
        [letter] = await bus.admin.dead_letters("orders", "charge").page()

    assert sorted(attempts) == [1, 1, 2, 2]
    assert (letter.reason, letter.error) == ("attempts", "builtins.TimeoutError")
    assert run.handled(OrderCreated) == [OrderCreated(order_id="slow once")]


def test_delays_are_a_list_or_grow_by_a_factor():
    """Each varies by `jitter`, ±20 % by default, so that what failed together does not come back together."""
    listed = Retry(backoff=[1, 5, 30])
    assert [listed.delay(attempt, chance=0.5) for attempt in (1, 2, 3, 4)] == [1, 5, 30, 30]

    growing = Retry(backoff=exponential(1, factor=3, most=20))
    assert [growing.delay(attempt, chance=0.5) for attempt in (1, 2, 3, 4)] == [1, 3, 9, 20]

    with pytest.raises(ConfigurationError, match=r"Retry\(attempts=0\): give a whole number of runs, at least 1"):
        Retry(attempts=0)


class WithNumber(Event, topic="orders", type="OrderCreated"):
    """Another program's idea of the same type: it has no `order_id`."""

    number: int


class OrderCreatedNext(Event, topic="orders", type="OrderCreated", version=2):
    """What the next release publishes. Its data could be read, but may mean something else."""

    order_id: str
    number: int


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [(WithNumber(number=7), "undecodable"), (OrderCreatedNext(order_id="o-2", number=7), "newer")],
)
async def test_an_event_that_no_program_of_the_group_can_read_is_a_dead_letter(theirs, reason):
    """As it came, without a run of any handler. A newer version waits where a worker of the group knows it."""
    bus = EventBus("embedded://", service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        await bus.publish(theirs)
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
        [letter] = await bus.admin.dead_letters("orders", "charge").page()

    assert (letter.reason, letter.type, letter.attempts) == (reason, "OrderCreated", 0)
    assert run.handled(OrderCreated) == [OrderCreated(order_id="o-1")]


async def test_what_cannot_be_published_is_said_before_anything_is_written():
    """Each mistake has an error of its own, which names it and what to do."""

    class Abstract(Event):
        name: str

    bus = EventBus("embedded://", service="shop", max_event_bytes=500)
    async with bus:
        with pytest.raises(EncodeError, match="Abstract names no topic"):
            await bus.publish(Abstract(name="x"))
        with pytest.raises(EventTooLarge, match="publish a reference to what is large"):
            await bus.publish(OrderCreated(order_id="o" * 500))
        with pytest.raises(EncodeError, match="header 'Tenant'"):
            await bus.publish(OrderCreated(order_id="o-1"), headers={"Tenant": "north"})

    with pytest.raises(LifecycleError, match="the bus is closed"):
        await bus.publish(OrderCreated(order_id="o-1"))
