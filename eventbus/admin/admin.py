"""Answers what is in a topic, who reads it and what they owe; settles dead letters, renames and gives up groups, trims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventbus.admin.dead_letters import DeadLetters
from eventbus.admin.group_changes import abandon, rename
from eventbus.admin.groups import STREAM, describe_groups, kind_of, list_pending
from eventbus.admin.records import DeadGroup, Entry, PendingInfo, ServerInfo, TopicInfo, TopicSummary
from eventbus.admin.replies import glob_escaped, pairs, seconds_since, text
from eventbus.admin.scheduled import list_scheduled
from eventbus.admin.trimming import check_limits, plan
from eventbus.errors import BackendRefused, NotFound
from eventbus.events import Topic, check_name
from eventbus.streams import Group, Schedule, Wire, keys, server_time, trim
from eventbus.streams.probe import parse_info

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from eventbus.admin.group_changes import Owed
    from eventbus.admin.scheduled import ScheduledInfo
    from eventbus.streams import Connections, Trimmed

ADMIN_TIMEOUT: Final = 30.0
"""Seconds a command may take: MEMORY USAGE and long XRANGEs are slow on large streams."""

SCAN_COUNT: Final = 1000
"""Keys a SCAN looks at a call."""


class Admin:
    """Inspect topics and groups, and put right what went wrong. An open bus has one: `bus.admin`.

    What writes: `cancel_scheduled`, `rename_group`, `abandon_group`, `trim`, and of `dead_letters` `redrive` and `discard`.

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
        self._wire = Wire(connections, "inspecting", silence=ADMIN_TIMEOUT)

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

    def no_topic(self, topic: str | Topic) -> NotFound:
        """What to raise where a topic is not there, with the stream that was looked for."""
        return NotFound(f"there is no topic {Topic.of(topic).name!r} (stream {self.stream(topic)!r}) on this server")

    async def server(self) -> ServerInfo:
        """Say what the server is and how much memory it uses. One INFO."""
        facts = parse_info((await self._wire.one("INFO")).decode(errors="replace"))
        return ServerInfo(facts.product, facts.version_text, facts.memory, facts.maxmemory or None)

    async def topics(self) -> list[TopicSummary]:
        """List the topics that have or had a group of eventbus, by name.

        A topic that was only published to is not found here: its stream looks like any other.

        Redis cost:
            A SCAN over the whole database and a TIME, then five commands a topic.
        """
        now = await server_time(self._wire)
        return [await self._summary(stream, now) for stream in sorted(await self._streams())]

    async def topic(self, topic: str | Topic) -> TopicInfo | None:
        """Describe one topic, or answer None where there is no such stream.

        Redis cost:
            Eight commands, and nine a group; where the server does not know a group's lag, up to 21
            XRANGEs of 500 entries, payloads included, to count it.
        """
        stream = self.stream(topic)
        if await kind_of(self._wire, stream) == "none":
            return None
        now = await server_time(self._wire)
        ours = {text(name) for name in await self._wire.one("SMEMBERS", keys.groups(stream))}
        groups = await describe_groups(self._wire, stream, ours, now=now)
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

    # -- scheduled events

    async def scheduled(self, topic: str | Topic, *, count: int = 100) -> ScheduledInfo:
        """List the events of a topic, of all its priorities, that are held until they are due.

        Args:
            topic: The topic.
            count: Most of them, those that are due first.

        Redis cost:
            A TIME, a ZCARD, a ZRANGE for 100 events, and an XRANGE for each, payload included.
        """
        return await list_scheduled(self._wire, self.stream(topic), count=count)

    async def cancel_scheduled(self, event_id: str, *, topic: str | Topic) -> bool:
        """Take a scheduled event back; as `EventBus.cancel_scheduled`."""
        return await Schedule(self._wire, self.stream(topic)).cancel(event_id)

    # -- dead letters, groups, trimming

    def dead_letters(self, topic: str | Topic, group: str) -> DeadLetters:
        """The dead letters of a group: to list, show, redrive, discard and export."""
        return DeadLetters(self._wire, self._group(topic, group), topic=Topic.of(topic).name)

    async def dead_letter_groups(self, topic: str | Topic) -> list[DeadGroup]:
        """Name the groups of a topic that have dead letters, abandoned ones included.

        Redis cost:
            A SCAN over the whole database, then three commands a group.
        """
        stream, now, found = self.stream(topic), await server_time(self._wire), list[DeadGroup]()
        head = keys.dead(stream, "")
        for key in sorted(await self._scan(f"{glob_escaped(head)}*", STREAM)):
            oldest, newest = [await self._edge(key, now, newest=newest) for newest in (False, True)]
            if oldest is not None and newest is not None:
                found.append(DeadGroup(key.removeprefix(head), await self._wire.one("XLEN", key), oldest, newest))
        return found

    async def rename_group(self, topic: str | Topic, old: str, new: str) -> None:
        """Give a group another name: the new one begins where the old one stands.

        Its dead letters, declared types and lease move along. Rename it in the program as well, and stop every
        member first: one that is only paused would make the old group anew when it wakes, from the beginning.

        Raises:
            NotFound: There is no such group.
            GroupInUse: A member lives, or it has entries pending, parked or in its retry stream; or the new
                name is taken, or the group is another program's. Nothing was changed.

        Redis cost:
            One script.
        """
        await rename(self._wire, Topic.of(topic).name, self._group(topic, old), self._group(topic, new))

    async def abandon_group(self, topic: str | Topic, group: str, *, dry_run: bool = False) -> Owed:
        """Give up a group that nobody serves, so that it does not hold back trimming any more.

        Its dead letters stay, everything else of it is removed, entries that were never handled included. A
        group of this name that is served again begins as a new one; a process that was only paused would make
        the old one anew when it wakes, from the topic's beginning.

        Args:
            topic: The topic.
            group: The group; one that Redis lost may be given up, too.
            dry_run: Only say what it owes.

        Returns:
            What it still owed.

        Raises:
            NotFound: There is no such group.
            GroupInUse: A member lives, or the group is another program's, or Redis refuses writes (`maxmemory`):
                heartbeats are refused then, and nobody can tell who lives. Nothing was changed.

        Redis cost:
            Two scripts.
        """
        return await abandon(self._wire, Topic.of(topic).name, self._group(topic, group), dry_run=dry_run)

    async def trim(
        self,
        topic: str | Topic,
        *,
        max_len: int | None = None,
        max_age: float | None = None,
        hard: bool = False,
        exact: bool = False,
        dry_run: bool = False,
    ) -> Trimmed:
        """Remove old entries of a topic that every group has settled.

        Args:
            topic: The topic.
            max_len: Entries to keep.
            max_age: Seconds to keep an entry.
            hard: Remove what is beyond these limits even where a group has not settled it: such an event is lost
                to the group, and counted.
            exact: To the entry; else whole nodes of the stream, which is far cheaper and leaves up to a node (100
                entries by default) too many.
            dry_run: Only say what an exact trim would remove.

        Raises:
            NotFound: There is no such topic.
            ConfigurationError: No limit, or one that is no number.

        Redis cost:
            A script; exact: one for 10,000 entries removed. With `dry_run` one for 10,000 entries counted.
        """
        check_limits(max_len, max_age)
        stream = self.stream(topic)
        if await kind_of(self._wire, stream) == "none":
            raise self.no_topic(topic)
        if dry_run:
            return await plan(self._wire, stream, max_len=max_len, max_age=max_age, hard=hard, now=await server_time(self._wire))
        return await trim(self._wire, stream, max_len=max_len, max_age=max_age, hard=hard, exact=exact)

    def _group(self, topic: str | Topic, group: str) -> Group:
        return Group(self.stream(topic), check_name("group", group))

    # -- the ends of a topic, the clock

    async def last_id(self, topic: str | Topic) -> str:
        """The id of the newest entry, `0-0` where there is none: from here on everything is new."""
        rows = await self._wire.one("XREVRANGE", self.stream(topic), "+", "-", "COUNT", 1)
        return rows[0][0].decode() if rows else "0-0"

    async def now(self) -> float:
        """The server's clock, which writes the entry ids, in seconds since 1970."""
        return await server_time(self._wire) / 1000

    async def _streams(self) -> set[str]:
        """The streams whose `{t}:groups` exists."""
        head, tail = keys.groups("\0").split("\0")
        found = await self._scan(f"{glob_escaped(head + self._prefix)}*{glob_escaped(tail)}", "set")
        return {name.removeprefix(head).removesuffix(tail) for name in found}

    async def _scan(self, pattern: str, kind: str) -> set[str]:
        """The keys of one Redis type that match. A SCAN may name a key twice."""
        cursor, found = b"0", set[str]()
        while True:
            cursor, names = await self._wire.one(*("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, "TYPE", kind))
            found.update(map(text, names))
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
