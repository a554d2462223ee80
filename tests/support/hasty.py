"""A payments service whose bus acknowledges every other event before its handler runs: what the demo has to notice.

Every other one, since the demo kills workers that hold entries: one that acknowledged all at once would hold none.
"""

from itertools import cycle
from typing import Any

from eventbus import EventBus
from eventbus.consuming import Rooms
from eventbus.consuming.executors import Executors
from eventbus.delivery import Delivery, Ended, Ending
from services.ledger import audited
from services.payments.handlers import router


class HastyExecutors(Executors):
    """Says "handled" first, and handles then."""

    def __init__(self, **rooms: Any) -> None:
        super().__init__(**rooms)
        self._hasty = cycle((True, False))

    async def _execute(self, delivery: Delivery) -> None:
        if next(self._hasty):
            self._finish(delivery, Ended(Ending.HANDLED))
        await super()._execute(delivery)


class HastyBus(EventBus):
    """Put together with the room above."""

    rooms = Rooms(executors=HastyExecutors)


bus = audited(HastyBus(service="payments"))
bus.include(router)
