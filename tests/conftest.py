"""Fixtures of all tests. Integration tests take a Redis from here; unit tests open no socket."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests import no_skips
from tests.servers import GIVEN, GivenServer, Server, newest_on_path, packaged, spelled

KINDS = ["given"] if os.environ.get(GIVEN) else ["embedded", "newer"]


def pytest_configure(config):
    if os.environ.get(no_skips.VARIABLE, "0") != "0":
        config.pluginmanager.register(no_skips)


@pytest.fixture(scope="session", params=KINDS)
def shared_server(request):
    """One server for the session: the packaged one, then a newer one of PATH; or the one that a variable names."""
    server = _server(request.param)
    yield server
    server.stop()


@pytest.fixture
def redis_url(shared_server):
    """The url of a real Redis that is empty."""
    yield shared_server.url
    shared_server.flush()


@pytest_asyncio.fixture
async def redis_client(redis_url):
    """A client that looks at what is really in Redis; it speaks str."""
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(params=["embedded"] if KINDS == ["given"] else KINDS)
def own_server(request):
    """A factory of servers that the test may kill, restart, pause and resume. What was written outlives a kill."""
    program = _program(request.param)
    servers = []

    def start(*, keeps=True):
        servers.append(Server(program, keeps=keeps))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def redis_server(own_server):
    """One server of the test's own."""
    return own_server()


@pytest.fixture(autouse=True)
def _leaves_logging():
    # A command line that is run inside the tests sets levels, as it should for its own process.
    logger = logging.getLogger("eventbus")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _leaves_nothing(request):
    # Set up before every other fixture, so looked at after they are gone.
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_leaves_no_task")


@pytest_asyncio.fixture
async def _leaves_no_task():
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"the test left tasks behind: {left}"


def _server(kind):
    return _given() if kind == "given" else Server(_program(kind))


def _given():
    try:
        return GivenServer(os.environ[GIVEN])
    except RuntimeError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


def _program(kind):
    carried = packaged()
    if kind == "embedded":
        return carried
    found = newest_on_path()
    if found is None or found.version <= carried.version:
        has = f"the newest on PATH is {spelled(found.version)}" if found else "PATH has none"
        pytest.skip(f"no server newer than the packaged {spelled(carried.version)}: {has}")
    return found
