"""Schedules of idempotent handling: two deliveries of one event, and what happens between the start of one and its mark."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import pytest

from eventbus import Context, Reject, Retry, Topic
from eventbus.consuming.beat import Beat
from eventbus.streams import MarkCommands, Start, keys
from eventbus.testing import running
from tests.support.held import Stop, before, planted, reading_late
from tests.support.proxy import proxy_to
from tests.support.redis_hands import GROUP, STREAM, copies, expire, rows, settled, take_over, until
from tests.support.workers import Errand, worker

DONE = keys.done(STREAM, GROUP)
DOING = keys.doing(STREAM, GROUP)


def answered(stop: Stop) -> type[MarkCommands]:
    """Commands that are held when Redis has answered whether something may start, and nobody knows the answer yet."""

    class Held(MarkCommands):
        async def start(self, *arguments, **options) -> list[Start]:
            answers = await super().start(*arguments, **options)
            await stop.passing()
            return answers

    return Held


async def finished(redis, event_id: str) -> bool:
    """Whether the group remembers the event."""
    return await redis.zscore(DONE, event_id) is not None


class Handling:
    """What handlers did: runs by name, and how many of one event were under way at once."""

    def __init__(self) -> None:
        self.runs, self.most, self._now = Counter(), Counter(), Counter()
        self.held = Stop()

    async def handle(self, event: Errand) -> None:
        """Count, and stop where the test says."""
        self.runs[event.name] += 1
        self._now[event.name] += 1
        self.most[event.name] = max(self.most[event.name], self._now[event.name])
        try:
            await self.held.passing()
        finally:
            self._now[event.name] -= 1


@pytest.mark.promise(1)
async def test_a_copy_that_asked_while_the_other_ran_does_not_start_after_that_one_has_finished(redis_url, redis_client):
    """Its answer is on the way while the mark is written: it found the mark in progress."""
    handling, asked = Handling(), Stop()
    one, two = planted(redis_url), planted(redis_url, marks=answered(asked))
    for bus in (one, two):
        bus.subscribe(Errand, group=GROUP, idempotent=True, concurrency=1, prefetch=1)(handling.handle)
    handling.held.arm()
    async with one, two, one.consuming():
        event = Errand(name="twice")
        published = await one.publish(event)
        await until(handling.held.reached.is_set)
        asked.arm()
        async with two.consuming():
            await one.publish(event)
            await until(asked.reached.is_set)
            handling.held.release()
            await until(lambda: finished(redis_client, published.event_id))
            asked.release()
            await until(lambda: settled(redis_client))
            assert two.consumers[0].counts.twins == 1
            assert one.consumers[0].counts.finished + two.consumers[0].counts.finished == 1
    assert handling.runs == {"twice": 1}
    assert await redis_client.hlen(DOING) == 0


async def test_of_copies_that_come_together_one_runs_wherever_they_were_read(redis_url, redis_client):
    """Ten of each, between two processes, many of them asked for in one script."""
    handling = Handling()
    one, two = planted(redis_url), planted(redis_url)
    for bus in (one, two):
        bus.subscribe(Errand, group=GROUP, idempotent=True, concurrency=8, prefetch=8)(handling.handle)
    events = [Errand(name=f"e-{number}") for number in range(20)]
    async with one, two, one.consuming(), two.consuming():
        await one.publish_many(events * 10)
        await until(lambda: settled(redis_client))
    assert handling.runs == {event.name: 1 for event in events}
    assert await redis_client.zcard(DONE) == 20


class NoBeat(Beat):
    """Renews nothing, as when the event loop stands still."""

    async def run_once(self) -> None:
        return


async def test_an_answer_that_is_older_than_its_lease_starts_nothing(redis_url, redis_client):
    """It may start, is the answer; but when it comes the entry is another's, and the event finished."""
    handling, asked = Handling(), Stop(armed=True)
    bus = planted(redis_url, beat=NoBeat, marks=answered(asked))
    bus.subscribe(Errand, group=GROUP, idempotent=True)(handling.handle)
    async with bus, bus.consuming():
        (consumer,) = bus.consumers
        published = await bus.publish(Errand(name="late"))
        await until(asked.reached.is_set)
        (delivery,) = consumer.in_hand
        await take_over(redis_client, published.entry_id)
        other = MarkCommands(consumer._wire, consumer.commands.group, "another")
        entries = [(published.entry_id.encode(), published.event_id)]
        assert await other.finish(entries, private=False, token=delivery.token, window=60) == 1
        loop = asyncio.get_running_loop()
        await until(lambda: loop.time() - delivery.confirmed > 2 / 3)
        asked.release()
        await until(lambda: not len(consumer.in_hand))
    assert handling.runs == {}


