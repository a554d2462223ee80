"""One process of a broadcast: a consumer that is a group of its own, which ends with it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from eventbus.consuming.consumer import Consumer
from eventbus.streams import broadcasts

if TYPE_CHECKING:
    from eventbus.streams.group_admin import Abandoned

_log = logging.getLogger("eventbus.consuming")


class Instance(Consumer):
    """A consumer of a broadcast: reads, handles and settles every event, in a group of its own.

    Its dead letters stand under the broadcast's name. At the end it removes its group, with what that still owes: it was
    for this process alone. What dies without that is ended by the other instances.
    """

    async def leave(self) -> None:
        """Close the reader and remove the group."""
        await self._reader.close()
        answer = await broadcasts.leave(self._wire, self.commands.group, self.commands.consumer)
        self._say_ended(self.subscription.group, answer)

    async def end_silent(self) -> int:
        """End instances whose process is gone; returns how many."""
        ended = await broadcasts.end_silent(self._wire, self.commands.group, lease=self.membership.lease)
        for name, answer in ended.items():
            _log.warning("%s: group %r was silent for %g leases, and is removed", self.subscription, name, broadcasts.SILENT)
            self._say_ended(name, answer)
        return len(ended)

    def _say_ended(self, name: str, owed: Abandoned) -> None:
        counts = {"unread": owed.unread or 0, "pending": owed.pending, "to retry": owed.retry, "parked": owed.parked}
        if any(counts.values()):
            what = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
            _log.warning("%s: group %r ended with entries that nobody else was to handle: %s", self.subscription, name, what)
