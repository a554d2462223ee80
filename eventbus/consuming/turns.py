"""Decides which of several priorities starts next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


class Turns:
    """Whose turn it is: the most urgent one's, or each one's in proportion to its weight. A pure room.

    By weights the turns are spread evenly: with 4, 2 and 1 they go `high normal high low high normal high`, not four of
    the first in a row. One that has nothing to do is passed over and earns nothing meanwhile: its share goes to those that
    have, and it comes back to no more than its own.

    Args:
        priorities: Their names, the most urgent first.
        weights: How often each is served while all have something to do, at least 1; None for always the most urgent.
    """

    def __init__(self, priorities: Sequence[str], weights: Mapping[str, int] | None) -> None:
        self._priorities = tuple(priorities)
        self._weights = weights
        self._credits = dict.fromkeys(self._priorities, 0)

    def next(self, ready: Collection[str]) -> str:
        """Choose who starts next, which counts as done.

        Args:
            ready: Those that have something to do; at least one.
        """
        able = [name for name in self._priorities if name in ready]
        return able[0] if self._weights is None or len(able) == 1 else self._by_weight(able, self._weights)

    def _by_weight(self, able: Sequence[str], weights: Mapping[str, int]) -> str:
        # The smooth weighted round robin of nginx: each earns its weight, and who has most pays what all of them earned.
        for name in able:
            self._credits[name] += weights[name]
        chosen = max(able, key=self._credits.__getitem__)  # of two that have as much the more urgent one, which is first
        self._credits[chosen] -= sum(weights[name] for name in able)
        return chosen
