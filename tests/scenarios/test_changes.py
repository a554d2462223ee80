"""Change data capture by two workers that each have a feeder, one of which is killed."""

from __future__ import annotations

import asyncio
from itertools import count

import anyio
import pytest
from redis.asyncio import Redis

from eventbus import EventBus
from scenarios import changes
from tests.support.crew import DEADLINE, PAUSE, crew, until


async def test_the_replica_is_the_source_and_every_change_stands_once_under_its_number(url, tmp_path, monkeypatch):
    """Neither a gap nor a double where the feeder was killed, nor where two of them were at it."""
    monkeypatch.setattr(changes, "FOLDER", tmp_path)
    batches = count(0, 20)

    async def edit() -> set[str]:
        changes.edit(next(batches), 20)
        before = changes.customers("replica")
        await until(lambda: changes.customers("replica") != before)
        return {fields["id"] for _, fields in await workers.client.xrange("customers")}

    def numbers():
        return [number for number, _ in changes.changes_after(0, most=100_000)]

    async with crew("changes", url, tmp_path) as workers:
        await workers.joined("customers", "replica")
        await workers.lose_one("customers", group="replica", work=edit)
        await edit()
        async with asyncio.timeout(DEADLINE):
            while await workers.client.xlen("customers") < len(numbers()):
                await asyncio.sleep(PAUSE)
        await workers.settled("customers")
        await workers.leave()
        ids = [entry_id for entry_id, _ in await workers.client.xrange("customers")]

    assert ids == [f"{number}-0" for number in numbers()]
    assert numbers() == list(range(1, len(ids) + 1))
    assert changes.customers("replica") == changes.customers("source") != []


async def test_a_feeder_that_is_cut_off_anywhere_goes_on_behind_the_last_change_that_redis_has(url, tmp_path, monkeypatch):
    """It keeps no place of its own: the error for a change that is there already says how far the feeder before it came."""
    monkeypatch.setattr(changes, "FOLDER", tmp_path)

    async with EventBus(url, service="test") as bus, Redis.from_url(url, decode_responses=True) as client:

        async def fed_until(length) -> None:
            feeder = asyncio.create_task(changes.feed(bus, anyio.Event()))
            try:
                async with asyncio.timeout(DEADLINE):
                    while await client.xlen("customers") < length:
                        await asyncio.sleep(0)
            finally:
                feeder.cancel()
                await asyncio.wait([feeder])

        for begin in range(0, 60, 20):
            changes.edit(begin, 20)
            await fed_until(5 * begin // 2 + 13)
        await fed_until(150)
        ids = [entry_id for entry_id, _ in await client.xrange("customers")]

    assert ids == [f"{number}-0" for number in range(1, 151)]


async def test_a_feeder_that_is_refused_goes_on_once_there_is_room_and_takes_nobody_down_with_it(url, tmp_path, monkeypatch, caplog):
    """It is part of a worker: if that ended, nothing would be consumed any more, and there would never be room."""
    monkeypatch.setattr(changes, "FOLDER", tmp_path)
    changes.edit(0, 20)

    async with EventBus(url, service="test") as bus, Redis.from_url(url, decode_responses=True) as client:
        before = (await client.config_get("maxmemory"))["maxmemory"]
        await client.config_set("maxmemory", 1)
        feeder = asyncio.create_task(changes.feed(bus, anyio.Event()))
        try:
            async with asyncio.timeout(DEADLINE):
                while "change 1 waits" not in caplog.text:
                    assert not feeder.done(), feeder
                    await asyncio.sleep(PAUSE)
                await client.config_set("maxmemory", before)
                while await client.xlen("customers") < 50:
                    await asyncio.sleep(PAUSE)
        finally:
            await client.config_set("maxmemory", before)
            feeder.cancel()
            await asyncio.wait([feeder])
        ids = [entry_id for entry_id, _ in await client.xrange("customers")]

    assert ids == [f"{number}-0" for number in range(1, 51)]


async def test_a_database_that_begins_anew_is_not_taken_for_the_one_whose_changes_the_topic_has(url, tmp_path, monkeypatch):
    """Else everything that changes in it would be passed over, as published long ago."""
    async with EventBus(url, service="test") as bus:
        await bus.publish(changes.CustomerChanged(customer_id=1, name="Ann", city="Oslo"), entry_id="100-0")
        monkeypatch.setattr(changes, "FOLDER", tmp_path)
        changes.edit(1, 2)
        with pytest.raises(RuntimeError, match="the topic is at change 100, and this database has not come so far"):
            async with asyncio.timeout(DEADLINE):
                await changes.feed(bus, anyio.Event())
