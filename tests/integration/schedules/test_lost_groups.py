"""Schedules of lost groups: what is in hand, queued, unread or in a dead hand when Redis forgets a group."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import pytest

from eventbus import Context, Event, Retry, Topic
from eventbus.consuming.membership import Membership
from eventbus.streams import keys
from tests.support.held import Stop, before, planted, reading_late
from tests.support.redis_hands import GROUP, STREAM, copies, name_of, read_as, rows, settled, until
from tests.support.workers import Errand, errands


async def twice_beaten(consumer):
    """Let every lease be renewed, twice: what is thought lost is cancelled by then."""
    for _ in range(2):
        await consumer.beat.run_once()


@pytest.mark.promise(1)
async def test_a_group_healed_by_one_worker_takes_nothing_from_the_hands_of_another(redis_url, redis_client):
    """The other's entries are in no list any more: it is not cancelled, and what fails there is written again."""
    ran, release = Counter(), asyncio.Event()
    holder, healer = planted(redis_url), planted(redis_url)
    cancelled = []

    @holder.subscribe(Errand, group=GROUP, retry=Retry(backoff=[0.01]))
    async def hold(event: Errand, ctx: Context) -> None:
        ran[event.name] += 1
        if ctx.attempt == 1 and event.name != "later":
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancelled.append(event.name)
                raise
            if event.do == "raise":
                raise RuntimeError(event.name)

    @healer.subscribe(Errand, group=GROUP)
    async def heal(event: Errand) -> None:
        ran[event.name] += 1

    async with holder, holder.consuming():
        await holder.publish_many([Errand(name="ends", do="wait"), Errand(name="fails", do="raise")])
        await until(lambda: ran.total() == 2)
        async with healer, healer.consuming():
            await redis_client.xgroup_destroy(STREAM, GROUP)
            await until(lambda: healer.consumers[0].counts.regrouped or holder.consumers[0].counts.regrouped)
            await twice_beaten(holder.consumers[0])
            await until(lambda: healer.consumers[0].membership.token == holder.consumers[0].membership.token)
            release.set()
            await until(lambda: not len(holder.consumers[0].in_hand))
            await until(lambda: settled(redis_client))
    assert cancelled == []
    assert ran["ends"] >= 1
    assert ran["fails"] >= 2  # once more after its failure, whoever held it by then


@pytest.mark.promise(1)
@pytest.mark.promise(7)
async def test_an_event_whose_handler_fails_after_flushall_is_handled_again(redis_url, redis_client):
    """The copy in memory is the only one there is: it is written again, with its attempt counted."""
    bus, attempts = planted(redis_url), []

    @bus.subscribe(Errand, group=GROUP, retry=Retry(backoff=[0.05]))
    async def charge(event: Errand, ctx: Context) -> None:
        attempts.append((event.name, ctx.attempt, ctx.id))
        if ctx.attempt == 1:
            await redis_client.flushall()
            raise RuntimeError("no money")

    async with bus, bus.consuming():
        published = await bus.publish(Errand(name="only"))
        await until(lambda: len(attempts) == 2)
        await until(lambda: settled(redis_client))
        assert bus.consumers[0].counts.rescued == 1
        assert bus.consumers[0].counts.regrouped == 1
    # Once more where a read that was under way when the group was lost brought the copy: its success settles nothing.
    assert attempts[0] == ("only", 1, published.event_id)
    assert set(attempts[1:]) == {("only", 2, published.event_id)}


class Trimmed(Event, topic=Topic("errands", max_len=1)):
    """An event of a topic that keeps little."""

    name: str


