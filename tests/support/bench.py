"""A group on a real Redis with everything in it at hand, for the tests of the scripts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventbus.delivery import Carried
from eventbus.streams import Address, Claimed, Connections, EntryCommands, Group, GroupCommands, Member, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = Group("orders", "charge")
NOW = "2026-11-21T07:16:59.123Z"
MEMBER = Member("billing", 10.0, {"Known": 1}, b'{"pid":7,"lease":10.0}')
DAY = 86_400.0


@dataclass
class Bench:
    """A group with two members, `me` and `other`, and a client that sees bytes."""

    wire: Wire
    token: str
    me: EntryCommands
    other: EntryCommands
    groups: GroupCommands

    async def do(self, *words: Any) -> Any:
        """Any command."""
        return await self.wire.one(*words)

    async def add(self, *ids: str, key: str = KEY.stream, data: str = "x") -> list[bytes]:
        """Entries with these ids, one field each."""
        return [await self.do("XADD", key, each, "data", data) for each in ids]

    async def give(self, *ids: str, to: str = "me", private: bool = False, idle: int = 0, count: int = 1, data: str = "x") -> list[bytes]:
        """Entries that are pending with a consumer, for so many milliseconds, after so many hand-overs."""
        key = KEY.source(private=private)
        await self.add(*ids, key=key, data=data)
        await self.do("XREADGROUP", "GROUP", KEY.name, to, "STREAMS", key, ">")
        for each in ids:
            await self.do("XCLAIM", key, KEY.name, to, 0, each, "IDLE", idle, "RETRYCOUNT", count, "JUSTID")
        return [each.encode() for each in ids]

    async def rows(self, *, private: bool = False) -> dict[str, tuple[str, int]]:
        """The pending list: id to owner and delivery count."""
        found = await self.do("XPENDING", KEY.source(private=private), KEY.name, "-", "+", 1000)
        return {row[0].decode(): (row[1].decode(), row[3]) for row in found}

    async def idle(self, entry_id: str) -> int:
        """Milliseconds since its last hand-over or renewal."""
        ((_, _, idle, _),) = await self.do("XPENDING", KEY.stream, KEY.name, entry_id, entry_id, 1)
        return idle

    async def stream(self, key: str) -> list[list[bytes]]:
        """The fields of every entry of a stream."""
        return [fields for _, fields in await self.do("XRANGE", key, "-", "+")]

    async def due(self) -> dict[str, float]:
        """The due times, as seconds from now."""
        seconds, micro = await self.do("TIME")
        flat = await self.do("ZRANGE", KEY.due, 0, -1, "WITHSCORES")
        return {
            member.decode(): float(score) / 1000 - int(seconds) - int(micro) / 1e6
            for member, score in zip(flat[::2], flat[1::2], strict=True)
        }

    async def park(self, *, due_in: float = -1.0, carried: Carried | None = None, key: str = KEY.parked, **fields: str) -> bytes:
        """A parked copy that is due in so many seconds."""
        pairs = [part.encode() for pair in fields.items() for part in pair]
        copy = await self.do("XADD", key, "*", *pairs, *(carried or Carried(entry="1-0", attempts=1)).fields())
        seconds, _ = await self.do("TIME")
        await self.do("ZADD", KEY.due, int((int(seconds) + due_in) * 1000), copy)
        return copy

    async def promote(self, types: dict[str, int] | None = None, *, count: int = 100, credit: int = 10) -> Any:
        """As a member that knows these types."""
        return await self.me.promote(types or {}, count=count, credit=credit, unhandled=DAY, now=NOW)

    async def claim(self, cursor: bytes = b"", *, private: bool = False, **limits: Any) -> Claimed | None:
        """As `me`, whose lease is 10 s."""
        asked = {"lease": 10.0, "room": 100, "lasts": 100, "count": 3, "latest": 1e11, **limits}
        return await self.me.claim(private=private, cursor=cursor, now=NOW, **asked)

    async def declared(self, **types: int) -> None:
        """Somebody declared these types, long ago."""
        for name, version in types.items():
            await self.do("HSET", KEY.types, name, version)

    async def lose(self, how: str) -> None:
        """The group is lost in one of these ways."""
        match how:
            case "another token":
                await self.do("HSET", KEY.hash, "token", "another")
            case "no token":
                await self.do("DEL", KEY.hash)
            case "no group":
                await self.do("XGROUP", "DESTROY", KEY.stream, KEY.name)
            case "no stream":
                await self.do("DEL", KEY.stream)


@asynccontextmanager
async def bench_at(url: str) -> AsyncIterator[Bench]:
    """The group `charge` of the topic `orders`, whose lease is 10 s and which knows the type `Known`."""
    wire = Wire(Connections(Address.parse(url), name="test"), "commands")
    try:
        groups = GroupCommands(wire, KEY, "me")
        ensured = await groups.ensure(MEMBER, start="0")
        yield Bench(wire, ensured.token, EntryCommands(wire, KEY, "me"), EntryCommands(wire, KEY, "other"), groups)
    finally:
        await wire.close()
