"""Schedules of leases: who may run, finish or give back an entry while its lease is renewed, late or lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from eventbus import Context, Reject, Retry
from eventbus.consuming.beat import Beat
from eventbus.streams import EntryCommands
from tests.support.held import Stop, before, planted, reading_late
from tests.support.proxy import proxy_to
from tests.support.redis_hands import GROUP, STREAM, copies, rows, settled, take_over, until
from tests.support.workers import Errand, errands, worker


@pytest.mark.promise(3)
async def test_a_handler_of_ten_leases_is_delivered_once_and_so_is_what_waits_behind_it(one_url, redis_at):
    """A coroutine, a thread and what was only read ahead are renewed; an idle worker beside them gets none of it."""
    seen, handed = Counter(), Counter()

    async def wait(event: Errand) -> None:
        seen[event.name] += 1
        if event.do == "wait":
            await asyncio.sleep(10)

    def sleep(event: Errand) -> None:
        seen[event.name] += 1
        if event.do == "wait":
            time.sleep(10)

    busy, idle = planted(one_url), planted(one_url)
    for bus in (busy, idle):
        bus.subscribe(Errand, group="async", concurrency=1, prefetch=8)(wait)
        bus.subscribe(Errand, group="threads", concurrency=1, prefetch=8)(sleep)
    async with busy, busy.consuming():
        await busy.publish_many([Errand(name="slow", do="wait"), *errands(5)])
        await until(lambda: all(len(consumer.in_hand) == 6 for consumer in busy.consumers))
        async with idle, idle.consuming():
            for group in ("async", "threads"):
                await until(lambda group=group: settled(redis_at, group=group))
            for consumer in idle.consumers:
                handed.update(claimed=consumer.counts.claimed, fetched=consumer.counts.fetched)
        assert sum(consumer.counts.lease_lost for consumer in busy.consumers) == 0
    assert seen == {"slow": 2, **{f"e-{number}": 2 for number in range(5)}}  # once in each group
    assert handed.total() == 0


class NoBeat(Beat):
    """Renews nothing, as when the event loop stands still."""

    async def run_once(self) -> None:
        return


class NotingEntries(EntryCommands):
    """Notes which stale entries of this very consumer its claims came by."""

    noted: ClassVar[list[bytes]]

    async def claim(self, **options):
        claimed = await super().claim(**options)
        self.noted.extend(entry_id for entry_id, _ in (claimed.own if claimed else ()))
        return claimed


@pytest.mark.promise(3)
async def test_an_entry_stale_under_its_own_live_process_is_not_run_twice_and_its_failure_counts(redis_url, redis_client):
    """A process that was late to renew comes by its own entry: it has that in hand."""
    NotingEntries.noted = noted = []
    bus, started, fail, attempts = planted(redis_url, beat=NoBeat, entries=NotingEntries), asyncio.Event(), asyncio.Event(), []

    @bus.subscribe(Errand, group=GROUP, retry=Retry(backoff=[0.01]))
    async def charge(event: Errand, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            started.set()
            await fail.wait()
            raise RuntimeError("no money")

    async with bus, bus.consuming():
        published = await bus.publish(Errand(name="slow"))
        await until(started.is_set)
        await until(lambda: noted.count(published.entry_id.encode()) > 2)  # and whatever it did the first time is done
        fail.set()
        await until(lambda: len(attempts) > 1)
        await until(lambda: settled(redis_client))
        counts = bus.consumers[0].counts
        assert (counts.recovered, counts.claimed, counts.retried, counts.lease_lost) == (0, 0, 1, 0)
    assert attempts == [1, 2]


@pytest.mark.promise(4)
@pytest.mark.parametrize("ending", ["returns", "raises", "rejects"])
async def test_a_cancel_swallowed_after_the_lease_was_lost_is_no_ending_of_ours(redis_url, redis_client, ending):
    """It is cancelled, and whatever it makes of that settles nothing: the entry is another's."""
    bus, started, ended = planted(redis_url), asyncio.Event(), asyncio.Event()

    @bus.subscribe(Errand, group=GROUP)
    async def charge(event: Errand) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
            if ending == "raises":
                raise RuntimeError("too late") from None
            if ending == "rejects":
                raise Reject("too late") from None

    async with bus, bus.consuming():
        published = await bus.publish(Errand(name="taken"))
        await until(started.is_set)
        await take_over(redis_client, published.entry_id)
        await until(ended.is_set)
        (consumer,) = bus.consumers
        await until(lambda: not len(consumer.in_hand))
        assert (consumer.counts.lease_lost, consumer.counts.handled, consumer.counts.acknowledged) == (1, 0, 0)
    assert await rows(redis_client) == {published.entry_id: ("another", 1)}
    assert [await copies(redis_client, kind) for kind in ("retry", "parked", "dead")] == [[], [], []]


