"""Rooms that note what passes through them: the commands of a worker with a history, and with points to die at."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

from eventbus.delivery.carried import split
from eventbus.errors import BackendRefused
from eventbus.streams import Start

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence

    from eventbus.streams import EntryCommands, Group, GroupCommands, GroupReader, MarkCommands
    from tests.chaos.history import History
    from tests.chaos.points import Points

LATE: Final = 0.1
"""Seconds after which it matters when a command was sent: what it brought may be another's by now."""

NUMBER: Final = re.compile(rb'"n":(\d+)')


def level_of(stream: str) -> str:
    """What stands before the ids of a stream: `high:` for that of a priority, else nothing. Ids are told apart by streams only."""
    _, found, priority = stream.partition(":p:")
    return f"{priority}:" if found else ""


def place(entry_id: bytes, *, private: bool, level: str = "") -> str:
    """Where a delivery stands, as histories write it."""
    return f"r{level}{entry_id.decode()}" if private else f"{level}{entry_id.decode()}"


def places(ids: Iterable[bytes], *, private: bool, level: str = "") -> list[str]:
    """The places of many."""
    return [place(entry_id, private=private, level=level) for entry_id in ids]


def _value(fields: Sequence[bytes], name: bytes) -> bytes:
    for at in range(0, len(fields) - 1, 2):
        if fields[at] == name:
            return fields[at + 1]
    return b""


def number_of(fields: Sequence[bytes]) -> int:
    """The event's number, read from its data; -1 where there is none."""
    found = NUMBER.search(_value(fields, b"data"))
    return int(found[1]) if found else -1


class Tape:
    """Notes the commands of one worker.

    Args:
        history: Where.
        points: The points it passes.
        known: The event types this worker knows. Numbers are remembered of others, for when they are dropped, and
            of what was handed over before, for when its start is counted.
    """

    def __init__(self, history: History, points: Points, known: Collection[bytes]) -> None:
        self._history = history
        self._points = points
        self._known = frozenset(known)
        self._numbers: dict[tuple[str, str], int] = {}

    async def call(self, op: str, group: str, made: Coroutine[Any, Any, Any], tell: Callable[[Any], dict | None], **asked: Any) -> Any:
        """Make a call; note it when it fails, and what there is to tell of its answer."""
        sent = time.monotonic()
        try:
            answer = await self._points.around(op, made)
        except BaseException as error:
            how = "fail" if isinstance(error, BackendRefused) else "unknown"
            self._history.write(op, how, g=group, why=type(error).__name__, **asked)
            raise
        self.tell(op, group, tell(answer), sent)
        return answer

    def tell(self, op: str, group: str, told: dict | None, sent: float) -> None:
        """Note what there is to tell of an answer; None for nothing."""
        if told is not None:
            late = {"s": sent} if time.monotonic() - sent > LATE else {}
            self._history.write(op, "ok", g=group, **told, **late)

    def note(self, op: str, how: str, **rest: Any) -> None:
        """Write to the history."""
        self._history.write(op, how, **rest)

    def came(self, of: Group, entries: Iterable[tuple[bytes, Sequence[bytes] | None, int]], *, private: bool, again: bool) -> dict | None:
        """What there is to tell of entries that came; None when there are none."""
        group, level = of.name, level_of(of.stream)
        at, counts = [], []
        for entry_id, fields, count in entries:
            if fields is None:
                continue
            where, crashes = place(entry_id, private=private, level=level), split(fields)[1].crashes if private else None
            if again or crashes is not None or _value(fields, b"type") not in self._known:
                self._numbers[group, where] = number_of(fields)
            at.append(where)
            counts.append(count + (crashes or 0))
        if not at:
            return None
        return {"at": at} if set(counts) == {1} else {"at": at, "k": counts}

    def numbers(self, group: str, at: Sequence[str]) -> list[int]:
        """The numbers of what stands at some places."""
        return [self._numbers.get((group, each), -1) for each in at]


