"""Redis that goes away and comes back: the process waits, and goes on with everything it was given."""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import suppress

import pytest
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError

from tests.support.ordeal import LEASE, client_of, ordeal

pytestmark = pytest.mark.promise(7)


async def test_redis_killed_and_restarted_loses_nothing(server):
    """What the append-only file kept is handled; scripts that the new server does not know are sent again."""
    async with ordeal(server.url) as worker:
        server.kill()
        await worker.suffer(None)
        await asyncio.to_thread(server.restart)
        await worker.heal()
        async with client_of(server) as client:
            assert (await client.info("commandstats"))["cmdstat_eval"]["calls"] > 0
            await worker.rest(client)
        worker.handled()


async def test_redis_shut_down_and_started_again_loses_nothing(server):
    """It says good-bye to its clients; those that come back at once find nobody."""
    async with ordeal(server.url) as worker:
        async with client_of(server) as client:
            with suppress(Disconnected):
                await client.shutdown(nosave=True)
        await asyncio.to_thread(server._process.wait)
        await worker.suffer(None)
        await asyncio.to_thread(server.restart)
        await worker.heal()
        async with client_of(server) as client:
            await worker.rest(client)
        worker.handled()


async def test_redis_frozen_for_longer_than_the_lease_loses_nothing_and_runs_nothing_twice(server):
    """Afterwards everything looks stale, also to a second worker of the group: owners renew first."""
    async with ordeal(server.url) as worker, ordeal(server.url, beside=worker) as other:
        server.pause()
        await worker.suffer(None, 1.5 * LEASE)
        other.lives()
        server.resume()
        await worker.heal()
        async with client_of(server) as client:
            await worker.rest(client)
        other.lives()
        worker.handled()
        assert worker.begun["held-fine"] == 1
        assert worker.figures.again == 0


async def test_redis_that_loads_its_data_is_waited_for(server):
    """It answers LOADING to all that is asked, for seconds, on connections that it accepts."""
    async with ordeal(server.url) as worker:
        async with client_of(server) as client:
            await client.config_set("aof-use-rdb-preamble", "yes")
            await client.mset({f"ballast-{number}": os.urandom(40_000) for number in range(600)})
            await client.bgrewriteaof()
            while (await client.info("persistence"))["aof_rewrite_in_progress"]:
                await asyncio.sleep(0.02)
        server.kill()
        # 4 ms for each key, and clients are answered after every 2 MB.
        slow = [*server._command, "--key-load-delay", "4000"]
        server._process = subprocess.Popen(slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        async with client_of(server) as client:
            await until_loading(client)
            await worker.suffer(client)
            assert (await client.info("persistence"))["loading"]
            while (await client.info("persistence"))["loading"]:
                await asyncio.sleep(0.02)
            await worker.heal()
            await worker.rest(client)
        worker.handled()


async def until_loading(client):
    async with asyncio.timeout(5):
        while True:
            with suppress(RedisError, OSError):
                if (await client.info("persistence"))["loading"]:
                    return
            await asyncio.sleep(0.01)
