"""Every pattern that is run under faults, by its name; the plain run is one without a name."""

from __future__ import annotations

from typing import Final

from tests.chaos.patterns.ordered import Ordered
from tests.chaos.patterns.pattern import Pattern
from tests.chaos.patterns.priorities import Priorities
from tests.chaos.patterns.replay import Replay

PATTERNS: Final[dict[str, Pattern]] = {"ordered": Ordered(), "priorities": Priorities(), "replay": Replay()}
"""By name, in the order of their runs."""

PLAIN: Final = Pattern()


def pattern_of(name: str) -> Pattern:
    """A pattern by its name; the plain run for none."""
    return PATTERNS[name] if name else PLAIN


__all__ = ["PATTERNS", "PLAIN", "Pattern", "pattern_of"]
