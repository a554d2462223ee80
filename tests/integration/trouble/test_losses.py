"""Redis that forgets: what was in hand is handled or rescued, what was lost is said, and everything goes on."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from eventbus import EventBus
from eventbus.streams import keys
from tests.support.ordeal import Order, client_of, ordeal, repeated, until

pytestmark = pytest.mark.promise(7)


async def flush(client):
    await client.flushall()


async def delete_the_stream(client):
    await client.delete("orders")


async def destroy_the_group(client):
    await client.xgroup_destroy("orders", "charge")


async def destroy_the_private_group(client):
    await client.xgroup_destroy("{orders}:retry:charge", "charge")


@pytest.mark.parametrize("forget", [flush, delete_the_stream])
async def test_events_that_redis_forgot_are_handled_where_they_were_in_hand(server, forget, caplog):
    """Nobody can bring back the others; the log says that the group was lost, and how much was in hand."""
    async with ordeal(server.url) as worker, client_of(server) as client:
        held = worker.in_hand
        await forget(client)
        forgotten = worker.confirmed.keys() - held
        await worker.suffer(client)
        await worker.heal()
        await worker.rest(client)
        worker.handled(but=forgotten)
        assert held <= worker.done.keys()
        assert worker.counts.regrouped == 1
        assert worker.counts.orphaned >= 1  # the success wrote nothing
        assert worker.counts.rescued >= 1  # the failure was written again
    assert caplog.text.count("was lost in Redis and begins anew") == 1
    assert "entries were in hand" in caplog.text


@pytest.mark.parametrize("forget", [destroy_the_group, destroy_the_private_group])
async def test_a_destroyed_group_begins_anew_and_nothing_is_lost(server, forget, caplog):
    """The entries are still there: they are handled again rather than passed over."""
    async with ordeal(server.url) as worker, client_of(server) as client:
        await forget(client)
        await worker.suffer(client)
        await worker.heal()
        await worker.rest(client)
        worker.handled()
        assert worker.counts.regrouped == 1
    assert caplog.text.count("was lost in Redis and begins anew") == 1


async def test_scripts_that_are_flushed_again_and_again_are_sent_again(server):
    """Each call then costs a second one, and nothing else."""
    async with ordeal(server.url) as worker, client_of(server) as client:
        async with repeated(client.script_flush, every=0.02):
            await worker.suffer(client)
        await worker.heal()
        await worker.rest(client)
        worker.handled()
        assert worker.figures.again == 0


async def test_every_connection_killed_again_and_again_loses_nothing(server):
    """Replies get lost with them; entries whose reply was lost are found again, each is handled once."""
    async with ordeal(server.url) as worker, client_of(server) as client:

        async def kill():
            for row in await client.client_list():
                if row["name"].startswith("billing"):
                    await client.client_kill_filter(_id=row["id"])

        async with repeated(kill, every=0.25):
            await worker.suffer(client, 1.5)
        await worker.heal()
        await worker.rest(client)
        worker.handled()


@pytest.mark.promise(3)
async def test_heartbeats_that_are_gone_do_not_shorten_the_lease_of_those_who_live(server):
    """The largest lease of the members counts, also before its owner could say so again."""
    runs, release = Counter(), asyncio.Event()

    def member(lease):
        bus = EventBus(server.url, service="billing", lease=lease, claim_interval=0.1, drain=1)

        @bus.subscribe(Order, group="charge")
        async def charge(event: Order) -> None:
            runs[event.number] += 1
            await release.wait()

        return bus

    slow, quick, members = member(6), member(1), keys.members("orders", "charge")
    async with client_of(server) as client, slow, slow.consuming():
        await slow.publish(Order(number="once"))
        await until(lambda: runs["once"])
        async with quick, quick.consuming():
            await until(lambda: quick.consumers[0].membership.lease == 6)
            await client.delete(members)
            async with asyncio.timeout(5):
                while await client.hlen(members) < 2:
                    assert await client.hget(keys.group("orders", "charge"), "lease") == "6000"
                    await asyncio.sleep(0.01)
            assert quick.consumers[0].counts.claimed == 0
            release.set()
    assert runs == {"once": 1}
