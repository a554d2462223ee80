"""Schedules of lost replies: Redis did what it was told, and the worker does not know."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from eventbus import Context, EventBus, Reject, Retry
from eventbus.admin import Filter
from tests.support.held import planted
from tests.support.proxy import proxy_to
from tests.support.redis_hands import GROUP, STREAM, copies, name_of, settled, until
from tests.support.workers import Errand


@pytest.mark.promise(1)
@pytest.mark.promise(3)
async def test_an_acknowledgement_whose_reply_is_lost_is_sent_again_and_nothing_runs_again(redis_url, redis_client):
    """It is in hand until the answer came, though Redis has forgotten its row by then."""
    runs, beside = Counter(), planted(redis_url)
    async with proxy_to(redis_url) as proxy:
        bus = planted(proxy.url)

        async def charge(event: Errand) -> None:
            runs[event.name] += 1
            if event.name == "lost":
                proxy.lose_reply(to=b"EVAL", containing=b":1\r\n")

        for each in (bus, beside):
            each.subscribe(Errand, group=GROUP)(charge)
        async with bus, bus.consuming():
            (consumer,) = bus.consumers
            await bus.publish(Errand(name="lost"))
            await until(proxy.lost.is_set)
            async with beside, beside.consuming():
                await until(lambda: not len(consumer.in_hand))
                await until(lambda: settled(redis_client))
                assert (beside.consumers[0].counts.claimed, beside.consumers[0].counts.fetched) == (0, 0)
            assert (consumer.counts.late_acks, consumer.counts.lease_lost) == (1, 0)
    assert runs == {"lost": 1}


@pytest.mark.promise(5)
@pytest.mark.parametrize("kind", ["retry", "dead"])
async def test_a_move_whose_reply_is_lost_leaves_exactly_one_copy(redis_url, redis_client, kind):
    """Sent again it finds no row: that is the answer of one that was executed."""
    runs = []
    async with proxy_to(redis_url) as proxy:
        bus = planted(proxy.url)

        @bus.subscribe(Errand, group=GROUP, retry=Retry(backoff=[0.3], jitter=0))
        async def charge(event: Errand, ctx: Context) -> None:
            runs.append(ctx.attempt)
            if ctx.attempt == 1:
                proxy.lose_reply(to=b"ebentry", containing=b"*1\r\n:1\r\n")
                raise RuntimeError("no money") if kind == "retry" else Reject("no such account")

        async with bus, bus.consuming():
            (consumer,) = bus.consumers
            await bus.publish(Errand(name="once"))
            await until(proxy.lost.is_set)
            await until(lambda: not len(consumer.in_hand))
            assert (consumer.counts.retried, consumer.counts.dead["rejected"], consumer.counts.lease_lost) == (
                (1, 0, 0) if kind == "retry" else (0, 1, 0)
            )
            await until(lambda: settled(redis_client))
    assert runs == ([1, 2] if kind == "retry" else [1])
    assert list(map(name_of, await copies(redis_client, "dead"))) == ([] if kind == "retry" else ["once"])


@pytest.mark.promise(5)
async def test_a_retry_a_release_a_dead_letter_and_a_redrive_reach_only_the_group_concerned(redis_url, redis_client):
    """The other group on the topic sees each event once."""
    failing, other, stopping = [], [], asyncio.Event()
    bus, witness = planted(redis_url, drain=0.05), planted(redis_url)

    @bus.subscribe(Errand, group=GROUP, retry=Retry(attempts=2, backoff=[0.01]))
    async def fail(event: Errand) -> None:
        failing.append(event.name)
        if event.do == "wait" and not stopping.is_set():
            stopping.set()
            await asyncio.Event().wait()
        if event.do == "raise":
            raise RuntimeError("no money")

    @witness.subscribe(Errand, group="witness")
    async def see(event: Errand) -> None:
        other.append(event.name)

    async with bus, witness, witness.consuming():
        async with bus.consuming():
            await bus.publish(Errand(name="fails", do="raise"))
            await until(lambda: bus.consumers[0].counts.dead["attempts"])
            await bus.publish(Errand(name="released", do="wait"))
            await until(stopping.is_set)
        assert (await bus.admin.dead_letters(STREAM, GROUP).redrive(Filter())).done == 1
        async with bus.consuming():
            await until(lambda: failing.count("released") == 2 and failing.count("fails") == 4)
            await until(lambda: settled(redis_client))
        await until(lambda: settled(redis_client, group="witness"))
    assert sorted(other) == ["fails", "released"]


@pytest.mark.promise(1)
async def test_a_read_whose_reply_is_lost_hands_over_nothing_to_be_forgotten(redis_url, redis_client):
    """The entries are pending for a consumer that has not seen them: it looks before it reads again."""
    seen = Counter()
    async with proxy_to(redis_url) as proxy, EventBus(redis_url, service="shop") as shop:
        bus = planted(proxy.url, lease=30)  # nobody's lease helps

        @bus.subscribe(Errand, group=GROUP)
        async def charge(event: Errand, ctx: Context) -> None:
            seen[event.name] += 1

        async with bus, bus.consuming():
            proxy.lose_reply(to=b"XREADGROUP", containing=b"lost")
            await shop.publish(Errand(name="lost"))
            await until(proxy.lost.is_set)
            await until(lambda: settled(redis_client))
            assert bus.consumers[0].counts.recovered == 1
    assert seen == {"lost": 1}
