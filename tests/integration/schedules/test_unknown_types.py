"""Schedules of rolling deploys: a type that some members of a group know and others do not."""

from __future__ import annotations

import asyncio

import pytest

from eventbus import Context, Retry
from eventbus.streams import EntryCommands, keys
from tests.support.held import Stop, before, planted
from tests.support.redis_hands import GROUP, STREAM, copies, expire, rows, settled, take_over, until
from tests.support.workers import Errand, Parcel, worker

SOON = Retry(backoff=[0.1], jitter=0)


def member(url, seen, *kinds, lease=1.0, **rooms):
    """A bus that handles some types, and notes what it handles."""
    bus = planted(url, lease=lease, **rooms)

    async def handle(event, ctx: Context) -> None:
        seen.append(event.name)

    for kind in kinds:
        bus.subscribe(kind, group=GROUP, retry=SOON)(handle)
    return bus


async def nothing_dead_or_dropped(redis, *buses):
    """No dead letter, and nobody skipped anything."""
    assert await copies(redis, "dead") == []
    assert [consumer.counts.skipped for bus in buses for consumer in bus.consumers] == [0] * len(buses)


@pytest.mark.promise(1)
@pytest.mark.promise(8)
async def test_an_event_of_a_type_that_only_a_stopped_member_knows_waits_until_that_one_is_back(redis_url, redis_client):
    """It looks dead, its entry is claimed, and nobody that lives knows the type: that decides nothing."""
    seen = []
    old = member(redis_url, seen, Errand)
    async with worker(redis_url, kinds=["parcel"]) as capable, old:
        capable.stop()
        published = await old.publish(Parcel(name="parcel"))
        async with old.consuming():
            (consumer,) = old.consumers
            # Its blocked read was given the entry while it stood still, unless that had just ended.
            await until(lambda: consumer.counts.hopped)
            assert await rows(redis_client) == {}
            assert [copy["ebentry"] for copy in await copies(redis_client, "parked")] == [published.entry_id]
            capable.wake()
            await capable.said("ended parcel")
            await until(lambda: settled(redis_client))
            await nothing_dead_or_dropped(redis_client, old)
        assert capable.count("started") == 1
    assert seen == []


@pytest.mark.promise(1)
@pytest.mark.promise(7)
async def test_nor_does_it_go_where_memory_is_short_and_every_heartbeat_is_refused(own_server, redis_of):
    """At maxmemory reads and acknowledgements work on while nothing can be parked: it stays where it is."""
    server, seen = own_server(), {"old": [], "new": []}
    old, new = member(server.url, seen["old"], Errand), member(server.url, seen["new"], Parcel)
    async with redis_of(server) as redis, old, new:
        async with new.consuming(), old.consuming():
            pass  # they declared what they know, and went
        published = await old.publish(Parcel(name="parcel"))
        await redis.config_set("maxmemory", 1)
        async with old.consuming():
            (consumer,) = old.consumers
            failures = {loop.name.split()[0]: loop for loop in old.loops}
            await until(lambda: failures["moving"].failures >= 2 and failures["heartbeat"].failures >= 2)
            assert consumer.counts.skipped == 0
            assert list(await rows(redis)) == [published.entry_id]
            await redis.config_set("maxmemory", 0)
            async with new.consuming():
                await until(lambda: seen["new"])
                await until(lambda: settled(redis))
                await nothing_dead_or_dropped(redis, old, new)
                assert consumer.counts.hopped == 1
    assert seen == {"old": [], "new": ["parcel"]}


@pytest.mark.promise(1)
@pytest.mark.parametrize("claimed", [True, False], ids=["claimed by the newcomer", "still its own"])
async def test_a_skip_decided_before_the_type_was_declared_is_not_executed_after_it(redis_url, redis_client, claimed):
    """The worker stood still in between: the script looks at the owner and at the registry itself."""
    stop, seen = Stop(armed=True), []
    old = member(redis_url, seen, Errand, entries=before(EntryCommands, "drop", stop))
    new = member(redis_url, seen, Parcel)
    async with old, new:
        async with old.consuming():
            (consumer,) = old.consumers
            published = await old.publish(Parcel(name="parcel"))
            await until(stop.reached.is_set)
            async with new.consuming():
                pass  # declared now
            if claimed:
                await take_over(redis_client, published.entry_id, "newcomer")
            stop.release()
            await until(lambda: not len(consumer.in_hand))
            assert (consumer.counts.skipped, consumer.counts.hopped) == (0, 0 if claimed else 1)
        async with new.consuming():
            if claimed:
                assert await rows(redis_client) == {published.entry_id: ("newcomer", 1)}
                await expire(redis_client, "newcomer")  # it died while it handled that
            await until(lambda: seen)
            await until(lambda: settled(redis_client))
            await nothing_dead_or_dropped(redis_client, new)
    assert seen == ["parcel"]


@pytest.mark.promise(4)
async def test_a_skip_of_what_another_took_over_meanwhile_settles_nothing(redis_url, redis_client):
    """Nobody declared the type, and still it is another's to say so."""
    stop = Stop(armed=True)
    old = member(redis_url, [], Errand, entries=before(EntryCommands, "drop", stop))
    async with old, old.consuming():
        (consumer,) = old.consumers
        published = await old.publish(Parcel(name="parcel"))
        await until(stop.reached.is_set)
        await take_over(redis_client, published.entry_id)
        stop.release()
        await until(lambda: not len(consumer.in_hand))
        assert (consumer.counts.skipped, consumer.counts.lease_lost) == (0, 1)
    assert await rows(redis_client) == {published.entry_id: ("another", 1)}


