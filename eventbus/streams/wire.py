"""One connection on which commands are pipelined and replies come back raw."""

from __future__ import annotations

import asyncio
import math
from asyncio import timeout as deadline
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import hiredis
from redis.exceptions import ResponseError

from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.streams.border import FOREIGN_ERRORS, refused, translate
from eventbus.streams.connections import CONNECT_TIMEOUT

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Timeout
    from collections.abc import Awaitable, Callable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from eventbus.streams.connections import Connections, ListeningParser

ANSWER_TIMEOUT: Final = 5.0
"""Seconds of silence after which a connection is given up. Well below a lease, so that a black hole costs a
reconnect and not the lease."""

SLOWEST_LINK: Final = 100_000
"""Bytes a second at which a write still counts as going on."""

UNFIT: Final = frozenset({"READONLY", "MASTERDOWN", "LOADING", "MISCONF", "CLUSTERDOWN"})
"""Answers of a server that cannot do the work now: they count as none."""

MOVED_AWAY: Final = frozenset({"READONLY", "MASTERDOWN"})
"""Answers of a primary that was demoted. It keeps its connections; a new one finds the new primary."""

WORTH_TELLING: Final = 0.1
"""Seconds from which a wait for an answer is told."""

SECOND_LOOK: Final = 0.5
"""Seconds after which silence is believed, once it was found."""


def pack(*words: str | bytes | int) -> bytes:
    """A command in Redis's protocol, ready to be written."""
    return bytes(cast("Any", hiredis).pack_command(words))  # its stub forgets that tuples vary in length


class Wire:
    """One connection to Redis, opened when first needed and again after a failure.

    Commands of one call are written together and answered together; calls wait for each other. A call
    that fails or is cancelled half way drops the connection, since its replies can no longer be told
    from those of the next call.

    Args:
        connections: Where connections come from.
        doing: What this wire is for, to be named in errors.
        silence: Seconds of silence after which a call is given up, unless it says otherwise.

    Attributes:
        greetings: Called when a new connection was made, before anything else is sent on it: what must not
            wait behind whatever piled up while there was none.
        waited: Called after an answer with the seconds for which there was none although somebody asked:
            an outage, a slow link or a frozen server, reconnects included.
        opened: Connections made so far.
    """

    def __init__(self, connections: Connections, doing: str, *, silence: float = ANSWER_TIMEOUT) -> None:
        self._connections = connections
        self._silence = silence
        self._doing = f"{doing} at {connections.address}"
        self._connection: AbstractConnection | None = None
        self.greetings: list[Callable[[Turn], Awaitable[None]]] = []
        self.waited: list[Callable[[float], None]] = []
        self.opened = 0
        self._asked: float | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._lock = anyio.Lock()

    @property
    def connected(self) -> bool:
        """Whether a connection is open as far as this side knows."""
        return self._connection is not None

    async def call(self, commands: Sequence[bytes], *, timeout: float | None = None, into: list[Any] | None = None) -> list[Any]:
        """Send packed commands in one write and read all replies.

        Args:
            commands: Commands made by `pack`.
            timeout: Seconds of silence, counted from the write and from whatever came last; None for the wire's.
            into: A list to put the replies in; after a failure it holds those that still came.

        Returns:
            A reply per command; an error answer stands in its place as a `BackendRefused`.

        Raises:
            BackendUnavailable: No connection, or not every reply came: the commands may have been executed.
            BackendRefused: The server refused the connection itself (user, password, database).
        """
        replies: list[Any] = [] if into is None else into
        async with self._lock:
            if self._asked is None:
                self._asked = asyncio.get_running_loop().time()
            await self._send(await self._connected(), commands, replies, timeout)
        return replies

    async def _send(self, connection: AbstractConnection, commands: Sequence[bytes], replies: list[Any], timeout: float | None) -> None:
        if self._connection is not connection:  # a greeting found that it leads to the wrong server
            raise BackendUnavailable(f"{self._doing}: the new connection was given up", maybe_executed=False)
        try:
            async with deadline(None) as limit:
                loop = asyncio.get_running_loop()
                seconds = self._silence if timeout is None else timeout
                silence = Silence(loop, limit, seconds, sum(map(len, commands)) / SLOWEST_LINK)
                await _exchange(connection, commands, replies, self._doing, silence)
        except FOREIGN_ERRORS as error:
            await self._drop()
            raise translate(error, self._doing) from error
        except BaseException:
            await self._drop()
            raise
        refusals = {reply.code for reply in replies if isinstance(reply, BackendRefused)}
        if refusals & MOVED_AWAY:
            await self._drop()
        if not refusals & UNFIT:
            self._tell_waits(loop.time())

    def _tell_waits(self, now: float) -> None:
        asked, self._asked = self._asked, None
        seconds = 0.0 if asked is None else now - asked
        if seconds >= WORTH_TELLING:
            for tell in self.waited:
                tell(seconds)

    async def one(self, *words: str | bytes | int, timeout: float | None = None) -> Any:
        """Send one command and return its reply.

        Raises:
            BackendUnavailable: As `call`.
            BackendRefused: Redis answered with an error.
        """
        (reply,) = await self.call([pack(*words)], timeout=timeout)
        return _accepted(reply)

    async def connect(self) -> None:
        """Open the connection now, to know whether that works.

        Raises:
            BackendUnavailable: No connection.
            BackendRefused: The server refused the user or password.
        """
        async with self._lock:
            await self._connected()

    async def close(self) -> None:
        """Close the connection, if there is one. A later call opens a new one.

        Cancellation:
            It is closed all the same, under a call that still waits for its replies, too.
        """
        try:
            async with self._lock:  # what is under way ends first
                pass
        finally:
            await self._drop()

    async def _connected(self) -> AbstractConnection:
        connection = self._connection
        if connection is None:
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
            self._connection = connection
            self.opened += 1
            # Kept, since redis-py forgets it when it closes it after an error.
            self._transport = connection._writer.transport if connection._writer else None  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            await self._greet(connection)
        return connection

    async def _greet(self, connection: AbstractConnection) -> None:
        try:
            for greet in self.greetings:
                with suppress(BackendRefused):  # who greets asks again, in its turn
                    await greet(Turn(partial(self._send, connection)))
        except BackendUnavailable as error:
            raise BackendUnavailable(str(error), maybe_executed=False) from error  # of what was still to be sent
        except BaseException:
            await self._drop()
            raise

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            transport = self._transport
            # A transport that is merely closed still sends what it has, whenever the server reads again: after
            # the same commands were sent on another connection.
            if transport is not None and transport.get_write_buffer_size():
                transport.abort()
            with anyio.CancelScope(shield=True):
                await connection.disconnect(nowait=True)


