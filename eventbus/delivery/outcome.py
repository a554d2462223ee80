"""What becomes of an entry, decided from how its delivery ended. No I/O."""

from __future__ import annotations

from enum import Enum, auto


class Ending(Enum):
    """How a delivery ended in this process."""

    HANDLED = auto()
    """The handler returned and nobody had asked it to stop."""
    NOBODY = auto()
    """No handler of the subscription names the event's type."""
    RAISED = auto()
    """The handler, or a middleware, raised."""
    UNDECODABLE = auto()
    """The entry is no event of this program."""
    NEWER = auto()
    """The event has a newer version than this program knows."""
    CUT = auto()
    """The drain's deadline came before the handler ended."""


class Outcome(Enum):
    """What is written about an entry."""

    ACK = auto()
    """Acknowledge it: the work is done."""
    SKIP = auto()
    """Acknowledge and count it: this group has no work with it."""
    LEAVE = auto()
    """Write nothing: it stays pending in the group, logged and counted."""


def decide(ending: Ending) -> Outcome:
    """Choose the outcome. Only what was handled, or is nobody's here, may leave the group."""
    match ending:
        case Ending.HANDLED:
            return Outcome.ACK
        case Ending.NOBODY:
            return Outcome.SKIP
        case Ending.RAISED | Ending.UNDECODABLE | Ending.NEWER | Ending.CUT:
            return Outcome.LEAVE
