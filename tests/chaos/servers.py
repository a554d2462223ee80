"""The Redis of a run: one of its own, which may be killed and started again, or one that was given."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from eventbus.streams import Address
from redis.asyncio import Redis
from redis.exceptions import RedisError
from tests.chaos.load import STREAM
from tests.servers import Server

from eventbus.streams import keys

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.servers import Program

PAGE = 1000


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


async def owed(client: Redis, group: str) -> dict[str, int]:
    """What a group still has to do."""
    found = {"pending": 0, "unread": 0, "retry": 0}
    for name, stream in (("unread", STREAM), ("retry", keys.retry(STREAM, group))):
        rows = {row["name"].decode(): row for row in await client.xinfo_groups(stream)} if await client.exists(stream) else {}
        if group not in rows:
            found[name] = 1
            continue
        last = await client.xrevrange(stream, count=1)
        found[name] = int(bool(last) and _order(last[0][0]) > _order(rows[group]["last-delivered-id"]))
        found["pending"] += rows[group]["pending"]
    found["parked"] = await client.xlen(keys.parked(STREAM, group))
    found["due"] = await client.zcard(keys.due(STREAM, group))
    return found


def _order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)


async def dead_letters(client: Redis, group: str) -> list[list[bytes]]:
    """The fields of every dead letter of a group, as they stand there: a name may come twice."""
    found: list[list[bytes]] = []
    after = "-"
    while page := await client.execute_command("XRANGE", keys.dead(STREAM, group), after, "+", "COUNT", PAGE, NEVER_DECODE=True):
        found += [fields for _, fields in pairs_of(page)]
        after = f"({page[-1][0].decode()}"
    return found


def pairs_of(page: list[Any]) -> Iterator[tuple[bytes, list[bytes]]]:
    """Id and flat fields of each entry."""
    for entry_id, fields in page:
        yield entry_id, list(fields) if isinstance(fields, list) else [part for pair in fields.items() for part in pair]


def address(url: str) -> Address:
    """Where a server is."""
    return Address.parse(url)
