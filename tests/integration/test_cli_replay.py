"""`eventbus replay` on a real Redis."""

from __future__ import annotations

import asyncio
import json
import re
from functools import partial

import pytest

from eventbus.streams import keys
from tests.support.commands import Command
from tests.support.graveyard import make_group

RETRY = keys.retry("orders", "charge")
REPLAY = keys.replay("orders", "charge")


@pytest.fixture
def run(run):
    """Runs `eventbus replay orders …`."""
    return partial(run, "replay", "orders")


async def handled(client, count):
    """A group that has handled so many entries, 1-0 to count-0."""
    await make_group(client)
    pipeline = client.pipeline(transaction=False)
    for number in range(1, count + 1):
        pipeline.xadd("orders", {"data": number}, f"{number}-0")
    await pipeline.execute()
    await client.xreadgroup("charge", "me", {"orders": ">"}, noack=True)


async def test_a_replay_asks_first_and_says_what_will_happen(run, redis_client):
    """Where nobody can be asked, nothing is done."""
    await handled(redis_client, 5)
    ended = await run("charge", "--from", "2", "--to", "4")
    said = "3 entries of topic 'orders', 2-0 to 4-18446744073709551615, will be handled again by group 'charge'"
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"eventbus: {said}. Nothing was done: add --yes to go on without being asked\n"
    assert not await redis_client.exists(REPLAY)
    ended = await run("charge", "--from", "2-0", "--to", "4-0", "--yes")
    assert (ended.code, ended.out, ended.err) == (0, "replayed 3 entries to group charge, 2-0 to 4-0\n", "")
    assert await redis_client.xlen(RETRY) == 3


async def test_a_dry_run_says_it_all_and_does_nothing(run, redis_client):
    """What would be copied, what is trimmed, what is pending, what comes anyway."""
    await handled(redis_client, 5)
    await redis_client.xtrim("orders", minid="3-0", approximate=False)
    await redis_client.xadd("orders", {"data": "6"}, "6-0")
    await redis_client.xreadgroup("charge", "me", {"orders": ">"})
    await redis_client.xadd("orders", {"data": "7"}, "7-0")
    ended = await run("charge", "--from", "0", "--dry-run")
    assert (ended.code, ended.out) == (0, "would replay 3 entries to group charge, 0-0 to 6-0\n")
    assert re.search(r"eventbus: entries before 3-0 \(1970-01-01T00:00:00.003Z\) (are|may) no longer", ended.err)
    assert "1 entry passed over: the group holds them unsettled" in ended.err
    assert "1 of the range were not given to the group yet" in ended.err
    ended = await run("charge", "--from", "0", "--dry-run", "--output", "json")
    (found,) = [json.loads(line) for line in ended.out.splitlines()]
    assert (found["topic"], found["group"], found["copied"], found["pending"], found["incomplete"]) == ("orders", "charge", 3, 1, True)
    assert found["unread"] == {"entries": 1, "exact": True}
    assert not await redis_client.exists(REPLAY)
    assert await redis_client.xlen(RETRY) == 0


async def test_the_same_command_again_does_nothing_and_says_so(run, redis_client):
    """Unless it is meant."""
    await handled(redis_client, 3)
    assert (await run("charge", "--from", "0", "--yes")).code == 0
    for options in ((), ("--yes",), ("--dry-run",)):
        ended = await run("charge", "--from", "0", *options)
        assert ended.code == 0
        assert "nothing was done now: this range was replayed within the last day, 3 copied; --anew does it again" in ended.err
    assert await redis_client.xlen(RETRY) == 3
    assert (await run("charge", "--from", "0", "--anew", "--yes")).out == "replayed 3 entries to group charge, 0-0 to 3-0\n"
    assert await redis_client.xlen(RETRY) == 6


async def test_ctrl_c_says_how_to_go_on_and_another_range_is_refused_meanwhile(run, redis_client, redis_url, tmp_path):
    """The progress, the stop, the refusal, the rest."""
    await handled(redis_client, 3_000)
    replay = ("replay", "orders", "charge", "--from", "0", "--rate", "100", "--ahead", "0", "--yes")
    command = await Command.start(*replay, cwd=tmp_path, url=redis_url)
    try:
        assert "so far" in await command.error("replayed ")
        command.interrupt()
        ended = await command.ended()
    finally:
        await command.kill()
    assert (ended.code, ended.out) == (130, "")
    assert "were replayed so far; eventbus replay orders charge --resume goes on" in ended.err
    refused = await run("charge", "--from", "1s", "--yes")
    assert (refused.code, refused.out) == (1, "")
    assert "has an unfinished replay, from 0-0 to what was the end, begun at 2" in refused.err
    assert (await run("charge", "--resume", "--yes", "--ahead", "0")).out == "replayed 3000 entries to group charge, 0-0 to 3000-0\n"
    assert await redis_client.xlen(RETRY) == 3_000


async def test_what_is_cut_while_it_runs_is_a_failure(run, redis_client):
    """Nobody could say so before."""
    await handled(redis_client, 40)

    async def trims():
        while await redis_client.xlen(RETRY) == 0:
            await redis_client.xread({RETRY: "0"}, block=1_000)
        await redis_client.xtrim("orders", minid="30-0", approximate=False)

    ended, _ = await asyncio.gather(run("charge", "--from", "0", "--rate", "10", "--yes"), trims())
    assert ended.code == 1
    assert "up to 30-0 were trimmed or deleted before they could be copied" in ended.err


async def test_what_is_not_there_ends_with_4_and_what_makes_no_sense_with_2(run, redis_client):
    """One sentence each."""
    await handled(redis_client, 5)
    await redis_client.xtrim("orders", minid="4-0", approximate=False)
    for arguments in (("chrage", "--from", "0"), ("charge", "--resume"), ("charge", "--from", "0", "--to", "2")):
        ended = await run(*arguments, "--yes")
        assert (ended.code, ended.out, ended.err.count("\n")) == (4, "", 1), arguments
        assert ended.err.startswith("eventbus: there is no "), arguments
    for arguments in (
        ("charge",),
        ("charge", "--resume", "--from", "0"),
        ("charge", "--resume", "--anew"),
        ("charge", "--from", "yesterday"),
        ("charge", "--from", "2026-11-21T07:00:00"),
        ("charge", "--from", "5", "--to", "4"),
        ("charge", "--from", "9999999999999-0"),
        ("charge", "--from", "0", "--rate", "0"),
    ):
        ended = await run(*arguments, "--yes")
        assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), arguments
    assert await redis_client.xlen(RETRY) == 0
