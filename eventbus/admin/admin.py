"""Answers what is in a topic, who reads it, and what they have not settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventbus.admin.groups import STREAM, describe_groups, kind_of, list_pending
from eventbus.admin.records import Entry, PendingInfo, ServerInfo, TopicInfo, TopicSummary
from eventbus.admin.replies import glob_escaped, pairs, seconds_since, text
from eventbus.errors import BackendRefused
from eventbus.events import Topic, check_name
from eventbus.streams import Wire, keys
from eventbus.streams.probe import parse_info

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from eventbus.streams import Connections

ADMIN_TIMEOUT: Final = 30.0
"""Seconds a command may take: MEMORY USAGE and long XRANGEs are slow on large streams."""

SCAN_COUNT: Final = 1000
"""Keys a SCAN looks at a call."""


class _Patient(Wire):
    """A connection of its own that waits longer: MEMORY USAGE and XPENDING are slow on large streams."""

    async def one(self, *words: str | bytes | int, timeout: float = ADMIN_TIMEOUT) -> Any:
        return await super().one(*words, timeout=timeout)


class Admin:
    """Inspect topics and groups. Nothing here writes.

    Args:
        connections: Where Redis is; one connection is made, when first needed.
        prefix: The bus's prefix, put before every topic's name.

    Raises:
        ConfigurationError: The prefix, or in any call the topic or group, is no name.
        BackendUnavailable: In any call: no answer.
        BackendRefused: In any call: Redis answered with an error, such as WRONGTYPE where the topic's key
            holds something else.
    """

    def __init__(self, connections: Connections, *, prefix: str = "") -> None:
        self._prefix = check_name("prefix", prefix) if prefix else ""
        self._wire = _Patient(connections, "inspecting")

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def stream(self, topic: str | Topic) -> str:
        """The stream of a topic."""
        return self._prefix + Topic.of(topic).name

    async def server(self) -> ServerInfo:
        """Say what the server is and how much memory it uses. One INFO."""
        report = (await self._wire.one("INFO")).decode(errors="replace")
        facts = parse_info(report)
        values = dict(line.split(":", 1) for line in report.splitlines() if ":" in line)
        version = ".".join(map(str, facts.version))
        return ServerInfo(facts.product, version, int(values.get("used_memory", "0")), facts.maxmemory or None)

    async def topics(self) -> list[TopicSummary]:
        """List the topics that have or had a group of eventbus, by name.

        A topic that was only published to is not found here: its stream looks like any other.

        Redis cost:
            A SCAN over the whole database, then six commands a topic.
        """
        now = await self._now()
        return [await self._summary(stream, now) for stream in sorted(await self._streams())]

    async def topic(self, topic: str | Topic) -> TopicInfo | None:
        """Describe one topic, or answer None where there is no such stream.

        Redis cost:
            Eight commands, and four a group; where the server does not know a group's lag, up to 21
            XRANGEs of 500 entries, payloads included, to count it.
        """
        stream = self.stream(topic)
        if await kind_of(self._wire, stream) == "none":
            return None
        now = await self._now()
        ours = {text(name) for name in await self._wire.one("SMEMBERS", keys.groups(stream))}
        groups = await describe_groups(self._wire, stream, ours)
        return TopicInfo(
            topic=stream[len(self._prefix) :],
            stream=stream,
            length=await self._wire.one("XLEN", stream),
            first=await self._edge(stream, now, newest=False),
            last=await self._edge(stream, now, newest=True),
            memory=await self._memory(stream),
            groups=groups,
            lost_groups=tuple(sorted(ours - {group.name for group in groups})),
        )

    async def pending(self, topic: str | Topic, group: str, *, consumer: str | None = None, count: int = 100) -> list[PendingInfo] | None:
        """List what was given to a group's consumers and is not settled, or answer None: no such group.

        Args:
            topic: The topic.
            group: The group.
            consumer: Only what this consumer holds.
            count: Most entries of each of the two streams.

        Returns:
            The topic's stream first, then the group's private retry stream where there is one.
        """
        stream = self.stream(topic)
        private = keys.retry(stream, check_name("group", group))
        found = await list_pending(self._wire, stream, group, retry=False, consumer=consumer, count=count)
        if found is None:
            return None
        retrying = await list_pending(self._wire, private, group, retry=True, consumer=consumer, count=count)
        return [found] if retrying is None else [found, retrying]

    async def last_id(self, topic: str | Topic) -> str:
        """The id of the newest entry, `0-0` where there is none: from here on everything is new."""
        rows = await self._wire.one("XREVRANGE", self.stream(topic), "+", "-", "COUNT", 1)
        return rows[0][0].decode() if rows else "0-0"

    async def now(self) -> float:
        """The server's clock, which writes the entry ids, in seconds since 1970."""
        return await self._now() / 1000

    async def _streams(self) -> set[str]:
        """The streams whose `{t}:groups` exists. A SCAN may name a key twice."""
        head, tail = keys.groups("\0").split("\0")
        pattern = f"{glob_escaped(head + self._prefix)}*{glob_escaped(tail)}"
        cursor, found = b"0", set[str]()
        while True:
            cursor, names = await self._wire.one(*("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, "TYPE", "set"))
            found.update(text(name).removeprefix(head).removesuffix(tail) for name in names)
            if cursor == b"0":
                return found

    async def _summary(self, stream: str, now: int) -> TopicSummary:
        name = stream[len(self._prefix) :]
        if await kind_of(self._wire, stream) != STREAM:
            return TopicSummary(name, None, None, None, 0, 0)
        rows = [pairs(row) for row in await self._wire.one("XINFO", "GROUPS", stream)]
        return TopicSummary(
            topic=name,
            length=await self._wire.one("XLEN", stream),
            last=await self._edge(stream, now, newest=True),
            memory=await self._memory(stream),
            groups=len(rows),
            pending=sum(row["pending"] for row in rows),
        )

    async def _edge(self, stream: str, now: int, *, newest: bool) -> Entry | None:
        command = ("XREVRANGE", stream, "+", "-") if newest else ("XRANGE", stream, "-", "+")
        rows = await self._wire.one(*command, "COUNT", 1)
        return Entry(rows[0][0].decode(), seconds_since(rows[0][0].decode(), now)) if rows else None

    async def _memory(self, stream: str) -> int | None:
        try:
            used: int | None = await self._wire.one("MEMORY", "USAGE", stream)
        except BackendRefused:
            return None  # managed Redis may not allow it; everything else is still worth showing
        return used

    async def _now(self) -> int:
        """The server's clock in milliseconds, which wrote the entry ids."""
        seconds, microseconds = await self._wire.one("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000
