"""What is there: events of a topic between two places, without a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from eventbus.errors import BackendError
from eventbus.events import Event
from eventbus.reading.places import range_of
from eventbus.reading.reading import Reading
from eventbus.streams import Bookmark, Gap, Range, id_after, id_before

if TYPE_CHECKING:
    from typing import Self

    from eventbus.streams import EntryId, StreamFacts

_E_co = TypeVar("_E_co", bound=Event, covariant=True)


class History(Reading[_E_co]):
    """Events of a topic that are there already; made by `EventBus.history`.

    Guarantees:
        It ends: what is published after it began is left out. Of several priorities the events come in the order of
        their entry ids. What was trimmed while it was being read is said: `missed`, `gaps`. Nothing is read ahead beyond
        a page.
    Survives:
        Nothing: BackendUnavailable is raised. Iterating again goes on after the event that came last.
    Redis cost:
        One connection, and a script for each page.

    Attributes:
        Those of `Reading`.
    """

    def __init__(self, *, from_: object, to: object, reverse: bool, **reading: Any) -> None:
        super().__init__(**reading)
        self._range = range_of(from_, to)
        self._reverse = reverse
        self._ranges: list[Range] = []
        self._oldest: list[EntryId] = []
        self._complete = False

    async def __aenter__(self) -> Self:
        """Begin to read: where it ends is found out now.

        Raises:
            LifecycleError: It was closed, or the bus was.
            BackendError: Redis does not answer, or refuses.
        """
        self._check_begins()
        if not self._bookmarks:
            await self._begin()
        return self

    async def _turn_page(self) -> bool:
        try:
            if not self._bookmarks:
                await self._begin()
            if self._complete:
                return False
            await self._read()
        except BackendError:
            if self._ended is None:
                self._reader.abort()
                raise
        return True

    async def _begin(self) -> None:
        await self._reader.check()
        facts = await self._reader.facts()
        first, last = self._range.first, self._range.last
        # To the end as it is now: a busy topic would be read for ever.
        self._ranges = [Range(first, min(last, each.last)) for each in facts]
        self._oldest = [max(first, id_after(each.edge)) for each in facts]
        self._bookmarks = [Bookmark(id_after(each.last) if self._reverse else id_before(first)) for each in self._ranges]
        if not self._reverse:
            for bookmark, each in zip(self._bookmarks, facts, strict=True):
                bookmark.begin(each)

    async def _read(self) -> None:
        ranges = list(map(self._left, self._bookmarks, self._ranges))
        pages = await self._reader.pages(ranges, newest=self._reverse)
        look = self._look_back if self._reverse else self._look
        gaps = [gap for index, page in enumerate(pages) if (gap := look(index, page.facts))]
        for gap in gaps:
            self._say_gap(gap)
        if not any(gap.anew for gap in gaps):  # else what was left of it is gone
            self._take(pages, newest=self._reverse)
        self._complete = not self._waiting or not any(page.more for page in pages)

    def _left(self, bookmark: Bookmark, whole: Range) -> Range:
        return Range(whole.first, id_before(bookmark.at)) if self._reverse else Range(id_after(bookmark.at), whole.last)

    def _look(self, index: int, facts: StreamFacts) -> Gap | None:
        bookmark, last = self._bookmarks[index], self._ranges[index].last
        return bookmark.look(facts) if bookmark.at < last else None

    def _look_back(self, index: int, facts: StreamFacts) -> Gap | None:
        """What is gone is what would have come at the end; said once, as soon as it is seen."""
        oldest, at = self._oldest[index], self._bookmarks[index].at
        if facts.edge < oldest or at <= oldest:
            return None
        self._oldest[index] = id_after(facts.edge)
        return Gap(id_before(oldest), facts.first, None)
