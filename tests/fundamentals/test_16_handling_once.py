"""16. Handling once: a group that remembers what it has finished.

A publisher that had to repeat itself, a dead letter that is redriven, an import that runs twice: the same event comes
again, and a handler that sends an invoice sends two. With `idempotent=True` the group remembers the id of every event
it has finished, for a day, and acknowledges what comes again without calling the handler.

The mark is written in the step that acknowledges. What remains possible is said below, last.
"""

import asyncio
from datetime import timedelta

import pytest

from eventbus import ConfigurationError, Context, Event, EventBus, Reject, Retry
from eventbus.testing import running


class OrderCreated(Event, topic="orders"):
    order_id: str


async def test_an_event_that_is_published_again_is_handled_once():
    """It is the same event: the object keeps its id, however often it is published."""
    bus = EventBus("embedded://", service="billing")
    invoices = []

    @bus.subscribe(OrderCreated, group="invoices", idempotent=True)
    async def write_invoice(event: OrderCreated) -> None:
        invoices.append(event.order_id)

    async with running(bus) as run:
        order = OrderCreated(order_id="o-1")
        await bus.publish(order)
        await run.idle()
        await bus.publish(order)
        await bus.publish(OrderCreated(order_id="o-1"))  # another event that says the same: another invoice
        await run.idle()

    assert invoices == ["o-1", "o-1"]


async def test_copies_that_come_together_are_not_handled_side_by_side():
    """One of them is in progress; the others wait, uncounted, and find it finished."""
    bus = EventBus("embedded://", service="billing")
    now, most = 0, 0

    @bus.subscribe(OrderCreated, group="invoices", idempotent=True, concurrency=8)
    async def write_invoice(event: OrderCreated) -> None:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.01)
        now -= 1

    order = OrderCreated(order_id="o-1")
    async with running(bus) as run:
        await bus.publish_many([order] * 5)
        await run.idle()

    assert most == 1


async def test_a_run_that_failed_is_no_mark():
    """Only what was finished is remembered: retries and dead letters are as everywhere."""
    bus = EventBus("embedded://", service="billing")
    attempts = []

    @bus.subscribe(OrderCreated, group="charge", idempotent=True, retry=Retry(attempts=2, backoff=[0]))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if len(attempts) < 3:
            raise ConnectionError("the bank does not answer")

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
        letters = bus.admin.dead_letters("orders", "charge")
        dead = await letters.latest()
        assert dead is not None
        await letters.redrive(dead.letter.id)
        await run.idle()

    assert attempts == [1, 2, 1]


async def test_a_dead_letter_whose_event_was_finished_meanwhile_is_not_run_when_it_is_redriven(caplog):
    """It is acknowledged, and the log says so, with the mark to remove for whoever wants it to be run all the same."""
    caplog.set_level("INFO", "eventbus")
    bus = EventBus("embedded://", service="billing")
    runs = []

    @bus.subscribe(OrderCreated, group="charge", idempotent=True)
    async def charge(event: OrderCreated) -> None:
        runs.append(event.order_id)
        if len(runs) == 1:
            raise Reject("no such account")

    async with running(bus) as run:
        order = OrderCreated(order_id="o-1")
        await bus.publish(order)
        await run.idle()
        await bus.publish(order)  # the account is there by now
        await run.idle()
        letters = bus.admin.dead_letters("orders", "charge")
        dead = await letters.latest()
        assert dead is not None
        await letters.redrive(dead.letter.id)
        await run.idle()

    assert len(runs) == 2
    assert "remove its mark from {orders}:done:charge" in caplog.text


async def test_every_group_remembers_for_itself():
    """What one has finished the other has not; and one that did not ask for it sees every copy."""
    bus = EventBus("embedded://", service="billing")
    seen = []

    @bus.subscribe(OrderCreated, group="invoices", idempotent=True)
    async def write_invoice(event: OrderCreated) -> None:
        seen.append("invoice")

    @bus.subscribe(OrderCreated, group="letters", idempotent=timedelta(hours=1))
    async def write_letter(event: OrderCreated) -> None:
        seen.append("letter")

    @bus.subscribe(OrderCreated, group="audit")
    async def note(event: OrderCreated) -> None:
        seen.append("note")

    order = OrderCreated(order_id="o-1")
    async with running(bus) as run:
        await bus.publish(order)
        await run.idle()
        await bus.publish(order)
        await run.idle()

    assert sorted(seen) == ["invoice", "letter", "note", "note"]


async def test_it_is_remembered_for_a_window():
    """A day by default; else so many seconds, or a timedelta. Beyond it the event is one like any other."""
    bus = EventBus("embedded://", service="billing")
    runs = []

    @bus.subscribe(OrderCreated, group="invoices", idempotent=0.001)
    async def write_invoice(event: OrderCreated) -> None:
        runs.append(event.order_id)

    order = OrderCreated(order_id="o-1")
    async with running(bus) as run:
        while len(runs) < 2:
            await bus.publish(order)
            await run.idle()

    with pytest.raises(ConfigurationError, match="idempotent='a day': give True"):
        bus.subscribe(OrderCreated, group="other", idempotent="a day")  # type: ignore[call-overload]


async def test_what_remains_possible_is_a_run_that_ended_without_its_mark():
    """A handler whose process dies after its effect and before the mark runs again: nobody knows that it had finished.

    So the mark narrows the gap, from every repetition to that one moment; it does not make an effect outside of Redis
    happen exactly once. The effect's own key does, with the event's id:
    """
    bus = EventBus("embedded://", service="billing")
    table = {}

    @bus.subscribe(OrderCreated, group="charge", idempotent=True, retry=Retry(backoff=[0]))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        table.setdefault(ctx.id, event.order_id)  # INSERT … ON CONFLICT DO NOTHING
        if ctx.attempt == 1:
            raise ConnectionError("the effect is there, and the handler did not get to its end")

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()

    assert list(table.values()) == ["o-1"]
