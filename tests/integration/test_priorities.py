"""A topic with priorities, on a real Redis: each of them a stream, all of them sharing the handlers."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from eventbus import ConfigurationError, Context, Event, EventBus, Retry, Topic
from eventbus.streams import keys
from eventbus.testing import running
from tests.support.held import planted
from tests.support.redis_hands import expire, rows, until
from tests.support.tasks import LEVELS, Task, put, tasks
from tests.support.workers import worker

GROUP = "work"
STREAMS = {name: keys.level("tasks", name) for name in LEVELS}


class Hand:
    """A handler that may be held, and what it was given."""

    def __init__(self, bus, **options):
        self.seen, self.open = [], asyncio.Event()

        @bus.subscribe(Task, group=GROUP, **options)
        async def work(event: Task, ctx: Context) -> None:
            self.seen.append((ctx.priority, event.name, ctx.attempt))
            await self.open.wait()

    @property
    def priorities(self):
        return [priority for priority, _, _ in self.seen]

    async def saw(self, count):
        await until(lambda: len(self.seen) >= count)


def held(bus):
    return {consumer.subscription.priority: len(consumer.in_hand) for consumer in bus.consumers}


async def saturated(bus, hand, redis, count):
    """One low task runs, and so many of each priority wait for it in this process."""
    await put(redis, "low", Task(name="first"))
    await hand.saw(1)
    for priority in reversed(LEVELS):
        await put(redis, priority, *tasks(count, priority))
    await until(lambda: held(bus) == {"high": count, "normal": count, "low": count + 1})


async def test_each_priority_is_a_consumer_and_the_subscription_is_one(redis_url):
    """What logs and metrics name is the priority; what was declared is one subscription."""
    bus = EventBus(redis_url, service="billing")
    Hand(bus)
    async with running(bus):
        assert [str(each) for each in bus.subscriptions] == ["tasks/work"]
        assert [str(each.subscription) for each in bus.consumers] == ["tasks/work (high)", "tasks/work (normal)", "tasks/work (low)"]
        assert [each.subscription.stream for each in bus.consumers] == ["{tasks}:p:high", "tasks", "{tasks}:p:low"]
        assert {loop.name for loop in bus.loops} >= {f"fetching tasks/work ({name})" for name in LEVELS}


async def test_a_blocked_reader_wakes_for_any_priority(redis_url, redis_client):
    """Each reader waits for its own stream, and an idle worker starts whatever comes."""
    bus = EventBus(redis_url, service="billing")
    hand = Hand(bus)
    hand.open.set()
    async with running(bus) as run:
        await run.idle()
        for number, priority in enumerate(LEVELS):
            await put(redis_client, priority, Task(name=priority))
            await hand.saw(number + 1)
    assert hand.priorities == list(LEVELS)


async def test_strict_starts_the_most_urgent_of_what_waits(redis_url, redis_client):
    """Though the others were read ahead long before."""
    bus = EventBus(redis_url, service="billing")
    hand = Hand(bus, concurrency=1, weights="strict", prefetch=20)
    async with running(bus) as run:
        await saturated(bus, hand, redis_client, 5)
        hand.open.set()
        await run.idle()
    assert hand.priorities[1:] == ["high"] * 5 + ["normal"] * 5 + ["low"] * 5


@pytest.mark.parametrize(
    ("weights", "share"),
    [(None, {"high": 40, "normal": 20, "low": 10}), ({"high": 1, "normal": 1, "low": 5}, dict.fromkeys(LEVELS, 10) | {"low": 50})],
)
async def test_the_weights_share_a_saturated_worker(redis_url, redis_client, weights, share):
    """Exactly, so that nothing starves: by default each priority is served twice as often as the next."""
    bus = EventBus(redis_url, service="billing")
    hand = Hand(bus, concurrency=1, weights=weights, prefetch=100)
    async with running(bus) as run:
        await saturated(bus, hand, redis_client, 70)
        hand.open.set()
        await run.idle()
    assert Counter(hand.priorities[1:71]) == share
    assert len(hand.seen) == 211


async def test_all_priorities_together_run_as_many_handlers_as_were_asked_for(redis_url, redis_client):
    """And one alone may use them all."""
    bus = EventBus(redis_url, service="billing")
    hand = Hand(bus, concurrency=4)
    async with running(bus) as run:
        await put(redis_client, "low", *tasks(6))
        await hand.saw(4)
        await put(redis_client, "high", *tasks(3))
        await until(lambda: held(bus) == {"high": 3, "normal": 0, "low": 6})
        assert sum(consumer.executors.running for consumer in bus.consumers) == 4 == len(hand.seen)
        hand.open.set()
        await run.idle()
    assert Counter(hand.priorities) == {"high": 3, "low": 6}


async def test_a_backlog_of_low_does_not_keep_high_from_being_read(redis_url, redis_client):
    """Each priority has a credit of its own."""
    bus = EventBus(redis_url, service="billing")
    hand = Hand(bus, concurrency=1, prefetch=5)
    async with running(bus) as run:
        await put(redis_client, "low", *tasks(50))
        await hand.saw(1)
        await until(lambda: held(bus)["low"] >= 5)  # one is too little credit for a read of two streams
        await put(redis_client, "high", Task(name="urgent"))
        await until(lambda: held(bus)["high"] == 1)
        hand.open.set()
        await run.idle()
    assert hand.priorities[1] == "high"


async def test_a_handler_that_is_cancelled_makes_room_for_the_next(redis_url, redis_client):
    """Its slot is free with its end, whatever that was."""
    bus = EventBus(redis_url, service="billing")
    Hand(bus, concurrency=1, timeout=0.05, retry=Retry(attempts=1))
    async with running(bus):
        await put(redis_client, "low", *tasks(2))
        await put(redis_client, "high", *tasks(2))
        await until(lambda: sum(consumer.counts.timed_out for consumer in bus.consumers) == 4)


async def test_a_handler_whose_lease_was_lost_makes_room_too(redis_url, redis_client):
    """Likewise what waited for a slot when its lease was lost."""
    bus = planted(redis_url)
    hand = Hand(bus, concurrency=1, weights="strict")
    async with bus, bus.consuming():
        (stolen,) = await put(redis_client, "low", Task(name="runs"))
        await hand.saw(1)
        (waiting,) = await put(redis_client, "normal", Task(name="waits"))
        await until(lambda: held(bus)["normal"] == 1)
        for priority, entry_id in (("low", stolen), ("normal", waiting)):
            await redis_client.execute_command("XCLAIM", STREAMS[priority], GROUP, "another", 0, entry_id, "JUSTID")
        await until(lambda: not sum(held(bus).values()))
        await put(redis_client, "high", Task(name="next"))
        await hand.saw(2)
        hand.open.set()
    assert hand.priorities == ["low", "high"]


async def test_a_failed_task_is_retried_and_dies_and_is_redriven_at_its_own_priority(redis_url, redis_client):
    """Copies and dead letters belong to the priority's stream; the other priorities see nothing of it."""
    bus, seen, good = EventBus(redis_url, service="billing"), [], asyncio.Event()

    @bus.subscribe(Task, group=GROUP, retry=Retry(attempts=2, backoff=[0.01], jitter=0))
    async def work(event: Task, ctx: Context) -> None:
        seen.append((ctx.priority, ctx.attempt))
        if not good.is_set():
            raise RuntimeError("not yet")

    async with running(bus) as run:
        await put(redis_client, "high", Task(name="t"))
        await run.idle()
        assert {name: await redis_client.xlen(keys.dead(stream, GROUP)) for name, stream in STREAMS.items()} == {
            "high": 1,
            "normal": 0,
            "low": 0,
        }
        good.set()
        letters = bus.admin.dead_letters("tasks", GROUP, priority="high")
        assert (await letters.redrive([each.id for each in await letters.page()])).done == 1
        await run.idle()
    assert seen == [("high", 1), ("high", 2), ("high", 1)]
    assert not await redis_client.xlen(keys.dead(STREAMS["high"], GROUP))


