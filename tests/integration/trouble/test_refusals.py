"""Redis that refuses: what it still does goes on, the rest waits, and nothing is lost or written twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from eventbus.delivery import Health
from eventbus.streams import Address, keys
from tests.support.ordeal import PASSWORD, client_of, ordeal, until
from tests.support.proxy import proxy_to

pytestmark = pytest.mark.promise(7)


async def test_at_maxmemory_handling_acknowledging_and_leases_go_on_and_retries_wait(server):
    """Reading, settling and renewing need no memory; what writes is refused until there is some again."""
    async with ordeal(server.url) as worker, client_of(server) as client:
        worker.loading = False
        await asyncio.gather(*(worker.publish(f"waiting-{number}") for number in range(500)))
        await worker.publish("waiting-fails")
        await client.config_set("maxmemory", "1")
        worker.load()
        await until(lambda: all(worker.done[f"waiting-{number}"] for number in range(500)))
        await worker.suffer(client)
        assert worker.begun["waiting-fails"] == 1
        await until(lambda: len(worker.in_hand) == 3)  # two are held, one waits to be retried
        assert {error.code for error in worker.refused.values()} == {"OOM"}
        well = {name: worker.loop(name).health for name in ("fetching", "handling", "acknowledging", "leases", "claiming")}
        assert set(well.values()) == {Health.RUNNING}, well
        assert worker.loop("moving").health is Health.FAILING
        assert worker.loop("heartbeat").health is Health.FAILING
        await client.config_set("maxmemory", "0")
        await worker.heal()
        await worker.rest(client)
        worker.handled()
        assert worker.figures.again == 0
        assert worker.begun["held-fine"] == 1


async def test_writes_that_are_refused_since_redis_cannot_save_are_made_afterwards(server):
    """MISCONF: not even an acknowledgement is accepted; everything waits in hand."""
    async with ordeal(server.url) as worker, client_of(server) as client:
        obstacle = Path(server._directory, "dump.rdb")
        obstacle.mkdir()
        await client.config_set("save", "3600 1000000")
        await save(client, "err")
        await worker.suffer(client)
        assert {error.code for error in worker.refused.values()} == {"MISCONF"}
        obstacle.rmdir()
        await save(client, "ok")
        await worker.heal()
        await worker.rest(client)
        worker.handled()
        assert worker.figures.again == 0


async def test_writes_that_are_refused_since_replicas_are_missing_are_made_afterwards(server):
    """NOREPLICAS: publishes wait for them, and so does every settlement."""
    async with ordeal(server.url) as worker, client_of(server) as client:
        await client.config_set("min-replicas-to-write", "1")
        await worker.suffer(client)
        assert not worker.refused
        await client.config_set("min-replicas-to-write", "0")
        await worker.heal()
        await worker.rest(client)
        worker.handled()
        assert worker.figures.again == 0


async def save(client, status):
    await client.bgsave()
    async with asyncio.timeout(5):
        while (found := await client.info("persistence"))["rdb_bgsave_in_progress"] or found["rdb_last_bgsave_status"] != status:
            await asyncio.sleep(0.02)


async def test_a_primary_that_is_demoted_and_comes_back_loses_nothing(servers):
    """READONLY: publishes wait for it, and so does every settlement."""
    primary, replica = servers(), servers()
    async with client_of(primary) as client, client_of(replica) as other, ordeal(primary.url) as worker:
        await follow(other, primary)
        await demote(client, other, replica)
        await worker.suffer(client)
        assert not worker.refused
        await client.replicaof("no", "one")
        await worker.heal()
        await worker.rest(client)
        worker.handled()


async def test_a_failover_behind_an_address_that_moves_loses_nothing(servers):
    """A demoted primary keeps its connections, and answers READONLY on them for ever: a new one finds the new primary."""
    primary, replica = servers(), servers()
    async with proxy_to(primary.url) as proxy, client_of(primary) as client, client_of(replica) as other:
        url = proxy.url.replace("unix://", f"unix://:{PASSWORD}@")
        async with ordeal(url) as worker:
            await follow(other, primary)
            await demote(client, other, replica)
            await worker.suffer(client)
            proxy.address = Address.parse(replica.url)
            await worker.heal()
            await worker.rest(other)
            worker.handled()


async def follow(replica, primary):
    await replica.replicaof("127.0.0.1", primary.port)
    while (await replica.info("replication"))["master_link_status"] != "up":
        await asyncio.sleep(0.02)


async def demote(client, other, replica):
    """Promote the replica once it has everything, and have the old primary follow it."""
    await client.client_pause(1000, all=False)
    place = (await client.info("replication"))["master_repl_offset"]
    while (await other.info("replication"))["slave_repl_offset"] < place:
        await asyncio.sleep(0.01)
    await other.replicaof("no", "one")
    await client.replicaof("127.0.0.1", replica.port)
    await client.client_unpause()


def stream(topic, group):
    return topic


def groups(topic, group):
    return keys.groups(topic)


KEYS = [keys.retry, keys.parked, keys.due, keys.dead, keys.members, keys.types, keys.group, groups, stream]
HOLDING = {keys.retry, keys.parked, stream}
"""Keys that hold events: what stood in them is lost with them."""


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.__name__)
async def test_a_key_that_becomes_another_type_is_waited_for(server, key, caplog):
    """WRONGTYPE: what needs the key waits, and is written once when the key is gone, which the group makes anew."""
    async with ordeal(server.url) as worker, client_of(server) as client:
        held = worker.in_hand
        await replaced(client, key("orders", "charge"))
        gone = worker.confirmed.keys() - worker.done.keys() - held
        await worker.publish("is-wrong")
        await worker.suffer(client)
        await client.delete(key("orders", "charge"))
        await worker.heal()
        await worker.rest(client)
        worker.handled(but=gone if key in HOLDING else frozenset())
        if key is keys.parked:
            assert worker.figures.lost == worker.counts.trimmed
        letters = await client.xlen(keys.dead("orders", "charge"))
        if worker.counts.regrouped:  # events may be handled again
            assert letters >= ("is-wrong" in worker.confirmed)
        else:
            assert letters == ("is-wrong" in worker.confirmed)
            assert worker.figures.again == 0
        assert await client.type(keys.types("orders", "charge")) == "hash"
        assert await client.type(keys.group("orders", "charge")) == "hash"
        assert await client.smembers(keys.groups("orders")) == {"charge"}
    assert "WRONGTYPE" in caplog.text


async def test_dead_letters_that_cannot_be_written_hold_up_no_retries(server):
    """Each destination waits for itself."""
    async with ordeal(server.url) as worker, client_of(server) as client:
        dead = keys.dead("orders", "charge")
        await replaced(client, dead)
        await worker.publish("is-wrong")
        await until(lambda: worker.begun["is-wrong"])
        await worker.publish("later-fails")
        await until(lambda: worker.done["later-fails"], within=3)
        await client.delete(dead)
        await worker.heal()
        await worker.rest(client)


async def replaced(client, key):
    async with client.pipeline(transaction=True) as pipeline:
        await pipeline.delete(key).set(key, "something else").execute()
