"""An open connection: commands of many callers are on their way at once, and answered in order."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import hiredis

from eventbus.streams.border import refused, translate

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, BaseProtocol, TimerHandle, WriteTransport
    from collections.abc import Callable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from eventbus.errors import BackendError, BackendRefused

    Take: TypeAlias = Callable[[list[Any]], None]
    """Takes the next replies."""

SLOWEST_LINK: Final = 100_000
"""Bytes a second at which a write still counts as going on."""

SECOND_LOOK: Final = 0.5
"""Seconds after which silence is believed, once it was found."""

_NOTHING: Final = object()


class Exchange:
    """Commands that were sent together, until every reply came.

    Args:
        wanted: How many replies there will be.
        take: Called with the replies that came, in order, as often as some came.
        patience: As in `Line.send`.
        due: The event loop's time at which the first reply must have come.
    """

    __slots__ = ("_left", "_over", "_take", "due", "patience")

    def __init__(self, wanted: int, take: Take, *, patience: float, due: float) -> None:
        self._left = wanted
        self._take = take
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.patience = patience
        self.due = due

    def hand_out(self, replies: list[Any]) -> list[Any]:
        """Hand out what is for this exchange; returns the rest, which is for those behind it."""
        mine, rest = (replies, []) if len(replies) <= self._left else (replies[: self._left], replies[self._left :])
        self._left -= len(mine)
        self._take(mine)
        if self.complete and not self._over.done():  # its caller may have been cancelled
            self._over.set_result(None)
        return rest

    @property
    def complete(self) -> bool:
        """Whether every reply came."""
        return self._left == 0

    def fail(self, error: BackendError) -> None:
        """The rest of the replies will never come."""
        if not self._over.done():
            self._over.set_exception(error)

    @property
    def awaited(self) -> asyncio.Future[None]:
        """Done when its caller waits no more, however that came."""
        return self._over


class Line(asyncio.Protocol):
    """Takes over a connection that redis-py has opened and greeted: TLS, user and database are its affair.

    What is sent is written at once, behind whatever was sent before. Nobody bounds that but the callers, who
    wait for their answers.

    Args:
        connection: Connected.
        doing: What it is for, to be named in errors.

    Attributes:
        lost: Why nothing can be sent any more; None while something can.
        received: Bytes that came so far.
    """

    def __init__(self, connection: AbstractConnection, doing: str) -> None:
        assert connection._writer is not None, "it is connected"  # noqa: S101, SLF001  # pyright: ignore[reportPrivateUsage]
        self._connection = connection
        self._doing = doing
        self._loop = asyncio.get_running_loop()
        # Kept, since redis-py forgets it when it closes it after an error.
        self._transport: WriteTransport = connection._writer.transport  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self._reader = hiredis.Reader(notEnoughData=_NOTHING, replyError=partial(_refused, doing))
        self._exchanges: deque[Exchange] = deque()
        self._silence = Silence(self._loop, self._due, self._give_up)
        self._before: BaseProtocol = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._closed = False
        self.lost: Exception | None = None
        self.received = 0

    def send(self, commands: Sequence[bytes], take: Take, *, patience: float) -> asyncio.Future[None]:
        """Write commands.

        Args:
            commands: Packed.
            take: Called with their replies, in order, as often as some came; error answers are `BackendRefused`.
            patience: Seconds of silence after which the whole line is given up, counted from the write, from the
                answer before and from whatever came last.

        Returns:
            Done after the last reply; raises BackendUnavailable where not every reply came. To cancel it ends the
            waiting only: `take` is called all the same.

        Raises:
            BackendUnavailable: The connection was lost before.
        """
        if self.lost is not None:
            raise translate(self.lost, self._doing, maybe_executed=False)
        self._transport.writelines(commands)
        written = self._loop.time() + self._transport.get_write_buffer_size() / SLOWEST_LINK
        exchange = Exchange(len(commands), take, patience=patience, due=written + patience)
        self._exchanges.append(exchange)
        self._silence.expect()
        return exchange.awaited

    async def idle(self) -> None:
        """Wait until nobody waits any more for an answer to what was sent by now."""
        if self._exchanges:
            await asyncio.wait([each.awaited for each in self._exchanges])

    async def close(self) -> None:
        """Disconnect; whoever waits for an answer hears that it will not come."""
        self._end(ConnectionError("the connection was closed"))
        closed, self._closed = self._closed, True
        if closed:  # each of its callers closes it when it is lost; a TLS transport does not bear that
            return
        # A transport that is merely closed still sends what it has, whenever the server reads again: after
        # the same commands were sent on another connection.
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        with anyio.CancelScope(shield=True):
            await self._connection.disconnect(nowait=True)

    def abort(self) -> None:
        """Disconnect in this very moment, for who cannot wait; otherwise as `close`."""
        self._end(ConnectionError("the connection was closed"))
        self._closed = True
        self._transport.abort()
        self._connection._close()  # type: ignore[no-untyped-call]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    # -- what the event loop calls

    def data_received(self, data: bytes) -> None:
        """Hand out what came."""
        self._silence.heard()
        self.received += len(data)
        replies: list[Any] = []
        broken = self._parse(data, replies)
        while replies and self._exchanges:
            first = self._exchanges[0]
            replies = first.hand_out(replies)
            if first.complete:
                _ = self._exchanges.popleft()
        if replies:
            broken = broken or hiredis.ProtocolError("an answer that nobody asked for")
        if broken is not None:
            self._give_up(broken)

    def _parse(self, data: bytes, replies: list[Any]) -> Exception | None:
        """Add what is whole by now; returns why nothing more can be understood."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _NOTHING:
                replies.append(reply)
        except hiredis.HiredisError as error:
            return error
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will come any more."""
        self._end(exc or EOFError("the server closed the connection"))
        self._before.connection_lost(exc)

    # -- its end

    def _due(self) -> float:
        """When silence has lasted too long."""
        if not self._exchanges:
            return math.inf
        first = self._exchanges[0]
        return max(first.due, self._silence.since + first.patience)

    def _give_up(self, error: Exception) -> None:
        self._end(error)
        self._transport.abort()

    def _end(self, error: Exception) -> None:
        self.lost = self.lost or error
        self._silence.stop()
        while self._exchanges:
            self._exchanges.popleft().fail(translate(error, self._doing))


def _refused(doing: str, text: str) -> BackendRefused:
    return refused(hiredis.ReplyError(text), doing)


class Silence:
    """Tells when nothing came for too long.

    It looks twice: an event loop that was blocked (a handler, a suspended machine) finds its timer due and
    the replies in the socket at one moment. Only a second look tells silence from a late listener.

    Args:
        loop: The event loop.
        due: When something must have come at the latest; infinity while nothing is awaited.
        give_up: Called when nothing did.

    Attributes:
        since: When something came last.
    """

    def __init__(self, loop: AbstractEventLoop, due: Callable[[], float], give_up: Callable[[Exception], None]) -> None:
        self._loop = loop
        self._due = due
        self._give_up = give_up
        self._looked = False
        self._timer: TimerHandle | None = None
        self.since = -math.inf

    def expect(self) -> None:
        """Something is awaited now, perhaps sooner than what was."""
        due = self._due()
        if self._timer is None or (due < self._timer.when() and not self._looked):
            self._look_at(due)

    def heard(self) -> None:
        """Begin to count anew."""
        self.since = self._loop.time()
        self._looked = False

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_at(self, when: float) -> None:
        self.stop()
        self._timer = None if when == math.inf else self._loop.call_at(when, self._look)

    def _look(self) -> None:
        now, due = self._loop.time(), self._due()
        if now >= due and self._looked:
            self._timer = None
            self._give_up(TimeoutError("silence"))
            return
        self._looked = now >= due
        self._look_at(now + SECOND_LOOK if self._looked else due)
