"""A payments service whose bus acknowledges most events before their handler runs: what the demo has to notice.

Not all of them, since the demo kills workers that hold entries: one that acknowledged all at once would hold none.
"""

from itertools import cycle
from typing import Any

from eventbus import EventBus
from eventbus.consuming import Rooms
from eventbus.consuming.executors import Executors
from eventbus.consuming.levels import LevelExecutors
from eventbus.consuming.rooms import PriorityRooms
from eventbus.consuming.runs import Run
from eventbus.delivery import Delivery, Ended, Ending
from services.ledger import audited
from services.payments.handlers import router


class HastyExecutors(Executors):
    """Says "handled" first, and handles then."""

    def __init__(self, **rooms: Any) -> None:
        super().__init__(**rooms)
        self._hasty = cycle((True, True, True, False))

    async def _see_through(self, run: Run, delivery: Delivery) -> Ended | None:
        if not next(self._hasty):
            return await super()._see_through(run, delivery)
        self._finish(delivery, Ended(Ending.HANDLED))
        await super()._see_through(run, delivery)
        return Ended(Ending.LOST)  # it is settled already


class HastyLevelExecutors(HastyExecutors, LevelExecutors):
    """The same for a topic with priorities, as orders are."""


class HastyBus(EventBus):
    """Put together with the rooms above."""

    rooms = Rooms(executors=HastyExecutors, priorities=PriorityRooms(executors=HastyLevelExecutors))


bus = audited(HastyBus(service="payments"))
bus.include(router)