@pytest.mark.promise(1)
async def test_the_smallest_pending_entry_in_a_dead_hand_is_read_again_when_the_group_was_destroyed(redis_url, redis_client):
    """It is the very watermark that the trim stored: the group begins before it, not after it."""
    seen = Counter()

    def serving():
        bus = planted(redis_url)

        @bus.subscribe(Trimmed, group=GROUP)
        async def charge(event: Trimmed) -> None:
            seen[event.name] += 1

        return bus

    async with serving() as bus:
        async with bus.consuming():
            pass
        await bus.publish(Trimmed(name="settled"))
        async with bus.consuming():
            await until(lambda: settled(redis_client))
        dead = await bus.publish(Trimmed(name="dead"))
        assert await read_as(redis_client, "dead", 1) == [dead.entry_id]
        await bus.publish(Trimmed(name="newer"))
        async with bus.consuming():
            await until(lambda: seen["newer"])
            await until(lambda: len(bus.consumers[0].in_hand) == 0)
        trimmed = await bus.admin.trim("errands", max_len=1, exact=True)
        assert (trimmed.watermark, trimmed.settled) == (dead.entry_id, 1)
        await redis_client.xgroup_destroy(STREAM, GROUP)
        async with bus.consuming():
            await until(lambda: seen["dead"])
            await until(lambda: settled(redis_client))
    assert seen == {"settled": 1, "dead": 1, "newer": 2}


@pytest.mark.promise(1)
@pytest.mark.promise(8)
async def test_a_destroyed_group_is_healed_with_its_whole_backlog_though_another_group_trims(redis_url, redis_client, caplog):
    """A group that is missing stops all trimming, and is named, until it is there again."""
    seen = Counter()
    charging, shipping = planted(redis_url), planted(redis_url)

    @charging.subscribe(Trimmed, group=GROUP)
    async def charge(event: Trimmed) -> None:
        seen[event.name] += 1

    @shipping.subscribe(Trimmed, group="ship")
    async def ship(event: Trimmed) -> None: ...

    async with charging, shipping:
        async with charging.consuming():
            pass
        async with shipping.consuming():
            await charging.publish_many([Trimmed(name=f"e-{number}") for number in range(300)])
            await redis_client.xgroup_destroy(STREAM, GROUP)
            await until(lambda: settled(redis_client, group="ship"))
            await shipping._runtime.janitor.run_once()
            assert (await shipping.admin.trim("errands", max_len=1, exact=True)).settled == 0
        async with charging.consuming():
            await until(lambda: settled(redis_client))
        assert (await shipping.admin.trim("errands", max_len=1, exact=True)).settled > 0
    assert seen == {f"e-{number}": 1 for number in range(300)}
    assert "groups charge are gone from it" in caplog.text


