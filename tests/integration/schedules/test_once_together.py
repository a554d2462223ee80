"""Schedules of idempotent handling together with batches, and together with order: each keeps what it promises."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace

import pytest

from eventbus import Batch, BatchContext, Context, Event, EventBus, Flat, Retry
from eventbus.consuming import Rooms
from eventbus.consuming.retaining import EagerIdempotentSettler
from eventbus.consuming.rooms import IdempotentRooms, OrderedRooms
from eventbus.streams import MarkCommands, OwnedMarkCommands, keys
from tests.support.held import Stop, before, planted
from tests.support.proxy import proxy_to
from tests.support.redis_hands import GROUP, STREAM, copies, read_as, settled, take_over, until
from tests.support.workers import Errand, Step

DONE = keys.done(STREAM, GROUP)
DOING = keys.doing(STREAM, GROUP)
OWNER = keys.owner(STREAM, GROUP)
ATTEMPTS = keys.attempts(STREAM, GROUP)
SOON = Retry(backoff=[0.02], jitter=0)


async def finished(redis, event_id):
    """Whether the group remembers the event."""
    return await redis.zscore(DONE, event_id) is not None


class Lists:
    """What handlers of lists were given, and a place where the next one is held."""

    def __init__(self):
        self.given, self.held = [], Stop()

    @property
    def runs(self):
        """How often each event was in a list."""
        return Counter(name for names in self.given for name in names)

    async def handle(self, events: list[Errand]) -> None:
        """Note them, and stop where the test says."""
        self.given.append([event.name for event in events])
        await self.held.passing()


def batched(url, handle, *, size=4, concurrency=1, prefetch=None, **rooms):
    """A bus whose one subscription takes lists, and is idempotent."""
    bus, batch = planted(url, **rooms), Batch(max_size=size, max_wait=0.05)
    bus.subscribe(Errand, group=GROUP, idempotent=True, batch=batch, concurrency=concurrency, prefetch=prefetch, retry=SOON)(handle)
    return bus


class TestBatches:
    async def test_of_copies_in_one_list_one_is_handled(self, redis_url, redis_client):
        """The others are put off, and find it finished; their company is not held up."""
        lists = Lists()
        bus = batched(redis_url, lists.handle)
        async with bus:
            event, other = Errand(name="thrice"), Errand(name="other")
            published = await bus.publish_many([event, event, other, event])
            async with bus.consuming():
                await until(lambda: settled(redis_client))
                counts = bus.consumers[0].counts
                await until(lambda: (counts.handled, counts.finished, counts.twins >= 2) == (2, 2, True))
        assert lists.given == [["thrice", "other"]]
        assert await finished(redis_client, published[0].event_id)
        assert await redis_client.hlen(DOING) == 0
        assert await copies(redis_client, "dead") == []

    async def test_a_copy_in_the_next_list_waits_for_the_first(self, redis_url, redis_client):
        """Which runs meanwhile; the others of its list are handled at once."""
        lists = Lists()
        bus = batched(redis_url, lists.handle, size=2, concurrency=2)
        lists.held.arm()
        async with bus, bus.consuming():
            event = Errand(name="twice")
            await bus.publish_many([event, Errand(name="a")])
            await until(lists.held.reached.is_set)
            lists.held.armed = False
            await bus.publish_many([event, Errand(name="b")])
            await until(lambda: ["b"] in lists.given)
            await until(lambda: bus.consumers[0].counts.twins)
            lists.held.release()
            await until(lambda: settled(redis_client))
            await until(lambda: bus.consumers[0].counts.finished == 1)
        assert lists.runs == {"twice": 1, "a": 1, "b": 1}

    async def test_what_was_finished_leaves_the_list(self, redis_url, redis_client):
        """In the step that looks; its company is given to the handler without it."""
        lists = Lists()
        bus = batched(redis_url, lists.handle)
        async with bus, bus.consuming():
            event = Errand(name="e")
            published = await bus.publish(event)
            await until(lambda: finished(redis_client, published.event_id))
            await bus.publish_many([Errand(name="a"), event, Errand(name="b"), event])
            await until(lambda: settled(redis_client))
            await until(lambda: bus.consumers[0].counts.finished == 2)
        assert lists.runs == {"e": 1, "a": 1, "b": 1}

    async def test_a_list_of_nothing_but_finished_events_calls_nobody(self, redis_url, redis_client):
        lists = Lists()
        bus = batched(redis_url, lists.handle, size=2)
        async with bus, bus.consuming():
            event = Errand(name="e")
            published = await bus.publish(event)
            await until(lambda: finished(redis_client, published.event_id))
            await bus.publish_many([event] * 4)
            await until(lambda: settled(redis_client))
            await until(lambda: bus.consumers[0].counts.finished == 4)
        assert lists.given == [["e"]]

    async def test_what_another_process_has_in_progress_leaves_the_list_until_that_one_has_finished(self, redis_url, redis_client):
        first, second = Lists(), Lists()
        one, two = batched(redis_url, first.handle, size=1, prefetch=1), batched(redis_url, second.handle)
        first.held.arm()
        async with one, two, one.consuming():
            event = Errand(name="e")
            await one.publish(event)
            await until(first.held.reached.is_set)
            async with two.consuming():
                await one.publish_many([event, *[Errand(name=name) for name in "abc"]])
                await until(lambda: two.consumers[0].counts.twins + one.consumers[0].counts.twins)
                first.held.release()
                await until(lambda: settled(redis_client))
        assert first.runs + second.runs == {"e": 1, "a": 1, "b": 1, "c": 1}

    async def test_of_a_list_whose_handler_failed_for_one_event_that_one_alone_comes_again(self, redis_url, redis_client):
        """What was handled is remembered, what failed is free for its retry, and for its copy."""
        seen, bus = [], planted(redis_url)

        @bus.subscribe(Errand, group=GROUP, idempotent=True, batch=Batch(max_size=3, max_wait=0.05), retry=SOON)
        async def store(events: list[Errand], ctx: BatchContext) -> None:
            seen.append([(event.name, ctx.of(event).attempt) for event in events])
            for event in events:
                if event.name == "fails" and len(seen) == 1:
                    ctx.fail(event, ValueError("not yet"))

        async with bus, bus.consuming():
            event = Errand(name="fails")
            _, failing, _ = await bus.publish_many([Errand(name="a"), event, Errand(name="b")])
            await until(lambda: finished(redis_client, failing.event_id))
            await bus.publish(event)
            await until(lambda: bus.consumers[0].counts.finished)
            await until(lambda: settled(redis_client))
        assert seen == [[("a", 1), ("fails", 1), ("b", 1)], [("fails", 2)]]

    @pytest.mark.parametrize("what", ["start", "finish"])
    async def test_a_reply_that_is_lost_changes_nothing(self, redis_url, redis_client, what):
        """Asked again, the marks in progress are its own; sent again, those of the end are there already."""
        lists = Lists()
        async with proxy_to(redis_url) as proxy:

            async def store(events: list[Errand]) -> None:
                if what == "finish":
                    proxy.lose_reply(to=DOING.encode(), containing=b":3\r\n")
                await lists.handle(events)

            bus = batched(proxy.url, store, size=3)
            async with bus, bus.consuming():
                if what == "start":
                    proxy.lose_reply(to=DOING.encode(), containing=b"*3\r\n:1\r\n")
                await bus.publish_many([Errand(name=name) for name in "abc"])
                await until(proxy.lost.is_set)
                await until(lambda: settled(redis_client))
                await until(lambda: not len(bus.consumers[0].in_hand))
        assert lists.runs == {"a": 1, "b": 1, "c": 1}

    async def test_without_redis_a_list_waits_at_the_gate_and_starts_once_with_what_is_still_its_own(self, redis_url, redis_client):
        """One of it was taken over and finished elsewhere meanwhile; the others are not held up by that."""
        lists, stop = Lists(), Stop(armed=True)
        async with proxy_to(redis_url) as proxy:
            bus = batched(proxy.url, lists.handle, size=3, marks=before(MarkCommands, "start", stop))
            async with bus:
                first, *_ = await bus.publish_many([Errand(name=name) for name in "abc"])
                async with bus.consuming():
                    await until(stop.reached.is_set)
                    token = bus.consumers[0].membership.token
                    proxy.refusing = True
                    proxy.cut()
                    stop.release()
                    await take_over(redis_client, first.entry_id)
                    await redis_client.zadd(DONE, {first.event_id: 1e14})
                    await redis_client.xack(STREAM, GROUP, first.entry_id)
                    assert lists.given == []
                    proxy.refusing = False
                    await until(lambda: settled(redis_client))
                    await until(lambda: not len(bus.consumers[0].in_hand))
                    assert bus.consumers[0].membership.token == token
        assert lists.runs == {"b": 1, "c": 1}

    async def test_what_spent_its_starts_is_no_dead_letter_where_a_copy_was_finished(self, redis_url, redis_client):
        """In the list it is refused by the one gate, and known to the other."""
        lists = Lists()
        bus = batched(redis_url, lists.handle)
        async with bus:
            spent, known, fresh = await bus.publish_many([Errand(name=name) for name in ("spent", "known", "fresh")])
            await redis_client.xgroup_create(STREAM, GROUP, "0")
            await read_as(redis_client, "gone", 2)
            for each in (spent, known):
                await redis_client.execute_command(
                    *("XCLAIM", STREAM, GROUP, "gone", 0, each.entry_id, "IDLE", 3_600_000, "RETRYCOUNT", 4, "JUSTID")
                )
            await redis_client.zadd(DONE, {known.event_id: 1e14})
            async with bus.consuming():
                await until(lambda: settled(redis_client))
                await until(lambda: bus.consumers[0].counts.finished == 1)
        assert [letter["ebentry"] for letter in await copies(redis_client, "dead")] == [spent.entry_id]
        assert lists.runs == {"fresh": 1}
        assert await finished(redis_client, fresh.event_id)

    async def test_in_a_group_made_anew_what_waits_at_the_gate_starts_unless_it_was_finished(self, redis_url, redis_client):
        """The list was asked for under a token that is gone."""
        lists, stop = Lists(), Stop(armed=True)
        bus = batched(redis_url, lists.handle, size=3, marks=before(MarkCommands, "start", stop))
        async with bus:
            first, *_ = await bus.publish_many([Errand(name=name) for name in "abc"])
            async with bus.consuming():
                await until(stop.reached.is_set)
                await redis_client.xgroup_destroy(STREAM, GROUP)
                await until(lambda: bus.consumers[0].counts.regrouped)
                await redis_client.zadd(DONE, {first.event_id: 1e14})
                stop.release()
                await until(lambda: settled(redis_client))
                await until(lambda: not len(bus.consumers[0].in_hand))
        assert lists.runs == {"b": 1, "c": 1}


def ordered(url, handle, *, order="block", concurrency=8, **rooms):
    """A bus whose one subscription is ordered and idempotent, with other rooms in the places named."""

    class PlantedBus(EventBus):
        pass

    PlantedBus.rooms = replace(Rooms(), ordered=OrderedRooms(**rooms))
    bus = PlantedBus(url, service="billing", lease=1.0, claim_interval=0.1, drain=1.0)
    bus.subscribe(Step, group=GROUP, ordered=order, idempotent=True, retry=SOON, concurrency=concurrency)(handle)
    return bus


def steps(count, key="k", *, first=0):
    """Events of one key, numbered."""
    return [Step(key=key, name=f"{key}{number}") for number in range(first, first + count)]


async def lose(redis):
    """The owner's lease ran out, as a pause of its process would have it."""
    await redis.hdel(OWNER, "consumer")


