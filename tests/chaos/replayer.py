"""A process of the rig that replays one range after the other, and goes on where the one before it was killed."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eventbus.admin import Admin, replays
from eventbus.errors import BackendError, NotFound
from eventbus.streams import Address, Connections
from eventbus.streams.replays import ReplayCommands
from tests.chaos.history import History
from tests.chaos.load import STREAM
from tests.chaos.patterns.replay import SECOND
from tests.chaos.worker import _log_to, die_with_parent

if TYPE_CHECKING:
    from pathlib import Path

    from eventbus.admin import Replayed

RANGE: Final = 300
"""Entries of the topic that one replay is to cover."""

RATE: Final = 400.0
"""Entries a second: slow enough to be killed in the midst."""

PAUSE: Final = 0.05

SECOND_CALL: Final = 0.15
"""Seconds between the two calls of the planted bug."""


@dataclass(frozen=True)
class ReplayerSpec:
    """What a replayer is to do.

    Attributes:
        folder: The run's files.
        process: Its name.
        url: Its way to Redis.
        groups: Whose replays, in turn.
        plant: The bug it carries; empty for none.
    """

    folder: Path
    process: str
    url: str
    groups: tuple[str, ...]
    plant: str = ""


def main(spec: ReplayerSpec) -> None:
    """Be a replayer, until it is killed; the target of a process."""
    die_with_parent()
    _log_to(spec.folder / f"{spec.process.partition('.')[0]}.log")
    if spec.plant == SECOND:
        replays.ReplayCommands = TwoCalls  # type: ignore[misc]
    asyncio.run(_Replayer(spec).run())


class _Replayer:
    """Ranges of a group follow each other, so that no entry belongs to two: what comes twice was copied twice."""

    def __init__(self, spec: ReplayerSpec) -> None:
        self._spec = spec
        self._history = History(spec.folder, spec.process)
        self._file = spec.folder / "replays.json"
        noted = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._asked: dict[str, list[str]] = noted or {group: ["0-1", ""] for group in spec.groups}

    async def run(self) -> None:
        async with Admin(Connections(Address.parse(self._spec.url), name="replayer")) as self._admin:
            while True:
                for group in self._spec.groups:
                    try:
                        await self._one(group)
                    except BackendError as error:
                        logging.getLogger("tests.chaos").warning("%s: %s", group, error)
                    await asyncio.sleep(PAUSE)

    async def _one(self, group: str) -> None:
        """Ask for the range that is noted, as the process before may have; note the next one when it is done."""
        begin, end = self._asked[group]
        if not end and not (end := await self._end(begin)):
            return
        self._note(group, begin, end)
        self._history.write("replay", "invoke", g=group, begin=begin, until=end)
        try:
            found = await self._admin.replay(STREAM, group, from_=begin, to=end, rate=RATE)
        except NotFound:  # trimmed, all of it: nothing was copied, or will be
            self._history.write("replay", "ok", g=group, begin=begin, until="0-0", copied=0)
            self._note(group, _after(end), "")
        else:
            self._done(group, begin, found)

    def _done(self, group: str, begin: str, found: Replayed) -> None:
        about = {"copied": found.copied, "pending": found.pending, "resumed": found.resumed, "cut": found.cut is not None}
        self._history.write("replay", "ok", g=group, begin=begin, until=found.until, **about)
        self._note(group, max(begin, _after(found.until), key=_order), "")

    async def _end(self, begin: str) -> str:
        rows = await self._admin._wire.one("XRANGE", STREAM, begin, "+", "COUNT", RANGE)
        return rows[-1][0].decode() if len(rows) == RANGE else ""

    def _note(self, group: str, begin: str, end: str) -> None:
        self._asked[group] = [begin, end]
        fresh = self._file.with_suffix(".fresh")
        fresh.write_text(json.dumps(self._asked))
        fresh.replace(self._file)


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))


def _after(entry_id: str) -> str:
    milliseconds, sequence = _order(entry_id)
    return f"{milliseconds}-{sequence + 1}"


class TwoCalls(ReplayCommands):
    """The planted bug: entries are copied by one call, and the cursor is kept by another one."""

    async def step(self, replay: str, *, count: int, ahead: int | None) -> Any:
        noted = await self.noted()
        before = {name: noted.get(name) for name in ("cursor", "copied", "done")}
        found = await super().step(replay, count=count, ahead=ahead)
        if before["done"] or before["cursor"] is None:
            return found
        after = {name: found.facts.get(name) for name in before}
        await self._keep(before)
        await asyncio.sleep(SECOND_CALL)
        await self._keep(after)
        return found

    async def _keep(self, facts: dict[str, str | None]) -> None:
        given = {name: value for name, value in facts.items() if value is not None}
        if given:
            await self._wire.one("HSET", self.group.replay, *(part for pair in given.items() for part in pair))
        if facts["done"] is None:
            await self._wire.one("HDEL", self.group.replay, "done")