class Turn:
    """The first turn on a new connection: sends commands while everybody else waits for the wire."""

    def __init__(self, send: Callable[[Sequence[bytes], list[Any], float | None], Awaitable[None]]) -> None:
        self._send = send

    async def one(self, *words: str | bytes | int) -> Any:
        """Send one command; raises as `Wire.one`."""
        replies: list[Any] = []
        await self._send([pack(*words)], replies, None)
        return _accepted(replies[0])


def _accepted(reply: Any) -> Any:
    if isinstance(reply, BackendRefused):
        raise reply
    return reply


class Silence:
    """Lets a deadline expire when no bytes came for so long.

    It looks twice: an event loop that was blocked (a handler, a suspended machine) finds its timer due and
    the replies in the socket at one moment. Only a second look tells silence from a late listener.

    Args:
        loop: The event loop.
        limit: What is to expire.
        seconds: How long nothing may be heard.
        writing: Seconds more that the write may take.
    """

    def __init__(self, loop: AbstractEventLoop, limit: Timeout, seconds: float, writing: float) -> None:
        self._loop = loop
        self._limit = limit
        self._seconds = seconds
        self._since = loop.time() + writing
        self._looked = False
        self._timer = loop.call_at(self._since + seconds, self._look)

    def heard(self) -> None:
        """Begin to count anew."""
        self._since = self._loop.time()
        self._looked = False

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        now, due = self._loop.time(), self._since + self._seconds
        if now >= due and self._looked:
            self._limit.reschedule(now)
            return
        self._looked = now >= due
        self._timer = self._loop.call_at(now + SECOND_LOOK if self._looked else due, self._look)


async def _exchange(connection: AbstractConnection, commands: Sequence[bytes], replies: list[Any], doing: str, silence: Silence) -> None:
    parser = cast("ListeningParser", connection._get_parser())  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # ours, see the factory
    parser.heard = silence.heard
    try:
        await connection.send_packed_command(commands, check_health=False)
        silence.heard()
        for _ in commands:
            replies.append(await _reply(connection, doing))  # noqa: PERF401 - what came before a failure counts
    finally:
        parser.heard = None
        silence.stop()


async def _reply(connection: AbstractConnection, doing: str) -> Any:
    try:
        # math.inf: no timer per reply; `Silence` watches the whole exchange.
        reply = cast("Any", await connection.read_response(disable_decoding=True, timeout=math.inf))
    except ResponseError as error:
        return refused(error, doing)
    return reply
