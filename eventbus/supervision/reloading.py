"""For development: a child that is started again when a source file changes."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio

from eventbus.supervision.processes import Child, Command, ending, parent_pipe
from eventbus.supervision.signals import StopRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_log = logging.getLogger("eventbus.supervision.processes")

Snapshot: TypeAlias = dict[str, tuple[int, int]]
"""Source files: path to time of change in nanoseconds and size."""

LOOK_EVERY: Final = 0.5
"""Seconds between looks. A few thousand files take some ten milliseconds."""

DRAIN: Final = 5.0
"""Seconds a child gets to drain before it is hurried: who has just saved a file is waiting for it."""

_NAMED: Final = 3
_IGNORED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})


def snapshot(root: Path) -> Snapshot:
    """Look at every `*.py` below a directory, leaving out hidden directories and virtual environments."""
    return {entry.path: (stat.st_mtime_ns, stat.st_size) for entry, stat in _sources(root)}


def _sources(directory: Path | str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return  # gone while we looked, or not ours to read
    if any(entry.name == "pyvenv.cfg" for entry in entries):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith(".") and entry.name not in _IGNORED:
                yield from _sources(entry.path)
        elif entry.name.endswith(".py"):
            try:
                yield entry, entry.stat()
            except OSError:
                continue


def changed(before: Snapshot, now: Snapshot) -> list[str]:
    """Name the files that are new, gone or different."""
    return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))


@dataclass(slots=True)
class Reloader:
    """Run one child, and another whenever a source file changed.

    Polling is enough for one developer's files, works on network and container mounts where file events do
    not arrive, and needs no further dependency (watchfiles is a compiled one).

    Guarantees:
        Never two children at once: the old one drains (`DRAIN` seconds), then the new one starts.
    Stops:
        With its child, which was passed the signal, or at once while it waits for a change.
    Survives:
        Any end of the child: it then waits for a change, since the same source would end the same way.
    """

    command: Command
    root: Path
    _seen: Snapshot = field(default_factory=dict[str, tuple[int, int]])

    async def run(self, request: StopRequest) -> None:
        """Run children until the stop is asked for."""
        self._seen = snapshot(self.root)
        with parent_pipe() as parent:
            while not request.stop.is_set():
                await self.run_once(request, parent)

    async def run_once(self, request: StopRequest, parent: int) -> None:
        """Run one child until a source changed or the stop is asked for."""
        wish = StopRequest()
        async with Child.start(self.command, "the program", parent) as child, anyio.create_task_group() as tasks:
            tasks.start_soon(_repeat, request, wish)
            tasks.start_soon(self._until_changed, wish)
            status = await child.wait(wish)
            if not wish.stop.is_set():
                _log.warning("the program %s; waiting for a change", ending(status))
                await wish.stop.wait()
            tasks.cancel_scope.cancel()

    async def _until_changed(self, wish: StopRequest) -> None:
        while not (names := self.look()):  # noqa: ASYNC110 - a file sends no signal
            await anyio.sleep(LOOK_EVERY)
        _log.info("%s changed: starting again", ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else ""))
        wish.stop.set()
        await anyio.sleep(DRAIN)
        wish.hurry.set()

    def look(self) -> list[str]:
        """Name what changed since the last look, relative to the root."""
        before, self._seen = self._seen, snapshot(self.root)
        return [os.path.relpath(path, self.root) for path in changed(before, self._seen)]


async def _repeat(request: StopRequest, wish: StopRequest) -> None:
    await request.stop.wait()
    wish.stop.set()
    await request.hurry.wait()
    wish.hurry.set()
