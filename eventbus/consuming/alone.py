"""Lets entries at their last allowed start run one at a time in a process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventbus.delivery import Delivery


class Alone:
    """One place for the whole process, whatever the subscription.

    A poison event takes its process down, and every start beside it is lost too. At their last allowed start
    innocents would spend their budget together with it; one after the other they do not. Whoever waits does so
    here, and not in an executor: others have work to do meanwhile.
    """

    def __init__(self) -> None:
        self._holder: Delivery | None = None
        self._waiting: deque[tuple[Delivery, Callable[[Delivery], None]]] = deque()

    def enter(self, delivery: Delivery, again: Callable[[Delivery], None]) -> bool:
        """Take the place, or wait for it.

        Args:
            delivery: Who wants it.
            again: Called with the delivery once the place is its own, where it has to wait.

        Returns:
            Whether the place is its own now.
        """
        if self._holder is None:
            self._holder = delivery
        if self._holder is not delivery:
            self._waiting.append((delivery, again))
        return self._holder is delivery

    def leave(self, delivery: Delivery) -> bool:
        """Make room for the next; returns whether it was there."""
        if self._holder is not delivery:
            return False
        self._holder = None
        if self._waiting:
            self._holder, again = self._waiting.popleft()
            again(self._holder)
        return True

    def forget(self, delivery: Delivery) -> bool:
        """It wants the place no more; returns whether it waited for it."""
        left = deque(each for each in self._waiting if each[0] is not delivery)
        waited = len(left) < len(self._waiting)
        self._waiting = left
        return waited
