"""The way to Redis: opens a connection when one is needed, and again after a failure."""

from __future__ import annotations

import asyncio
from asyncio import timeout as deadline
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import hiredis

from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.streams.border import FOREIGN_ERRORS, translate
from eventbus.streams.connections import CONNECT_TIMEOUT
from eventbus.streams.line import Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from eventbus.streams.connections import Connections
    from eventbus.streams.line import Take

ANSWER_TIMEOUT: Final = 5.0
"""Seconds of silence after which a connection is given up. Well below a lease, so that a black hole costs a
reconnect and not the lease."""

UNFIT: Final = frozenset({"READONLY", "MASTERDOWN", "LOADING", "MISCONF", "CLUSTERDOWN", "NOREPLICAS", "BUSY"})
"""Answers of a server that cannot do the work now: they count as none. What only reads may be answered all the while."""

MOVED_AWAY: Final = frozenset({"READONLY", "MASTERDOWN"})
"""Answers of a primary that was demoted. It keeps its connections; a new one finds the new primary."""

WORTH_TELLING: Final = 0.1
"""Seconds from which a wait for an answer is told."""


def pack(*words: str | bytes | int) -> bytes:
    """A command in Redis's protocol, ready to be written."""
    return bytes(cast("Any", hiredis).pack_command(words))  # its stub forgets that tuples vary in length


