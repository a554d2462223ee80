"""`eventbus dead`: what the commands do, and how they show it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import typer

from eventbus.admin import Filter, Followed
from eventbus.admin.letters import described
from eventbus.cli.asking import Progress, confirm
from eventbus.cli.entries import as_document
from eventbus.cli.exits import Code, say
from eventbus.cli.moments import parse_beginning
from eventbus.cli.options import Output, administered
from eventbus.cli.render import NOTHING, document, line, seconds, size, table, with_priority
from eventbus.errors import ConfigurationError, NotFound
from eventbus.events import NORMAL
from eventbus.observe import escaped_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from eventbus.admin import Admin, DeadEntry, DeadLetter, DeadLetters, Redriven
    from eventbus.cli.moments import Beginning

_NAMED: Final = 10
"""Ids a sentence names."""


@dataclass(frozen=True, slots=True)
class Where:
    """Whose dead letters, and how to answer."""

    topic: str
    group: str
    url: str | None
    prefix: str
    output: Output
    priority: str = NORMAL

    def __str__(self) -> str:
        """As a sentence names it."""
        level = "" if self.priority == NORMAL else f", priority {self.priority!r}"
        return f"group {self.group!r} on topic {self.topic!r}{level}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters a command is about, as it was said on the command line.

    Attributes:
        ids: Their ids.
        every: All were asked for.
        type: Only events of this type.
        error: Only this class of exception.
        reason: Only this reason.
        since: Only what died from then on.
        until: Only what died before.

    Raises:
        ConfigurationError: A moment is none, or ids stand beside a filter.
    """

    ids: tuple[str, ...] = ()
    every: bool = False
    type: str | None = None
    error: str | None = None
    reason: str | None = None
    since: str | None = None
    until: str | None = None

    def __post_init__(self) -> None:
        self._moments()

    def _moments(self) -> list[Beginning | None]:
        given = ((self.since, "--since"), (self.until, "--until"))
        return [None if text is None else parse_beginning(text, option) for text, option in given]

    @property
    def filtered(self) -> bool:
        """Whether a filter was given."""
        return any(part is not None for part in (self.type, self.error, self.reason, self.since, self.until))

    def check_says_which(self, verb: str) -> None:
        """Refuse to guess which are meant.

        Raises:
            ConfigurationError: Neither ids nor a filter nor --all were given, or ids beside one of the others.
        """
        if self.ids and (self.every or self.filtered):
            raise ConfigurationError(f"{verb}: name dead letters by their ids, or filter them; not both")
        if not self.ids and not self.every and not self.filtered:
            raise ConfigurationError(f"{verb}: say which: ids, a filter such as --error TimeoutError, or --all")

    async def filter(self, admin: Admin) -> Filter:
        """The filter; times are counted back from the server's clock."""
        moments = self._moments()
        now = await admin.now() if any(moments) else 0.0
        since, until = (_moment(each, now) for each in moments)
        return Filter(type=self.type, error=self.error, reason=self.reason, since=since, until=until)


async def count_groups(topic: str, *, url: str | None, prefix: str, output: Output) -> None:
    """Show which groups of a topic have dead letters."""
    async with administered(url, prefix) as admin:
        found = await admin.dead_letter_groups(topic)
        if not found and await admin.topic(topic) is None:
            raise admin.no_topic(topic)
    if output is Output.JSON:
        for each in found:
            document({"topic": topic, **asdict(each)})
    elif found:
        levels = any(each.priority != NORMAL for each in found)
        rows = [(each.group, each.dead, f"{seconds(each.oldest.age)} ago", f"{seconds(each.newest.age)} ago") for each in found]
        table(
            with_priority(("GROUP", "DEAD", "OLDEST", "NEWEST"), levels),
            (with_priority(row, levels, each.priority) for row, each in zip(rows, found, strict=True)),
        )
    else:
        line(f"no group of topic {topic} has dead letters")


