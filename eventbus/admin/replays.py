"""One group's replay: a range of its topic is handed to it again, and to no other group."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Final

import anyio

from eventbus.admin.lag import LAG_LIMIT
from eventbus.admin.pacing import batch_size, check_rate, pause, persistently
from eventbus.admin.ranges import Range, written_at
from eventbus.admin.records import Lag
from eventbus.errors import ConfigurationError, NotFound, ReplayUnfinished
from eventbus.events import is_count
from eventbus.streams import parse_id
from eventbus.streams.replays import At, ReplayCommands

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventbus.streams import Group
    from eventbus.streams.replays import Place, Step
    from eventbus.streams.scripts import Caller

AHEAD: Final = 1_000
"""Entries in the group's private stream from which on a replay waits: so many may have been copied and not be settled yet."""

LOOK: Final = 0.05
"""Seconds between two looks whether the group has settled some of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay did so far, or would do.

    Attributes:
        copied: Entries that were put into the group's private stream; what earlier calls of the same replay did included.
        pending: Entries passed over, since a consumer of the group holds them unsettled: they are handled anyway.
        large: Ids of those with more fields than a script can copy (some 3,900): they are not replayed.
        unread: Entries of the range that the group had not been given when the replay began: it gets them anyway.
        begin: The first id of the range.
        until: The last id of it: of what was asked for as much as there was, and as the group had been given.
        kept_from: The first entry the topic still had when the replay began; "" where it had none.
        removed: How many entries the topic had lost by then to trimming and deleting; None where the server (before Redis
            7.0) does not say.
        cut: Where entries were cut while the replay ran, before they could be copied: from the first of these ids on, at
            most up to the second. None where nothing was.
        waiting: Entries in the group's private stream: copied and not settled, retries and redriven ones among them.
        resumed: An earlier call had begun it.
        repeated: The same range was replayed within the last day, and nothing was done now: `anew=True` does it again.
        dry_run: Nothing was written; `copied` says how many would be.
    """

    copied: int = 0
    pending: int = 0
    large: tuple[str, ...] = ()
    unread: Lag = Lag(0)  # noqa: RUF009 - frozen
    begin: str
    until: str
    kept_from: str
    removed: int | None
    cut: tuple[str, str] | None = None
    waiting: int = 0
    resumed: bool = False
    repeated: bool = False
    dry_run: bool = False

    @property
    def incomplete(self) -> bool:
        """Whether entries of the range may be missing, since they are no longer kept (surely so, if `cut`)."""
        before = self.removed != 0 and (not self.kept_from or parse_id(self.begin) < parse_id(self.kept_from))
        return before or self.cut is not None


class Standing(Enum):
    """What stands in the way of a replay that is to begin, or is it itself."""

    NOTHING = auto()
    """None, or another one that is done."""
    SAME = auto()
    """The same range, unfinished: go on with it."""
    REPEATED = auto()
    """The same range, done."""
    OTHER = auto()
    """Another range, unfinished."""


NAMES: Final = frozenset(
    (
        "id",
        "from",
        "to",
        "begin",
        "until",
        "cursor",
        "copied",
        "pending",
        "large",
        "cutfrom",
        "cutto",
        "first",
        "removed",
        "unread",
        "begun",
    )
)
"""What is noted of each replay."""


def whole(noted: Mapping[str, str]) -> bool:
    """Whether a replay is noted; what another hand wrote in its place is none."""
    numbers = (noted.get(name, "") for name in ("copied", "pending", "unread"))
    return noted.keys() >= NAMES and "".join(noted.values()).isascii() and all(each.isdecimal() for each in numbers)


def standing(noted: Mapping[str, str], wanted: Range, *, anew: bool) -> Standing:
    """Choose what to do about the replay that is noted for a group."""
    if not whole(noted) or anew:
        return Standing.NOTHING
    same = (noted["from"], noted["to"]) == (wanted.first, wanted.last or "")
    if noted.get("done"):
        return Standing.REPEATED if same else Standing.NOTHING
    return Standing.SAME if same else Standing.OTHER