async def test_a_worker_that_is_killed_while_it_handles_keeps_the_event_from_nobody(one_url, redis_at):
    """Its mark in progress holds as long as its entry is its own; the copy waits, and is not run after the other."""
    handling = Handling()
    bus = planted(one_url)
    bus.subscribe(Errand, group=GROUP, idempotent=True)(handling.handle)
    event = Errand(name="e", do="wait")
    async with bus, worker(one_url, idempotent=True) as killed:
        published = await bus.publish(event)
        await killed.said("started e")
        async with bus.consuming():
            await bus.publish(event)
            (consumer,) = bus.consumers
            await until(lambda: consumer.counts.twins)
            assert handling.runs == {}
            await killed.kill()
            await until(lambda: settled(redis_at))
            assert (consumer.counts.claimed, consumer.counts.finished) == (1, 1)
    assert handling.runs == {"e": 1}
    assert await finished(redis_at, published.event_id)


async def test_a_worker_that_is_killed_after_its_mark_is_not_repeated_by_any_copy(one_url, redis_at):
    """Mark and acknowledgement are one step: there is nothing between them at which it could have died."""
    handling = Handling()
    bus = planted(one_url)
    bus.subscribe(Errand, group=GROUP, idempotent=True)(handling.handle)
    event = Errand(name="e")
    async with bus, worker(one_url, idempotent=True) as killed:
        published = await bus.publish(event)
        await until(lambda: finished(redis_at, published.event_id))
        await killed.kill()
        assert await rows(redis_at) == {}
        async with bus.consuming():
            await bus.publish(event)
            (consumer,) = bus.consumers
            await until(lambda: consumer.counts.finished)
            await until(lambda: settled(redis_at))
    assert handling.runs == {}
    assert killed.count("started") == 1


async def test_what_another_took_over_may_start_there_at_once(redis_url, redis_client):
    """The mark in progress names the one who held the entry: who holds it now is not held up by it."""
    handling = Handling()
    bus = planted(redis_url)
    bus.subscribe(Errand, group=GROUP, idempotent=True)(handling.handle)
    async with bus:
        published = await bus.publish(Errand(name="e"))
        await redis_client.xgroup_create(STREAM, GROUP, "0")
        await redis_client.xreadgroup(GROUP, "gone", {STREAM: ">"})
        await redis_client.hset(DOING, published.event_id, f"{STREAM} {published.entry_id} gone")
        async with bus.consuming():
            await expire(redis_client, "gone")
            await until(lambda: settled(redis_client))
            assert (bus.consumers[0].counts.claimed, bus.consumers[0].counts.twins) == (1, 0)
    assert handling.runs == {"e": 1}


@pytest.mark.parametrize("how", ["destroyed", "flushed"])
async def test_a_success_after_the_group_was_lost_is_remembered(redis_url, redis_client, how):
    """Nothing can be acknowledged, but the work is done: what is read again of it is not run."""
    handling = Handling()
    holder, healer = planted(redis_url), planted(redis_url)
    for bus in (holder, healer):
        bus.subscribe(Errand, group=GROUP, idempotent=True)(handling.handle)
    handling.held.arm()
    event = Errand(name="e")
    async with holder, healer, holder.consuming():
        published = await holder.publish(event)
        await until(handling.held.reached.is_set)
        if how == "flushed":
            await redis_client.flushall()
        else:
            await redis_client.xgroup_destroy(STREAM, GROUP)
        await until(lambda: holder.consumers[0].counts.regrouped)
        handling.held.release()
        await until(lambda: finished(redis_client, published.event_id))
        async with healer.consuming():
            await healer.publish(event)
            await until(lambda: settled(redis_client))
    assert handling.runs == {"e": 1}