class Wire:
    """The way to Redis: one connection, opened when first needed and again after a failure.

    Commands of one call are written together. Calls do not wait for each other: each is written behind those
    before it, and Redis answers in that order. Whatever ends the connection fails all that are under way; one
    that is cancelled does not, though its commands may be executed all the same.

    Args:
        connections: Where connections come from.
        doing: What this wire is for, to be named in errors.
        silence: Seconds of silence after which the connection is given up, unless a call says otherwise.

    Attributes:
        greetings: Called when a new connection was made, before anything else is sent on it: what must not
            wait behind whatever piled up while there was none.
        waited: Called after an answer with the seconds for which there was none although somebody asked:
            an outage, a slow link or a frozen server, reconnects included.
        refused: Called when the server answered that it cannot do the work now, with the event loop's time since
            when nothing was done. Only what is a write for sure tells that this is over.
        opened: Connections made so far.
    """

    def __init__(self, connections: Connections, doing: str, *, silence: float = ANSWER_TIMEOUT) -> None:
        self._connections = connections
        self._silence = silence
        self._doing = f"{doing} at {connections.address}"
        self._line: Line | None = None
        self._opening = anyio.Lock()
        self.greetings: list[Callable[[Turn], Awaitable[None]]] = []
        self.waited: list[Callable[[float], None]] = []
        self.refused: list[Callable[[float], None]] = []
        self.opened = 0
        self._unanswered_since: float | None = None  # the first of the calls that failed since the last answer

    @property
    def connected(self) -> bool:
        """Whether a connection is open as far as this side knows."""
        return self._line is not None and self._line.lost is None

    @property
    def received(self) -> int:
        """Bytes that came on the connection that is open; 0 without one."""
        return 0 if self._line is None else self._line.received

    async def call(
        self,
        commands: Sequence[bytes],
        *,
        timeout: float | None = None,
        into: list[Any] | None = None,
        arrived: Take | None = None,
    ) -> list[Any]:
        """Send packed commands in one write and read all replies.

        Args:
            commands: Commands made by `pack`.
            timeout: Seconds of silence, counted from the write and from whatever came last; None for the wire's.
            into: A list to put the replies in; after a failure it holds those that still came.
            arrived: Called with replies in the moment they come, as often as some came: before whoever awaits them has
                his turn.

        Returns:
            A reply per command; an error answer stands in its place as a `BackendRefused`.

        Raises:
            BackendUnavailable: No connection, or not every reply came: the commands may have been executed.
            BackendRefused: The server refused the connection itself (user, password, database).
        """
        replies: list[Any] = [] if into is None else into
        asked = asyncio.get_running_loop().time()
        try:
            fit = await self._exchange(await self._connected(), commands, replies, timeout, arrived)
        except BackendUnavailable:
            _ = self._note_unanswered(asked)
            raise
        if fit:
            self._tell_wait(asked)
        else:
            self._tell_refused(self._note_unanswered(asked))
        return replies

    def send(self, commands: Sequence[bytes], take: Take) -> asyncio.Future[None]:
        """Write packed commands on the connection that is open, without waiting for anything.

        It tells neither `waited` nor `refused`, and leaves it to the caller to close a connection that leads to the
        wrong server.

        Args:
            commands: Commands made by `pack`.
            take: Called with their replies, as often as some came; an error answer is a `BackendRefused`.

        Returns:
            Done after the last reply; raises BackendUnavailable where not every reply came: the commands may have been
            executed. To cancel it ends the waiting only.

        Raises:
            BackendUnavailable: No connection is open. Nothing was sent.
        """
        if self._line is None:
            raise BackendUnavailable(f"{self._doing}: there is no connection", maybe_executed=False)
        return self._line.send(commands, take, patience=self._silence)

    async def _exchange(
        self, line: Line, commands: Sequence[bytes], replies: list[Any], timeout: float | None, arrived: Take | None = None
    ) -> bool:
        """Whether they were answered by a server that can do the work."""

        def take(came: list[Any]) -> None:
            replies.extend(came)
            if arrived is not None:
                arrived(came)

        try:
            await line.send(commands, take, patience=self._silence if timeout is None else timeout)
        except BackendUnavailable:
            await self._drop(line)
            raise
        codes = {reply.code for reply in replies if isinstance(reply, BackendRefused)}
        if codes & MOVED_AWAY:
            await self._drop(line)
        return not codes & UNFIT

    def _note_unanswered(self, asked: float) -> float:
        self._unanswered_since = min(asked, self._unanswered_since or asked)
        return self._unanswered_since

    def _tell_refused(self, since: float) -> None:
        for tell in self.refused:
            tell(since)

    def _tell_wait(self, asked: float) -> None:
        since, self._unanswered_since = min(asked, self._unanswered_since or asked), None
        seconds = asyncio.get_running_loop().time() - since
        if seconds >= WORTH_TELLING:
            for tell in self.waited:
                tell(seconds)

    async def one(self, *words: str | bytes | int, timeout: float | None = None, arrived: Take | None = None) -> Any:
        """Send one command and return its reply; arguments as `call`.

        Raises:
            BackendUnavailable: As `call`.
            BackendRefused: Redis answered with an error.
        """
        (reply,) = await self.call([pack(*words)], timeout=timeout, arrived=arrived)
        return _accepted(reply)

    async def connect(self) -> None:
        """Open the connection now, to know whether that works.

        Raises:
            BackendUnavailable: No connection.
            BackendRefused: The server refused the user or password.
        """
        _ = await self._connected()

    async def close(self) -> None:
        """Close the connection, if there is one. A later call opens a new one.

        Cancellation:
            It is closed all the same, under calls that still wait for their replies, too.
        """
        try:
            async with self._opening:
                if self._line is not None:
                    await self._line.idle()  # what is under way ends first
        finally:
            if self._line is not None:
                await self._drop(self._line)

    def abort(self) -> None:
        """Close the connection in this very moment, under whatever is under way. A later call opens a new one."""
        line, self._line = self._line, None
        if line is not None:
            line.abort()

    async def _connected(self) -> Line:
        if self._line is None or self._line.lost is not None:
            async with self._opening:
                if self._line is not None and self._line.lost is not None:
                    await self._drop(self._line)
                if self._line is None:
                    self._line = await self._open()
                return self._line
        return self._line

    async def _open(self) -> Line:
        connection = self._connections.connection()
        try:
            # redis-py bounds the socket's connect only; the answers to AUTH and SELECT may never come.
            async with deadline(CONNECT_TIMEOUT):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await connection.disconnect(nowait=True)
            if isinstance(error, FOREIGN_ERRORS):
                raise translate(error, self._doing, maybe_executed=False) from error
            raise
        self.opened += 1
        line = Line(connection, self._doing)
        await self._greet(line)
        return line

    async def _greet(self, line: Line) -> None:
        try:
            for greet in self.greetings:
                with suppress(BackendRefused):  # who greets asks again, in its turn
                    await greet(Turn(partial(self._exchange, line)))
        except BackendUnavailable as error:
            raise BackendUnavailable(str(error), maybe_executed=False) from error  # of what was still to be sent
        except BaseException:
            await self._drop(line)
            raise
        if line.lost is not None:  # a greeting found that it leads to the wrong server
            raise BackendUnavailable(f"{self._doing}: the new connection was given up", maybe_executed=False)

    async def _drop(self, line: Line) -> None:
        if self._line is line:
            self._line = None
        await line.close()


class Turn:
    """The first turn on a new connection: sends commands while everybody else waits for the wire."""

    def __init__(self, exchange: Callable[[Sequence[bytes], list[Any], float | None], Awaitable[object]]) -> None:
        self._exchange = exchange

    async def one(self, *words: str | bytes | int) -> Any:
        """Send one command; raises as `Wire.one`."""
        replies: list[Any] = []
        _ = await self._exchange([pack(*words)], replies, None)
        return _accepted(replies[0])


def _accepted(reply: Any) -> Any:
    if isinstance(reply, BackendRefused):
        raise reply
    return reply