def recorded_entries(base: type[EntryCommands], tape: Tape) -> type[EntryCommands]:
    """Commands about entries that are noted."""

    class Recorded(base):  # type: ignore[valid-type,misc]
        async def ack(self, ids, *, private, token):
            at = places(ids, private=private, level=level_of(self.group.stream))
            made = super().ack(ids, private=private, token=token)
            return await tape.call("ack", self.group.name, made, lambda count: None if count is None else {"at": at}, at=at)

        async def move(self, copies, destination, *, private, token):
            at, to = places([copy.entry_id for copy in copies], private=private, level=level_of(self.group.stream)), destination.value
            made = super().move(copies, destination, private=private, token=token)
            return await tape.call("move", self.group.name, made, lambda got: _answers(got, at, to=to), at=at, to=to)

        async def drop(self, entries, *, private, token):
            entries = list(entries)
            at = places([entry_id for entry_id, _ in entries], private=private, level=level_of(self.group.stream))
            numbers = tape.numbers(self.group.name, at)
            tape.note("drop", "invoke", g=self.group.name, at=at, n=numbers)
            made = super().drop(entries, private=private, token=token)
            return await tape.call("drop", self.group.name, made, lambda got: _answers(got, at, n=numbers), at=at)

        async def beat(self, ids, *, private, token):
            made, level = super().beat(ids, private=private, token=token), level_of(self.group.stream)
            return await tape.call(
                "beat", self.group.name, made, lambda beaten: _lost(beaten, ids, private=private, level=level), count=len(ids)
            )

        async def mark(self, entries, *, private, token):
            at = places([entry_id for entry_id, _ in entries], private=private, level=level_of(self.group.stream))
            numbers = tape.numbers(self.group.name, at)
            tape.note("mark", "invoke", g=self.group.name, at=at, n=numbers)
            made = super().mark(entries, private=private, token=token)
            return await tape.call("mark", self.group.name, made, lambda _: {"at": [], "n": numbers})

        async def claim(self, *, private, **rest):
            made = super().claim(private=private, **rest)
            group = self.group

            def tell(got):
                return got and tape.came(group, got.entries, private=private, again=True)  # None: it came too late to be executed

            return await tape.call("claim", group.name, made, tell)

        async def recover(self, ids, *, private):
            made, group = super().recover(ids, private=private), self.group

            def tell(got):
                return tape.came(group, got[1], private=private, again=True)

            return await tape.call("recover", group.name, made, tell)

        async def take_over(self, epoch, reading, *, private, **rest):
            made, group = super().take_over(epoch, reading, private=private, **rest), self.group

            def tell(got):
                return got and tape.came(group, (row[:3] for row in got.entries), private=private, again=True)

            return await tape.call("claim", group.name, made, tell)

        async def promote(self, types, **rest):
            made, group = super().promote(types, **rest), self.group

            def tell(got):
                return tape.came(group, [(entry_id, fields, 1) for entry_id, fields in got.given], private=True, again=False)

            return await tape.call("promote", group.name, made, tell)

    return Recorded


def recorded_marks(base: type[MarkCommands], tape: Tape) -> type[MarkCommands]:
    """Commands of a group that remembers what it has finished, which are noted."""

    class Recorded(base):  # type: ignore[valid-type,misc]
        async def start(self, entries, **rest):
            entries, private, asked = list(entries), rest["private"], time.monotonic()
            at = places([entry_id for entry_id, _ in entries], private=private, level=level_of(self.group.stream))
            made = super().start(entries, **rest)
            answers = await tape.call("begin", self.group.name, made, lambda got: _answers(got, at, asked=asked))
            settled = [where for where, answer in zip(at, answers, strict=True) if answer is Start.FINISHED]
            if settled:
                tape.note("ack", "ok", g=self.group.name, at=settled)
            return answers

        async def finish(self, entries, **rest):
            entries = list(entries)
            at = places([entry_id for entry_id, _ in entries], private=rest["private"], level=level_of(self.group.stream))
            made = super().finish(entries, **rest)
            return await tape.call("ack", self.group.name, made, lambda count: None if count is None else {"at": at}, at=at)

    return Recorded


def _answers(got: Sequence[Any] | None, at: list[str], **rest: Any) -> dict:
    if got is None:
        return {"at": [], "regrouped": True, **rest, "got": [], "n": []}
    return {"at": at, "got": [each.name.lower() for each in got], **rest}


def _lost(beaten: Any, ids: Sequence[bytes], *, private: bool, level: str) -> dict | None:
    lost = [] if beaten is None else [each for each in ids if each not in beaten.kept and each not in beaten.cut]
    return {"lost": places(lost, private=private, level=level)} if lost else None


def recorded_reader(base: type[GroupReader], tape: Tape) -> type[GroupReader]:
    """A reader that is noted."""

    class Recorded(base):  # type: ignore[valid-type,misc]
        async def read(self, count, take, **rest):
            of, sent = self._group, time.monotonic()
            group, level = of.name, {"level": level_of(of.stream)} if level_of(of.stream) else {}
            tape.note("read", "invoke", g=group, **level)

            def noted(batch):  # before anybody can do anything with it
                came = tape.came(of, ((*entry, 1) for entry in batch.entries), private=batch.private, again=False)
                tape.tell("read", group, came and came | level, sent)
                take(batch)

            return await tape.call("read", group, super().read(count, noted, **rest), lambda _: None, **level)

    return Recorded


def recorded_group(base: type[GroupCommands], tape: Tape) -> type[GroupCommands]:
    """Commands about the group, for the points they pass."""

    class Recorded(base):  # type: ignore[valid-type,misc]
        async def announce(self, *given, **rest):
            return await tape.call("announce", self.group.name, super().announce(*given, **rest), lambda _: None)

        async def leave(self):
            return await tape.call("leave", self.group.name, super().leave(), lambda _: None)

    return Recorded
