"""What an onlooker is told about each run of a handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from eventbus.delivery.outcome import Ending
    from eventbus.delivery.subscription import Subscription


class Handled(NamedTuple):
    """One run of a handler that has ended.

    Attributes:
        subscription: Whose handler.
        type: The event's type.
        ending: How it ended.
        seconds: How long it ran.
        latency: Seconds from the event's time to the end of the run; None where the event has no time.
    """

    subscription: Subscription
    type: str
    ending: Ending
    seconds: float
    latency: float | None


Observer: TypeAlias = Callable[[Handled], None]
"""Called on the event loop after each run of a handler. Must not block; what it raises is logged and passed over."""
