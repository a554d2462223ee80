"""The Redis of a run: one of its own, which may be killed and started again, or one that was given."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from eventbus.streams import keys
from tests.servers import Server

if TYPE_CHECKING:
    import subprocess

    from tests.servers import Program

PAGE: Final = 1000


class KillableServer(Server):
    """A server whose append-only file is written as the run wants it."""

    def __init__(self, program: Program, *, fsync: str) -> None:
        self._fsync = fsync
        super().__init__(program, keeps=True)

    def _started(self) -> subprocess.Popen[str]:
        rest = ["--appendfsync", self._fsync, "--auto-aof-rewrite-min-size", "64mb"]
        if rest[0] not in self._command[-4:]:
            self._command = [*self._command, *rest]
        return super()._started()


async def answering(url: str, *, within: float) -> None:
    """Wait until Redis answers, LOADING being no answer."""
    async with asyncio.timeout(within):
        while True:
            try:
                async with Redis.from_url(url, socket_timeout=1.0) as client:
                    await client.ping()
            except (RedisError, OSError):
                await asyncio.sleep(0.02)
            else:
                return


async def owed(client: Redis, stream: str, group: str) -> dict[str, int]:
    """What a group of a stream still has to do."""
    found = {"pending": 0, "unread": 0, "retry": 0}
    for name, source in (("unread", stream), ("retry", keys.retry(stream, group))):
        rows = {row["name"].decode(): row for row in await client.xinfo_groups(source)} if await client.exists(source) else {}
        if group not in rows:
            found[name] = 1
            continue
        last = await client.xrevrange(source, count=1)
        found[name] = int(bool(last) and _order(last[0][0]) > _order(rows[group]["last-delivered-id"]))
        found["pending"] += rows[group]["pending"]
    found["parked"] = await client.xlen(keys.parked(stream, group))
    found["due"] = await client.zcard(keys.due(stream, group))
    found["scheduled"] = await client.zcard(keys.scheduled_due(stream))
    return found


def _order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)


async def dead_letters(client: Redis, stream: str, group: str) -> list[dict[bytes, bytes]]:
    """The fields of every dead letter of a group."""
    found: list[dict[bytes, bytes]] = []
    after = "-"
    while page := await client.xrange(keys.dead(stream, group), after, "+", count=PAGE):
        found += [fields for _, fields in page]
        after = f"({page[-1][0].decode()}"
    return found
