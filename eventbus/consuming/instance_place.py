"""Where one process of a broadcast is in its topic: nobody else knows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, cast

from eventbus.consuming.fetcher import Fetcher
from eventbus.consuming.membership import Membership
from eventbus.streams import ZERO, Bookmark, parse_id, written_id

if TYPE_CHECKING:
    from eventbus.streams import Batch, Ensured, Gap

_log = logging.getLogger("eventbus.consuming")


class InstanceMembership(Membership):
    """Knows where the process is in the topic: nobody else does, and a lost group goes on there.

    Others end the group when the process was silent for long, asleep as well as dead. When it wakes it makes it anew: what
    was trimmed meanwhile, since nothing held it back, is said and counted.
    """

    restarts: ClassVar = "where this process was"

    def __init__(self, *rooms: Any, **options: Any) -> None:
        super().__init__(*rooms, **options)
        self._bookmark = Bookmark(ZERO)

    async def join(self) -> None:
        """Create the group, and learn where it begins; as `Membership.join`."""
        await super().join()
        self._bookmark = await self._commands.bookmark()

    async def heal(self, lost: str) -> None:
        """Make the group anew where this process was, and say what it missed; as `Membership.heal`."""
        before = self.token
        await super().heal(lost)
        if self.token != before and (gap := self._bookmark.look(await self._commands.facts())):
            self._say_missed(gap)

    def read(self, batch: Batch) -> None:
        """Entries of the topic were read."""
        if batch.entries:
            self._bookmark.passed(parse_id(batch.entries[-1][0]), len(batch.entries))

    async def _say_new(self, ensured: Ensured) -> None:
        """It is new at every start; what it begins with was chosen."""
        if ensured.known:
            await super()._say_new(ensured)

    def _restart(self) -> str:
        return written_id(self._bookmark.at)

    def _say_missed(self, gap: Gap) -> None:
        self._counts.missed += gap.missed or 0
        number = "entries, nobody knows how many," if gap.missed is None else f"{gap.missed} entries"
        _log.error(
            "%s: %s after %s were trimmed, or deleted with the stream, while its group was gone: this process has not seen them",
            self._subscription,
            number,
            written_id(gap.after),
            extra={"eventbus": self.about},
        )


class InstanceFetcher(Fetcher):
    """Remembers how far it read."""

    def _take(self, token: str, sent: float, batch: Batch) -> None:
        super()._take(token, sent, batch)
        if not batch.private:
            cast("InstanceMembership", self._membership).read(batch)
