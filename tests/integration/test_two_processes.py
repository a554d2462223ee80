"""Several processes publish and consume at the same time, on a real Redis."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
EACH = 10_000
DEADLINE = 50.0  # seconds; reached only by a failure


@asynccontextmanager
async def member(url, *arguments, stdout=None):
    """A process of the crowd, which does not outlive the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")} | {"EVENTBUS_URL": url}
    command = (sys.executable, "-m", "tests.support.crowd", *map(str, arguments))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=stdout)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def members(url, group, paths):
    """Consumers of one group, with a reader of the dots they write together: one for each event."""
    reader, (reading, writing) = asyncio.StreamReader(), os.pipe()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading))
    async with AsyncExitStack() as stack:
        stack.callback(transport.close)
        processes = [await stack.enter_async_context(member(url, "consume", group, path, stdout=writing)) for path in paths]
        os.close(writing)  # the reader sees the end when the last of them is gone
        yield processes, reader


def ids(*paths):
    return Counter(line for path in paths for line in path.read_text().splitlines())


async def test_each_group_handles_each_of_twenty_thousand_events_exactly_once(redis_url, redis_client, tmp_path):
    """Two processes publish by gather while two consumers of one group and one of another read; then all end on SIGTERM."""
    confirmed = [tmp_path / "confirmed-a", tmp_path / "confirmed-b"]
    handled = {"charge": [tmp_path / "charge-1", tmp_path / "charge-2"], "ship": [tmp_path / "ship-1"]}
    async with AsyncExitStack() as stack:
        groups = [await stack.enter_async_context(members(redis_url, group, paths)) for group, paths in handled.items()]
        while (await redis_client.info("clients"))["blocked_clients"] < 3:  # all of them read, and there is nothing yet
            pass
        publishers = [await stack.enter_async_context(member(redis_url, "publish", path.name, EACH, path)) for path in confirmed]
        async with asyncio.timeout(DEADLINE):
            for _, reader in groups:
                await reader.readexactly(2 * EACH)
        assert [await publisher.wait() for publisher in publishers] == [0, 0]
        consumers = [process for processes, _ in groups for process in processes]
        for process in consumers:
            process.terminate()
        assert [await process.wait() for process in consumers] == [0, 0, 0]

    published = ids(*confirmed)
    assert set(published.values()) == {1}
    assert published.total() == 2 * EACH
    # What every group settled may be trimmed, to the 10,000 entries that a topic keeps unless it says otherwise.
    assert 10_000 <= await redis_client.xlen("orders") <= 2 * EACH
    for group, paths in handled.items():
        assert ids(*paths) == published
        assert all(path.stat().st_size for path in paths)  # each of them had a share
        assert (await redis_client.xpending("orders", group))["pending"] == 0
