"""One group's dead letters: look at them, hand them back to the group, throw them away, take them elsewhere."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio

from eventbus.admin.letters import Filter, as_line, check_id, read_entry, read_row
from eventbus.admin.pacing import BATCH, batch_size, check_rate, pause, persistently
from eventbus.admin.replies import before
from eventbus.errors import NotFound
from eventbus.events import NORMAL
from eventbus.streams import parse_id
from eventbus.streams.dead_letters import DeadLetterCommands, Redrive

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from eventbus.admin.letters import DeadEntry, DeadLetter
    from eventbus.streams import Group
    from eventbus.streams.scripts import Caller

Which: TypeAlias = "Filter | str | Iterable[str]"
"""Dead letters: those a filter means, one by its id, or several by their ids."""

EVERY: Final = Filter()
"""All of them."""

PAGE: Final = 250
"""Dead letters described in one call, which reads them whole inside the server: so that many do not hold it up."""

WHOLE: Final = 20
"""Dead letters fetched whole in one call: at most 20 MiB where every entry is as large as they may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What a redrive did, or would do.

    Attributes:
        done: Dead letters that stand in the group's private stream now.
        missing: Ids of which there is no dead letter (any more): somebody else redrove or discarded it.
        tombstones: Those whose entry was cut before anybody handled it: there is nothing to redrive.
        large: Those with more fields than a script can copy; export them, and publish them anew.
        dry_run: Nothing was written; `done` says how many would be redriven.
    """

    done: int = 0
    missing: tuple[str, ...] = ()
    tombstones: tuple[str, ...] = ()
    large: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """What a discard did, or would do.

    Attributes:
        done: Dead letters that are gone for good.
        missing: Ids of which there was no dead letter.
        dry_run: Nothing was written; `done` says how many would be discarded.
    """

    done: int = 0
    missing: tuple[str, ...] = ()
    dry_run: bool = False


class DeadLetters:
    """The dead letters of one group, oldest first.

    Which of them are meant is said by a `Filter` (`Filter()`: all), by an id or by ids.

    Args:
        wire: A connection that may wait for slow commands.
        group: The group.
        topic: Its topic's name.
        priority: At which of the topic's priorities. Default "normal".

    Raises:
        ConfigurationError: In any call: an id is none.
        BackendUnavailable: In any call: no answer; `redrive` and `discard` may safely be called again.
        BackendRefused: In any call: Redis answered with an error; OOM and READONLY leave all as it was.
    """

    def __init__(self, wire: Caller, group: Group, *, topic: str, priority: str = NORMAL) -> None:
        self._commands = DeadLetterCommands(wire, group)
        self._group = group
        self.topic = topic
        self.priority = priority

    @property
    def group(self) -> str:
        """The group's name."""
        return self._group.name

    # -- looking

    async def known(self) -> bool:
        """Whether there is, or was, such a group: it has dead letters, or eventbus made it."""
        return await self._commands.exists()

    async def letters(self, which: Filter = EVERY, *, newest: bool = False, after: str | None = None) -> AsyncGenerator[DeadLetter]:
        """Go through dead letters without their payloads; those that come meanwhile stay out.

        Args:
            which: Which of them.
            newest: From the newest to the oldest.
            after: Go on after this one.

        Redis cost:
            A script for every 250 dead letters looked at, those the filter leaves out included.
        """
        last = await self._commands.last_id()
        begin, end = which.ids()
        start, stop = (end, begin) if newest else (begin, end)
        if after is not None:
            start = _beyond(check_id(after), newest=newest)
        more = last is not None
        while more:
            # The call before this one was answered: a walk over many pages goes on through a short outage.
            page, _ = await persistently(partial(self._commands.page, start, stop, newest=newest, count=PAGE))
            for letter in map(read_row, page.rows):
                # A redriven event that died again meanwhile would be met again and again.
                if last is not None and parse_id(letter.id) <= parse_id(last) and which.matches(letter):
                    yield letter
            more = page.more and bool(page.rows)
            start = _beyond(page.rows[-1].id.decode(), newest=newest) if page.rows else start

    async def page(self, which: Filter = EVERY, *, count: int = 100, newest: bool = False, after: str | None = None) -> list[DeadLetter]:
        """List up to `count` dead letters without their payloads; the next page begins `after` the last one's id."""
        found: list[DeadLetter] = []
        async with aclosing(self.letters(which, newest=newest, after=after)) as letters:
            async for letter in letters:
                found.append(letter)
                if len(found) >= count:
                    break
        return found

    async def count(self, which: Filter = EVERY) -> int:
        """Count dead letters. One command for all of them, else as `letters`."""
        if which.all:
            return await self._commands.length()
        return len([None async for _ in self.letters(which)])

    async def show(self, dead_id: str) -> DeadEntry | None:
        """Read one whole dead letter, its payload included; None where there is no such one."""
        wanted = check_id(dead_id)
        rows = await self._commands.entries(wanted, wanted, count=1)
        return read_entry(*rows[0]) if rows else None

    async def latest(self) -> DeadEntry | None:
        """Read the newest dead letter, or None where there is none."""
        rows = await self._commands.entries("+", "-", count=1, newest=True)
        return read_entry(*rows[0]) if rows else None

    # -- taking elsewhere

    async def entries(self, which: Which = EVERY) -> AsyncGenerator[DeadEntry]:
        """Read whole dead letters, their payloads included.

        Raises:
            NotFound: There is no dead letter of an id that was given.
        """
        if not isinstance(which, Filter):
            for dead_id in _ids(which):
                found = await self.show(dead_id)
                if found is None:
                    raise NotFound(f"there is no dead letter {dead_id} of group {self.group!r} on topic {self.topic!r}")
                yield found
            return
        begin, end = which.ids()
        while rows := (await persistently(partial(self._commands.entries, begin, end, count=WHOLE)))[0]:
            for row in rows:
                entry = read_entry(*row)
                if which.matches(entry.letter):
                    yield entry
            begin = f"({rows[-1][0].decode()}"

    async def export(self, which: Which = EVERY) -> AsyncGenerator[bytes]:
        r"""Write whole dead letters as JSON lines, each with its `\n`; nothing is changed.

        A line holds what is known about the dead letter, `fields` (the original names and values in their order,
        one object each) and `block` (what eventbus wrote behind them). What is not UTF-8 stands as base64 in
        `name_base64` and `value_base64`, so that every byte can be had back.

        Raises:
            NotFound: As `entries`.
        """
        async for entry in self.entries(which):
            yield as_line(entry, self.topic, self.priority)

    # -- settling

    async def redrive(
        self,
        which: Which,
        *,
        rate: float | None = None,
        dry_run: bool = False,
        progress: Callable[[Redriven], None] | None = None,
    ) -> Redriven:
        """Hand dead letters back to their group, and to no other: as if they had come for the first time.

        Attempts, lost starts and hops begin anew; the number of redrives travels along.

        Args:
            which: Which of them, oldest first. What dies while this runs is left out.
            rate: Most dead letters a second. Default: as fast as Redis takes them.
            dry_run: Only look what would become of each.
            progress: Called after each batch with what was done so far.

        Raises:
            ConfigurationError: The rate is no number above 0.
            NotFound: Nobody ever served the group, or it was abandoned: nobody would handle them.

        Guarantees:
            Each dead letter is redriven by one call at most, however many run, and whether or not its answer
            was heard: the copy is written and the dead letter removed in one step.
        Cancellation:
            What was redriven stays so, the rest stays dead; calling again goes on.
        Redis cost:
            A script for 200 dead letters; with a filter one more for every 250 looked at, with ids one for each.
        """
        check_rate(rate)
        total, started = Redriven(dry_run=dry_run), anyio.current_time()
        async with aclosing(self._batches(which, batch_size(rate))) as batches:
            async for ids, missing in batches:
                if not dry_run:
                    await anyio.sleep(pause(total.done, rate, passed=anyio.current_time() - started))
                total = await self._redrive(ids, replace(total, missing=total.missing + missing))
                if progress is not None:
                    progress(total)
        return total

    async def discard(self, which: Which, *, dry_run: bool = False, progress: Callable[[Discarded], None] | None = None) -> Discarded:
        """Delete dead letters for good. There is no way back; `export` them first.

        Args:
            which: Which of them.
            dry_run: Only count them.
            progress: Called after each batch with what was done so far.
        """
        total = Discarded(dry_run=dry_run)
        async with aclosing(self._batches(which, BATCH)) as batches:
            async for ids, missing in batches:
                done = len(ids) if dry_run or not ids else await self._discard(ids)
                total = replace(total, done=total.done + done, missing=total.missing + missing)
                if progress is not None:
                    progress(total)
        return total

    async def _batches(self, which: Which, size: int) -> AsyncGenerator[tuple[Sequence[str], tuple[str, ...]]]:
        """Ids of dead letters that are there, in batches, and those that were given and are not there."""
        batch: list[str] = []
        if isinstance(which, Filter):
            async with aclosing(self.letters(which)) as letters:
                async for letter in letters:
                    batch.append(letter.id)
                    if len(batch) >= size:
                        yield batch, ()
                        batch = []
            if batch:
                yield batch, ()
            return
        # Looked for first: else a call whose answer was lost could not tell what it did from what never was.
        wanted = _ids(which)
        for at in range(0, len(wanted), size):
            batch = wanted[at : at + size]
            there = [dead_id for dead_id in batch if (await self._commands.page(dead_id, dead_id, newest=False, count=1)).rows]
            yield there, tuple(dead_id for dead_id in batch if dead_id not in there)

    async def _redrive(self, ids: Sequence[str], total: Redriven) -> Redriven:
        while ids:
            codes, again = await persistently(partial(self._commands.redrive, ids, look_only=total.dry_run))
            if codes is None:
                raise NotFound(
                    f"group {self.group!r} of topic {self.topic!r} was never served, or was abandoned: nobody would handle what is "
                    f"redriven; start a service that subscribes as this group first (of a broadcast every process is a group of its own)"
                )
            total = _added(total, list(zip(ids, codes, strict=False)), again=again)
            ids = ids[len(codes) :]
        return total

    async def _discard(self, ids: Sequence[str]) -> int:
        count, again = await persistently(partial(self._commands.discard, ids))
        return len(ids) if again else count


def _beyond(dead_id: str, *, newest: bool) -> str:
    """Where to go on after an id. An end of `(0-0` is refused by Redis, so the id before is named."""
    return before(dead_id) if newest else f"({dead_id}"


def _ids(which: str | Iterable[str]) -> list[str]:
    given = [which] if isinstance(which, str) else which
    return list(dict.fromkeys(map(check_id, given)))


def _added(total: Redriven, found: list[tuple[str, Redrive]], *, again: bool) -> Redriven:
    """Add what became of some; gone after a call whose answer was lost means that this call did it."""
    by: dict[Redrive, tuple[str, ...]] = {code: tuple(each for each, is_ in found if is_ is code) for code in Redrive}
    if again:
        by[Redrive.DONE] += by[Redrive.GONE]
        by[Redrive.GONE] = ()
    return replace(
        total,
        done=total.done + len(by[Redrive.DONE]),
        missing=total.missing + by[Redrive.GONE],
        tombstones=total.tombstones + by[Redrive.TOMBSTONE],
        large=total.large + by[Redrive.LARGE],
    )
