"""What every process of a run saw, one line of JSON each, and how the lines are read again in order.

A record is a JSON object:

    t    seconds of CLOCK_MONOTONIC, which all processes of a machine share
    p    the process: `w1.3` is the third process in place w1, `p0.1` a publisher, `rig` the one that makes the faults
    op   what it is about (below)
    is   invoke (about to begin) · ok (it happened) · fail (it certainly did not) · unknown (it may have happened)

and by op, with g the group, n the event's number, id its event id, e its entry id in the topic, and `at` the place of a
delivery: its entry id, with an `r` before it in the group's private stream. Of a topic with priorities the entry ids of all
but normal have theirs before them: `high:17-0`, `rhigh:17-0`.

    publish  n [numbers], id [event ids; on invoke], e [entry ids; on ok], odd {number: script; on invoke}, again (tries
             that the publisher made beyond the first, on ok and unknown)
    run      a handler: g n id e at a (attempt) sum (the payload's checksum held); invoke before its first line, ok or
             fail (with why) after its last: a process that is killed in between leaves an invoke alone
              (replayed: it comes from a replay)
    read     XREADGROUP: g, at [places; on ok], k [delivery counts], level (of a priority); invoke before it is sent
    claim recover promote   further ways of getting entries: g, at [places that came], k, on ok; s when it was sent, where
             that is some time ago (of a read, too)
    begin    deliveries of an idempotent subscription ask whether they may start: g, at [places], got [free, finished, twin,
             regrouped], asked (when), on ok
    ack move drop mark beat   scripts about entries in hand: g, at [places], on move: to and got (what became of each)
    replay   g begin until [ids in the topic]; on ok also copied pending resumed cut, and until as far as it went
    start ready exit   a process: of, and for exit its code
    fault    kind (see `troubles.py`), of (a process, or a place such as w1), invoke at its begin and ok at its end
    stall    a process's event loop did not turn from `since` to t: its own observation
    phase    name: calm (the last fault is over), drained, end
    dead     a dead letter, read at the end: g n id e reason attempts crashes
    instances  left [groups of a broadcast whose process is gone], when all that lives has what is for it
    remembered  the events that a group remembers at the end: g id [event ids]
    state    what a group still owes at the end: g pending parked due retry unread scheduled
    clock    the wall clock at t: wall, seconds since 1970

Lines are written by one unbuffered write each, so that a killed process loses none it has written.
"""

from __future__ import annotations

import heapq
import os
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Record: TypeAlias = dict[str, Any]

FAULTS = ".faults"
"""What the name of a file with faults ends with. They are few, and checkers know all of them before they begin."""


class History:
    """Writes one process's records.

    Args:
        folder: Where the run's histories are.
        process: This process's name. The processes of one place follow each other in one file, so that a
            long run needs no more open files than a short one.
    """

    def __init__(self, folder: Path, process: str) -> None:
        flags, place = os.O_WRONLY | os.O_CREAT | os.O_APPEND, place_of(process)
        self._lines = os.open(folder / f"{place}.jsonl", flags, 0o600)
        self._faults = os.open(folder / f"{place}{FAULTS}.jsonl", flags, 0o600)
        self.process = process

    def write(self, op: str, how: str, **rest: Any) -> None:
        """Note something."""
        line = orjson.dumps({"t": time.monotonic(), "p": self.process, "op": op, "is": how, **rest})
        os.write(self._lines, line + b"\n")

    def fault(self, op: str, how: str, **rest: Any) -> None:
        """Note a fault, or a stall, which is one."""
        line = orjson.dumps({"t": time.monotonic(), "p": self.process, "op": op, "is": how, **rest})
        os.write(self._faults, line + b"\n")

    def close(self) -> None:
        """Close the files."""
        os.close(self._lines)
        os.close(self._faults)


def place_of(process: str) -> str:
    """`w1` of `w1.3`."""
    return process.partition(".")[0]


def faults_of(folder: Path) -> list[Record]:
    """Every fault of a run, in order."""
    return list(_merged(folder.glob(f"*{FAULTS}.jsonl")))


def records_of(folder: Path) -> Iterator[Record]:
    """Every record of a run, in order, without holding more than one line of each process."""
    return _merged(folder.glob("*.jsonl"))


def _merged(paths: Iterable[Path]) -> Iterator[Record]:
    return heapq.merge(*(_lines(path) for path in sorted(paths)), key=lambda record: record["t"])


def _lines(path: Path) -> Iterator[Record]:
    with path.open("rb", buffering=1 << 16) as file:
        for line in file:
            if line.endswith(b"\n"):  # the last may be cut by a full disk only, and then says nothing
                yield orjson.loads(line)
