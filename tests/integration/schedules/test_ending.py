"""Schedules of endings: what a worker that is asked to go still holds, and who gets it."""

from __future__ import annotations

import threading
import time

import pytest

from eventbus import Context, EventBus
from tests.support.held import planted
from tests.support.redis_hands import GROUP, copies, expire, read_as, rows, settled, until
from tests.support.workers import Errand, errands, worker


def noting(url, started, **options):
    """A bus that notes when it starts what, and in which attempt."""
    bus = planted(url, **options)

    @bus.subscribe(Errand, group=GROUP, concurrency=100)
    async def note(event: Errand, ctx: Context) -> None:
        started[event.name] = (time.monotonic(), ctx.attempt)

    return bus


@pytest.mark.promise(6)
async def test_what_a_worker_under_load_had_only_queued_starts_elsewhere_in_under_a_second_of_its_sigterm(one_url, redis_at):
    """Its handlers go on for as long as they need; what never started does not wait for them, and counts no attempt."""
    started = {}
    other = noting(one_url, started, lease=20)
    async with worker(one_url, lease=20, concurrency=4, prefetch=60) as ending, other:
        await other.publish_many(errands(60, "sleep 2"))
        await ending.said("started", times=4)
        await until(lambda: queued(redis_at, 60))
        async with other.consuming():
            asked = time.monotonic()
            ending.process.terminate()
            await until(lambda: len(started) == 56)
            assert max(at for at, _ in started.values()) - asked < 1
            await ending.process.wait()
            await until(lambda: settled(redis_at))
        assert ending.count("ended") == 4
        assert ending.process.returncode == 0
    assert {attempt for _, attempt in started.values()} == {1}
    assert {line.split()[1] for line in ending.lines if line.startswith("ended")} | set(started) == {each.name for each in errands(60)}


async def queued(redis, count):
    return len(await rows(redis)) == count


@pytest.mark.promise(6)
async def test_what_the_deadline_cancelled_starts_elsewhere_right_after_it_and_counts_no_attempt(one_url, redis_at):
    """It has ended by then: nobody need wait for its lease."""
    started = {}
    other = noting(one_url, started, lease=20)
    async with worker(one_url, lease=20, drain=0.5, concurrency=8) as ending, other:
        await other.publish_many(errands(8, "wait"))
        await ending.said("started", times=8)
        async with other.consuming():
            ending.process.terminate()
            await until(lambda: len(started) == 8)
            await ending.process.wait()
            await until(lambda: settled(redis_at))
    assert {attempt for _, attempt in started.values()} == {1}


@pytest.mark.promise(6)
async def test_sigterm_upon_sigterm_loses_nothing_and_counts_no_attempt(one_url, redis_at):
    """Workers come and go under load; each event is handled without waiting for a lease, and none is thought to have failed."""
    names = {each.name for each in errands(200)}
    async with EventBus(one_url, service="shop") as shop:
        await shop.publish_many(errands(200, "sleep 0.02"))
        ended, attempts = set(), set()
        async with (
            worker(one_url, waits=True, lease=20) as second,
            worker(one_url, waits=True, lease=20) as third,
            worker(one_url, lease=20, concurrency=4) as first,
        ):
            for leaving, coming in ((first, second), (second, third)):
                await leaving.said("ended", times=10)
                leaving.process.terminate()
                await coming.begin()
            await until(lambda: settled(redis_at))
            third.process.terminate()
            assert [await each.process.wait() for each in (first, second, third)] == [0, 0, 0]
        for line in first.lines + second.lines + third.lines:
            match line.split():
                case ["ended", name]:
                    ended.add(name)
                case ["started", _, attempt, _]:
                    attempts.add(attempt)
    assert ended == names
    assert attempts == {"1"}
    assert await copies(redis_at, "dead") == []


@pytest.mark.promise(6)
@pytest.mark.promise(8)
async def test_a_thread_that_runs_beyond_the_deadline_is_left_to_the_lease(redis_url, redis_client, caplog):
    """Nothing ends it: a copy would run beside it. It is counted as stuck, and others get it when its lease ran out."""
    entered, leave, started = threading.Event(), threading.Event(), {}
    bus, other = planted(redis_url, drain=0.05), noting(redis_url, started)

    @bus.subscribe(Errand, group=GROUP)
    def charge(event: Errand) -> None:
        entered.set()
        leave.wait(20)

    try:
        async with bus, other:
            async with bus.consuming():
                name = bus.consumers[0].commands.consumer
                published = await bus.publish(Errand(name="threaded"))
                await until(entered.is_set)
            assert bus.stuck == 1
            assert await rows(redis_client) == {published.entry_id: (name, 1)}
            assert await copies(redis_client, "retry") == []
            async with other.consuming():
                await until(lambda: other.consumers[0].counts.claimed)
                await until(lambda: settled(redis_client))
    finally:
        leave.set()
    assert started["threaded"][1] == 1
    assert "1 threads of handler" in caplog.text


@pytest.mark.promise(1)
async def test_a_consumer_that_went_silent_with_entries_is_not_removed_with_them(redis_url, redis_client):
    """XGROUP DELCONSUMER would destroy its rows without a word; the janitor takes the empty ones only."""
    started = {}
    bus = noting(redis_url, started)
    async with bus:
        async with bus.consuming():
            pass
        published = await bus.publish(Errand(name="held"))
        await read_as(redis_client, "dead", 1)
        await read_as(redis_client, "empty", 1)
        async with bus.consuming():
            (consumer,) = bus.consumers
            retired = await consumer.commands.retire(silence=0.0)
            assert "dead" not in retired
            assert (await rows(redis_client))[published.entry_id][0] == "dead"
            await expire(redis_client, "dead")
            await until(lambda: started)
            await until(lambda: settled(redis_client))
            await until(lambda: retire(consumer, "dead"))
    assert started["held"][1] == 1


async def retire(consumer, name):
    return name in await consumer.commands.retire(silence=0.0)
