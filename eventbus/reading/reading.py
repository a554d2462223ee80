"""What a tail and a history have in common: events of a topic, one after another, without a group."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from eventbus.errors import DecodeError, LifecycleError
from eventbus.events import NORMAL, Event
from eventbus.streams import Bookmark, EntryId, StreamReader, keys, written_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from eventbus.events import Envelope, Topic
    from eventbus.reading.selection import Selection
    from eventbus.streams import Connections, Gap, Page

_log = logging.getLogger("eventbus.reading")
_E_co = TypeVar("_E_co", bound=Event, covariant=True)


class Reading(Generic[_E_co]):
    """Events of a topic, one after another: an asynchronous iterator that knows how far it is.

    Entries of other types are passed over. One that cannot be read is logged with its id, counted, and passed over.

    Closing: leaving `async with`, `aclose()`, the close of the bus, or nobody holding it any more, as after a `break`
    out of `async for event in bus.tail(…)`. Until then it holds one connection. It is read by one task at a time.

    Attributes:
        entry_id: The entry id of the event that came last; "" before the first.
        envelope: Its id, type, time, key, headers, as they stand in Redis; None before the first, and for a foreign entry.
        skipped: Entries of other types.
        undecodable: Entries that could not be read.
        missed: Entries that were trimmed before they were read, as far as the server can tell (7.0 and later, and while
            nobody deletes single entries); each time is logged.
        gaps: Times something was, or may have been, gone before it was read.
    """

    def __init__(self, connections: Connections, stream: str, topic: Topic, selection: Selection) -> None:
        self._priorities: Sequence[str] = topic.priorities or (NORMAL,)
        self._reader = StreamReader(connections, [keys.level(stream, each) for each in self._priorities])
        self._selection = selection
        self._about = f"{type(self).__name__.lower()} of {topic.name!r}"
        self._bookmarks: list[Bookmark] = []
        self._waiting: deque[tuple[EntryId, int, list[bytes]]] = deque()
        self._busy = False
        self._ended: str | None = None
        self._over = asyncio.Event()
        self.entry_id = ""
        self.envelope: Envelope | None = None
        self.skipped = 0
        self.undecodable = 0
        self.missed = 0
        self.gaps = 0
        # A reading that nobody holds any more must not keep its connection; the last hand may be another thread's.
        self._unheld = weakref.finalize(self, _let_go, asyncio.get_running_loop(), self._reader)
        self._unheld.atexit = False

    # -- iterating

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _E_co:
        """Return the next event.

        Raises:
            StopAsyncIteration: There is none, or the reading was closed.
            LifecycleError: The bus was closed meanwhile, or another task reads already.
            BackendRefused: Among others with code WRONGTYPE: the topic's key holds no stream.
            BackendUnavailable: A history's Redis did not answer; a tail waits for it.

        Cancellation:
            Nothing is lost: the next call goes on where this one was.
        """
        if self._busy:
            raise LifecycleError(f"the {self._about} is read by another task: open one for each")
        self._busy = True
        try:
            while True:
                self._check_open()
                event = self._next()
                if event is not None:
                    return event
                if not await self._turn_page():
                    self._end("")
        finally:
            self._busy = False
            if self._ended is not None:  # meanwhile, and perhaps a connection was just being made
                self._reader.abort()

    async def _turn_page(self) -> bool:
        """Have more entries waiting, or not yet; False when there will be none."""
        raise NotImplementedError

    def _next(self) -> _E_co | None:
        """The next event of what is waiting."""
        while self._waiting:
            entry_id, index, fields = self._waiting.popleft()
            self._bookmarks[index].passed(entry_id)
            try:
                found = self._selection.read(fields)
            except Exception as error:  # noqa: BLE001 - one entry must not end the reading; its text may show values
                self._say_undecodable(entry_id, error)
                continue
            if found is not None:
                self.entry_id, self.envelope = written_id(entry_id), found.envelope
                event: _E_co = found.event
                return event
            self.skipped += 1
        return None

    def _take(self, pages: Sequence[Page], *, newest: bool = False) -> None:
        """Have the entries of each stream wait, in the order of their ids.

        What another stream may have something before is left for the next page.
        """
        found = [(entry_id, index, fields) for index, page in enumerate(pages) for entry_id, fields in page.entries]
        if len(pages) > 1:
            found.sort(key=lambda each: each[0], reverse=newest)
            for edge in (page.entries[-1][0] for page in pages if page.more and page.entries):
                found = [each for each in found if (each[0] >= edge if newest else each[0] <= edge)]
        self._waiting.extend(found)

    # -- its end

    async def aclose(self) -> None:
        """Close the connection; what is asked for afterwards ends the iteration."""
        self._end("")

    def close_with_bus(self) -> None:
        """End it because the bus closes: whoever waits for an event hears so."""
        if self._ended is None:
            self._end(f"the bus was closed under the {self._about}")

    async def __aenter__(self) -> Self:
        """Begin to read: what is "latest" is found out now."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def _end(self, reason: str) -> None:
        self._ended = reason
        self._waiting.clear()
        self._over.set()
        self._reader.abort()

    def _check_open(self) -> None:
        if self._ended:
            raise LifecycleError(f"{self._ended}: read while it is open")
        if self._ended is not None:
            raise StopAsyncIteration

    def _check_begins(self) -> None:
        """Whoever enters what was closed would read nothing, and not know why."""
        if self._ended is not None:
            raise LifecycleError(f"{self._ended or f'the {self._about} was closed'}: open another one")

    # -- what is said

    def _say_undecodable(self, entry_id: EntryId, error: Exception) -> None:
        self.undecodable += 1
        reason = str(error) if isinstance(error, DecodeError) else f"it cannot be read: {type(error).__name__}"
        _log.error("%s: entry %s is passed over: %s", self._about, written_id(entry_id), reason)

    def _say_gap(self, gap: Gap) -> None:
        self.gaps += 1
        self.missed += gap.missed or 0
        after, first = written_id(gap.after), "the next that comes" if gap.first is None else written_id(gap.first)
        if gap.anew:
            _log.error("%s: the stream was deleted or flushed after entry %s; it is read on from its beginning", self._about, after)
        elif gap.missed is None:
            _log.error("%s fell behind: entries after %s and before %s may have been trimmed unread", self._about, after, first)
        else:
            _log.error("%s fell behind: %d entries after %s and before %s were trimmed unread", self._about, gap.missed, after, first)

    def __repr__(self) -> str:
        """Name the topic and how far it is."""
        return f"<{type(self).__name__} {self._about.partition(' of ')[2]} at {self.entry_id or 'its beginning'}>"


def _let_go(loop: asyncio.AbstractEventLoop, reader: StreamReader) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(reader.abort)
