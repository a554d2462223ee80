"""A worker as somebody else would write it, with `docs/wire.md` beside the keyboard: none of the package's Python."""

from __future__ import annotations

import json
from pathlib import Path

from redis.asyncio import Redis

SCRIPTS = Path(__file__).parents[2] / "eventbus" / "streams" / "lua"
FRESH = "0f3a9c5e77d1b264"


class Stranger:
    """One consumer of one group, and what it was given: ids to fields and delivery counts, by stream.

    Args:
        url: Where Redis is.
        stream: The stream.
        group: The group.
        consumer: Its name.
        types: The event types it knows, with their highest versions.
    """

    def __init__(self, url, stream, group, consumer, **types):
        self.redis = Redis.from_url(url, protocol=2)
        self.redis.response_callbacks.pop("XREADGROUP")  # it would make dictionaries of the fields
        self.stream, self.group, self.me = stream, group, consumer
        self.types = [part for pair in types.items() for part in pair]
        self.token = b""

    def key(self, what):
        return f"{{{self.stream}}}:{what}:{self.group}"

    @property
    def private(self):
        return self.key("retry")

    async def run(self, script, keys, *arguments):
        return await self.redis.eval((SCRIPTS / f"{script}.lua").read_text(), len(keys), *keys, *arguments)

    async def join(self, *, lease=30_000):
        mine = [self.key(each) for each in ("group", "types", "members")]
        order = [self.key("owner"), self.key("free"), self.key("attempts"), f"{self.private}:attempts:{self.group}"]
        keys = [self.stream, self.private, mine[0], f"{{{self.stream}}}:groups", *mine[1:], *order]
        terms = ("0", FRESH, "strangers", lease, self.token, "", "", self.me)
        self.token, *_ = await self.run("ensure_group", keys, self.group, *terms, *self.types)
        about = json.dumps({"service": "strangers", "host": "h", "pid": 1, "lease": lease / 1000})
        keys = [mine[2], mine[0], mine[1], f"{{{self.stream}}}:groups"]
        return await self.run("announce", keys, self.me, about, lease, self.group, self.token, *self.types)

    async def read(self):
        """What is new: stream, id, fields."""
        streams = ("STREAMS", self.stream, self.private, ">", ">")
        reply = await self.redis.execute_command("XREADGROUP", "GROUP", self.group, self.me, "COUNT", 100, *streams)
        return [(stream.decode(), entry_id, fields) for stream, entries in reply or () for entry_id, fields in entries]

    async def claim(self, stream):
        """What silent consumers left in a stream: ids, fields, delivery counts."""
        seconds, _ = await self.run("clock", [stream], self.group)
        terms = (1_000, 100, 4 << 20, 2, 3, self.flag(stream), "2026-01-01T00:00:00.000Z", (int(seconds) + 30) * 1000)
        keys = [stream, self.key("group"), self.key("dead")]
        _, token, taken, _, _ = await self.run("claim", keys, self.group, self.me, 1_000, "", *terms)
        assert token == self.token
        return taken

    async def mark(self, stream, entry_id, count):
        return await self.run("mark", [stream, self.key("group")], self.group, self.me, self.token, entry_id, count)

    async def ack(self, stream, *ids):
        return await self.run("ack", [stream, self.key("group")], self.group, self.token, self.flag(stream), *ids)

    async def move(self, stream, entry_id, to, copy, *, delay=-1):
        keys = [stream, self.key("group"), self.key(to), self.key("due"), self.key("types"), self.key("group")]
        terms = (self.group, self.me, self.token, self.flag(stream))
        return await self.run("move", keys, *terms, entry_id, delay, "", 0, len(copy), *copy)

    async def drop(self, stream, entry_id, name):
        keys = [stream, self.key("group"), self.key("types"), self.key("group")]
        return await self.run("drop", keys, self.group, self.me, self.token, self.flag(stream), entry_id, name)

    async def promote(self):
        """What it was given."""
        keys = [self.key(each) for each in ("parked", "due", "retry", "dead", "types", "group")]
        terms = (100, 100, 86_400_000, "2026-01-01T00:00:00.000Z")
        _, _, given, *_ = await self.run("promote", keys, self.group, self.me, *terms, *self.types)
        return given

    async def leave(self):
        return await self.run("leave", [self.stream, self.private, self.key("members")], self.group, self.me)

    def flag(self, stream):
        return "1" if stream == self.private else "0"
