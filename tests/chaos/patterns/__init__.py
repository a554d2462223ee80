"""Every pattern that is run under faults, by its name; the plain run is one without a name."""

from __future__ import annotations

from typing import Final

from tests.chaos.patterns.batches import Batches
from tests.chaos.patterns.broadcast import Broadcast
from tests.chaos.patterns.delays import Delays
from tests.chaos.patterns.idempotent import Idempotent
from tests.chaos.patterns.ordered import Ordered
from tests.chaos.patterns.pattern import Pattern
from tests.chaos.patterns.priorities import Priorities
from tests.chaos.patterns.publishing_once import PublishingOnce
from tests.chaos.patterns.replay import Replay

PATTERNS: Final[dict[str, Pattern]] = {
    "ordered": Ordered(),
    "priorities": Priorities(),
    "batches": Batches(),
    "delays": Delays(),
    "once": PublishingOnce(),
    "idempotent": Idempotent(),
    "broadcast": Broadcast(),
    "replay": Replay(),
}
"""By name, in the order of their runs."""

PLAIN: Final = Pattern()


def pattern_of(name: str) -> Pattern:
    """A pattern by its name; the plain run for none."""
    return PATTERNS[name] if name else PLAIN


__all__ = ["PATTERNS", "PLAIN", "Pattern", "pattern_of"]
