"""What a test does and sees in Redis with its own hands, beside the workers."""

from __future__ import annotations

import asyncio
from typing import Any

from eventbus.streams import keys
from tests.support.workers import Errand

STREAM = "errands"
GROUP = "charge"


DEADLINE = 15.0
"""Seconds; reached only by a failure. Below the limit of a test, so that its buses still come down in order."""


async def until(condition: Any) -> None:
    """Let the loop turn until a condition holds, asynchronous or not."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.002)


async def rows(redis, *, stream=STREAM, group=GROUP) -> dict[str, tuple[str, int]]:
    """The pending rows: entry id to owner and delivery count."""
    found = await redis.xpending_range(stream, group, "-", "+", 20_000)
    return {row["message_id"]: (row["consumer"], row["times_delivered"]) for row in found}


async def read_as(redis, consumer, count, *, stream=STREAM, group=GROUP) -> list[str]:
    """Read as a consumer that does nothing with it any more: what a worker held that died."""
    reply = await redis.xreadgroup(group, consumer, {stream: ">"}, count=count)
    return [entry_id for entry_id, _ in reply[0][1]] if reply else []


async def expire(redis, consumer, *, stream=STREAM, group=GROUP, seconds=3600) -> int:
    """Let the lease of everything a consumer holds have run out long ago, without waiting for it."""
    count = 0
    for source in (stream, keys.retry(stream, group)):
        ids = [row["message_id"] for row in await redis.xpending_range(source, group, "-", "+", 20_000, consumername=consumer)]
        if ids:
            await redis.execute_command("XCLAIM", source, group, consumer, 0, *ids, "IDLE", seconds * 1000, "JUSTID")
        count += len(ids)
    return count


async def take_over(redis, entry_id, consumer="another", *, stream=STREAM, group=GROUP) -> None:
    """Claim an entry, as another worker would when its lease had run out."""
    await redis.execute_command("XCLAIM", stream, group, consumer, 0, entry_id, "JUSTID")


async def copies(redis, kind="retry", *, stream=STREAM, group=GROUP) -> list[dict[str, str]]:
    """The fields of what stands in one of the group's streams: retry, parked or dead."""
    return [fields for _, fields in await redis.xrange(getattr(keys, kind)(stream, group))]


def name_of(fields: dict[str, str]) -> str:
    """The name of the errand in an entry."""
    return Errand.model_validate_json(fields["data"]).name


async def settled(redis, *, stream=STREAM, group=GROUP) -> bool:
    """Whether the group owes nothing: nothing unread, pending, parked or waiting in its private stream."""
    if (
        await rows(redis, stream=stream, group=group)
        or await redis.xlen(keys.retry(stream, group))
        or await redis.xlen(keys.parked(stream, group))
    ):
        return False
    (about,) = [each for each in await redis.xinfo_groups(stream) if each["name"] == group]
    last = await redis.xrevrange(stream, count=1)
    return not last or about["last-delivered-id"] == last[0][0]
