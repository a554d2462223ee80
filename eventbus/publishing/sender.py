"""Sends what is published: queued, under way, or to be sent again."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from eventbus.delivery import Health, Published
from eventbus.errors import BackendError, BackendRefused, BackendUnavailable
from eventbus.publishing.confirmation import TRANSIENT, Confirmation, give_up, refusal, stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventbus.delivery import Alive
    from eventbus.publishing.counts import PublishCounts
    from eventbus.streams import Wire

CHUNK: Final = 500
"""Commands in one write. Larger ones gain nothing measurable and make the first wait for the last."""

CHUNK_BYTES: Final = 1 << 20
"""Bytes in one write, unless a single event is larger."""

MOST_WRITES: Final = 2
"""Writes under way: while Redis works on one the next is made. More would only wait in a socket."""


class Sender:
    """Write what is published: what comes in one turn of the event loop together, without a task's turn in between.

    Args:
        wire: Where to. Somebody else connects it.
        counts: What is counted.

    Attributes:
        failure: What a write failed with; nothing is written until `resume`.
        stuck: Set when somebody has to connect, or to look at the failure.
        empty: Set while nothing waits for a confirmation.

    Guarantees:
        Each answer goes to its own event. What has to be written again keeps its place before what came later.
    Redis cost:
        One XADD an event, up to 500 in a write; two writes are under way at most.
    """

    def __init__(self, wire: Wire, counts: PublishCounts) -> None:
        self._wire = wire
        self._counts = counts
        self._queue: deque[Confirmation] = deque()
        self._writes: deque[_Write] = deque()
        self._again: list[Confirmation] = []
        self._loop = asyncio.get_running_loop()
        self._alive: Alive = lambda _=Health.RUNNING, /: None
        self._due = math.inf  # when the first of them runs out of time: to look at each, again and again, would cost more
        self._flushing = False
        self._alone = False
        self._context = Context()  # not that of whoever published first
        self.failure: BackendError | None = None
        self.stuck = asyncio.Event()
        self.empty = asyncio.Event()
        self.empty.set()

    def add(self, confirmations: Sequence[Confirmation]) -> None:
        """Write these behind all that wait: at the end of this turn, or at once where nobody else would join them.

        Args:
            confirmations: Those of one call, which have one deadline: one at least.
        """
        self._queue.extend(confirmations)
        self._due = min(self._due, confirmations[0].until)
        self.empty.clear()
        if len(self._queue) >= CHUNK or (self._alone and not self._writes):
            self.flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_now, context=self._context)

    def resume(self, alive: Alive) -> None:
        """Forget the failure; `alive` is called after each write that went well."""
        self._alive = alive
        self.failure = None

    def flush(self) -> None:
        """Write what is queued, as far as it is worth a write now."""
        while self._queue and self._able() and self._worthwhile():
            if chunk := self._take():
                self._write(chunk)
        if self._queue and not self._able():
            self.stuck.set()
        self._note_empty()

    def give_up(self, until: float, why: str) -> None:
        """Answer whatever waits and was to be answered by then, with what is known about it."""
        cancelled = bool(self._queue) and self._queue[0].done()  # whoever closes the bus shall not wait for it
        if until < self._due and not cancelled:
            return
        for confirmation, sent in self._waiting():
            if confirmation.until <= until and not confirmation.done():
                confirmation.maybe_written |= sent
                self._counts.given_up += 1
                give_up(confirmation, why)
        self._queue = deque(each for each in self._queue if not each.done())
        self._due = min((each.until for each, _ in self._waiting() if not each.done()), default=math.inf)
        self._note_empty()

    def abandon(self) -> None:
        """Answer everything that waits, and forget it."""
        self.give_up(math.inf, "the bus was closed")
        for write in self._writes:
            _ = write.over.cancel()
        self._writes.clear()
        self._again.clear()
        self._queue.clear()
        self._note_empty()

    def note_failure(self, error: BackendError) -> None:
        """Note what the last try of all that is queued failed with; whoever is given up is told."""
        for confirmation in self._queue:
            confirmation.last = error

    def _note_empty(self) -> None:
        if not (self._queue or self._writes or self._again):
            self.empty.set()

    def _waiting(self) -> Iterator[tuple[Confirmation, bool]]:
        """What waits for a confirmation, and whether it is under way."""
        for write in self._writes:
            yield from ((each, True) for each in write.unanswered())
            yield from ((each, False) for each in write.refused)
        yield from ((each, False) for each in (*self._again, *self._queue))

    # -- writing

    def _flush_now(self) -> None:
        self._flushing = False
        self.flush()

    def _able(self) -> bool:
        return self.failure is None and self._wire.connected

    def _worthwhile(self) -> bool:
        """While something is under way, a write waits for half as much: whoever is answered next may join it."""
        return len(self._writes) < MOST_WRITES and 2 * len(self._queue) >= sum(write.left for write in self._writes)

    def _take(self) -> list[Confirmation]:
        chunk: list[Confirmation] = []
        size = 0
        while self._queue and len(chunk) < CHUNK:
            confirmation = self._queue.popleft()
            if confirmation.done():  # cancelled by its caller, or out of time
                continue
            size += len(confirmation.command)
            if chunk and size > CHUNK_BYTES:
                self._queue.appendleft(confirmation)
                break
            chunk.append(confirmation)
        return chunk

    def _write(self, chunk: list[Confirmation]) -> None:
        write = _Write(chunk, self._counts)
        try:
            write.over = self._wire.send([each.command for each in chunk], write.hear)
        except BackendUnavailable as error:  # the connection was lost just now
            self._put_back(chunk, error)
            return
        except Exception as error:  # noqa: BLE001 - a defect of some transport: nothing may be lost of it
            for confirmation in chunk:
                confirmation.maybe_written = True
            failed = BackendUnavailable(f"publishing: the write failed ({type(error).__name__})")
            failed.__cause__ = error
            self._put_back(chunk, failed)
            return
        self._counts.writes += 1
        self._alone = len(chunk) == 1
        self._writes.append(write)
        write.over.add_done_callback(self._written, context=self._context)

    def _put_back(self, chunk: Sequence[Confirmation], error: BackendUnavailable) -> None:
        self._requeue(chunk)
        self.note_failure(error)
        self._stop(error)

    # -- answers

    def _written(self, over: asyncio.Future[None]) -> None:
        """A write is over; those whom it answered had their turn before this."""
        if over.cancelled() or not self._writes:  # abandoned
            return
        write, lost = self._writes.popleft(), over.exception()
        if isinstance(lost, BackendError):
            write.lose(lost)
            self._stop(lost)
        elif write.refused:
            self._stop(write.refused[0].last)
        self._again += (*write.refused, *write.unanswered())
        if not self._writes:  # else the next one's rest comes behind these
            again, self._again = self._again, []
            self._requeue(again)
        self.flush()
        if self.failure is None:
            self._alive()

    def _requeue(self, again: Sequence[Confirmation]) -> None:
        self._queue.extendleft(reversed(again))

    def _stop(self, error: BackendError | None) -> None:
        self.failure = self.failure or error
        self.stuck.set()


class _Write:
    """Events that were written together.

    Args:
        chunk: The events, in order.
        counts: What is counted.

    Attributes:
        over: Done after the last answer.
        refused: Those that have to be written again, since the server will soon answer otherwise.
        left: How many have no answer.
    """

    over: asyncio.Future[None]

    def __init__(self, chunk: Sequence[Confirmation], counts: PublishCounts) -> None:
        self._chunk = chunk
        self._counts = counts
        self.refused: list[Confirmation] = []
        self.left = len(chunk)

    def unanswered(self) -> Sequence[Confirmation]:
        """Those whose answer has not come."""
        return self._chunk[len(self._chunk) - self.left :]

    def hear(self, replies: Sequence[Any]) -> None:
        """Hand out answers as they come: whoever awaits them is spared a turn of the event loop."""
        for confirmation, reply in zip(self.unanswered(), replies, strict=False):
            if isinstance(reply, bytes):
                self._counts.published += 1
                if not confirmation.done():
                    confirmation.set_result(Published(confirmation.event_id, confirmation.topic, reply.decode()))
            elif isinstance(reply, BackendRefused):
                self._refuse(confirmation, reply)
            else:
                self._counts.published += 1
                if not confirmation.done():
                    confirmation.set_result(stored(confirmation, reply))
        self.left -= len(replies)

    def lose(self, error: BackendError) -> None:
        """No further answer will come."""
        for confirmation in self.unanswered():
            confirmation.last = error
            confirmation.maybe_written = True

    def _refuse(self, confirmation: Confirmation, reply: BackendRefused) -> None:
        error = confirmation.last = refusal(confirmation, reply)
        if error.code in TRANSIENT:
            self.refused.append(confirmation)
            return
        if confirmation.done():
            return
        self._counts.refused += 1
        if confirmation.maybe_written:
            self._counts.given_up += 1
            give_up(confirmation, "an earlier try had no answer")
        else:
            confirmation.set_exception(error)
