"""Fixtures of the schedules."""

from __future__ import annotations

import os

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.servers import GIVEN, Server, packaged


@pytest.fixture(scope="session")
def _one_server():
    """One server for all schedules in which time passes: the version makes no difference to them."""
    if os.environ.get(GIVEN):
        yield None
        return
    server = Server(packaged())
    yield server
    server.stop()


@pytest.fixture
def one_url(_one_server):
    """The url of a real Redis that is empty; not once for each version, as `redis_url` is."""
    if _one_server is None:
        from redis import Redis as Blocking

        url = os.environ[GIVEN]
        yield url
        with Blocking.from_url(url) as client:
            client.flushall()
        return
    yield _one_server.url
    _one_server.flush()


@pytest_asyncio.fixture
async def redis_at(one_url):
    """A client of the server at `one_url`; it speaks str."""
    async with Redis.from_url(one_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def one_server():
    """A server of the test's own that it may kill, restart and pause; not once for each version."""
    server = Server(packaged(), keeps=True)
    yield server
    server.stop()


@pytest.fixture
def redis_of():
    """Make a client of a server; it speaks str."""
    return lambda server: Redis.from_url(server.url, decode_responses=True)