async def test_a_success_whose_lease_was_lost_is_remembered(redis_url, redis_client):
    """The entry is another's by now, and is acknowledged under its hands; whoever runs it next finds the mark."""
    handling = Handling()
    bus = planted(redis_url, beat=NoBeat)
    bus.subscribe(Errand, group=GROUP, idempotent=True)(handling.handle)
    handling.held.arm()
    async with bus, bus.consuming():
        published = await bus.publish(Errand(name="e"))
        await until(handling.held.reached.is_set)
        await take_over(redis_client, published.entry_id)
        handling.held.release()
        await until(lambda: finished(redis_client, published.event_id))
        await until(lambda: settled(redis_client))
    assert handling.runs == {"e": 1}


async def test_what_is_redriven_after_a_copy_of_it_was_handled_is_not_run_and_that_is_said(redis_url, redis_client, caplog):
    """The dead letter is acknowledged; to have it run again its mark is removed first."""
    caplog.set_level(logging.INFO, "eventbus")
    bus, seen = planted(redis_url), []

    @bus.subscribe(Errand, group=GROUP, idempotent=True)
    async def charge(event: Errand, ctx: Context) -> None:
        seen.append(ctx.entry_id)
        if len(seen) == 1:
            raise Reject("the bank is closed")

    event = Errand(name="e")
    async with running(bus) as run:
        first = await bus.publish(event)
        await run.idle()
        second = await bus.publish(event)
        await run.idle()
        letters = bus.admin.dead_letters(STREAM, GROUP)
        dead = await letters.latest()
        assert (await letters.redrive(dead.letter.id)).done == 1
        await run.idle()
        assert bus.consumers[0].counts.finished == 1
        assert f"event {first.event_id} was finished before" in caplog.text
        assert DONE in caplog.text
        assert seen == [first.entry_id, second.entry_id]
        assert await copies(redis_client, "dead") == []

        await redis_client.zrem(DONE, first.event_id)
        await bus.publish(event)
        await run.idle()
        assert len(seen) == 3


async def test_at_maxmemory_nothing_starts_and_what_has_ended_waits_for_its_mark(redis_server, redis_of):
    """In hand, its lease renewed: acknowledged without a mark a copy of it would run again."""
    handling = Handling()
    bus = planted(redis_server.url)
    bus.subscribe(Errand, group=GROUP, idempotent=True, concurrency=1)(handling.handle)
    handling.held.arm()
    async with redis_of(redis_server) as redis, bus, bus.consuming():
        (consumer,) = bus.consumers
        event = Errand(name="ended")
        first, _ = await bus.publish_many([event, Errand(name="waits")])
        await until(handling.held.reached.is_set)
        await redis.config_set("maxmemory", "1")
        handling.held.release()
        delivery = consumer.in_hand.find(private=False, entry_id=first.entry_id.encode())
        await until(lambda: delivery.settling)
        renewed = delivery.confirmed
        await until(lambda: delivery.confirmed > renewed)
        assert len(await rows(redis)) == 2
        assert handling.runs == {"ended": 1}
        await redis.config_set("maxmemory", "0")
        await until(lambda: settled(redis))
        await bus.publish(event)
        await until(lambda: consumer.counts.finished)
        assert consumer.counts.lease_lost == 0
    assert handling.runs == {"ended": 1, "waits": 1}


@pytest.mark.parametrize("what", ["start", "finish"])
async def test_a_reply_that_is_lost_changes_nothing(redis_url, redis_client, what):
    """Asked again, the mark in progress is its own; sent again, the mark of the end is there already."""
    handling = Handling()
    async with proxy_to(redis_url) as proxy:
        bus = planted(proxy.url)

        @bus.subscribe(Errand, group=GROUP, idempotent=True)
        async def charge(event: Errand) -> None:
            if what == "finish":
                proxy.lose_reply(to=keys.doing(STREAM, GROUP).encode(), containing=b":1\r\n")
            await handling.handle(event)

        async with bus, bus.consuming():
            if what == "start":
                proxy.lose_reply(to=keys.doing(STREAM, GROUP).encode(), containing=b"*1\r\n:1\r\n")
            published = await bus.publish(Errand(name="e"))
            await until(proxy.lost.is_set)
            await until(lambda: settled(redis_client))
            await until(lambda: not len(bus.consumers[0].in_hand))
            assert bus.consumers[0].counts.late_acks == (1 if what == "finish" else 0)
    assert handling.runs == {"e": 1}
    assert await finished(redis_client, published.event_id)