@pytest.mark.promise(4)
@pytest.mark.parametrize("ending", [RuntimeError("no money"), Reject("never")], ids=["retry", "dead letter"])
async def test_a_failure_before_the_loss_was_noticed_changes_nothing(redis_url, redis_client, ending):
    """The fence stands in Redis: what this process believes of its lease does not matter."""
    bus, started, fail = planted(redis_url, beat=NoBeat), asyncio.Event(), asyncio.Event()

    @bus.subscribe(Errand, group=GROUP, retry=Retry(backoff=[0.01]))
    async def charge(event: Errand) -> None:
        started.set()
        await fail.wait()
        raise ending

    async with bus, bus.consuming():
        published = await bus.publish(Errand(name="taken"))
        await until(started.is_set)
        await take_over(redis_client, published.entry_id)
        fail.set()
        (consumer,) = bus.consumers
        await until(lambda: consumer.counts.lease_lost)
        assert not len(consumer.in_hand)
    assert await rows(redis_client) == {published.entry_id: ("another", 1)}
    assert [await copies(redis_client, kind) for kind in ("retry", "parked", "dead")] == [[], [], []]


@pytest.mark.promise(4)
async def test_a_release_at_exit_of_what_was_taken_over_writes_nothing(redis_url, redis_client):
    """The other worker has it already; a copy would be a second event."""
    bus, started = planted(redis_url, beat=NoBeat, drain=0.05), asyncio.Event()

    @bus.subscribe(Errand, group=GROUP, concurrency=1, prefetch=3)
    async def charge(event: Errand) -> None:
        started.set()
        await asyncio.Event().wait()

    async with bus, bus.consuming():
        runs, waits = await bus.publish_many(errands(2))
        await until(started.is_set)
        await until(lambda: len(bus.consumers[0].in_hand) == 2)
        for each in (runs, waits):
            await take_over(redis_client, each.entry_id)
    assert await rows(redis_client) == {runs.entry_id: ("another", 1), waits.entry_id: ("another", 1)}
    assert await copies(redis_client, "retry") == []


@pytest.mark.promise(3)
async def test_what_was_in_a_reply_that_is_parsed_late_starts_only_where_the_lease_is_still_ours(redis_url, redis_client):
    """The reply waited in the socket longer than two thirds of the lease: it is asked for first."""
    stop = Stop()
    bus, seen = planted(redis_url, reader=reading_late(stop)), []

    @bus.subscribe(Errand, group=GROUP)
    async def charge(event: Errand) -> None:
        seen.append(event.name)

    async with bus, bus.consuming():
        stop.arm()
        taken, _ = await bus.publish_many([Errand(name="taken"), Errand(name="ours")])
        await until(stop.reached.is_set)
        await take_over(redis_client, taken.entry_id)
        await asyncio.sleep(0.7)  # two thirds of the lease: nothing before that has to ask
        stop.release()
        (consumer,) = bus.consumers
        await until(lambda: consumer.counts.acknowledged == 1 and not len(consumer.in_hand))
        assert consumer.counts.lease_lost == 1
    assert seen == ["ours"]
    assert await rows(redis_client) == {taken.entry_id: ("another", 1)}