async def test_a_worker_killed_over_an_urgent_task_leaves_it_to_another_as_urgent(redis_url, redis_client):
    """Leases are those of the priority's stream."""
    bus = planted(redis_url)
    hand = Hand(bus)
    hand.open.set()
    async with worker(redis_url, kinds=("task",), group=GROUP) as dying:
        await put(redis_client, "high", Task(name="t", do="wait"))
        await dying.said("started t 1 high")
        await dying.kill()
        assert await expire(redis_client, dying.name, stream=STREAMS["high"], group=GROUP) == 1
        async with bus, bus.consuming():
            await hand.saw(1)
            assert bus.consumers[0].counts.claimed == 1
    assert hand.seen == [("high", "t", 1)]


async def test_what_never_started_is_released_at_its_own_priority(redis_url, redis_client):
    """And nothing stays pending with a worker that has ended."""
    bus = EventBus(redis_url, service="billing")
    hand = Hand(bus, concurrency=1, prefetch=20)
    async with bus:
        async with bus.consuming():
            await saturated(bus, hand, redis_client, 2)
            asyncio.get_running_loop().call_later(0.05, hand.open.set)
        found = {name: await redis_client.xlen(keys.retry(stream, GROUP)) for name, stream in STREAMS.items()}
        assert found == {"high": 2, "normal": 2, "low": 2}
        assert [await rows(redis_client, stream=stream, group=GROUP) for stream in STREAMS.values()] == [{}, {}, {}]
    assert hand.priorities == ["low"]