def read(facts: Mapping[str, str], *, waiting: int = 0, resumed: bool = False) -> Replayed:
    """What a replay did so far, from what is noted about it."""
    unread = int(facts["unread"])
    return Replayed(
        copied=int(facts["copied"]),
        pending=int(facts["pending"]),
        large=tuple(facts["large"].split()),
        unread=Lag(min(unread, LAG_LIMIT), exact=unread <= LAG_LIMIT),
        begin=facts["begin"],
        until=facts["until"],
        kept_from=facts["first"],
        removed=int(facts["removed"]) if facts["removed"] else None,
        cut=(facts["cutfrom"], facts["cutto"]) if facts["cutfrom"] else None,
        waiting=waiting,
        resumed=resumed,
    )


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a replay goes.

    Attributes:
        rate: Most entries a second; None for no limit.
        ahead: Entries in the private stream from which on it waits; None for no bound.
    """

    rate: float | None
    ahead: int | None

    def __post_init__(self) -> None:
        check_rate(self.rate)
        if self.ahead is not None and not is_count(self.ahead):
            raise ConfigurationError(f"ahead {self.ahead!r}: give a whole number of entries, at least 1; None for no bound")


class Replays:
    """The replay of one group; see `Admin.replay`.

    Args:
        wire: A connection that may wait for slow commands.
        group: The group.
        topic: Its topic's name.
    """

    def __init__(self, wire: Caller, group: Group, *, topic: str) -> None:
        self._commands = ReplayCommands(wire, group)
        self._stream = group.stream
        self._where = f"group {group.name!r} of topic {topic!r}"
        self._topic = topic

    async def unfinished(self) -> Replayed | None:
        """The replay that was begun and is not done, or None."""
        noted = await self._commands.noted()
        return read(noted, resumed=True) if whole(noted) and not noted.get("done") else None

    async def replay(
        self, wanted: Range, pace: Pace, *, anew: bool, dry_run: bool, progress: Callable[[Replayed], None] | None
    ) -> Replayed:
        """Replay a range, or go on with it."""
        mine = token_hex(8)
        while True:
            noted = await self._commands.noted()
            match Standing.SAME if noted.get("id") == mine else standing(noted, wanted, anew=anew):
                case Standing.REPEATED:
                    return replace(read(noted), repeated=True, dry_run=dry_run)
                case Standing.OTHER:
                    raise ReplayUnfinished(self._in_the_way(noted))
                case Standing.SAME:
                    return await self._go_on(noted, pace, dry_run=dry_run, progress=progress, resumed=noted["id"] != mine)
                case Standing.NOTHING:
                    facts = await self._plan(wanted, mine)
                    if dry_run or not facts["cursor"]:
                        return await self._look(facts) if facts["cursor"] else replace(read(facts), dry_run=dry_run)
                    # Where the answer is lost, or another one was faster, the next look finds what stands there.
                    await persistently(partial(self._commands.begin, facts, instead_of=noted.get("id", "")))

    async def resume(self, pace: Pace, *, dry_run: bool, progress: Callable[[Replayed], None] | None) -> Replayed:
        """Go on with the replay that is unfinished, whatever its range is."""
        noted = await self._commands.noted()
        if not whole(noted) or noted.get("done"):
            raise NotFound(f"there is no unfinished replay for {self._where}")
        return await self._go_on(noted, pace, dry_run=dry_run, progress=progress, resumed=True)

    async def _plan(self, wanted: Range, mine: str) -> dict[str, str]:
        """A replay as it is noted when it begins; its `cursor` is "" where there is nothing to copy."""
        place = await self._commands.place()
        if place is None:
            raise NotFound(f"there is no topic {self._topic!r} (stream {self._stream!r}) on this server, so nothing to replay")
        given = self._given(place)
        wanted.check_past(place.newest, place.now)
        check_kept(wanted, place, self._topic)
        last = min(wanted.last or place.newest, place.last or "0-0", key=parse_id)
        until = min(last, given, key=parse_id)
        cursor = await self._commands.first_from(wanted.first, until) if parse_id(wanted.first) <= parse_id(until) else None
        behind = max(wanted.first, f"({given}", key=lambda each: parse_id(each.removeprefix("(")))
        unread = await self._commands.count(behind, last, limit=LAG_LIMIT + 1) if parse_id(given) < parse_id(last) else 0
        return {
            "id": mine,
            "from": wanted.first,
            "to": wanted.last or "",
            "begin": wanted.first,
            "until": until,
            "cursor": cursor or "",
            "first": place.first or "",
            "removed": "" if place.removed is None else str(place.removed),
            "unread": str(unread),
            **dict.fromkeys(("copied", "pending"), "0"),
            **dict.fromkeys(("large", "cutfrom", "cutto"), ""),
        }

    def _given(self, place: Place) -> str:
        if not place.ours:
            raise NotFound(f"there is no {self._where} that eventbus made: nobody would handle what is replayed")
        if place.given is None:
            raise NotFound(self._lost())
        return place.given

    async def _look(self, facts: Mapping[str, str]) -> Replayed:
        so_far = read(facts)
        found = await self._commands.look(facts["cursor"], facts["until"])
        if found is None:
            raise NotFound(self._lost())
        copied, pending = so_far.copied + found.copied, so_far.pending + found.pending
        return replace(so_far, copied=copied, pending=pending, large=(*so_far.large, *found.large), dry_run=True)

    async def _go_on(
        self, noted: Mapping[str, str], pace: Pace, *, dry_run: bool, progress: Callable[[Replayed], None] | None, resumed: bool
    ) -> Replayed:
        if dry_run:
            return replace(await self._look(noted), resumed=True)
        started, size, before = anyio.current_time(), batch_size(pace.rate), int(noted["copied"])
        copied = before
        while True:
            step, _ = await persistently(partial(self._commands.step, noted["id"], count=size, ahead=pace.ahead))
            so_far = read(self._checked(step), waiting=step.waiting, resumed=resumed)
            if progress is not None:
                progress(so_far)
            if step.at is At.DONE:
                return so_far
            full = so_far.copied - copied < size
            copied = so_far.copied
            await anyio.sleep(max(LOOK if full else 0, pause(copied - before, pace.rate, passed=anyio.current_time() - started)))

    def _checked(self, step: Step) -> Mapping[str, str]:
        match step.at:
            case At.UNSERVED:
                raise NotFound(f"{self._where} was abandoned meanwhile: nobody would handle what is replayed")
            case At.LOST:
                raise NotFound(self._lost())
            case At.OTHER:
                raise ReplayUnfinished(
                    f"the replay for {self._where} was given up: another one was begun anew in its place, or Redis lost its data; what was "
                    f"copied stays"
                )
            case At.MORE | At.DONE:
                return step.facts

    def _lost(self) -> str:
        return f"there is no place of {self._where} in Redis, which lost it: start a service that serves it, then replay"

    def _in_the_way(self, noted: Mapping[str, str]) -> str:
        asked = f"from {noted['from']} to {noted['to'] or 'what was the end'}"
        since = written_at(noted["begun"])
        return (
            f"{self._where} has an unfinished replay, {asked}, begun at {since}, {noted['copied']} copied: resume it "
            f"(resume_replay, --resume), or begin this one in its place (anew=True, --anew)"
        )


def check_kept(wanted: Range, place: Place, topic: str) -> None:
    """Refuse a range of which nothing is kept any more.

    Raises:
        NotFound: All of it is older than the first entry kept, and entries were, or may have been, removed.
    """
    if place.removed == 0 or place.newest == "0-0":
        return
    count = "entries" if place.removed is None else f"{place.removed} entries"
    if place.first is None:
        raise NotFound(f"there is no entry left in topic {topic!r}: {count} of it were removed, nothing is left to replay")
    if wanted.last is not None and parse_id(wanted.last) < parse_id(place.first):
        raise NotFound(
            f"there is no entry up to {wanted.last} in topic {topic!r} any more: what is kept begins with {place.first} "
            f"({written_at(place.first)}), and {count} were removed"
        )