async def list_letters(where: Where, wanted: Wanted, *, count: int, newest: bool, after: str | None) -> None:
    """List dead letters, a line each."""
    async with _room(where) as (admin, dead):
        found = await dead.page(await wanted.filter(admin), count=count + 1, newest=newest, after=after)
    shown = found[:count]
    if where.output is Output.JSON:
        for letter in shown:
            document(_public(letter))
    elif shown:
        columns = ("ID", "FAILED", "TYPE", "REASON", "ERROR", "ATTEMPTS", "REDRIVES", "ENTRY", "SIZE")
        table(columns, map(_row, shown))
    else:
        line("no dead letters" + (" that match" if wanted.filtered else ""))
    if len(found) > count:
        say(f"there are more: --after {shown[-1].id} goes on")


async def count_letters(where: Where, wanted: Wanted) -> None:
    """Say how many dead letters are meant."""
    async with _room(where) as (admin, dead):
        total = await dead.count(await wanted.filter(admin))
    if where.output is Output.JSON:
        document({"topic": where.topic, "group": where.group, "dead": total})
    else:
        line(f"{total}")


async def show_letter(where: Where, dead_id: str | None) -> None:
    """Show a whole dead letter, its payload included."""
    async with _room(where) as (_, dead):
        entry = await (dead.latest() if dead_id is None else dead.show(dead_id))
    if entry is None:
        raise NotFound(f"there is no dead letter{f' {dead_id}' if dead_id else ''} of {where}")
    if where.output is Output.JSON:
        document({**described(entry, where.topic, where.priority), "event": _event(entry)})
    else:
        _show(entry, where)


async def redrive(where: Where, wanted: Wanted, *, rate: float | None, dry_run: bool, yes: bool) -> None:
    """Hand dead letters back to their group."""
    wanted.check_says_which("redrive")
    async with _room(where) as (admin, dead):
        which = wanted.ids or await wanted.filter(admin)
        total = await dead.count() if wanted.every and not wanted.filtered else None
        if total and not dry_run:
            confirm(f"all {total} dead letters of {where} will be handled again", yes=yes)
        progress = Progress("redriven", len(wanted.ids) or total)
        try:
            found = await dead.redrive(which, rate=rate, dry_run=dry_run, progress=lambda so_far: progress(so_far.done))
        except asyncio.CancelledError:
            say(f"interrupted: {progress.done} were redriven, the others are still dead; the same command goes on")
            raise
    if where.output is Output.JSON:
        document(found)
    else:
        line(f"{'would redrive' if dry_run else 'redriven'} {_count(found.done)} to group {where.group}")
    _explain(found, named=bool(wanted.ids))


async def discard(where: Where, wanted: Wanted, *, dry_run: bool, yes: bool) -> None:
    """Delete dead letters for good."""
    wanted.check_says_which("discard")
    async with _room(where) as (admin, dead):
        which = wanted.ids or await wanted.filter(admin)
        found = await dead.discard(which, dry_run=True)
        if found.done and not dry_run:
            confirm(f"{_count(found.done)} of {where} will be deleted for good", yes=yes)
            progress = Progress("discarded", found.done)
            found = await dead.discard(which, progress=lambda so_far: progress(so_far.done))
    if where.output is Output.JSON:
        document(found)
    else:
        line(f"{'would discard' if dry_run else 'discarded'} {_count(found.done)} of group {where.group}")
    _end_where_missing(found.missing)


async def export(where: Where, wanted: Wanted) -> None:
    """Write whole dead letters as JSON lines."""
    if wanted.ids:
        wanted.check_says_which("export")
    async with _room(where) as (admin, dead):
        which = wanted.ids or await wanted.filter(admin)
        async for text in dead.export(which):
            sys.stdout.write(escaped_json(text.removesuffix(b"\n")) + "\n")
    sys.stdout.flush()