async def test_what_a_stopped_worker_is_given_after_its_consumer_was_deleted_is_handled_by_another(redis_url, redis_client):
    """Its blocked read outlives the consumer: Redis makes that again and hands it the next entry."""
    seen = asyncio.Event()
    bus = planted(redis_url)

    @bus.subscribe(Errand, group=GROUP)
    async def charge(event: Errand) -> None:
        seen.set()

    async def reads(name):
        clients = await redis_client.client_list()
        return any(each["name"] == name and "b" in each["flags"] and int(each["idle"]) == 0 for each in clients)

    async with worker(redis_url) as stopped, bus:
        await until(lambda: reads(stopped.name))
        stopped.stop()
        assert await redis_client.xgroup_delconsumer(STREAM, GROUP, stopped.name) == 0
        published = await bus.publish(Errand(name="given"))
        assert await rows(redis_client) == {published.entry_id: (stopped.name, 1)}
        async with bus.consuming():
            await until(seen.is_set)
            await until(lambda: settled(redis_client))
            stopped.wake()
            await bus.publish(Errand(name="next", do="end"))
            await until(lambda: settled(redis_client))
        stopped.process.terminate()
        await stopped.process.wait()
        await until(lambda: stopped.lines[-1:] != [])
    assert stopped.count("started given") == 0


class SweepingEntries(EntryCommands):
    """Counts windows that were looked at."""

    windows: ClassVar[Counter[str]] = Counter()

    async def claim(self, **options):
        claimed = await super().claim(**options)
        self.windows[self.consumer] += claimed is not None
        return claimed


async def swept(*buses, sweeps=3):
    """Wait until each bus has swept again so often (two windows a sweep, one of each stream), or has claimed something."""
    consumers = [consumer for bus in buses for consumer in bus.consumers]
    windows = SweepingEntries.windows
    least = {consumer: windows[consumer.commands.consumer] + 2 * sweeps for consumer in consumers}
    await until(lambda: all(windows[each.commands.consumer] >= count or each.counts.claimed for each, count in least.items()))


def loaded(url, started, release, **rooms):
    """A bus some of whose handlers wait, and others come and go."""
    bus = planted(url, lease=3, claim_interval=0.3, entries=SweepingEntries, **rooms)

    @bus.subscribe(Errand, group=GROUP, concurrency=8, prefetch=20)
    async def charge(event: Errand) -> None:
        started[event.name] += 1
        await (release.wait() if event.do == "wait" else asyncio.sleep(0.02))

    return bus


async def outage(server, seconds):
    """Redis stands still, with its connections open, and nothing else does."""
    server.pause()
    await asyncio.sleep(seconds)
    server.resume()


@pytest.mark.promise(3)
@pytest.mark.promise(7)
async def test_redis_that_stood_still_under_load_for_longer_than_the_lease_hands_nothing_to_others(one_server, redis_of):
    """Everything looks stale then; owners are back and have renewed before anybody may claim."""
    started, release = Counter(), asyncio.Event()
    one, other = (loaded(one_server.url, started, release) for _ in range(2))
    async with one, one.consuming(), other, other.consuming(), redis_of(one_server) as redis:
        await one.publish_many([*errands(8, "wait", "slow"), *errands(600, name="quick")])
        await until(lambda: len(started) > 100)
        await outage(one_server, 4)
        await swept(one, other)
        counts = [bus.consumers[0].counts for bus in (one, other)]
        assert [each.claimed for each in counts] == [0, 0]
        release.set()
        await until(lambda: settled(redis))
        assert [each.lease_lost for each in counts] == [0, 0]
    assert len(started) == 608
    assert set(started.values()) == {1}


