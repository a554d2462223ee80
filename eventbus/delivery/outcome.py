"""What becomes of an entry, decided from how its delivery ended. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, Final

from eventbus.delivery.carried import FRESH, Carried
from eventbus.errors import ConfigurationError, Reject, RetryLater

if TYPE_CHECKING:
    from eventbus.delivery.delivery import Delivery
    from eventbus.delivery.retry import Retry

CRASHES: Final = 3
"""Marked starts that may be lost, with their process or its lease, before an event is dead-lettered without being run.
The first start of an entry that was read is not marked: such an event takes four processes."""

UNHANDLED: Final = 86_400.0
"""Seconds that an event of a declared type waits for a member that knows it, before it is dead-lettered."""

SHORTEST_HOP: Final = 1.0
"""Seconds that an event of a declared type is parked at least, whatever the retry policy says."""


class Ending(Enum):
    """How a delivery ended in this process."""

    HANDLED = auto()
    """The handler returned and nobody had asked it to stop."""
    NOBODY = auto()
    """No handler of the subscription names the event's type."""
    NEWER = auto()
    """The event has a newer version than this program knows."""
    RAISED = auto()
    """The handler, or a middleware, raised."""
    LATER = auto()
    """The handler asked to be run again later."""
    REJECTED = auto()
    """The handler rejected the event."""
    TIMED_OUT = auto()
    """The handler was cancelled at the subscription's timeout."""
    UNDECODABLE = auto()
    """The entry is no event of this program."""
    CRASHED = auto()
    """Too many starts were lost: it is not run again."""
    STOPPED = auto()
    """It never started before the shutdown, or was cancelled by it."""
    FINISHED = auto()
    """The group had finished its event before: it was acknowledged without being run."""
    TWIN = auto()
    """Another delivery of its event is in progress: it was put off."""
    LOST = auto()
    """Its lease was lost while it waited, or it was cancelled for that."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a delivery ended, with what is to be known about it.

    Attributes:
        ending: The kind.
        reason: In words, without payload.
        error: What was raised, if anything.
        type: The event's type, "" where it is not known.
        version: The version of its data.
    """

    ending: Ending
    reason: str = ""
    error: BaseException | None = None
    type: str = ""
    version: int = 1


def raised(error: BaseException, event_type: str) -> Ended:
    """How a delivery ended whose handler raised this for it: signals say what they want."""
    if isinstance(error, RetryLater):
        return Ended(Ending.LATER, "its handler put it off", error, event_type)
    if isinstance(error, Reject):
        return Ended(Ending.REJECTED, "its handler rejected it", error, event_type)
    return Ended(Ending.RAISED, "its handler raised", error, event_type)


class Outcome(Enum):
    """What is written about an entry."""

    ACK = auto()
    """Acknowledge it: the work is done."""
    SKIP = auto()
    """Drop it where no member of the group ever declared its type; else it hops."""
    RELEASE = auto()
    """Hand it to whoever is free, at once; nothing is counted."""
    RETRY = auto()
    """Run it again after a delay."""
    HOP = auto()
    """Park it until a member that knows its type takes it."""
    DEAD = auto()
    """Put it among the group's dead letters."""
    NOTHING = auto()
    """Write nothing: it is another's, or was settled already."""


class Reason(StrEnum):
    """Why an event is a dead letter; as it is written, counted and asked for."""

    ATTEMPTS = "attempts"
    """The retries are spent."""
    REJECTED = "rejected"
    """Its handler said so."""
    NEVER = "never"
    """Its handler raised what the policy does not retry."""
    CRASHES = "crashes"
    """Too many starts of it were lost."""
    UNDECODABLE = "undecodable"
    """Its entry is no event of the program."""
    NEWER = "newer"
    """No member of the group ever knew its version."""
    UNHANDLED = "unhandled"
    """No member that knows its type took it in time."""
    TRIMMED = "trimmed"
    """A tombstone: its entry was cut from the stream before it was settled."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome with what it needs.

    Attributes:
        outcome: What is written.
        carried: What travels in the copy.
        delay: Seconds until a retry or hop is due.
        reason: Of a dead letter; else None.
        unless: An event type and version; where a member declared them it hops instead.
    """

    outcome: Outcome
    carried: Carried = FRESH
    delay: float = 0.0
    reason: Reason | None = None
    unless: tuple[str, int] | None = None


