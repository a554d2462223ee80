"""Deliveries on their way to executors that take batches of them."""

from __future__ import annotations

import asyncio
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final, TypeAlias

from eventbus.consuming.gate import is_last
from eventbus.consuming.work import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eventbus.delivery import Batch, Delivery

Deliveries: TypeAlias = "dict[Delivery, None]"
"""What is left of a batch, in order: what leaves it goes its own way."""

SHARE: Final = 1 / 3
"""Part of the lease that a batch waits for company at most: what was read for it still starts without asking anybody then."""


class BatchWork(Queue[Deliveries]):
    """A queue that gives away batches: full ones at once, others when their first has waited long enough.

    What waits for company waits here, and can be taken out at any time. An entry at its last allowed start is a batch of its
    own, so that the poison that it may be spends nobody else's start.

    Args:
        batch: How large a batch is at most, and how long it waits.
        lease: Seconds after which others take over what waits here.
        hopeless: Whether nothing more can come before something here was handled.
    """

    def __init__(self, batch: Batch, lease: float, hopeless: Callable[[], bool]) -> None:
        super().__init__()
        self._size = batch.max_size
        self._wait = min(batch.max_wait, lease * SHARE)
        self._hopeless = hopeless
        self._timer: asyncio.TimerHandle | None = None
        self._ripe = False

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """Add deliveries at the end."""
        super().put(deliveries)
        self._set_timer()

    def put_first(self, deliveries: Iterable[Delivery]) -> None:
        """Add deliveries before all others, keeping their order."""
        super().put_first(deliveries)
        self._set_timer()

    def pop(self) -> Deliveries | None:
        """Take the first batch, if one is complete."""
        if not self._complete():
            return None
        batch = self._take()
        self._set_timer(anew=True)
        return batch

    def remove(self, delivery: Delivery) -> bool:
        """Take out one delivery; False when it does not wait here."""
        removed = super().remove(delivery)
        if not self._waiting:
            self._set_timer(anew=True)
        return removed

    def clear(self) -> list[Delivery]:
        """Take out everything that never started."""
        never_started = super().clear()
        self._set_timer(anew=True)
        return never_started

    def _take(self) -> Deliveries:
        waiting = self._waiting
        batch: Deliveries = dict.fromkeys(takewhile(_has_company, islice(waiting, self._size))) or {waiting[0]: None}
        for _ in batch:
            _ = waiting.popleft()
        return batch

    def _complete(self) -> bool:
        waiting = self._waiting
        if not waiting:
            return False
        return self._ripe or len(waiting) >= self._size or is_last(waiting[0]) or self._hopeless()

    def _wake(self, most: int) -> None:
        if self._complete():
            super()._wake(most)

    def _set_timer(self, *, anew: bool = False) -> None:
        """Have what waits wait no longer than it may: one timer a batch."""
        if anew:
            self._ripe = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if self._waiting and self._timer is None and not self._ripe:
            self._timer = asyncio.get_running_loop().call_later(self._wait, self._ripen)

    def _ripen(self) -> None:
        self._timer, self._ripe = None, True
        self._wake(1)


def _has_company(delivery: Delivery) -> bool:
    return not is_last(delivery)