async def owned(redis):
    return await redis.hget(OWNER, "consumer")


class TestOrder:
    @pytest.mark.parametrize("order", ["block", "overtake"])
    async def test_of_copies_under_one_owner_the_first_is_handled_in_its_place(self, redis_url, redis_client, order):
        """And nothing waits for the others, which are acknowledged in theirs."""
        seen = []

        async def handle(event: Step) -> None:
            seen.append(event.name)

        bus = ordered(redis_url, handle, order=order)
        one, two, three = steps(3)
        async with bus, bus.consuming():
            await bus.publish_many([one, one, two, one, three, two])
            await until(lambda: settled(redis_client))
            counts = bus.consumers[0].counts
            await until(lambda: (counts.handled, counts.finished, counts.twins) == (3, 3, 0))
        assert seen == ["k0", "k1", "k2"]
        assert await redis_client.hlen(DOING) == await redis_client.hlen(ATTEMPTS) == 0

    async def test_what_was_handled_and_not_acknowledged_is_handled_again_in_its_place(self, redis_url, redis_client):
        """Nothing was written when the group changed hands; what the former owner writes later is remembered."""
        stop, first, second = Stop(armed=True), [], []

        async def old(event: Step) -> None:
            first.append(event.name)

        async def new(event: Step) -> None:
            second.append(event.name)

        former = ordered(redis_url, old, idempotent=IdempotentRooms(settler=before(EagerIdempotentSettler, "run_once", stop)))
        next_ = ordered(redis_url, new)
        async with former, former.consuming():
            await until(lambda: owned(redis_client))
            events = steps(3)
            await former.publish_many(events)
            await until(stop.reached.is_set)
            await lose(redis_client)
            async with next_, next_.consuming():
                await until(lambda: settled(redis_client))
                stop.release()
                await until(lambda: not len(former.consumers[0].in_hand))
                await next_.publish_many([*events, *steps(1, first=3)])
                await until(lambda: len(second) == 4)
                await until(lambda: settled(redis_client))
        assert first == ["k0"]
        assert second == ["k0", "k1", "k2", "k3"]
        assert await redis_client.hlen(DOING) == 0

    async def test_what_a_former_owner_finished_is_not_run_by_the_next_and_leaves_nothing_behind(self, redis_url, redis_client):
        """Its mark is written, its acknowledgement refused: the next owner asks before it starts."""
        running, asked, attempts = Stop(), Stop(), []
        second = []

        async def old(event: Step, ctx: Context) -> None:
            attempts.append(ctx.attempt)
            if len(attempts) == 1:
                raise RuntimeError("no")
            with contextlib.suppress(asyncio.CancelledError):
                await running.passing()

        async def new(event: Step) -> None:
            second.append(event.name)

        settling = Stop(armed=True)
        former = ordered(redis_url, old, idempotent=IdempotentRooms(settler=before(EagerIdempotentSettler, "run_once", settling)))
        next_ = ordered(redis_url, new, marks=before(OwnedMarkCommands, "start", asked))
        async with former, former.consuming():
            await until(lambda: owned(redis_client))
            published = await former.publish_many(steps(2))
            await until(settling.reached.is_set)
            assert attempts == [1, 2]
            assert await redis_client.hlen(ATTEMPTS) == 1
            asked.arm()
            await lose(redis_client)
            async with next_, next_.consuming():
                await until(asked.reached.is_set)
                settling.release()
                await until(lambda: finished(redis_client, published[0].event_id))
                asked.release()
                await until(lambda: settled(redis_client))
                await until(lambda: next_.consumers[0].counts.finished == 1)
        assert second == ["k1"]
        assert await redis_client.hgetall(ATTEMPTS) == {}

    async def test_what_has_no_id_of_its_own_is_known_to_the_next_owner_too(self, redis_url, redis_client):
        """An entry without envelope is known by its place in the group: who owns that is no part of it."""
        settling, asked, first, second = Stop(armed=True), Stop(), [], []

        async def old(event: Plain) -> None:
            first.append(event.name)

        async def new(event: Plain) -> None:
            second.append(event.name)

        former = plain(redis_url, old, idempotent=IdempotentRooms(settler=before(EagerIdempotentSettler, "run_once", settling)))
        next_ = plain(redis_url, new, marks=before(OwnedMarkCommands, "start", asked))
        async with former, former.consuming():
            await until(lambda: owned(redis_client))
            await redis_client.xadd(STREAM, {"name": "a"})
            await until(settling.reached.is_set)
            asked.arm()
            await lose(redis_client)
            async with next_, next_.consuming():
                await until(asked.reached.is_set)
                settling.release()
                await until(lambda: redis_client.zcard(DONE))
                asked.release()
                await until(lambda: settled(redis_client))
        assert (first, second) == (["a"], [])

    async def test_a_copy_in_the_private_stream_of_what_was_finished_is_acknowledged_there(self, redis_url, redis_client):
        """A replay of an ordered group hands over what it finished long ago."""
        seen = []

        async def handle(event: Step) -> None:
            seen.append(event.name)

        bus = ordered(redis_url, handle)
        async with bus, bus.consuming():
            await bus.publish_many(steps(3))
            await until(lambda: settled(redis_client))
            first, *_ = await redis_client.xrange(STREAM)
            await redis_client.xadd(keys.retry(STREAM, GROUP), {**first[1], "ebentry": first[0]})
            await until(lambda: bus.consumers[0].counts.finished)
            await until(lambda: settled(redis_client))
            await bus.publish_many(steps(1, first=3))
            await until(lambda: len(seen) == 4)
        assert seen == ["k0", "k1", "k2", "k3"]


class Plain(Event, topic=STREAM):
    """What a program writes that knows nothing of us."""

    name: str


def plain(url, handle, **rooms):
    """A bus whose one subscription is ordered and idempotent, and takes entries without envelope."""

    class PlantedBus(EventBus):
        pass

    PlantedBus.rooms = replace(Rooms(), ordered=OrderedRooms(**rooms))
    bus = PlantedBus(url, service="billing", lease=1.0, claim_interval=0.1, drain=1.0)
    bus.subscribe(Plain, group=GROUP, ordered=True, idempotent=True, foreign=Flat(Plain))(handle)
    return bus
