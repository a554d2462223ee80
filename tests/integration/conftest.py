"""What tests on a real Redis share: an administrator, and the command line in this process."""

from __future__ import annotations

import logging
import os
from functools import partial

import pytest
import pytest_asyncio
from anyio import to_thread
from typer.testing import CliRunner

from eventbus.admin import Admin
from eventbus.cli.app import app
from eventbus.streams import Address, Connections
from tests.support.commands import Ended


@pytest.fixture
def connections(redis_url):
    return Connections(Address.parse(redis_url), name="tests")


@pytest_asyncio.fixture
async def admin(connections):
    async with Admin(connections) as admin:
        yield admin


@pytest.fixture
def run(redis_url):
    """Runs a command to its end, with an event loop of its own in a thread of this process, which is ten times as fast."""
    logger = logging.getLogger("eventbus")
    level = logger.level

    async def run(*arguments, stdin=None, url=redis_url, **environment):
        clean = {name: None for name in os.environ if name.startswith("EVENTBUS_")}
        invoke = partial(CliRunner().invoke, app, arguments, input=stdin, env={**clean, "EVENTBUS_URL": url, **environment})
        result = await to_thread.run_sync(invoke)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    yield run
    logger.setLevel(level)
