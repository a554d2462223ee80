"""`eventbus replay`: what the command does, and how it shows it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import typer

from eventbus.admin.ranges import written_at
from eventbus.cli.asking import Progress, confirm
from eventbus.cli.exits import Code, say
from eventbus.cli.moments import id_or_time, parse_beginning
from eventbus.cli.options import Output, administered
from eventbus.cli.render import document, line
from eventbus.errors import ConfigurationError
from eventbus.events import NORMAL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventbus.admin import Admin, Replayed


@dataclass(frozen=True, slots=True)
class Where:
    """Whose replay, and how to answer."""

    topic: str
    group: str
    priority: str | None
    url: str | None
    prefix: str
    output: Output


@dataclass(frozen=True, slots=True)
class Asked:
    """Which replay is meant, as it was said on the command line.

    Raises:
        ConfigurationError: No beginning; a moment that is none; or more than `resume` takes.
    """

    begin: str | None
    end: str | None
    resume: bool
    anew: bool

    def __post_init__(self) -> None:
        if self.resume and (self.begin or self.end or self.anew):
            raise ConfigurationError("replay: --resume goes on with the range that was begun; leave out --from, --to and --anew")
        if not self.resume and self.begin is None:
            raise ConfigurationError("replay: say where to begin: --from 2h, --from 1763709419123-0, or --resume")
        for text, option in ((self.begin, "--from"), (self.end, "--to")):
            if text is not None:
                parse_beginning(text, option)

    async def call(self, admin: Admin, where: Where) -> Callable[..., Awaitable[Replayed]]:
        """The call that it means; times are counted back from the server's clock, once."""
        if self.begin is None:
            return partial(admin.resume_replay, where.topic, where.group, priority=where.priority)
        now = await admin.now()
        first = id_or_time(self.begin, "--from", now)
        last = None if self.end is None else id_or_time(self.end, "--to", now)
        return partial(admin.replay, where.topic, where.group, from_=first, to=last, priority=where.priority, anew=self.anew)


async def replay(where: Where, asked: Asked, *, rate: float | None, ahead: int | None, dry_run: bool, yes: bool) -> None:
    """Hand a range of a topic to a group again."""
    async with administered(where.url, where.prefix) as admin:
        chosen = where.priority or NORMAL
        if others := [each for each in await admin.priorities(where.topic) if each != chosen]:
            say(f"only priority {chosen!r} is replayed; the topic has others, too: {', '.join(others)}")
        call = partial(await asked.call(admin, where), rate=rate, ahead=ahead)
        found = await call(dry_run=True) if dry_run or not yes else None
        if found is None or not (dry_run or found.repeated):
            if found is not None and found.copied:
                confirm(_plan(found, where), yes=yes)
            found = await _replay(call, where, None if found is None else found.copied)
    if where.output is Output.JSON:
        document({"topic": where.topic, "group": where.group, **asdict(found), "incomplete": found.incomplete})
    else:
        line(f"{'would replay' if dry_run else 'replayed'} {_count(found.copied)} to group {where.group}, {found.begin} to {found.until}")
    _explain(found)
    if found.cut and not dry_run:
        raise typer.Exit(Code.FAILED)


async def _replay(call: Callable[..., Awaitable[Replayed]], where: Where, total: int | None) -> Replayed:
    progress = Progress("replayed", total)

    def note(so_far: Replayed) -> None:
        progress(so_far.copied)

    try:
        return await call(progress=note)
    except asyncio.CancelledError:
        level = f" --priority {where.priority}" if where.priority else ""
        say(f"interrupted: {progress.done} were replayed so far; eventbus replay {where.topic} {where.group}{level} --resume goes on")
        raise


def _plan(found: Replayed, where: Where) -> str:
    lost = f"; {_not_kept(found)}" if found.incomplete else ""
    return (
        f"{_count(found.copied)} of topic {where.topic!r}, {found.begin} to {found.until}, will be handled again by group "
        f"{where.group!r}{lost}"
    )


def _explain(found: Replayed) -> None:
    """Say what was left out, and why."""
    if found.repeated:
        say(f"nothing was done now: this range was replayed within the last day, {found.copied} copied; --anew does it again")
    if found.incomplete and not found.cut:
        say(_not_kept(found))
    if found.cut:
        say(f"entries from {found.cut[0]} up to {found.cut[1]} were trimmed or deleted before they could be copied")
    if found.pending:
        say(f"{_count(found.pending)} passed over: the group holds them unsettled, and handles them anyway")
    if found.unread.entries:
        say(f"{found.unread} of the range were not given to the group yet when the replay began: it gets them anyway")
    if found.large:
        say(f"{_count(len(found.large))} with too many fields to be copied: {', '.join(found.large[:10])}")


def _not_kept(found: Replayed) -> str:
    if not found.kept_from:
        return "the topic is empty: entries of the range may no longer be kept"
    before = f"entries before {found.kept_from} ({written_at(found.kept_from)})"
    if found.removed is None:
        return f"{before} may no longer be kept: Redis before 7.0 does not say whether any were removed"
    return f"{before} are no longer kept: {found.removed} were removed"


def _count(number: int) -> str:
    return f"{number} entr{'y' if number == 1 else 'ies'}"
