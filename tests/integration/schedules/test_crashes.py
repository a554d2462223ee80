"""Schedules of crashes: events that kill their workers, and events that were only beside them."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

from eventbus import Event, EventBus
from tests.support.held import planted
from tests.support.proxy import proxy_to
from tests.support.redis_hands import GROUP, copies, expire, name_of, read_as, rows, settled, until
from tests.support.workers import Errand, Trap, errands, worker

DEATHS = 4
"""Workers that one event takes with it: its first start, which nobody had reason to mark, and the three that are."""


class Fleet:
    """Workers that take over from each other as they die."""

    def __init__(self, members):
        self.members = members

    @property
    def dead(self):
        return [each for each in self.members if each.ended]

    def starts(self):
        """How often each event was started, and by how many runs ended."""
        lines = [line.split() for each in self.members for line in each.lines]
        started = Counter(words[1] for words in lines if words[0] == "started")
        return started, Counter(words[1] for words in lines if words[0] == "ended")

    async def outlive(self, redis, deaths):
        """Let the lease of each that dies run out, until so many are dead and all is settled."""
        gone = set()
        while len(gone) < deaths:
            await until(lambda: len(self.dead) > len(gone))
            for each in self.dead:
                gone.add(each.name)
                await expire(redis, each.name)
        await until(lambda: settled(redis))


async def fleet(stack, url, count, **options):
    """Start so many workers, which do not read yet."""
    return Fleet(await asyncio.gather(*(stack.enter_async_context(worker(url, waits=True, **options)) for _ in range(count))))


async def test_of_one_killer_among_a_thousand_good_events_exactly_the_killer_is_dead_lettered(one_url, redis_at):
    """At concurrency 32 each of its deaths costs up to 31 neighbours a start, and none of them its life."""
    events = errands(1000, "sleep 0.01")
    events[500] = Errand(name="killer", do="die 0.005")
    async with AsyncExitStack() as stack:
        workers = await fleet(stack, one_url, DEATHS + 1, concurrency=32)
        async with EventBus(one_url, service="shop") as shop:
            await shop.publish_many(events)
        for each in workers.members:
            await each.begin()
        await workers.outlive(redis_at, DEATHS)
        started, ended = workers.starts()
        assert len(workers.dead) == DEATHS
    (letter,) = await copies(redis_at, "dead")
    assert (name_of(letter), letter["ebreason"]) == ("killer", "crashes")
    assert started["killer"] == DEATHS
    assert set(ended) == {event.name for event in events} - {"killer"}


async def test_a_poison_event_among_96_held_entries_takes_none_of_the_others_with_it(one_url, redis_at):
    """What was read ahead and never started costs nothing; what ran beside it runs alone at its last start."""
    events = errands(96, "sleep 0.05")
    events[4] = Errand(name="poison", do="die 0.02")
    async with AsyncExitStack() as stack:
        workers = await fleet(stack, one_url, DEATHS + 1, concurrency=32, prefetch=64)
        async with EventBus(one_url, service="shop") as shop:
            await shop.publish_many(events)
        await workers.members[0].begin()
        for dead in range(DEATHS):
            await until(lambda dead=dead: len(workers.dead) == dead + 1)
            assert dead or len(await rows(redis_at)) > 32  # more were held than had started
            await expire(redis_at, workers.members[dead].name)
            await workers.members[dead + 1].begin()
        await until(lambda: settled(redis_at))
        started, ended = workers.starts()
    (letter,) = await copies(redis_at, "dead")
    assert (name_of(letter), letter["ebreason"]) == ("poison", "crashes")
    assert started["poison"] == DEATHS
    assert set(ended) == {event.name for event in events} - {"poison"}


async def test_an_event_whose_decoding_kills_the_process_is_dead_lettered_too(one_url, redis_at):
    """Its start is counted before its data is looked at."""
    async with AsyncExitStack() as stack:
        workers = await fleet(stack, one_url, DEATHS + 1, kinds=["errand", "trap"])
        async with EventBus(one_url, service="shop") as shop:
            await shop.publish(Trap(name="trap"))
            await shop.publish(Errand(name="good"))
        for each in workers.members:
            await each.begin()
        await workers.outlive(redis_at, DEATHS)
        assert sum(each.count("trapped") for each in workers.members) == DEATHS
        assert workers.starts()[1] == {"good": 1}
    (letter,) = await copies(redis_at, "dead")
    assert (letter["type"], letter["ebreason"]) == ("Trap", "crashes")


async def test_a_poison_event_that_is_released_between_its_kills_kills_no_more_often(one_url, redis_at):
    """Each release makes a new copy with a new delivery count: what was counted before travels in it."""

    async def release():
        bus, held = planted(one_url, drain=0.01), asyncio.Event()

        @bus.subscribe(Errand, group=GROUP)
        async def charge(event: Errand) -> None:
            held.set()
            await asyncio.Event().wait()

        async with bus, bus.consuming():
            await until(held.is_set)
        assert bus.stuck == 0
        (copy,) = await copies(redis_at, "retry")
        return int(copy["ebcrashes"])

    async with AsyncExitStack() as stack:
        workers = await fleet(stack, one_url, DEATHS + 1)
        async with EventBus(one_url, service="shop") as shop:
            await shop.publish(Errand(name="poison", do="die 0"))
        await workers.members[0].begin()
        carried = []
        for dead in range(DEATHS):
            await until(lambda dead=dead: len(workers.dead) == dead + 1)
            await expire(redis_at, workers.members[dead].name)
            if dead < DEATHS - 1:
                carried.append(await release())
            await workers.members[dead + 1].begin()
        await until(lambda: settled(redis_at))
        started, _ = workers.starts()
    assert carried == [0, 1, 2]
    assert started == {"poison": DEATHS}
    (letter,) = await copies(redis_at, "dead")
    assert (name_of(letter), letter["ebreason"], letter["ebcrashes"]) == ("poison", "crashes", "3")


async def test_claims_whose_replies_are_lost_cost_an_event_none_of_its_starts(redis_url, redis_client):
    """It was handed over more often than it may crash, and never began."""
    seen = []
    async with proxy_to(redis_url) as proxy, EventBus(redis_url, service="shop") as shop:
        bus = planted(proxy.url)

        @bus.subscribe(Errand, group=GROUP)
        async def charge(event: Errand) -> None:
            seen.append(event.name)

        async with bus:
            async with bus.consuming():
                pass  # the group is there
            published = await shop.publish(Errand(name="innocent"))
            await read_as(redis_client, "dead", 1)
            async with bus.consuming():
                (consumer,) = bus.consumers
                for _ in range(DEATHS + 1):
                    proxy.lose_reply(to=b"EVAL", containing=b"innocent")
                    assert await expire(redis_client, "dead") == 1
                    await until(proxy.lost.is_set)
                    ours = {published.entry_id: (consumer.commands.consumer, 1)}
                    assert await rows(redis_client) == ours
                    assert seen == []
                    await redis_client.execute_command("XCLAIM", "errands", GROUP, "dead", 0, published.entry_id, "JUSTID")
                await expire(redis_client, "dead")
                await until(lambda: settled(redis_client))
                assert consumer.counts.dead == {}
    assert seen == ["innocent"]
    assert await copies(redis_client, "dead") == []


async def test_a_long_handler_at_its_last_start_holds_up_nothing_but_last_starts(one_url, redis_at):
    """Those wait for it, in any number and any subscription of the process; what else comes is handled."""
    bus, seen, begun, end = planted(one_url), [], asyncio.Event(), asyncio.Event()

    class Long(Event, topic="long"):
        pass

    @bus.subscribe(Long, group="slow", concurrency=1)
    async def slow(event: Long) -> None:
        begun.set()
        await end.wait()

    @bus.subscribe(Errand, group=GROUP, concurrency=4)
    async def charge(event: Errand) -> None:
        seen.append(event.name)

    async with bus, bus.consuming():
        await _leave_copy(bus, redis_at, Long(), "{long}:retry:slow")
        await until(begun.is_set)
        for number in range(8):  # more than there are executors
            await _leave_copy(bus, redis_at, Errand(name=f"last {number}"), f"{{errands}}:retry:{GROUP}")
        await bus.publish_many(errands(3))
        await until(lambda: len(seen) == 3)
        assert not any(name.startswith("last") for name in seen)
        end.set()
        await until(lambda: settled(redis_at))
    assert sorted(seen[3:]) == [f"last {number}" for number in range(8)]


async def _leave_copy(bus, redis, event, private):
    """A copy as it is after two starts were lost and one attempt failed."""
    published = await bus.publish(event, topic="elsewhere")
    ((_, fields),) = await redis.xrange("elsewhere", published.entry_id, published.entry_id)
    await redis.xadd(private, {**fields, "ebentry": "1-1", "ebattempts": "1", "ebcrashes": "2"})


async def test_of_one_killer_in_batches_of_good_events_exactly_the_killer_is_dead_lettered(one_url, redis_at):
    """Each death costs all of its batch a start; at their last one they run alone, and none is spent with it."""
    events = errands(60, "sleep 0.001")
    events[30] = Errand(name="killer", do="die 0.005")
    async with AsyncExitStack() as stack:
        workers = await fleet(stack, one_url, DEATHS + 1, batch={"max_size": 20, "max_wait": 0.05})
        async with EventBus(one_url, service="shop") as shop:
            await shop.publish_many(events)
        for each in workers.members:
            await each.begin()
        await workers.outlive(redis_at, DEATHS)
        started, ended = workers.starts()
        assert len(workers.dead) == DEATHS
    (letter,) = await copies(redis_at, "dead")
    assert (name_of(letter), letter["ebreason"]) == ("killer", "crashes")
    assert started["killer"] == DEATHS
    assert set(ended) == {event.name for event in events} - {"killer"}