async def test_a_failure_leaves_the_event_free_for_its_retry_and_for_its_copy(redis_url, redis_client):
    """Its mark in progress holds no longer than its entry; and what is finished then is not run by the other."""
    bus, attempts = planted(redis_url), []

    @bus.subscribe(Errand, group=GROUP, idempotent=True, retry=Retry(backoff=[0.05], jitter=0))
    async def charge(event: Errand, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if len(attempts) < 3:
            raise ConnectionError("the bank does not answer")

    async with bus, bus.consuming():
        event = Errand(name="e")
        await bus.publish_many([event, event])
        await until(lambda: settled(redis_client))
        counts = bus.consumers[0].counts
        assert (counts.handled, counts.failed, counts.finished) == (1, 2, 1)
    assert len(attempts) == 3


async def test_beyond_its_window_an_event_is_handled_again(redis_url, redis_client):
    """Nothing is remembered for ever, and what is over is removed by what is finished next."""
    bus, handling = planted(redis_url), Handling()
    bus.subscribe(Errand, group=GROUP, idempotent=0.05)(handling.handle)

    async def is_over() -> bool:
        seconds, micro = await redis_client.time()
        return await redis_client.zscore(DONE, first.event_id) <= seconds * 1000 + micro / 1000

    async with bus, bus.consuming():
        event = Errand(name="e")
        first = await bus.publish(event)
        await until(lambda: finished(redis_client, first.event_id))
        await until(is_over)
        await bus.publish(event)
        await until(lambda: handling.runs["e"] == 2)
        await until(lambda: settled(redis_client))
        await until(is_over)
        other = await bus.publish(Errand(name="other"))
        await until(lambda: finished(redis_client, other.event_id))
        assert await redis_client.zrange(DONE, 0, -1) == [other.event_id]


async def test_what_was_queued_when_its_group_was_lost_starts_unless_it_is_known_to_be_finished(redis_url, redis_client):
    """It has no lease, and its token is no longer the group's."""
    read, handling = Stop(armed=True), Handling()
    bus = planted(redis_url, reader=reading_late(read))
    bus.subscribe(Errand, group=GROUP, idempotent=True)(handling.handle)
    async with bus:
        known, new = Errand(name="known"), Errand(name="new")
        first, _ = await bus.publish_many([known, new])
        async with bus.consuming():
            (consumer,) = bus.consumers
            await until(read.reached.is_set)
            await redis_client.zadd(DONE, {first.event_id: 1e15})
            await redis_client.xgroup_destroy(STREAM, GROUP)
            await consumer.membership.heal(consumer.membership.token)
            read.release()
            await until(lambda: not len(consumer.in_hand) and handling.runs)
            await until(lambda: settled(redis_client))
    assert handling.runs == {"new": 1}


async def test_a_start_that_is_held_is_released_when_the_bus_ends(redis_url, redis_client):
    """It waits for Redis's word; the bus does not wait for that, and the entry is for others."""
    handling, asked = Handling(), Stop(armed=True)
    bus, other = planted(redis_url, marks=before(MarkCommands, "start", asked)), planted(redis_url)
    for each in (bus, other):
        each.subscribe(Errand, group=GROUP, idempotent=True)(handling.handle)
    async with bus, other:
        async with bus.consuming():
            await bus.publish(Errand(name="e"))
            await until(asked.reached.is_set)
        assert handling.runs == {}
        async with other.consuming():
            await until(lambda: settled(redis_client))
    assert handling.runs == {"e": 1}


async def test_a_copy_at_another_priority_is_the_same_event(redis_url, redis_client):
    """It waits for the one that runs, and is settled when that has finished."""
    handling, bus = Handling(), planted(redis_url)
    ranked = Topic("ranked", priorities=("high", "normal"))

    @bus.subscribe(Errand, group=GROUP, topic=ranked, idempotent=True)
    async def charge(event: Errand) -> None:
        await handling.handle(event)

    handling.held.arm()
    async with bus, bus.consuming():
        event = Errand(name="twice")
        await bus.publish(event, topic=ranked)
        await until(handling.held.reached.is_set)
        await bus.publish(event, topic=ranked, priority="high")
        await until(lambda: sum(consumer.counts.twins for consumer in bus.consumers))
        handling.held.release()
        await until(lambda: sum(consumer.counts.finished for consumer in bus.consumers))
    assert handling.runs == {"twice": 1}
