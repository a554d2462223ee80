"""9. Priorities: what is urgent does not wait behind what is not.

A topic may have priorities. Each is a stream of its own, and all of them share the handlers of a subscription.
"""

import asyncio
from collections import Counter

import pytest

from eventbus import ConfigurationError, Context, Event, EventBus, Retry, Topic
from eventbus.testing import running

TICKETS = Topic("tickets", priorities=("high", "normal", "low"))  # the most urgent first; "normal" must be among them


class TicketOpened(Event, topic=TICKETS):
    number: int


def tickets(count: int) -> list[TicketOpened]:
    return [TicketOpened(number=number) for number in range(count)]


class Desk:
    """One clerk who does not begin before `open` is set, so that tickets pile up; and the order in which they were seen."""

    def __init__(self, **options):
        self.bus = EventBus("embedded://", service="support", **options)
        self.open = asyncio.Event()
        self.begun = asyncio.Event()
        self.seen: list[str] = []

    async def see(self, event: TicketOpened, ctx: Context) -> None:
        self.begun.set()
        await self.open.wait()
        self.seen.append(ctx.priority)

    async def work_through(self, each: int) -> None:
        """See to a low ticket, and to so many of each priority that came meanwhile."""
        async with running(self.bus) as run:
            await self.bus.publish(TicketOpened(number=0), priority="low")
            await self.begun.wait()
            for priority in TICKETS.priorities:
                await self.bus.publish_many(tickets(each), priority=priority)
            while await self.waiting() < 3 * each:
                pass
            self.open.set()
            await run.idle()

    async def waiting(self) -> int:
        """How many tickets this process has read and not begun. Each priority has a stream and a group of its own."""
        topic = await self.bus.admin.topic(TICKETS)
        return sum(level.groups[0].pending for level in (topic, *topic.levels)) - 1


async def test_every_priority_is_served_and_the_urgent_ones_more_often():
    """By default each is served twice as often as the next: low is slow, and never starves."""
    desk = Desk()
    desk.bus.subscribe(TicketOpened, group="desk", concurrency=1, prefetch=100)(desk.see)
    await desk.work_through(80)
    assert Counter(desk.seen[1:71]) == {"high": 40, "normal": 20, "low": 10}
    assert Counter(desk.seen) == {"high": 80, "normal": 80, "low": 81}


async def test_the_weights_are_yours():
    """How often each is served while all of them have something to do. An idle one's share goes to the others."""
    desk = Desk()
    desk.bus.subscribe(TicketOpened, group="desk", concurrency=1, prefetch=100, weights={"high": 8, "normal": 1, "low": 1})(desk.see)
    await desk.work_through(80)
    assert Counter(desk.seen[1:71]) == {"high": 56, "normal": 7, "low": 7}


async def test_strict_serves_the_most_urgent_first():
    """Whatever is more urgent goes first, always: the others wait for as long as it takes."""
    desk = Desk()
    desk.bus.subscribe(TicketOpened, group="desk", concurrency=1, prefetch=100, weights="strict")(desk.see)
    await desk.work_through(5)
    assert desk.seen == ["low"] + ["high"] * 5 + ["normal"] * 5 + ["low"] * 5


async def test_what_is_published_without_a_priority_is_normal():
    """Its stream is the topic's own, where other programs write and read, too."""
    desk = Desk()
    desk.bus.subscribe(TicketOpened, group="desk")(desk.see)
    desk.open.set()
    async with running(desk.bus) as run:
        await desk.bus.publish(TicketOpened(number=1))
        await desk.bus.publish(TicketOpened(number=2), priority="normal")
        await run.idle()
    assert desk.seen == ["normal", "normal"]


async def test_a_failed_event_keeps_its_priority():
    """Retries, dead letters and what is redriven of them: all of it at the priority it was published with."""
    bus = EventBus("embedded://", service="support")
    seen, mended = [], False

    @bus.subscribe(TicketOpened, group="desk", retry=Retry(attempts=2, backoff=[0.01]))
    async def see(event: TicketOpened, ctx: Context) -> None:
        seen.append((ctx.priority, ctx.attempt))
        if not mended:
            raise RuntimeError("the phone is dead")

    async with running(bus) as run:
        await bus.publish(TicketOpened(number=1), priority="high")
        await run.idle()
        (group,) = await bus.admin.dead_letter_groups("tickets")
        assert (group.group, group.priority, group.dead) == ("desk", "high", 1)

        mended = True
        dead = bus.admin.dead_letters("tickets", "desk", priority="high")
        await dead.redrive([letter.id for letter in await dead.page()])
        await run.idle()
    assert seen == [("high", 1), ("high", 2), ("high", 1)]


async def test_a_priority_the_topic_does_not_have_is_refused():
    """By its name, with those there are; before anything is written."""
    async with EventBus("embedded://", service="support") as bus:
        with pytest.raises(ConfigurationError, match="priority='urgent'.*'high', 'normal', 'low'"):
            await bus.publish(TicketOpened(number=1), priority="urgent")


async def test_weights_name_every_priority():
    """One that was forgotten would never be served: said when the bus opens."""
    desk = Desk()
    desk.bus.subscribe(TicketOpened, group="desk", weights={"high": 2, "normal": 1})(desk.see)
    with pytest.raises(ConfigurationError, match="one for each of the topic's priorities: high, normal, low"):
        await desk.bus.open()
