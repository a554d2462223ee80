"""Schedules of dead workers: their events start elsewhere, whatever else goes on."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from eventbus import Context, Retry
from eventbus.streams import GroupReader, keys
from tests.support.held import Stop, before, planted
from tests.support.proxy import proxy_to
from tests.support.redis_hands import GROUP, STREAM, copies, expire, read_as, rows, settled, until
from tests.support.workers import Errand, errands, worker

SLACK = 3.0
"""Seconds that a busy machine may need beside what is promised."""


@pytest.mark.promise(2)
@pytest.mark.parametrize("backlog", [0, 3000], ids=["idle", "under a backlog"])
async def test_fifty_events_of_a_dead_worker_start_in_time_behind_ten_thousand_healthy_ones(one_url, redis_at, backlog):
    """A sweep goes through the whole list, and what it finds goes before what was read."""
    lease, interval, each_runs = 3.0, 0.5, 0.02
    release, seen = asyncio.Event(), {}
    holder = planted(one_url, lease=lease, claim_interval=600, drain=0.1)  # it has no slot to claim for
    taker = planted(one_url, lease=lease, claim_interval=interval, drain=0.1)

    @holder.subscribe(Errand, group=GROUP, concurrency=1, prefetch=10_000)
    async def hold(event: Errand) -> None:
        await release.wait()

    @taker.subscribe(Errand, group=GROUP, concurrency=4, prefetch=1200)  # six seconds' worth
    async def take(event: Errand) -> None:
        seen[event.name] = time.monotonic()
        await asyncio.sleep(each_runs)

    orphans = {each.name for each in errands(50, name="orphan")}
    async with holder, holder.consuming(), taker:
        await holder.publish_many(errands(10_000, name="healthy"))
        await until(lambda: len(holder.consumers[0].in_hand) == 10_000)
        await holder.publish_many(errands(50, name="orphan"))
        assert len(await read_as(redis_at, "dead", 50)) == 50
        died = time.monotonic()
        await holder.publish_many(errands(backlog, name="backlog"))
        async with taker.consuming():
            await until(lambda: orphans <= seen.keys())
            last = max(seen[name] for name in orphans)
            assert last - died < lease + interval + 50 / 4 * each_runs + SLACK
            assert len(seen) - 50 < max(1, backlog)  # the backlog was still there
            assert taker.consumers[0].counts.claimed == 50
        assert holder.consumers[0].counts.lease_lost == 0


@pytest.mark.promise(2)
async def test_a_killed_workers_events_start_on_a_worker_whose_every_slot_is_taken_as_soon_as_one_is_free(one_url, redis_at):
    """They have room of their own, and stand before everything that was read ahead."""
    started, slots = [], asyncio.Semaphore(0)
    saturated = planted(one_url, lease=2)

    @saturated.subscribe(Errand, group=GROUP, concurrency=2, prefetch=10)
    async def charge(event: Errand) -> None:
        started.append(event.name)
        await slots.acquire()

    async with saturated, worker(one_url, lease=2) as dying:
        await saturated.publish_many(errands(2, "wait", "orphan"))
        await dying.said("started", times=2)
        await dying.kill()
        await saturated.publish_many(errands(200, name="backlog"))
        async with saturated.consuming():
            (consumer,) = saturated.consumers
            await until(lambda: consumer.counts.claimed == 2)  # while nothing was free, and nothing is now
            assert started == ["backlog-0", "backlog-1"]
            slots.release()
            slots.release()
            await until(lambda: len(started) == 4)
            assert sorted(started[2:]) == ["orphan-0", "orphan-1"]
            for _ in range(202):
                slots.release()
            await until(lambda: settled(redis_at))
    assert Counter(started).total() == 202


@pytest.mark.promise(2)
async def test_a_link_that_goes_up_and_down_keeps_nobody_from_a_dead_workers_events(one_url, redis_at):
    """Each outage asks for a grace; all of them together last no longer than one lease."""
    seen = asyncio.Event()
    async with proxy_to(one_url) as proxy:
        bus = planted(proxy.url)

        @bus.subscribe(Errand, group=GROUP)
        async def charge(event: Errand) -> None:
            seen.set()

        async def flap():
            while not seen.is_set():
                proxy.refusing = True
                proxy.cut()
                await asyncio.sleep(0.4)  # longer than a third of the lease, else it asks for no grace
                proxy.refusing = False
                opened = bus._runtime.wire.opened
                await until(lambda opened=opened: bus._runtime.wire.opened > opened or seen.is_set())
                await asyncio.sleep(0.2)  # and shorter, else the grace is over

        async with bus:
            async with bus.consuming():
                pass
            async with planted(one_url) as shop:
                await shop.publish(Errand(name="orphan"))
            assert len(await read_as(redis_at, "dead", 1)) == 1
            await expire(redis_at, "dead")
            async with bus.consuming():
                flapping = asyncio.ensure_future(flap())
                try:
                    await until(seen.is_set)
                finally:
                    seen.set()
                    await flapping
                await until(lambda: settled(redis_at))


@pytest.mark.promise(1)
@pytest.mark.promise(2)
async def test_what_a_killed_worker_had_parked_for_a_moment_is_promoted_by_one_that_sleeps_for_longer(redis_url, redis_client):
    """It knows nothing of that retry; it looks once every claim interval all the same."""
    attempts, stop = [], Stop(armed=True)
    sleeping = planted(redis_url, claim_interval=0.5, reader=before(GroupReader, "read", stop))

    @sleeping.subscribe(Errand, group=GROUP, retry=Retry(backoff=[600]))
    async def charge(event: Errand, ctx: Context) -> None:
        attempts.append((event.name, ctx.attempt))
        if event.name == "far":
            raise RuntimeError("in ten minutes")

    async with sleeping, worker(redis_url, backoff=[1.0]) as dying, sleeping.consuming():
        stop.release()
        dying.stop()
        await sleeping.publish(Errand(name="far"))
        await until(lambda: len(attempts) or rows(redis_client))
        await expire(redis_client, dying.name)  # where its blocked read got it
        await until(lambda: sleeping.consumers[0].counts.retried)
        stop.arm()
        await until(stop.reached.is_set)
        dying.wake()
        await sleeping.publish(Errand(name="near", do="raise"))
        await dying.said("started near 1")
        await until(lambda: is_parked(redis_client, 2))
        await dying.kill()
        stop.release()
        await until(lambda: ("near", 2) in attempts)
    assert attempts == [("far", 1), ("near", 2)]
    assert await redis_client.zcard(keys.due(STREAM, GROUP)) == 1


async def is_parked(redis, count):
    return len(await copies(redis, "parked")) == count