@asynccontextmanager
async def _room(where: Where) -> AsyncGenerator[tuple[Admin, DeadLetters]]:
    async with administered(where.url, where.prefix) as admin:
        dead = admin.dead_letters(where.topic, where.group, priority=where.priority)
        if not await dead.known():
            raise NotFound(
                f"there is no {where} of eventbus, nor dead letters of one: "
                f"`eventbus groups list {where.topic}` and `eventbus dead list {where.topic}` name them"
            )
        yield admin, dead
        await _name_others(admin, where)


async def _name_others(admin: Admin, where: Where) -> None:
    """Say where else the group has dead letters: each priority has its own."""
    for priority in await admin.priorities(where.topic):
        dead = admin.dead_letters(where.topic, where.group, priority=priority)
        if priority != where.priority and (number := await dead.count()):
            say(f"{_count(number)} more of the group at priority {priority!r}: --priority {priority}")


def _moment(beginning: Beginning | None, now: float) -> datetime | None:
    return None if beginning is None else beginning.moment(now)


def _count(number: int) -> str:
    return f"{number} dead letter{'' if number == 1 else 's'}"


def _row(letter: DeadLetter) -> tuple[object, ...]:
    parts = (letter.failed, letter.type, letter.reason, letter.error.rpartition(".")[2])
    return (letter.id, *(part or NOTHING for part in parts), letter.attempts, letter.redrives, letter.entry or NOTHING, size(letter.size))


def _public(letter: DeadLetter) -> dict[str, object]:
    """What a list shows; an exception's message may quote the payload."""
    return {name: value for name, value in asdict(letter).items() if name != "message"}


def _event(entry: DeadEntry) -> dict[str, object] | None:
    """The event, where the fields are one."""
    if not entry.fields:
        return None
    found = as_document(Followed(entry.letter.id, entry.fields))
    return None if "fields" in found else {name: value for name, value in found.items() if name != "entry_id"}


def _show(entry: DeadEntry, where: Where) -> None:
    letter = entry.letter
    facts = {
        "dead letter": f"{letter.id}  of group {where.group} on topic {where.topic}",
        "priority": "" if where.priority == NORMAL else where.priority,
        "reason": letter.reason,
        "failed": letter.failed,
        "error": letter.error,
        "message": letter.message,
        "attempts": letter.attempts,
        "crashes": letter.crashes,
        "deliveries": letter.deliveries,
        "redrives": letter.redrives,
        "group then": letter.group if letter.group != where.group else "",
        "consumer": letter.consumer,
        "entry": letter.entry,
        "size": size(letter.size),
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        if value not in {"", 0}:
            line(f"{name:<{width}}  {value}")
    if entry.traceback:
        line("")
        for each in entry.traceback.rstrip("\n").split("\n"):
            line(each)
    line("")
    if letter.trimmed:
        line("a tombstone: the entry was cut from the topic before anybody handled it, and its fields with it")
    for field, raw in zip(entry.fields[::2], entry.fields[1::2], strict=True):
        line(f"{_text(field)}  {_text(raw)}")


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


def _explain(found: Redriven, *, named: bool) -> None:
    """Say what was left out; ids that were given by hand and left out are a failure."""
    if found.tombstones:
        say(f"{_count(len(found.tombstones))} cut before anybody handled them, nothing to redrive: {_named(found.tombstones)}")
    if found.large:
        say(f"{_count(len(found.large))} with too many fields to be redriven, export them: {_named(found.large)}")
    if found.missing and not named:
        say(f"{_count(len(found.missing))} went meanwhile: somebody else redrove or discarded them")
        return
    _end_where_missing(found.missing)
    if named and (found.tombstones or found.large):
        raise typer.Exit(Code.FAILED)


def _end_where_missing(missing: tuple[str, ...]) -> None:
    if missing:
        say(f"there is no dead letter {_named(missing)}")
        raise typer.Exit(Code.NOT_FOUND)


def _named(ids: tuple[str, ...]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more