async def test_every_priority_is_made_anew_after_a_flush(redis_url, redis_client):
    """Groups, and the list of priorities."""
    bus = planted(redis_url)
    hand = Hand(bus)
    hand.open.set()
    async with bus, bus.consuming():
        await redis_client.flushall()
        for priority in LEVELS:
            await put(redis_client, priority, Task(name=priority))
        await hand.saw(3)
        await bus.runtime.janitor.run_once()
        assert await redis_client.zrange(keys.levels("tasks"), 0, -1) == list(LEVELS)
        assert {each.counts.regrouped for each in bus.consumers} == {1}
    assert sorted(hand.priorities) == sorted(LEVELS)


async def test_every_priority_is_trimmed_to_the_limits_of_the_topic(redis_url, redis_client):
    """Each stream by itself, and never what a group has not settled."""
    bus = EventBus(redis_url, service="billing", claim_interval=600)

    class Job(Event, topic=Topic("jobs", max_len=100, priorities=LEVELS)):
        name: str

    stop = asyncio.Event()

    @bus.subscribe(Job, group=GROUP)
    async def work(event: Job, ctx: Context) -> None:
        if ctx.priority == "low":
            await stop.wait()

    jobs = [Job(name=f"{number}") for number in range(400)]
    async with running(bus) as run:
        for priority in LEVELS[:2]:
            await put(redis_client, priority, *jobs, topic="jobs")
        await run.idle()
        await put(redis_client, "low", *jobs, topic="jobs")
        await bus.runtime.janitor.run_once()
        left = {name: await redis_client.xlen(keys.level("jobs", name)) for name in LEVELS}
        stop.set()
    assert left["low"] == 400
    assert 100 <= left["high"] == left["normal"] <= 200


async def test_weights_must_name_the_priorities_of_the_topic(redis_url):
    """Seen when the bus opens, before anything is written."""
    bus = EventBus(redis_url, service="billing")
    Hand(bus, weights={"high": 2, "low": 1})
    with pytest.raises(ConfigurationError, match="give one for each of the topic's priorities: high, normal, low"):
        await bus.open()


async def test_a_program_that_does_not_know_the_priorities_of_its_topic_says_so(redis_url, redis_client, caplog):
    """It reads what has none, and somebody has to know that the rest waits."""
    knows, other = EventBus(redis_url, service="billing"), EventBus(redis_url, service="audit")
    Hand(knows)

    class Old(Event, topic="tasks", type="Task"):
        name: str
        do: str

    @other.subscribe(Old, group="audit")
    async def audit(event: Old) -> None: ...

    async with knows, knows.consuming():
        assert await redis_client.zrange(keys.levels("tasks"), 0, -1) == list(LEVELS)
    async with other, other.consuming():
        await other.runtime.janitor.run_once()
        assert "priorities that are not declared here" not in caplog.text
        await put(redis_client, "high", Task(name="t"))
        for _ in range(2):
            await other.runtime.janitor.run_once()
    assert (
        caplog.text.count("topic 'tasks' has priorities that are not declared here, and whose events this process does not read: high") == 1
    )


async def test_whoever_knows_the_priorities_writes_them_down(redis_url, redis_client):
    """A program that only publishes, too; and again when they were deleted."""
    bus = EventBus(redis_url, service="shop")
    async with bus:
        await bus.publish(Task(name="t"), priority="low")
        await bus.runtime.janitor.run_once()
    assert await redis_client.zrange(keys.levels("tasks"), 0, -1) == list(LEVELS)