_ACK: Final = Decision(Outcome.ACK)
_NOTHING: Final = Decision(Outcome.NOTHING)
_WITHOUT_RUN: Final = {
    Ending.NOBODY: Decision(Outcome.SKIP),
    Ending.NEWER: Decision(Outcome.DEAD, reason=Reason.NEWER),
    Ending.STOPPED: Decision(Outcome.RELEASE),
    Ending.UNDECODABLE: Decision(Outcome.DEAD, reason=Reason.UNDECODABLE),
    Ending.CRASHED: Decision(Outcome.DEAD, reason=Reason.CRASHES),
}


def decide(delivery: Delivery, ended: Ended, retry: Retry) -> Decision:
    """Choose the outcome of a delivery.

    What ended by itself after its lease was lost has no say any more, except for a success: the work is done.
    """
    if ended.ending is Ending.HANDLED:
        return _ACK
    if ended.ending in (Ending.LOST, Ending.FINISHED) or (delivery.lost and not delivery.cut):
        return _NOTHING
    carried = carry(delivery)
    if ended.ending in _WITHOUT_RUN:
        return replace(_WITHOUT_RUN[ended.ending], carried=carried, unless=_unless(ended))
    return _after_run(replace(carried, hops=0, hopped=0), ended, retry)


def _unless(ended: Ended) -> tuple[str, int] | None:
    return (ended.type, ended.version) if ended.ending is Ending.NEWER else None


def carry(delivery: Delivery) -> Carried:
    """What a copy of this delivery carries, before anything new is counted."""
    crashes = delivery.crashes if delivery.marked_first else None
    return replace(delivery.carried, entry=delivery.origin, crashes=crashes)


def _after_run(carried: Carried, ended: Ended, retry: Retry) -> Decision:
    later = _later(ended.error)
    if later is not None and not later.count:
        return Decision(Outcome.RETRY, carried, delay=later.after)
    carried = replace(carried, attempts=carried.attempts + 1)
    if ended.ending is Ending.REJECTED:
        return Decision(Outcome.DEAD, carried, reason=Reason.REJECTED)
    if carried.attempts >= retry.attempts:
        return Decision(Outcome.DEAD, carried, reason=Reason.ATTEMPTS)
    if later is not None:
        return Decision(Outcome.RETRY, carried, delay=later.after)
    if ended.error is not None and not retry.covers(ended.error):
        return Decision(Outcome.DEAD, carried, reason=Reason.NEVER)
    return Decision(Outcome.RETRY, carried, delay=retry.delay(carried.attempts))


def _later(error: BaseException | None) -> RetryLater | None:
    """What the handler asked for; None where it did not, or where a class derived from ours holds no such thing."""
    if not isinstance(error, RetryLater):
        return None
    try:
        return RetryLater(error.after, count=bool(error.count))
    except (AttributeError, TypeError, ValueError, ConfigurationError):
        return None


def hop(delivery: Delivery, retry: Retry, *, now: float) -> Decision:
    """Choose what becomes of an event that this program does not know, though a member of its group does.

    Args:
        delivery: The delivery.
        retry: The policy, whose delays the hops follow.
        now: Seconds since 1970; hops are counted in days, so that any machine's clock will do.
    """
    carried = carry(delivery)
    first = carried.hopped / 1000 if carried.hopped else now
    carried = replace(carried, hops=carried.hops + 1, hopped=int(first * 1000))
    if now - first >= UNHANDLED:
        return Decision(Outcome.DEAD, carried, reason=Reason.UNHANDLED)
    return Decision(Outcome.HOP, carried, delay=max(SHORTEST_HOP, retry.delay(carried.hops)))
