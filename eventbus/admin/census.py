"""Counts what groups owe, now and then, in one process of each group: for metrics."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

from eventbus.admin.asking import ask
from eventbus.admin.counting import GroupCensus, Unserved, count_group, find_unserved
from eventbus.admin.replies import Heartbeat
from eventbus.errors import BackendRefused
from eventbus.streams import Wire, keys
from eventbus.streams.clock import in_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eventbus.delivery import Alive, Subscription
    from eventbus.streams import Connections

_log = logging.getLogger("eventbus.admin.census")

INTERVAL: Final = 15.0
"""Seconds between two countings: what Prometheus usually waits between two scrapes."""

SOON: Final = 1.0
"""Seconds until the next look where this process does not consume yet, or has not written its heartbeat."""

STALE: Final = 3 * INTERVAL
"""Seconds after which a counting is not shown any more: an old number looks like a calm group."""


def elected(members: Mapping[bytes, Heartbeat], name: bytes) -> bool:
    """Choose who counts: of the members that live, the one with the smallest name. Pure.

    A member lives when its heartbeat is less than its lease older than the newest one. Not older than now: at
    `maxmemory` no heartbeat is written, and somebody shall count exactly then.
    """
    newest = max((member.time for member in members.values()), default=0.0)
    living = [each for each, member in members.items() if newest - member.time < member.lease * 1000]
    return min(living, default=None) == name


class _Taken(NamedTuple):
    at: float
    groups: tuple[GroupCensus, ...]
    unserved: tuple[Unserved, ...]


_NOTHING: Final = _Taken(-math.inf, (), ())


class Census:
    """Count what the groups of a bus owe; in each group, one process does it for all.

    Nobody is locked out: every process looks at the group's heartbeats before each counting, and the one with
    the smallest name counts. When that one dies, nobody counts until its heartbeat is a lease old; when one with
    a smaller name comes, two may show numbers for `STALE` seconds at most.

    Guarantees:
        Numbers are shown for `STALE` seconds, then no more. No other process's group is counted here.
    Stops:
        When cancelled; it owes nothing.
    Survives:
        BackendUnavailable: `run` raises and is started again by the supervisor. A refusal (a key of another
        type, a restricted user) costs that group's numbers and a line in the log.
    Redis cost:
        One connection. Every `interval` for each group: HGETALL and TIME; in the elected process twelve
        commands more, and one for each group of the topic; where the server does not know the lag, up to 11
        XRANGEs of 100 entries, payloads included.

    Args:
        consumed: Says which subscriptions this process consumes now.
        interval: Seconds between two countings.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        consumed: Callable[[], Sequence[Subscription]],
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumed = consumed
        self._interval = interval
        self._clock = clock
        self._taken = _NOTHING
        self._refused: set[str] = set()
        self._unknown: set[tuple[str, str, str | None]] = set()

    @property
    def groups(self) -> tuple[GroupCensus, ...]:
        """The groups that this process counted lately. May be asked from any thread."""
        return self._fresh().groups

    @property
    def unserved(self) -> tuple[Unserved, ...]:
        """Groups of the same topics that nobody has served for a day."""
        return self._fresh().unserved

    def _fresh(self) -> _Taken:
        taken = self._taken
        return taken if self._consumed() and self._clock() - taken.at < STALE else _NOTHING

    async def run(self, connections: Connections, name: str, alive: Alive) -> None:
        """Count until cancelled.

        Args:
            connections: Where Redis is.
            name: This process's consumer name.
            alive: Called after each counting.
        """
        wire = Wire(connections, "counting what groups owe")
        try:
            while True:
                counted = await self.run_once(wire, name)
                alive()
                await anyio.sleep(self._interval if counted else min(SOON, self._interval))
        finally:
            await wire.close()

    async def run_once(self, wire: Wire, name: str) -> bool:
        """Count the groups in which this process is elected.

        Returns:
            Whether this process could be elected: it consumes, and has a heartbeat in every group.

        Raises:
            BackendUnavailable: No answer; the last numbers stay until they are stale.
        """
        groups: list[GroupCensus] = []
        unserved: dict[tuple[str, str, str | None], Unserved] = {}
        subscriptions = self._consumed()
        announced = bool(subscriptions)
        for subscription in subscriptions:
            try:
                members, now = await _look(wire, subscription)
                announced &= name.encode() in members
                if not elected(members, name.encode()):
                    continue
                counted = await count_group(wire, subscription, now)
                others = await find_unserved(wire, subscription)
            except BackendRefused as error:
                self._say_refused(subscription, error)
                continue
            if counted:
                self._say_lag(counted, str(subscription))
                groups.append(counted)
            unserved |= {(each.topic, each.group, each.priority): each for each in others}
        self._taken = _Taken(self._clock(), tuple(groups), tuple(unserved.values()))
        return announced

    def _say_lag(self, counted: GroupCensus, name: str) -> None:
        """Say once that a lag has become unknown; Redis forgets it when an entry is deleted that nobody was given."""
        place = (counted.topic, counted.group, counted.priority)
        if counted.lag.exact:
            self._unknown.discard(place)
        elif place not in self._unknown:
            self._unknown.add(place)
            _log.warning("the lag of %s is unknown: Redis does not say, and it is more than %d", name, counted.lag.entries)

    def _say_refused(self, subscription: Subscription, error: BackendRefused) -> None:
        if str(subscription) not in self._refused:
            self._refused.add(str(subscription))
            _log.warning("%s cannot be counted for metrics: %s", subscription, error)


async def _look(wire: Wire, subscription: Subscription) -> tuple[dict[bytes, Heartbeat], int]:
    """The heartbeats of a group, and the server's time in milliseconds."""
    flat, clock = await ask(wire, ("HGETALL", keys.members(subscription.stream, subscription.group)), ("TIME",))
    found = ((who, Heartbeat.read(raw)) for who, raw in zip(flat[::2], flat[1::2], strict=True))
    return {who: beat for who, beat in found if beat is not None}, in_milliseconds(clock)
