"""11. Events that are to come later: after a delay, or at a moment."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from eventbus import ConfigurationError, Context, Event, EventBus, Scheduled
from eventbus.testing import running


class PaymentDue(Event, topic="reminders", key="order_id"):
    order_id: str


async def test_an_event_comes_after_its_delay():
    """It is held in Redis, and stands in its topic when it is due by Redis's clock, within milliseconds."""
    bus = EventBus("embedded://", service="shop")
    reminded = asyncio.get_running_loop().create_future()

    @bus.subscribe(PaymentDue, group="mails")
    async def remind(event: PaymentDue, ctx: Context) -> None:
        reminded.set_result((event.order_id, ctx.id))

    async with running(bus):
        published = await bus.publish(PaymentDue(order_id="o-1"), delay=timedelta(milliseconds=200))
        assert await reminded == ("o-1", published.event_id)

    assert datetime.now(UTC) >= published.due


async def test_an_event_comes_at_a_moment():
    """A datetime with a time zone, whichever: `due` is UTC. It may be seconds, too: `delay=90`."""
    async with EventBus("embedded://", service="shop") as bus:
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        published = await bus.publish(PaymentDue(order_id="o-1"), at=tomorrow)
        by_seconds = await bus.publish(PaymentDue(order_id="o-2"), delay=90)

    assert isinstance(published, Scheduled)
    assert abs(published.due - tomorrow) <= timedelta(milliseconds=1)
    assert by_seconds.due < tomorrow


async def test_what_is_late_already_comes_at_once():
    """A moment in the past is no mistake: the event is published as any other, and has no due time."""
    async with EventBus("embedded://", service="shop") as bus:
        published = await bus.publish(PaymentDue(order_id="o-1"), at=datetime(2020, 1, 1, tzinfo=UTC))

    assert published.due is None


async def test_what_is_not_due_yet_can_be_taken_back():
    """By its event id. The answer says whether it came in time."""
    async with EventBus("embedded://", service="shop") as bus:
        published = await bus.publish(PaymentDue(order_id="o-1"), delay=3600)

        assert await bus.cancel_scheduled(published.event_id, topic=PaymentDue)
        assert not await bus.cancel_scheduled(published.event_id, topic=PaymentDue)


async def test_an_event_is_scheduled_once():
    """To publish the same object again, after an error, is safe: the first time it was given counts."""
    async with EventBus("embedded://", service="shop") as bus:
        event = PaymentDue(order_id="o-1")
        first = await bus.publish(event, delay=3600)
        assert await bus.publish(event, delay=7200) == first

        waiting = await bus.admin.scheduled("reminders")

    assert [each.event_id for each in waiting.events] == [first.event_id]


async def test_it_does_not_matter_who_is_there_when_it_is_due(tmp_path):
    """The publisher may be gone: any process that consumes the topic, or publishes to it, promotes what is due."""
    url = f"embedded://{tmp_path}/redis"
    async with EventBus(url, service="shop") as publisher:
        scheduled = await publisher.publish(PaymentDue(order_id="o-1"), delay=0.1)

    bus = EventBus(url, service="mails")
    reminded, seen = asyncio.Event(), []

    @bus.subscribe(PaymentDue, group="mails")
    async def remind(event: PaymentDue, ctx: Context) -> None:
        seen.append(ctx.id)
        reminded.set()

    async with running(bus):
        await reminded.wait()

    assert seen == [scheduled.event_id]


@pytest.mark.parametrize(
    "when",
    [
        {"at": datetime(2030, 1, 1)},  # noqa: DTZ001 - the mistake
        {"delay": timedelta(days=4000)},
        {"delay": 60, "at": datetime(2030, 1, 1, tzinfo=UTC)},
    ],
)
async def test_what_cannot_be_meant_is_refused(when):
    """A moment without a zone, more than ten years, two times at once."""
    async with EventBus("embedded://", service="shop") as bus:
        with pytest.raises(ConfigurationError):
            await bus.publish(PaymentDue(order_id="o-1"), **when)
