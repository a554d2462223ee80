"""Patterns beside each other in one subscription: what each promises alone it keeps, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections import Counter

from eventbus import Batch, BatchContext, Reject, Retry
from eventbus.streams import keys
from tests.support.held import planted
from tests.support.redis_hands import GROUP, STREAM, copies, rows, settled, until
from tests.support.tasks import LEVELS, Task, put, tasks
from tests.support.workers import Errand, Step

SOON = Retry(backoff=[0.02], jitter=0)


async def left_of(redis, name):
    """Keys and groups that still name something of a broadcast; its dead letters stay."""
    found = [key async for key in redis.scan_iter(f"*:{name}.*")]
    for key in [key async for key in redis.scan_iter("*", _type="stream")]:
        found += [row["name"] for row in await redis.xinfo_groups(key) if row["name"].startswith(f"{name}.")]
    for key in [key async for key in redis.scan_iter("*:groups")]:
        found += [member for member in await redis.smembers(key) if member.startswith(f"{name}.")]
    return found


class TestBroadcasts:
    async def test_every_process_gets_every_priority_each_event_once_and_leaves_nothing(self, redis_url, redis_client):
        """With copies of an event at several priorities: once for each process that remembers what it finished."""
        one, two, seen, events = planted(redis_url), planted(redis_url), [Counter(), Counter()], tasks(5)

        @one.subscribe(Task, group="cache", broadcast=True, idempotent=True)
        async def first(event: Task) -> None:
            seen[0][event.name] += 1

        @two.subscribe(Task, group="cache", broadcast=True, idempotent=True)
        async def second(event: Task) -> None:
            seen[1][event.name] += 1

        async with one, two:
            async with one.consuming(), two.consuming():
                for level in LEVELS:
                    await put(redis_client, level, *events)
                for bus in (one, two):
                    await until(lambda bus=bus: sum(each.counts.finished + each.counts.handled for each in bus.consumers) == 15)
            assert await left_of(redis_client, "cache") == []
        assert seen == [{event.name: 1 for event in events}] * 2

    async def test_lists_of_a_broadcast_are_handled_by_every_process_and_a_failed_event_comes_again_there_alone(
        self, redis_url, redis_client
    ):
        one, two, seen = planted(redis_url), planted(redis_url), [Counter(), Counter()]
        batch = Batch(max_size=2, max_wait=0.05)

        @one.subscribe(Errand, group="cache", broadcast=True, batch=batch, retry=SOON)
        async def first(events: list[Errand], ctx: BatchContext) -> None:
            seen[0].update(event.name for event in events)
            for event in events:
                if seen[0][event.name] == 1:
                    ctx.fail(event, ValueError("not yet"))

        @two.subscribe(Errand, group="cache", broadcast=True, batch=batch, retry=SOON)
        async def second(events: list[Errand]) -> None:
            seen[1].update(event.name for event in events)

        async with one, two:
            async with one.consuming(), two.consuming():
                await put(redis_client, "normal", Errand(name="a"), Errand(name="b"), topic=STREAM)
                for bus in (one, two):
                    await until(lambda bus=bus: bus.consumers[0].counts.acknowledged == 2)
            assert await left_of(redis_client, "cache") == []
        assert seen == [{"a": 2, "b": 2}, {"a": 1, "b": 1}]


def steps(count, *, first=0):
    """Events of one key, numbered."""
    return [Step(key="k", name=f"k{number}") for number in range(first, first + count)]


class TestOrder:
    async def test_what_is_redriven_runs_once_behind_what_stands_in_its_line(self, redis_url, redis_client):
        """Its mark of an attempt went with the dead letter."""
        seen, held, bus = [], asyncio.Event(), planted(redis_url)

        @bus.subscribe(Step, group=GROUP, ordered=True, retry=SOON)
        async def post(event: Step) -> None:
            seen.append(event.name)
            if seen == ["k0"]:
                raise ValueError("not yet")
            if seen == ["k0", "k0"]:
                raise Reject("no")
            if event.name == "k2":
                await held.wait()

        async with bus, bus.consuming():
            await bus.publish_many(steps(4))
            await until(lambda: seen[-1:] == ["k2"])
            letters = bus.admin.dead_letters(STREAM, GROUP)
            dead = await letters.latest()
            assert (await letters.redrive(dead.letter.id)).done == 1
            held.set()
            await until(lambda: settled(redis_client))
        assert seen == ["k0", "k0", "k1", "k2", "k3", "k0"]
        for private in (False, True):
            source = keys.retry(STREAM, GROUP) if private else STREAM
            assert await redis_client.hgetall(keys.attempts(source, GROUP)) == {}

    async def test_what_is_replayed_runs_in_order_beside_nothing_else_of_its_key(self, redis_url, redis_client):
        """And what is published meanwhile is not mixed into a run of it."""
        seen, running, most, bus = [], 0, 0, planted(redis_url)

        @bus.subscribe(Step, group=GROUP, ordered=True)
        async def post(event: Step) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            seen.append(event.name)
            await asyncio.sleep(0)
            running -= 1

        async with bus, bus.consuming():
            first, *_ = await bus.publish_many(steps(5))
            await until(lambda: settled(redis_client))
            await bus.admin.replay(STREAM, GROUP, from_=first.entry_id)
            await bus.publish_many(steps(3, first=5))
            await until(lambda: len(seen) == 13)
            await until(lambda: settled(redis_client))
        assert [name for name in seen[5:] if name in seen[:5]] == [f"k{number}" for number in range(5)]
        assert [name for name in seen if name not in seen[:5]] == ["k5", "k6", "k7"]
        assert most == 1

    async def test_what_was_published_for_later_stands_in_its_line_where_it_was_promoted(self, redis_url, redis_client):
        """It is behind what was published meanwhile, and before what came after its time."""
        seen, bus = [], planted(redis_url)

        @bus.subscribe(Step, group=GROUP, ordered=True)
        async def post(event: Step) -> None:
            seen.append(event.name)

        async with bus, bus.consuming():
            await bus.publish(steps(1)[0], delay=0.2)
            await bus.publish_many(steps(2, first=1))
            await until(lambda: "k0" in seen)
            await bus.publish_many(steps(1, first=3))
            await until(lambda: len(seen) == 4)
        assert seen == ["k1", "k2", "k0", "k3"]


async def test_a_list_holds_delayed_events_when_they_are_due(redis_url, redis_client):
    seen, bus = [], planted(redis_url)

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=3, max_wait=0.05), idempotent=True)
    async def store(events: list[Errand]) -> None:
        seen.extend(event.name for event in events)

    async with bus, bus.consuming():
        event = Errand(name="later")
        await bus.publish(event, delay=0.1)
        await bus.publish(Errand(name="now"))
        await until(lambda: len(seen) == 2)
        await until(lambda: settled(redis_client))
        await bus.publish(event)
        await until(lambda: bus.consumers[0].counts.finished)
    assert seen == ["now", "later"]
    assert await copies(redis_client) == []
    assert await rows(redis_client) == {}