@pytest.mark.promise(3)
async def test_a_process_started_right_after_an_outage_claims_nothing_from_owners_that_live(one_server, redis_of):
    """It has seen no outage, and all it sees is stale: a new process waits for a third of the lease, too."""
    started, release = Counter(), asyncio.Event()
    async with proxy_to(one_server.url) as proxy, redis_of(one_server) as redis:
        owner, newcomer = (loaded(url, started, release) for url in (proxy.url, one_server.url))
        async with owner, owner.consuming():
            await owner.publish_many(errands(20, "wait"))
            await until(lambda: len(owner.consumers[0].in_hand) == 20)
            proxy.refusing = True
            proxy.cut()
            await outage(one_server, 4)
            async with newcomer, newcomer.consuming():
                proxy.refusing = False  # the owner's next try is a sixth of the lease away at most
                await swept(newcomer)
                assert newcomer.consumers[0].counts.claimed == 0
                release.set()
                await until(lambda: settled(redis))
            assert owner.consumers[0].counts.lease_lost == 0
    assert started == {f"e-{number}": 1 for number in range(20)}


@pytest.mark.promise(3)
async def test_a_claim_that_waited_for_redis_through_an_outage_is_not_what_redis_hears_first(one_server, redis_of):
    """Another owner may still wait for its next try, a sixth of the lease at most: it is to renew before anybody claims."""
    started, release = Counter(), asyncio.Event()
    async with proxy_to(one_server.url) as proxy, redis_of(one_server) as redis:
        near, far = (loaded(url, started, release) for url in (one_server.url, proxy.url))
        async with far, far.consuming():
            await far.publish_many(errands(8, "wait"))
            await until(lambda: len(started) == 8)
            async with near, near.consuming():
                await swept(near)
                proxy.refusing = True
                proxy.cut()
                await outage(one_server, 4)
                proxy.refusing = False
                await swept(near)
                assert near.consumers[0].counts.claimed == 0
                release.set()
                await until(lambda: settled(redis))
            assert far.consumers[0].counts.lease_lost == 0
    assert started == {f"e-{number}": 1 for number in range(8)}


@asynccontextmanager
async def writes_refused(server, redis):
    """MISCONF: it cannot save, answers all reads, and refuses all writes."""
    Path(server._directory, "dump.rdb").mkdir()
    await redis.config_set("save", "3600 1000000")
    await redis.bgsave()
    await until(lambda: cannot_save(redis))
    yield
    await redis.config_set("stop-writes-on-bgsave-error", "no")


async def cannot_save(redis):
    return (await redis.info("persistence"))["rdb_last_bgsave_status"] == "err"


@pytest.mark.promise(3)
@pytest.mark.promise(7)
async def test_redis_that_answers_and_refuses_writes_for_longer_than_the_lease_hands_nothing_to_others(one_server, redis_of):
    """No owner could renew, and one may still wait for its next try when writes are taken again."""
    started, release, beats = Counter(), asyncio.Event(), Stop()
    owner = loaded(one_server.url, started, release, beat=before(Beat, "run_once", beats))
    others = [loaded(one_server.url, started, release) for _ in range(3)]
    async with redis_of(one_server) as redis, owner, owner.consuming(), AsyncExitStack() as stack:
        await owner.publish_many(errands(8, "wait"))
        await until(lambda: len(started) == 8)
        for each in others:
            await stack.enter_async_context(each)
            await stack.enter_async_context(each.consuming())
        await swept(*others)
        async with writes_refused(one_server, redis):
            await asyncio.sleep(4)
            beats.arm()
        await asyncio.sleep(0.45)  # a sixth of the lease is the longest that an owner waits
        beats.release()
        await swept(*others)
        assert [each.consumers[0].counts.claimed for each in others] == [0, 0, 0]
        release.set()
        await until(lambda: settled(redis))
        assert owner.consumers[0].counts.lease_lost == 0
    assert started == {f"e-{number}": 1 for number in range(8)}
