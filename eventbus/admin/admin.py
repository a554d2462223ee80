"""Answers what is in a topic, who reads it and what they owe; settles dead letters, renames and gives up groups, trims."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from eventbus.admin.dead_letters import DeadLetters
from eventbus.admin.describing import describe, edge, summarise
from eventbus.admin.group_changes import abandon, rename
from eventbus.admin.groups import STREAM, kind_of, list_pending
from eventbus.admin.ranges import Range
from eventbus.admin.records import DeadGroup, PendingInfo, ServerInfo, TopicInfo, TopicSummary
from eventbus.admin.replays import AHEAD, Pace, Replays
from eventbus.admin.replies import glob_escaped, text
from eventbus.admin.scheduled import list_scheduled
from eventbus.admin.trimming import check_limits, plan
from eventbus.errors import ConfigurationError, NotFound
from eventbus.events import NORMAL, Topic, check_name
from eventbus.streams import Group, Schedule, Wire, keys, known_levels, server_time, trim
from eventbus.streams.probe import parse_info

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from eventbus.admin.group_changes import Owed
    from eventbus.admin.ranges import Moment
    from eventbus.admin.replays import Replayed
    from eventbus.admin.scheduled import ScheduledInfo
    from eventbus.streams import Connections, Trimmed

ADMIN_TIMEOUT: Final = 30.0
"""Seconds a command may take: MEMORY USAGE and long XRANGEs are slow on large streams."""

SCAN_COUNT: Final = 1000
"""Keys a SCAN looks at a call."""


class Admin:
    """Inspect topics and groups, and put right what went wrong. An open bus has one: `bus.admin`.

    What writes: `replay`, `resume_replay`, `cancel_scheduled`, `rename_group`, `abandon_group`, `trim`, and of `dead_letters`
    `redrive` and `discard`.

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

    def stream(self, topic: str | Topic, priority: str = NORMAL) -> str:
        """The stream of a topic, or of one of its priorities."""
        return keys.level(self._prefix + Topic.of(topic).name, check_name("priority", priority))

    async def priorities(self, topic: str | Topic) -> tuple[str, ...]:
        """The priorities of a topic, the most urgent first; none for a topic of one stream.

        Every process that knows them writes them down within `claim_interval`. One command.
        """
        return await known_levels(self._wire, self.stream(topic)) or Topic.of(topic).priorities

    def no_topic(self, topic: str | Topic) -> NotFound:
        """What to raise where a topic is not there, with the stream that was looked for."""
        return NotFound(f"there is no topic {Topic.of(topic).name!r} (stream {self.stream(topic)!r}) on this server")

    async def server(self) -> ServerInfo:
        """Say what the server is and how much memory it uses. One INFO."""
        facts = parse_info((await self._wire.one("INFO")).decode(errors="replace"))
        return ServerInfo(facts.product, facts.version_text, facts.memory, facts.maxmemory or None)

    async def topics(self) -> list[TopicSummary]:
        """List the topics that have or had a group of eventbus, by name.

        A topic with priorities stands once for each of them. One that was only published to is not found here: its stream
        looks like any other.

        Redis cost:
            A SCAN over the whole database and a TIME, then six commands a topic, and five more for each priority.
        """
        now, found = await server_time(self._wire), list[TopicSummary]()
        for stream in sorted(await self._streams()):
            topic = stream[len(self._prefix) :]
            for priority in await known_levels(self._wire, stream) or (NORMAL,):
                found.append(await summarise(self._wire, keys.level(stream, priority), topic, priority, now))
        return found

    async def topic(self, topic: str | Topic) -> TopicInfo | None:
        """Describe one topic with all its priorities, or answer None where there is no such stream.

        Redis cost:
            Nine commands, and nine a group; where the server does not know a group's lag, up to 21
            XRANGEs of 500 entries, payloads included, to count it. The same again for each priority.
        """
        stream, name, now = self.stream(topic), Topic.of(topic).name, await server_time(self._wire)
        found = await describe(self._wire, stream, name, NORMAL, now)
        others = [each for each in await self.priorities(topic) if each != NORMAL]
        levels = [await describe(self._wire, keys.level(stream, each), name, each, now) for each in others]
        there = tuple(each for each in levels if each is not None)
        if found is None and there:  # nothing without a priority was ever published, and nobody consumes the topic
            found = TopicInfo(name, stream, 0, None, None, None, (), ())
        return None if found is None else replace(found, levels=there)

    async def pending(self, topic: str | Topic, group: str, *, consumer: str | None = None, count: int = 100) -> list[PendingInfo] | None:
        """List what was given to a group's consumers and is not settled, or answer None: no such group.

        Args:
            topic: The topic.
            group: The group.
            consumer: Only what this consumer holds.
            count: Most entries of each stream.

        Returns:
            The topic's stream first, then the group's private retry stream where there is one; both for each of the
            topic's priorities.
        """
        found: list[PendingInfo] = []
        for level, priority in await self._groups(topic, group):
            for retry in (False, True):
                source = level.source(private=retry)
                each = await list_pending(self._wire, source, group, retry=retry, consumer=consumer, count=count, priority=priority)
                if each is None:
                    break
                found.append(each)
        return found or None

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

    def dead_letters(self, topic: str | Topic, group: str, *, priority: str = NORMAL) -> DeadLetters:
        """The dead letters of a group: to list, show, redrive, discard and export.

        Args:
            topic: The topic.
            group: The group.
            priority: At which of the topic's priorities: each has dead letters of its own, which are redriven there.
                Default "normal".
        """
        return DeadLetters(self._wire, self._group(topic, group, priority), topic=Topic.of(topic).name, priority=priority)

    async def dead_letter_groups(self, topic: str | Topic) -> list[DeadGroup]:
        """Name the groups of a topic that have dead letters, abandoned ones included, for each of its priorities.

        Redis cost:
            A SCAN over the whole database for each priority, then three commands a group.
        """
        now, found = await server_time(self._wire), list[DeadGroup]()
        for priority in await self.priorities(topic) or (NORMAL,):
            head = keys.dead(self.stream(topic, priority), "")
            for key in sorted(await self._scan(f"{glob_escaped(head)}*", STREAM)):
                oldest, newest = [await edge(self._wire, key, now, newest=newest) for newest in (False, True)]
                if oldest is not None and newest is not None:
                    number = await self._wire.one("XLEN", key)
                    found.append(DeadGroup(key.removeprefix(head), number, oldest, newest, priority))
        return found

    async def replay(
        self,
        topic: str | Topic,
        group: str,
        *,
        from_: Moment,
        to: Moment | None = None,
        priority: str | None = None,
        rate: float | None = None,
        ahead: int | None = AHEAD,
        anew: bool = False,
        dry_run: bool = False,
        progress: Callable[[Replayed], None] | None = None,
    ) -> Replayed:
        """Hand a range of a topic to one group again, as if each entry had just come; `ctx.replayed` tells it.

        The entries are copied into the group's private stream: no other group sees them, the topic is only read, and the
        group's place on it does not move. Attempts begin anew. Only what the group was given already is copied: the rest
        comes by itself. What one of its consumers holds unsettled is passed over. What waits for a retry, or is a dead
        letter, is not looked for: it is copied, too, and stays where it is.

        Args:
            topic: The topic.
            group: The group; its members need not be there now.
            from_: The first entry id, or the time from which on.
            to: The last entry id, or the time up to which, both included. Default: the topic's last entry when the replay
                begins; what is published later is not copied.
            priority: Of a topic with priorities, the one whose stream is replayed: each is a replay of its own. Default
                "normal", which is the topic's own stream.
            rate: Most entries a second. Default None: as fast as the group settles them.
            ahead: Entries in the group's private stream from which on the replay waits for the group to settle some, so
                that it neither fills the server nor stands before what else is to be handled again. Default 1,000; None
                for no bound, where nobody serves the group now.
            anew: Begin even where the same range was replayed within the last day, or another replay of the group is
                unfinished, which is then given up.
            dry_run: Only say what would be copied.
            progress: Called after each step, of which there are some each second while it waits.

        Returns:
            What was copied, what was not, and whether entries of the range are no longer kept.

        Raises:
            ConfigurationError: `from_` or `to` is neither an id nor a time with a zone, or lies in the future; they are the
                wrong way round; the rate or `ahead` is none; the topic has priorities, and none or another one is given.
            NotFound: No such topic or group, a group that eventbus did not make, or that has lost its place on the topic;
                or nothing of the range is kept any more. Nothing was written.
            ReplayUnfinished: A replay of another range is unfinished. Nothing was written. Or, while it runs: another one
                was begun anew in its place.

        Guarantees:
            Each entry is copied once, however often the call is interrupted (killed, cancelled, its answers lost) and made
            again with the same range, and however many make it at once: the cursor moves in the step that copies.
        Cancellation:
            What was copied stays so; calling again, or `resume_replay`, goes on behind it.
        Redis cost:
            Some ten commands, then a script for 200 entries copied, and one every 50 ms while it waits. With `dry_run` a
            script for 2,000 entries looked at.
        """
        wanted, pace = Range.of(from_, to), Pace(rate, ahead)
        replays = self._replays(topic, group, priority)
        return await replays.replay(wanted, pace, anew=anew, dry_run=dry_run, progress=progress)

    async def resume_replay(
        self,
        topic: str | Topic,
        group: str,
        *,
        priority: str | None = None,
        rate: float | None = None,
        ahead: int | None = AHEAD,
        dry_run: bool = False,
        progress: Callable[[Replayed], None] | None = None,
    ) -> Replayed:
        """Go on with the unfinished replay of a group, whatever its range is; see `replay`.

        Raises:
            NotFound: There is none; or the group was abandoned, or has lost its place on the topic.
        """
        return await self._replays(topic, group, priority).resume(Pace(rate, ahead), dry_run=dry_run, progress=progress)

    async def unfinished_replay(self, topic: str | Topic, group: str, *, priority: str | None = None) -> Replayed | None:
        """Say how far the replay is that was begun and is not done, by whomever; None where there is none. One command."""
        return await self._replays(topic, group, priority).unfinished()

    async def rename_group(self, topic: str | Topic, old: str, new: str) -> None:
        """Give a group another name: the new one begins where the old one stands.

        At all priorities of the topic. Its dead letters, declared types and lease move along. Rename it in the program as
        well, and stop every member first: one that is only paused would make the old group anew when it wakes, from the
        beginning.

        Raises:
            NotFound: There is no such group.
            GroupInUse: A member lives, or it has entries pending, parked or in its retry stream; or the new
                name is taken, or the group is another program's. Nothing was changed, unless it says otherwise.

        Redis cost:
            One command and one script; of a topic with priorities two scripts for each of them.
        """
        check_name("group", new)
        pairs = [(each, Group(each.stream, new)) for each, _ in await self._groups(topic, old)]
        await rename(self._wire, Topic.of(topic).name, pairs)

    async def abandon_group(self, topic: str | Topic, group: str, *, dry_run: bool = False) -> Owed:
        """Give up a group that nobody serves, so that it does not hold back trimming any more, at all priorities of the topic.

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
                heartbeats are refused then, and nobody can tell who lives. Nothing was changed, unless it says otherwise.

        Redis cost:
            One command, and two scripts for each priority.
        """
        groups = [each for each, _ in await self._groups(topic, group)]
        return await abandon(self._wire, Topic.of(topic).name, groups, dry_run=dry_run)

    async def trim(
        self,
        topic: str | Topic,
        *,
        max_len: int | None = None,
        max_age: float | None = None,
        hard: bool = False,
        exact: bool = False,
        dry_run: bool = False,
        priority: str = NORMAL,
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
            priority: Of which of the topic's priorities; `priorities` names them. Default "normal".

        Raises:
            NotFound: There is no such topic.
            ConfigurationError: No limit, or one that is no number.

        Redis cost:
            A script; exact: one for 10,000 entries removed. With `dry_run` one for 10,000 entries counted.
        """
        check_limits(max_len, max_age)
        stream = self.stream(topic, priority)
        if await kind_of(self._wire, stream) == "none":
            raise self.no_topic(topic)
        if dry_run:
            return await plan(self._wire, stream, max_len=max_len, max_age=max_age, hard=hard, now=await server_time(self._wire))
        return await trim(self._wire, stream, max_len=max_len, max_age=max_age, hard=hard, exact=exact)

    def _replays(self, topic: str | Topic, group: str, priority: str | None) -> Replays:
        declared, wanted = Topic.of(topic), check_name("priority", priority or NORMAL)
        if declared.priorities and (priority is None or priority not in declared.priorities):
            raise ConfigurationError(f"topic {declared.name!r}, priority {priority!r}: say which is replayed, of {declared.priorities}")
        return Replays(self._wire, self._group(declared, group, wanted), topic=declared.name)

    def _group(self, topic: str | Topic, group: str, priority: str = NORMAL) -> Group:
        return Group(self.stream(topic, priority), check_name("group", group))

    async def _groups(self, topic: str | Topic, group: str) -> list[tuple[Group, str]]:
        """A group as it stands at each priority of its topic."""
        check_name("group", group)
        return [(self._group(topic, group, priority), priority) for priority in await self.priorities(topic) or (NORMAL,)]

    # -- the ends of a topic, the clock

    async def last_id(self, topic: str | Topic, priority: str = NORMAL) -> str:
        """The id of the newest entry, `0-0` where there is none: from here on everything is new."""
        rows = await self._wire.one("XREVRANGE", self.stream(topic, priority), "+", "-", "COUNT", 1)
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
