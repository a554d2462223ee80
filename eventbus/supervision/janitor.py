"""Keeps topics and groups tidy: ends what belongs to processes that are gone, trims, mends, and says who is not served."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.consuming import Instance
from eventbus.errors import BackendRefused
from eventbus.events import NORMAL
from eventbus.streams import UNSERVED, foreign_silences, keys, note_levels, silences, trim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from eventbus.consuming import Consumer
    from eventbus.delivery import Alive, Settings, Topics
    from eventbus.events import Topic
    from eventbus.streams import Trimmed, Wire

_log = logging.getLogger("eventbus.supervision")

SILENCE: Final = 3.0
"""Leases without a heartbeat after which a consumer that owes nothing is removed."""

REPEAT: Final = 3_600.0
"""Seconds between warnings about the same thing."""


@dataclass(slots=True)
class JanitorCounts:
    """Plain counters, read when somebody asks.

    Attributes:
        trimmed: Settled entries this process trimmed.
        cut: Entries it cut by a hard cap before some group had settled them.
        retired: Consumers it removed.
        ended: Groups of processes of a broadcast that were gone.
        mended: Parked copies without a due time it gave one.
    """

    trimmed: int = 0
    cut: int = 0
    retired: int = 0
    ended: int = 0
    mended: int = 0


class Janitor:
    """Tidy up every topic this bus consumes, or publishes to with a hard cap.

    Guarantees:
        Nothing that a group has not settled is trimmed, unless the topic has a hard cap: then what was cut is
        counted and logged. Nothing pending is ever removed with its consumer. Several janitors at once are safe.
    Stops:
        Between commands.
    Survives:
        A lost group (other loops heal it). Anything else: `run` raises and is started again by the supervisor.
    Redis cost:
        Every `claim_interval` two scripts a subscription, and a ZRANGE, an SMEMBERS and a script a topic; of a topic with
        priorities all but the ZRANGE for each of them; for a broadcast two commands a lease, and one for each of its other
        processes.
    """

    def __init__(self, wire: Wire, settings: Settings, topics: Topics) -> None:
        self._wire = wire
        self._settings = settings
        self._topics = topics
        self._said: dict[tuple[str, ...], float] = {}
        self.counts = JanitorCounts()
        self.consumers: Sequence[Consumer] = ()

    async def run(self, alive: Alive) -> None:
        """Tidy up for as long as the bus is open."""
        while True:
            await anyio.sleep(self._settings.claim_interval * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
            await self.run_once()
            alive()

    async def run_once(self) -> None:
        """Tidy up once; what is refused for one topic does not keep the others from it.

        Raises:
            BackendUnavailable: Redis does not answer.
            BackendRefused: It refused something: the first of it.
        """
        steps: list[Callable[[], Awaitable[object]]] = [partial(self._tidy, consumer) for consumer in self.consumers]
        steps += [partial(self._end_silent, each) for each in self.consumers if isinstance(each, Instance)]
        steps += [partial(self._note_priorities, topic) for topic in self._topics if topic.priorities or self._consumes(topic)]
        steps += [partial(self.trim, topic, each) for topic in self._wanted() for each in topic.priorities or (NORMAL,)]
        refusals: list[BackendRefused] = []
        for step in steps:
            try:
                await step()
            except BackendRefused as error:
                refusals.append(error)
        if refusals:
            raise refusals[0]

    def _wanted(self) -> list[Topic]:
        return [topic for topic in self._topics if topic.hard or self._consumes(topic)]

    def _consumes(self, topic: Topic) -> bool:
        return any(consumer.subscription.topic == topic.name for consumer in self.consumers)

    async def _note_priorities(self, topic: Topic) -> None:
        """Say which priorities a topic has, and name those whose events nobody reads here although they wait."""
        stream = self._settings.prefix + topic.name
        others = await note_levels(self._wire, stream, topic.priorities)
        waiting = [name for name in others if await self._wire.one("XLEN", keys.level(stream, name))]
        if waiting and self._consumes(topic) and self._may_say("priorities", topic.name):
            _log.warning(
                "topic %r has priorities that are not declared here, and whose events this process does not read: %s; "
                "declare them: Topic(%r, priorities=(…))",
                topic.name,
                ", ".join(waiting),
                topic.name,
            )

    async def _tidy(self, consumer: Consumer) -> None:
        retired = await consumer.commands.retire(silence=SILENCE * consumer.membership.lease)
        self.counts.retired += len(retired)
        mended = await consumer.commands.mend_due()
        if mended:
            self.counts.mended += mended
            _log.error("%s: %d parked events had lost their due times; they are due now", consumer.subscription, mended)

    async def _end_silent(self, instance: Instance) -> None:
        """Once a lease: they are looked for among all groups of the topic."""
        if self._may_say("silent", str(instance.subscription), every=instance.membership.lease):
            self.counts.ended += await instance.end_silent()

    async def trim(self, topic: Topic, priority: str = NORMAL) -> Trimmed:
        """Trim the stream of one priority as its topic declares, and store its groups' watermarks."""
        stream, where = keys.level(self._settings.prefix + topic.name, priority), _named(topic, priority)
        trimmed = await trim(self._wire, stream, max_len=topic.max_len, max_age=topic.seconds, hard=topic.hard)
        self.counts.trimmed += trimmed.settled
        if trimmed.unsettled:
            self._say_cut(where, trimmed)
        if trimmed.missing and self._may_say("missing", where, *trimmed.missing):
            names = ", ".join(trimmed.missing)
            _log.warning("topic %s is not trimmed: groups %s are gone from it; serve them, or `eventbus groups abandon`", where, names)
        if self._may_say("unserved", where):
            await self._name_unserved(where, stream)
        return trimmed

    def _say_cut(self, where: str, trimmed: Trimmed) -> None:
        self.counts.cut += trimmed.unsettled
        behind = ", ".join(trimmed.holding) or "it has none"
        _log.error(
            "topic %s: its hard cap cut %d entries that were not settled by every group; furthest behind: %s",
            where,
            trimmed.unsettled,
            behind,
        )

    async def _name_unserved(self, where: str, stream: str) -> None:
        for group, days in _unserved(await silences(self._wire, stream)):
            _log.warning(
                "group %r holds back the trimming of topic %s: nobody has served it for %.1f days; serve it, or `eventbus groups abandon`",
                group,
                where,
                days,
            )
        for group, days in _unserved(await foreign_silences(self._wire, stream)):
            _log.warning(
                "group %r of another program holds back the trimming of topic %s: its consumers gave no sign for %.1f days; "
                "start them, or, if nobody uses it any more, XGROUP DESTROY",
                group,
                where,
                days,
            )

    def _may_say(self, *what: str, every: float = REPEAT) -> bool:
        now = anyio.current_time()
        if now - self._said.get(what, -every) < every:
            return False
        self._said[what] = now
        return True


def _unserved(found: Mapping[str, float | None]) -> list[tuple[str, float]]:
    """The groups that were silent for too long, and for how many days."""
    return [(group, silent / 86_400) for group, silent in found.items() if silent is not None and silent >= UNSERVED]


def _named(topic: Topic, priority: str) -> str:
    return f"{topic.name!r} (priority {priority!r})" if topic.priorities else f"{topic.name!r}"
