"""Handlers of batches against real servers: when a batch starts, and what becomes of each of its events."""

from __future__ import annotations

import asyncio
import threading
from itertools import chain

import pytest

from eventbus import Batch, BatchContext, Context, Reject, Retry, RetryLater
from tests.support.held import planted
from tests.support.redis_hands import GROUP, STREAM, copies, name_of, rows, take_over, until
from tests.support.workers import Errand, Parcel, errands, worker

LONG = 60.0
"""Seconds of a lease, whose third is longer than any test waits."""

SOON = Retry(backoff=[0.01], jitter=0)


def names(events):
    return [event.name for event in events]


def ended(bus, number=0):
    """How many events one of its groups has done with."""
    counts = bus.consumers[number].counts
    return counts.acknowledged + counts.skipped + counts.dead.total()


async def test_a_full_batch_starts_at_once(redis_url, redis_client):
    """Nobody waits for what would not fit; the rest waits for company."""
    bus, seen = planted(redis_url, lease=LONG), []

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=5, max_wait=LONG))
    async def store(events: list[Errand]) -> None:
        seen.append(names(events))

    async with bus, bus.consuming():
        await bus.publish_many(errands(12))
        await until(lambda: len(seen) == 2)
        await until(lambda: bus.consumers[0].counts.acknowledged == 10)
        assert len(await rows(redis_client)) == 2
    assert sorted(chain(*seen)) == sorted(names(errands(10)))  # two reads bring them side by side


async def test_a_batch_that_is_not_full_starts_when_its_first_has_waited_long_enough(redis_url, redis_client):
    """And whatever came meanwhile with it."""
    bus, seen = planted(redis_url), []

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=500, max_wait=0.05))
    async def store(events: list[Errand]) -> None:
        seen.append(names(events))

    async with bus, bus.consuming():
        await bus.publish_many(errands(3))
        await until(lambda: ended(bus) == 3)
    assert [*chain(*seen)] == names(errands(3))


async def test_the_wait_is_shorter_than_the_lease_however_long_it_may_be(redis_url, redis_client):
    """A third of it; what was read then starts without a question."""
    bus, seen = planted(redis_url, lease=1.0), []

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=500, max_wait=LONG))
    async def store(events: list[Errand]) -> None:
        seen.append(names(events))

    async with bus, bus.consuming():
        await bus.publish_many(errands(3))
        await until(lambda: ended(bus) == 3)
    assert [*chain(*seen)] == names(errands(3))


@pytest.mark.promise(6)
async def test_what_waits_for_company_is_released_when_the_bus_stops_and_starts_elsewhere(redis_url, redis_client):
    """At once: it never started, and counts no attempt."""
    bus, other, attempts = planted(redis_url, lease=LONG), planted(redis_url), []

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=500, max_wait=LONG))
    async def waits(events: list[Errand]) -> None:
        raise AssertionError(events)

    @other.subscribe(Errand, group=GROUP)
    async def handle(event: Errand, ctx: Context) -> None:
        attempts.append((event.name, ctx.attempt))

    async with bus, bus.consuming():
        await bus.publish_many(errands(3))
        await until(lambda: len(bus.consumers[0].in_hand) == 3)
    assert await rows(redis_client) == {}
    assert sorted(map(name_of, await copies(redis_client))) == names(errands(3))
    async with other, other.consuming():
        await until(lambda: len(attempts) == 3)
    assert sorted(attempts) == [(name, 1) for name in names(errands(3))]


async def test_failed_events_go_their_own_ways_and_the_others_are_acknowledged(redis_url, redis_client):
    """Retried and counted, put off uncounted, dead-lettered with the error; each alone."""
    bus, seen = planted(redis_url), []

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=4, max_wait=0.05), retry=SOON)
    async def store(events: list[Errand], ctx: BatchContext) -> None:
        for event in events:
            attempt = ctx.of(event).attempt
            seen.append((event.name, attempt))
            match event.do:
                case "raise" if attempt == 1:
                    ctx.fail(event, ValueError("not yet"))
                case "later" if seen.count((event.name, 1)) == 1:
                    ctx.fail(event, RetryLater(0.01, count=False))
                case "reject":
                    ctx.fail(event, Reject("never"))

    async with bus, bus.consuming():
        await bus.publish_many([Errand(name=do, do=do) for do in ("end", "raise", "later", "reject")])
        await until(lambda: ended(bus) == 4)
        counts = bus.consumers[0].counts
        assert (counts.handled, counts.failed, counts.deferred, counts.rejected, counts.retried) == (3, 1, 1, 1, 2)
    assert sorted(seen) == [("end", 1), ("later", 1), ("later", 1), ("raise", 1), ("raise", 2), ("reject", 1)]
    (letter,) = await copies(redis_client, "dead")
    assert (name_of(letter), letter["ebreason"], letter["ebmessage"]) == ("reject", "rejected", "never")


