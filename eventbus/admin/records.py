"""What inspecting answers: frozen records. Ages and idle times are seconds on the server's clock."""

from __future__ import annotations

from dataclasses import dataclass

from eventbus.events import NORMAL


@dataclass(frozen=True, slots=True)
class Lag:
    """How many entries a group has not been given yet.

    Attributes:
        entries: The number, or the number at which counting stopped.
        exact: False where there are more than `entries`.
    """

    entries: int
    exact: bool = True

    def __str__(self) -> str:
        """As people read it: `17`, `10000+`."""
        return f"{self.entries}" if self.exact else f"{self.entries}+"


@dataclass(frozen=True, slots=True)
class ConsumerInfo:
    """A consumer of a group: one process, now or earlier.

    Attributes:
        name: `service.host.pid.random`.
        pending: Entries of the topic it was given and has not settled.
        retry_pending: The same of the group's retry stream.
        idle: Seconds since it last asked for entries, and before Redis 7.2 since it was last given or claimed
            some: there a long time may only mean that nothing came.
    """

    name: str
    pending: int
    retry_pending: int
    idle: float


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A consumer group of a topic.

    Attributes:
        name: Its name.
        lag: Entries of the topic it was not given yet.
        pending: Entries of the topic that were given to a consumer and are not settled.
        last_delivered: The id of the last entry it was given.
        retry_entries: Entries in its private retry stream: given and not settled, or not given yet.
        retry_pending: Those of them that were given to a consumer.
        consumers: Its consumers, those of ended processes included as long as they owe something.
        ours: Whether it was made by eventbus.
        parked: Entries that wait for their time: a retry, or a member that knows their type.
        due: Those of them whose time has come; a member puts them into the retry stream within moments.
        dead: Its dead letters.
        living: Members whose heartbeat is younger than their lease.
        served: Seconds since the last heartbeat of any member; None where none was ever written.
        cut: Entries a hard cap cut before the group had settled them.
        broadcast: Of the group of one process of a broadcast the name they share; its dead letters stand under that. "" else.
        owner: The consumer that alone handles its events, where it is ordered and owned; else None.
    """

    name: str
    lag: Lag
    pending: int
    last_delivered: str
    retry_entries: int
    retry_pending: int
    consumers: tuple[ConsumerInfo, ...]
    ours: bool
    parked: int = 0
    due: int = 0
    dead: int = 0
    living: int = 0
    served: float | None = None
    cut: int = 0
    broadcast: str = ""
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a topic begins or ends.

    Attributes:
        id: The entry id.
        age: Seconds since it was written, by its id.
    """

    id: str
    age: float


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """Everything about one topic.

    Attributes:
        topic: The topic's name.
        stream: Its stream: the prefix and the name.
        length: Entries in it.
        first: The oldest entry, None where it is empty.
        last: The newest.
        memory: Bytes of the stream's key, or None where the server does not say.
        groups: Its groups.
        lost_groups: Groups that eventbus made and that Redis does not have any more.
        priority: Whose stream it is: "normal" for the topic's own.
        levels: The streams of its other priorities, the most urgent first; empty for a topic of one stream.
    """

    topic: str
    stream: str
    length: int
    first: Entry | None
    last: Entry | None
    memory: int | None
    groups: tuple[GroupInfo, ...]
    lost_groups: tuple[str, ...]
    priority: str = NORMAL
    levels: tuple[TopicInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class TopicSummary:
    """A topic in a list.

    Attributes:
        topic: The topic's name.
        length: Entries in it; None where its key is gone or holds another Redis type.
        last: The newest entry, None where it is empty.
        memory: Bytes of the stream's key, or None where the server does not say.
        groups: How many groups it has.
        pending: Entries of the topic pending in all of them.
        priority: Whose stream it is: "normal" for the topic's own.
    """

    topic: str
    length: int | None
    last: Entry | None
    memory: int | None
    groups: int
    pending: int
    priority: str = NORMAL


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The server a topic is on.

    Attributes:
        product: "redis" or "valkey".
        version: Redis's version, or the one that a Valkey claims to be compatible with.
        memory: Bytes in use.
        memory_limit: Bytes it may use (`maxmemory`), or None for no limit.
    """

    product: str
    version: str
    memory: int
    memory_limit: int | None


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """An entry that was given to a consumer and is not settled.

    Attributes:
        id: The entry id.
        consumer: Who was given it.
        idle: Seconds since it was given, or since its lease was renewed.
        deliveries: How often it was given to somebody, as Redis counts.
    """

    id: str
    consumer: str
    idle: float
    deliveries: int


@dataclass(frozen=True, slots=True)
class PendingInfo:
    """What is pending for a group in one of its two streams.

    Attributes:
        stream: The stream's key.
        retry: Whether it is the group's private retry stream.
        total: How many entries are pending, those of all consumers or of the one asked about.
        entries: The first of them, by id.
        priority: The priority it belongs to.
    """

    stream: str
    retry: bool
    total: int
    entries: tuple[PendingEntry, ...]
    priority: str = NORMAL


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """A group that has dead letters.

    Attributes:
        group: Its name; it may have been abandoned.
        dead: How many.
        oldest: The first of them.
        newest: The last.
        priority: At which priority of the topic.
    """

    group: str
    dead: int
    oldest: Entry
    newest: Entry
    priority: str = NORMAL
