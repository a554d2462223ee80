"""What comes: events of a topic as they are published, without a group."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from eventbus.delivery import Backoff
from eventbus.errors import BackendError, BackendRefused
from eventbus.events import Event
from eventbus.reading.places import place_of, start_of
from eventbus.reading.reading import Reading
from eventbus.streams import UNFIT, Bookmark, Range, id_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Self

    from eventbus.streams import Page

_log = logging.getLogger("eventbus.reading")
_E_co = TypeVar("_E_co", bound=Event, covariant=True)

PASSING: Final = UNFIT | {"UNBLOCKED"}
"""Answers after which reading goes on on a new connection. UNBLOCKED is a demoted primary's."""


class Tail(Reading[_E_co]):
    """Events of a topic as they come; made by `EventBus.tail`.

    Guarantees:
        "latest" becomes an entry id once; after that it is read on after the last id that was seen, so that nothing is
        passed over when Redis was gone meanwhile. What was trimmed before it was read is said: `missed`, `gaps`. A stream
        that began anew is read from its beginning. Nothing is read ahead beyond a page.
    Stops:
        When it is closed.
    Survives:
        Redis gone, restarted, loading, demoted: it waits, with backoff.
    Redis cost:
        One connection. A script for each page; when nothing is there an XREAD that waits, and a script every two seconds.

    Attributes:
        Those of `Reading`.
    """

    def __init__(self, *, start: object, **reading: Any) -> None:
        super().__init__(**reading)
        self._start = start_of(start, self._priorities)
        self._begun = False
        self._all: Sequence[Page] | None = None  # what was read last, where there was no more
        self._backoff = Backoff()
        self._failures = 0

    @property
    def place(self) -> str:
        """How far it is: a later tail with this `start=` goes on after the event that came last.

        An entry id; for a topic with priorities one for each of them. "" where it has not begun.
        """
        return place_of(self._bookmarks, self._priorities) if self._begun else ""

    async def __aenter__(self) -> Self:
        """Begin to read: what is "latest" is found out now.

        Raises:
            LifecycleError: It was closed, or the bus was.
            BackendRefused: As `__anext__`.
        """
        self._check_begins()
        while not self._begun:
            await self._surviving(self._begin)
            self._check_begins()
        return self

    async def _turn_page(self) -> bool:
        await self._surviving(self._read if self._begun else self._begin)
        return True

    async def _begin(self) -> None:
        await self._reader.check()
        facts = await self._reader.facts()
        if self._start is None:
            # A concrete id, once: `$` would mean another moment at every read.
            self._bookmarks = [Bookmark(each.last, known=True, added=each.added) for each in facts]
        else:
            self._bookmarks = self._start
            for bookmark, each in zip(self._bookmarks, facts, strict=True):
                if not bookmark.known:
                    bookmark.begin(each)
        self._begun = True

    async def _read(self) -> None:
        if self._all is not None:
            for bookmark, page in zip(self._bookmarks, self._all, strict=True):
                bookmark.at_end(page.facts)
            await self._reader.wait([bookmark.at for bookmark in self._bookmarks])
            self._all = None
        pages = await self._reader.pages([Range(id_after(bookmark.at)) for bookmark in self._bookmarks])
        gaps = [gap for bookmark, page in zip(self._bookmarks, pages, strict=True) if (gap := bookmark.look(page.facts))]
        for gap in gaps:
            self._say_gap(gap)
        if not any(gap.anew for gap in gaps):  # else it was read after an id that means nothing any more
            self._take(pages)
            self._all = None if any(page.more for page in pages) else pages

    async def _surviving(self, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step; wait for Redis where it cannot be taken."""
        try:
            await step()
        except BackendError as error:
            if self._ended is not None:
                return
            self._reader.abort()
            if isinstance(error, BackendRefused) and error.code not in PASSING:
                raise
            await self._wait(error)
        else:
            self._goes_on()

    async def _wait(self, error: BackendError) -> None:
        self._failures += 1
        if self._failures == 1:
            _log.warning("%s waits for Redis: %s", self._about, error)
        with anyio.move_on_after(self._backoff.delay(self._failures)):
            await self._over.wait()

    def _goes_on(self) -> None:
        if self._failures:
            _log.warning("%s goes on after %d failures", self._about, self._failures)
            self._failures = 0