async def test_a_handler_that_raises_fails_the_whole_batch_and_every_event_is_counted(redis_url, redis_client):
    """Until each is a dead letter of its own."""
    bus, sizes = planted(redis_url), []

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=5, max_wait=0.05), retry=Retry(attempts=2, backoff=[0.01]))
    async def store(events: list[Errand]) -> None:
        sizes.append(len(events))
        raise RuntimeError("the database is gone")

    async with bus, bus.consuming():
        await bus.publish_many(errands(5))
        await until(lambda: ended(bus) == 5)
    assert sum(sizes) == 10
    letters = await copies(redis_client, "dead")
    assert sorted(map(name_of, letters)) == names(errands(5))
    assert {(each["ebreason"], each["ebattempts"], each["ebtype"]) for each in letters} == {("attempts", "2", "Errand")}


async def test_a_reason_in_words_stands_in_the_dead_letter(redis_url, redis_client):
    """Without an exception there is no traceback."""
    bus = planted(redis_url)

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=2, max_wait=0.05), retry=Retry(attempts=1))
    async def store(events: list[Errand], ctx: BatchContext) -> None:
        ctx.fail(events[0], "the row is locked")

    async with bus, bus.consuming():
        await bus.publish_many(errands(1))
        await until(lambda: ended(bus) == 1)
    (letter,) = await copies(redis_client, "dead")
    assert (letter["ebmessage"], letter["ebtype"], "ebtraceback" in letter) == ("the row is locked", "Errand", False)


async def test_what_is_no_event_of_the_handler_goes_its_own_way(redis_url, redis_client):
    """Garbage becomes a dead letter, a type that nobody handles is skipped, the good ones around them are handled."""
    bus, seen = planted(redis_url), []

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=5, max_wait=0.1))
    async def store(events: list[Errand]) -> None:
        seen.extend(names(events))

    async with bus:
        await bus.publish(Errand(name="first"))
        await redis_client.xadd(STREAM, {"no": "event"})
        await redis_client.xadd(STREAM, {"specversion": "1.0", "id": "1", "type": "Errand", "source": "/", "data": "{"})
        await bus.publish(Parcel(name="unknown"))
        await bus.publish(Errand(name="last"))
        async with bus.consuming():
            await until(lambda: ended(bus) == 5)
            counts = bus.consumers[0].counts
            assert (counts.handled, counts.undecodable, counts.skipped) == (2, 2, 1)
    assert seen == ["first", "last"]
    assert [each["ebreason"] for each in await copies(redis_client, "dead")] == ["undecodable"] * 2


async def test_events_of_several_types_come_in_one_batch(redis_url, redis_client):
    """A union, in one list."""
    bus, seen = planted(redis_url), []

    @bus.subscribe(Errand | Parcel, group=GROUP, batch=Batch(max_size=2, max_wait=LONG))
    async def store(events: list[Errand | Parcel]) -> None:
        seen.append([type(event) for event in events])

    async with bus:
        await bus.publish(Errand(name="one"))
        await bus.publish(Parcel(name="two"))
        async with bus.consuming():
            await until(lambda: ended(bus) == 2)
    assert seen == [[Errand, Parcel]]


@pytest.mark.promise(1)
async def test_all_events_of_a_batch_that_died_with_its_process_come_again_elsewhere(redis_url, redis_client):
    """Killed in the middle of its work: nothing of it is settled."""
    options = {"batch": {"max_size": 10, "max_wait": 0.2}}
    async with worker(redis_url, **options) as one, worker(redis_url, waits=True, **options) as two:
        bus = planted(redis_url)
        async with bus:
            await bus.publish_many([*errands(9), Errand(name="slow", do="sleep 60")])
            await one.said("started", 10)
            await one.kill()
            held = await rows(redis_client)
            assert {owner for owner, _ in held.values()} == {one.name}
            assert len(held) == 10
            await two.begin()
            await two.said("started", 10)
            assert sorted({line.split()[1] for line in two.lines if line.startswith("started")}) == [*names(errands(9)), "slow"]


