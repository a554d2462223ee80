"""The events of a run, and what their handlers do, decided by each event's script."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zlib import crc32

from eventbus import Event, Reject, RetryLater

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from eventbus import Context

GROUPS: Final = ("charge", "notify")
STREAM: Final = "load"
SLICE: Final = 0.1

ATTEMPTS: Final = 3
BACKOFF: Final = (0.2, 0.5)

ODDS: Final = {
    "fail": 1 / 400,
    "reject": 1 / 600,
    "never": 1 / 800,
    "once": 1 / 100,
    "twice": 1 / 200,
    "later": 1 / 200,
    "at once": 1 / 400,
    "put off": 1 / 400,
    "long": 1 / 3000,
    "fresh": 1 / 50,
    "nobody": 1 / 100,
}
"""How often an event has a script of its own; the others' handlers sleep a moment and return."""


class Load(Event):
    """What the events have in common. `n` stands first, where it is read without decoding."""

    n: int
    script: str = ""
    body: str = ""
    sum: int = 0


class Step(Load, topic=STREAM):
    """An event that every worker knows."""


class Fresh(Load, topic=STREAM):
    """An event that only newer workers know."""


class Nobody(Load, topic=STREAM):
    """An event that no worker knows."""


class Refused(Exception):
    """A failure that is never to be retried."""


class Failed(Exception):
    """A failure."""


KINDS: Final = {"fresh": Fresh, "nobody": Nobody}


def make(number: int, script: str, *, size: int) -> Load:
    """An event with a checksummed payload of about so many bytes."""
    body = f"{number:x}." * (size // (len(f"{number:x}") + 1) + 1)
    return KINDS.get(script, Step)(n=number, script=script, body=body[:size], sum=crc32(f"{number}{script}{body[:size]}".encode()))


def intact(event: Load) -> bool:
    """Whether the payload is what was published."""
    return event.sum == crc32(f"{event.n}{event.script}{event.body}".encode())


def script_of(chance: random.Random, odds: dict[str, float]) -> str:
    """Draw a script."""
    drawn = chance.random()
    for script, share in odds.items():
        drawn -= share
        if drawn < 0:
            return script
    return ""


@dataclass(frozen=True)
class Times:
    """How long handlers take, in seconds.

    Attributes:
        least: Most handlers take from this …
        most: … to this.
        long: What those scripted "long" take: several leases.
        kill: After how long an event that kills does so.
        slow_first: Events with smaller numbers take that long, too.
        slices: They sleep a little at a time, so that a pause of the process makes them longer.
    """

    least: float = 0.0
    most: float = 0.01
    long: float = 5.0
    kill: float = 0.02
    slow_first: int = 0
    slices: bool = True


async def play(event: Load, ctx: Context, times: Times, dying: Callable[[], None]) -> None:
    """Do what an event's script says.

    Args:
        event: The event.
        ctx: Its context.
        times: How long it takes.
        dying: Called just before the process kills itself.
    """
    what, _, where = event.script.partition(":")
    if what == "kill" and where == ctx.group:
        await asyncio.sleep(times.kill)
        dying()
        os.kill(os.getpid(), signal.SIGKILL)
    await _sleep(_seconds(event, what, times), slices=times.slices)
    _end(what, ctx.attempt, event.n)


def _seconds(event: Load, what: str, times: Times) -> float:
    if what == "long" or event.n < times.slow_first:
        return times.long
    return times.least + (times.most - times.least) * (event.n * 37 % 100) / 100


async def _sleep(seconds: float, *, slices: bool) -> None:
    while slices and seconds > SLICE:
        await asyncio.sleep(SLICE)
        seconds -= SLICE
    await asyncio.sleep(seconds)


_put_off: set[int] = set()


def _end(what: str, attempt: int, number: int) -> None:
    match what:
        case "fail":
            raise Failed(f"event {number} always fails")
        case "never":
            raise Refused(f"event {number} is not to be retried")
        case "reject":
            raise Reject("scripted")
        case "once" if attempt == 1:
            raise Failed("the first time")
        case "twice" if attempt <= 2:
            raise Failed("the first two times")
        case "later" if attempt == 1:
            raise RetryLater(0.3)
        case "at once" if attempt == 1:
            raise RetryLater(0)
        case "put off" if number not in _put_off:
            _put_off.add(number)
            raise RetryLater(0.1, count=False)