@pytest.mark.promise(1)
async def test_after_a_flush_of_the_registry_an_unknown_type_counts_as_declared_for_a_lease(redis_url, redis_client):
    """The healer knows only its own types, and cannot know that the registry was larger."""
    seen = {"old": [], "new": []}
    old, new = (member(redis_url, seen[name], kind, lease=5) for name, kind in (("old", Errand), ("new", Parcel)))
    async with old, new:
        async with new.consuming():
            pass
        async with old.consuming():
            (consumer,) = old.consumers
            await redis_client.flushall()
            await until(lambda: consumer.counts.regrouped)
            await old.publish(Errand(name="healed"))
            await until(lambda: consumer.counts.acknowledged)  # it reads in the new group now
            await old.publish(Parcel(name="parcel"))
            await until(lambda: consumer.counts.hopped)
            async with new.consuming():
                await until(lambda: seen["new"])
                await until(lambda: settled(redis_client))
                await nothing_dead_or_dropped(redis_client, old, new)
                assert consumer.counts.rescued == 0
    assert seen["new"] == ["parcel"]


@pytest.mark.promise(1)
async def test_a_type_deployed_after_an_old_member_began_is_known_by_the_time_it_is_published(redis_url, redis_client):
    """The old member looked at the registry long before: what it remembers of that does not count."""
    seen = {"old": [], "new": []}
    old, new = member(redis_url, seen["old"], Errand), member(redis_url, seen["new"], Parcel)
    async with old, new, old.consuming():
        (consumer,) = old.consumers
        await old.publish(Errand(name="warm"))
        await until(lambda: seen["old"])
        async with new.consuming():
            pass  # declared, and killed before its first read
        await old.publish(Parcel(name="parcel"))
        await until(lambda: consumer.counts.hopped)
        async with new.consuming():
            await until(lambda: seen["new"])
            await until(lambda: settled(redis_client))
            await nothing_dead_or_dropped(redis_client, old, new)
    assert seen == {"old": ["warm"], "new": ["parcel"]}


async def test_a_copy_waits_for_the_busy_member_that_knows_it_and_is_not_won_by_the_idle_one(redis_url, redis_client):
    """It is promoted only by a member that knows the type, which is given it at that moment: the idle one sees it once."""
    seen, idle_seen, release, busy = [], [], asyncio.Event(), asyncio.Event()
    idle, capable = member(redis_url, idle_seen, Errand), planted(redis_url)

    @capable.subscribe(Parcel, group=GROUP, concurrency=1, prefetch=1, retry=SOON)
    async def deliver(event: Parcel) -> None:
        if not busy.is_set():
            busy.set()
            await release.wait()
        seen.append(event.name)

    async with capable, idle, capable.consuming():
        await capable.publish(Parcel(name="long"))
        await until(busy.is_set)
        async with idle.consuming():
            (consumer,), (other,) = idle.consumers, capable.consumers
            await capable.publish(Parcel(name="short"))
            await until(lambda: consumer.counts.hopped or len(other.in_hand) == 2)
            for _ in range(3):  # due, and seen by both promoters
                for due in await redis_client.zrange(keys.due(STREAM, GROUP), 0, -1):
                    await redis_client.zadd(keys.due(STREAM, GROUP), {due: 1})
                await consumer.promoter.run_once()
                await other.promoter.run_once()
            assert (len(other.in_hand), len(consumer.in_hand)) == (2, 0)
            release.set()
            await until(lambda: "short" in seen)
            await until(lambda: settled(redis_client))
            await nothing_dead_or_dropped(redis_client, idle, capable)
            assert consumer.counts.hopped == 1
    assert seen == ["long", "short"]


async def test_copies_that_wait_for_a_member_are_not_kept_out_by_its_backlog(one_url, redis_at):
    """They have the room of what is taken over: else its credit is never free for them, and after a day they are dead."""
    seen, handled = [], 0
    old, new = member(one_url, [], Errand), planted(one_url)

    @new.subscribe(Errand, group=GROUP, concurrency=2, prefetch=4)
    async def charge(event: Errand) -> None:
        nonlocal handled
        handled += 1
        await asyncio.sleep(0.02)

    @new.subscribe(Parcel, group=GROUP)
    async def deliver(event: Parcel) -> None:
        seen.append(event.name)

    async with old, new:
        async with new.consuming():
            pass  # declared
        async with old.consuming():
            await old.publish_many([Parcel(name=f"p-{number}") for number in range(10)])
            await until(lambda: old.consumers[0].counts.hopped == 10)
        await new.publish_many([Errand(name=f"e-{number}") for number in range(400)])
        async with new.consuming():
            await until(lambda: len(seen) == 10)
            assert handled < 200
            await nothing_dead_or_dropped(redis_at, new)


@pytest.mark.promise(8)
async def test_a_type_that_nobody_ever_declared_is_skipped_counted_and_said(redis_url, redis_client, caplog):
    """The group has no work with it."""
    caplog.set_level("INFO", logger="eventbus")
    seen = []
    old = member(redis_url, seen, Errand)
    async with old, old.consuming():
        await old.publish(Parcel(name="others"))
        await until(lambda: old.consumers[0].counts.skipped)
        await until(lambda: settled(redis_client))
    assert "no handler of this group names type 'Parcel'" in caplog.text