@pytest.mark.promise(4)
@pytest.mark.parametrize("ending", ["returns", "fails it", "raises"])
async def test_one_event_of_a_batch_whose_lease_is_anothers_changes_nothing_there_unless_it_succeeded(redis_url, redis_client, ending):
    """The batch goes on for the others. Its failure stays without effect; its success is one: the work is done."""
    bus, started, go_on = planted(redis_url), asyncio.Event(), asyncio.Event()

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=3, max_wait=LONG), retry=Retry(backoff=[LONG]))
    async def store(events: list[Errand], ctx: BatchContext) -> None:
        started.set()
        await go_on.wait()
        match ending:
            case "fails it":
                ctx.fail(events[0], Reject("never"))
            case "raises":
                raise RuntimeError("no")

    async with bus:
        first, *_ = await bus.publish_many(errands(3))
        async with bus.consuming():
            await until(started.is_set)
            await take_over(redis_client, first.entry_id)
            (consumer,) = bus.consumers
            await until(lambda: consumer.counts.lease_lost)
            assert consumer.executors.running == 1
            go_on.set()
            await until(lambda: not len(consumer.in_hand))
    theirs = {} if ending == "returns" else {first.entry_id: ("another", 1)}
    assert await rows(redis_client) == theirs
    assert [len(await copies(redis_client, kind)) for kind in ("retry", "parked", "dead")] == [0, 2 if ending == "raises" else 0, 0]


@pytest.mark.promise(4)
async def test_a_batch_whose_events_are_all_anothers_is_cancelled(redis_url, redis_client):
    """Nothing of it is settled here."""
    bus, started, cancelled = planted(redis_url), asyncio.Event(), asyncio.Event()

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=3, max_wait=LONG))
    async def store(events: list[Errand]) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with bus:
        published = await bus.publish_many(errands(3))
        async with bus.consuming():
            await until(started.is_set)
            for each in published:
                await take_over(redis_client, each.entry_id)
            await until(cancelled.is_set)
            await until(lambda: not len(bus.consumers[0].in_hand))
            assert bus.consumers[0].counts.acknowledged == 0
    assert await rows(redis_client) == {each.entry_id: ("another", 1) for each in published}


async def test_a_synchronous_handler_runs_in_a_thread(redis_url, redis_client):
    """One thread for the whole batch."""
    bus, seen = planted(redis_url, lease=LONG), []

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=3, max_wait=0.05), retry=SOON)
    def store(events: list[Errand], ctx: BatchContext) -> None:
        seen.append((len(events), threading.current_thread() is threading.main_thread()))
        if len(events) == 3:
            ctx.fail(events[0], "not yet")

    async with bus:
        await bus.publish_many(errands(3))
        async with bus.consuming():
            await until(lambda: ended(bus) == 3)
            assert bus.consumers[0].counts.retried == 1
    assert seen == [(3, False), (1, False)]


async def test_a_batch_beyond_its_timeout_is_cancelled_and_all_of_it_is_counted(redis_url, redis_client):
    """Which of its events took so long nobody knows."""
    bus, attempts = planted(redis_url), []

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=3, max_wait=0.05), retry=SOON, timeout=0.1)
    async def store(events: list[Errand], ctx: BatchContext) -> None:
        attempts.extend(ctx.of(event).attempt for event in events)
        if 1 in [ctx.of(event).attempt for event in events]:
            await asyncio.Event().wait()

    async with bus:
        await bus.publish_many(errands(3))
        async with bus.consuming():
            await until(lambda: ended(bus) == 3)
            assert bus.consumers[0].counts.timed_out == 3
    assert attempts == [1, 1, 1, 2, 2, 2]


@pytest.mark.promise(6)
async def test_a_drain_waits_for_the_batch_that_runs_and_releases_it_uncounted_when_it_takes_too_long(redis_url, redis_client):
    """As for a single event."""
    bus, started = planted(redis_url, drain=0.2), asyncio.Event()

    @bus.subscribe(Errand, group=GROUP, batch=Batch(max_size=3, max_wait=LONG))
    async def store(events: list[Errand]) -> None:
        started.set()
        await asyncio.Event().wait()

    async with bus:
        await bus.publish_many(errands(3))
        async with bus.consuming():
            await until(started.is_set)
    assert await rows(redis_client) == {}
    released = await copies(redis_client)
    assert sorted(map(name_of, released)) == names(errands(3))
    assert all("ebattempts" not in each for each in released)


async def test_batches_are_full_although_what_is_in_hand_is_bounded_by_what_is_read_ahead(redis_url, redis_client):
    """Whatever prefetch says, one full batch can be in hand, and the next is read while it is handled."""
    bus, sizes, in_hand = planted(redis_url, lease=LONG), [], []

    @bus.subscribe(Errand, group=GROUP, prefetch=1, batch=Batch(max_size=200, max_wait=LONG))
    async def store(events: list[Errand]) -> None:
        sizes.append(len(events))

    @bus.subscribe(Errand, group="other", batch=Batch(max_size=200, max_wait=LONG))
    async def other(events: list[Errand]) -> None:
        await until(lambda: len(bus.consumers[1].in_hand) >= 400 or len(in_hand) > 0)
        in_hand.append(len(events))

    async with bus:
        await bus.publish_many(errands(1000))
        async with bus.consuming():
            await until(lambda: [ended(bus, number) for number in (0, 1)] == [1000, 1000])
    assert sizes == in_hand == [200] * 5