@pytest.mark.promise(1)
@pytest.mark.parametrize("ending", ["ends", "fails"])
async def test_a_reply_read_before_flushall_and_parsed_after_the_heal_is_not_thought_lost(redis_url, redis_client, ending):
    """It belongs to the group that was: known by the token when its read was sent, not when it was parsed."""
    stop, started, release = Stop(), asyncio.Event(), asyncio.Event()
    bus, attempts = planted(redis_url, reader=reading_late(stop)), []

    @bus.subscribe(Errand, group=GROUP, retry=Retry(backoff=[0.01]))
    async def charge(event: Errand, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        started.set()
        await release.wait()
        if ending == "fails" and ctx.attempt == 1:
            raise RuntimeError("no money")

    async with bus, bus.consuming():
        (consumer,) = bus.consumers
        stop.arm()
        await bus.publish(Errand(name="only"))
        await until(stop.reached.is_set)
        await redis_client.flushall()
        await until(lambda: consumer.counts.regrouped)
        stop.release()
        await until(started.is_set)
        await twice_beaten(consumer)
        release.set()
        await until(lambda: not len(consumer.in_hand))
        await until(lambda: settled(redis_client))
        assert consumer.counts.lease_lost == 0
        assert (consumer.counts.orphaned, consumer.counts.rescued) == ((1, 0) if ending == "ends" else (0, 1))
    assert attempts == ([1] if ending == "ends" else [1, 2])


@pytest.mark.promise(1)
@pytest.mark.parametrize("start", ["latest", "id"])
async def test_what_was_published_after_a_flush_is_handled_though_a_member_that_starts_comes_first(redis_url, redis_client, start):
    """For it the group is new, and begins behind the event; the one that was there before sets it back."""
    handled, late = Counter(), Stop()
    begins = "latest" if start == "latest" else "99999999999999-0"

    def make(**rooms):
        bus = planted(redis_url, **rooms)

        @bus.subscribe(Errand, group=GROUP, start=begins)
        async def charge(event: Errand) -> None:
            handled[event.name] += 1

        return bus

    there, comes = make(membership=before(Membership, "heal", late)), make()
    async with there, comes, there.consuming():
        late.arm()
        await redis_client.flushall()
        await comes.publish(Errand(name="between"))
        async with comes.consuming():
            await late.reached.wait()
            late.release()
            await until(lambda: handled["between"])
            await until(lambda: settled(redis_client))


@pytest.mark.promise(1)
async def test_what_was_queued_when_the_server_was_flushed_still_starts(redis_url, redis_client):
    """It has no lease that could be confirmed, and waits for none."""
    started, release = [], asyncio.Event()
    bus = planted(redis_url)

    @bus.subscribe(Errand, group=GROUP, concurrency=1, prefetch=5)
    async def charge(event: Errand) -> None:
        started.append(event.name)
        await release.wait()

    async with bus, bus.consuming():
        (consumer,) = bus.consumers
        await bus.publish_many(errands(4))
        await until(lambda: len(consumer.in_hand) == 4)
        await redis_client.flushall()
        await until(lambda: consumer.counts.regrouped)
        await asyncio.sleep(0.7)  # two thirds of the lease: what was confirmed by the read is not, any more
        release.set()
        await until(lambda: len(started) == 4)
        await until(lambda: not len(consumer.in_hand))
    assert started == ["e-0", "e-1", "e-2", "e-3"]


@pytest.mark.promise(1)
@pytest.mark.promise(6)
async def test_what_a_thread_works_at_over_flushall_and_exit_is_written_again(redis_url, redis_client):
    """Nothing in Redis knows it, and no lease will hand it over."""
    entered, leave, seen = threading.Event(), threading.Event(), []
    bus, next_one = planted(redis_url, drain=0.05), planted(redis_url)

    @bus.subscribe(Errand, group=GROUP)
    def charge(event: Errand) -> None:
        entered.set()
        leave.wait(20)

    @next_one.subscribe(Errand, group=GROUP)
    async def next_charge(event: Errand) -> None:
        seen.append(event.name)

    try:
        async with bus:
            async with bus.consuming():
                await bus.publish(Errand(name="only"))
                await until(entered.is_set)
                await redis_client.flushall()
                await until(lambda: bus.consumers[0].counts.regrouped)
            assert bus.stuck == 1
            assert list(map(name_of, await copies(redis_client, "retry"))) == ["only"]
        async with next_one, next_one.consuming():
            await until(lambda: settled(redis_client))
    finally:
        leave.set()
    assert seen == ["only"]


@pytest.mark.promise(1)
async def test_an_entry_id_used_again_after_a_flush_is_another_event(redis_url, redis_client):
    """XADD, FLUSHALL, XADD in one millisecond: neither hides behind the other, nor settles it."""
    started, release = Counter(), {"old": asyncio.Event(), "new": asyncio.Event()}
    bus = planted(redis_url)

    @bus.subscribe(Errand, group=GROUP, retry=Retry(backoff=[0.01]))
    async def charge(event: Errand, ctx: Context) -> None:
        started[event.name] += 1
        if ctx.attempt == 1:
            await release[event.name].wait()
            if event.name == "new":
                raise RuntimeError("no money")

    async with bus, bus.consuming():
        (consumer,) = bus.consumers
        old = await bus.publish(Errand(name="old"))
        await until(lambda: started["old"])
        await redis_client.flushall()
        await until(lambda: consumer.counts.regrouped)
        new = {"specversion": "1.0", "id": "x", "type": "Errand", "source": "/shop", "data": '{"name":"new"}'}
        assert await redis_client.xadd(STREAM, new, id=old.entry_id) == old.entry_id
        await until(lambda: started["new"])
        release["old"].set()
        await until(lambda: consumer.counts.orphaned)
        assert list(await rows(redis_client)) == [old.entry_id]  # the new event's: it still runs
        release["new"].set()
        await until(lambda: started["new"] == 2)
        await until(lambda: settled(redis_client))
        assert consumer.counts.retried == 1
    assert started == {"old": 1, "new": 2}


PRIVATE = ["retry", "parked", "due", "dead", "members", "types", "group", "groups"]


@pytest.mark.promise(7)
@pytest.mark.parametrize("kind", PRIVATE)
async def test_any_private_key_may_be_deleted_and_what_did_not_stand_in_it_goes_on(redis_url, redis_client, kind):
    """Each alone, while one event runs, one waits for its retry and one is dead."""
    key = keys.groups(STREAM) if kind == "groups" else getattr(keys, kind)(STREAM, GROUP)
    bus, runs, release = planted(redis_url), Counter(), asyncio.Event()

    @bus.subscribe(Errand, group=GROUP, retry=Retry(attempts=2, backoff=[0.5], jitter=0))
    async def charge(event: Errand, ctx: Context) -> None:
        runs[event.name] += 1
        if event.do == "wait":
            await release.wait()
        if event.do == "raise" or (event.do == "once" and ctx.attempt == 1):
            raise RuntimeError(event.name)

    async with bus, bus.consuming():
        (consumer,) = bus.consumers
        await bus.publish(Errand(name="dead", do="raise"))
        await until(lambda: consumer.counts.dead["attempts"])
        await bus.publish(Errand(name="slow", do="wait"))
        await bus.publish(Errand(name="parked", do="once"))
        await until(lambda: consumer.counts.retried == 2 and runs["slow"])
        assert await redis_client.delete(key) == 1
        release.set()
        await bus.publish(Errand(name="next"))
        await bus.publish(Errand(name="next fails", do="once"))
        await until(lambda: runs["next"] and runs["next fails"] >= 2)
        await until(lambda: consumer.counts.trimmed if kind == "parked" else runs["parked"] >= 2)
        await until(lambda: settled(redis_client))
        await consumer.membership.announce()
        there = await asyncio.gather(*(redis_client.exists(getattr(keys, each)(STREAM, GROUP)) for each in ("group", "members", "retry")))
        assert there == [1, 1, 1]
        assert await redis_client.smembers(keys.groups(STREAM)) == {GROUP}
        assert await redis_client.hgetall(keys.types(STREAM, GROUP)) == {"Errand": "1"}
        assert consumer.counts.lease_lost == 0
    # With its token or its private stream the group itself is lost: its entries may be handled again.
    anew = kind in ("retry", "group")
    assert consumer.counts.regrouped == anew
    least = Counter({"dead": 2, "slow": 1, "parked": 1 if kind == "parked" else 2, "next": 1, "next fails": 2})
    assert runs >= least if anew else runs == least
    assert runs.total() <= 2 * least.total()
    assert (len(await copies(redis_client, "dead")) > 0) == (kind != "dead")


@pytest.mark.promise(7)
async def test_a_failure_under_a_deleted_token_is_written_again_once_not_again_and_again(redis_url, redis_client):
    """Its row is still this worker's: healed first, settled afterwards, it spins nowhere."""
    bus, runs, fail = planted(redis_url), [], asyncio.Event()

    @bus.subscribe(Errand, group=GROUP, retry=Retry(attempts=3, backoff=[0.05], jitter=0))
    async def charge(event: Errand, ctx: Context) -> None:
        runs.append(ctx.attempt)
        await fail.wait()
        raise RuntimeError("no money")

    async with bus, bus.consuming():
        await bus.publish(Errand(name="only"))
        await until(lambda: runs)
        await redis_client.delete(keys.group(STREAM, GROUP))
        fail.set()
        await until(lambda: bus.consumers[0].counts.dead["attempts"])
        await until(lambda: settled(redis_client))
    # The row and the copy written for it each have their three attempts, and the copy was read by a read that was
    # sent before the loss was known: it is written a second time.
    assert len(runs) <= 8
    assert 1 <= len(await copies(redis_client, "dead")) <= 3
