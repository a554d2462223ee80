"""Publishes what must be more durable than Redis's own confirmation says: on disk, or on replicas too."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from eventbus.delivery import Published, Replicated, check_durability
from eventbus.errors import BackendRefused, BackendUnavailable, ConfigurationError, DurabilityNotReached
from eventbus.publishing.confirmation import TRANSIENT, Confirmation, give_up, refusal, stored
from eventbus.publishing.waits import NO_FILE, check_fsync, copies, counted, spelled, wait
from eventbus.streams import Wire, probe
from eventbus.streams.wire import ANSWER_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from eventbus.delivery import Alive, Durability
    from eventbus.errors import BackendError
    from eventbus.publishing.counts import PublishCounts
    from eventbus.streams import Connections, Turn

    Start: TypeAlias = Callable[[str, Callable[[Alive], Awaitable[None]]], None]
    """Starts a loop under supervision: its name and its body."""

    Greeting: TypeAlias = Callable[[Turn], Awaitable[None]]
    """What a new connection is told first."""

ROUND_COMMANDS: Final = 5_000
"""Events in one round. More than in a write without durability: under `appendfsync everysec` a round takes a second."""

ROUND_BYTES: Final = 4 << 20
"""Bytes in one round, unless a single event is larger."""

ROUND: Final = 2.0
"""Seconds that one WAIT lasts at most: what is published meanwhile is not written before it ends. Each WAIT also
counts what the round before it wrote, so less than the second that `appendfsync everysec` takes would never do."""

MARGIN: Final = 0.15
"""Seconds before a publish's deadline at which its WAIT ends, so that the number reached is heard in time. Redis
looks for the timeouts of blocked clients ten times a second (`hz`): measured, a WAIT of 300 ms took 400."""

PASSING: Final = TRANSIENT | {"UNBLOCKED"}
"""UNBLOCKED: this primary was demoted under the WAIT, and may forget what it confirmed."""


@dataclass(slots=True, eq=False)
class _Held:
    """A publish that waits for more than the primary's confirmation.

    Attributes:
        confirmation: The publish.
        patience: The moment from which no further WAIT is sent for it.
        written: The primary's confirmation, once there was one, on whatever connection.
        reached: How many copies beside the primary's memory are known.
    """

    confirmation: Confirmation
    patience: float
    written: Published | None = None
    reached: int = 0

    @property
    def done(self) -> bool:
        return self.confirmation.done()


@dataclass(slots=True)
class _Round:
    """What one pipeline writes, and what was heard of it so far.

    Attributes:
        new: What it writes, in order.
        replies: One for each of these, and then that of the WAIT.
        sent: Whether it is on its way, so that what is unheard may be written.
        heard: How many replies were looked at.
        passing: A refusal that a later try may not meet.
    """

    new: Sequence[_Held] = ()
    replies: list[Any] = field(default_factory=list[Any])
    sent: bool = False
    heard: int = 0
    passing: BackendRefused | None = None

    def unheard(self) -> Sequence[_Held]:
        """What may or may not be written."""
        return self.new[self.heard :] if self.sent else ()


class Lane:
    """Publish with one kind of durability, on one connection, in rounds: XADD, …, XADD, WAIT.

    WAIT and WAITAOF count the writes of their own connection alone, so what a lost connection wrote is
    written again before it is waited for.

    Guarantees:
        What was answered with a `Published` had reached its durability after its own write. All tries of
        one publish carry one event id.
    Stops:
        Between rounds and inside of one; what it held is queued again, or given up by `abandon`.
    Survives:
        BackendUnavailable and passing refusals: raised, to be started again with backoff.
    Redis cost:
        One XADD an event and one WAIT or WAITAOF a round; for "fsync" one INFO a connection.
    """

    def __init__(self, durability: Durability, connections: Connections, counts: PublishCounts, greet: Greeting) -> None:
        self.name = f"publishing durably ({spelled(durability)})"
        self.empty = asyncio.Event()
        self._durability: Durability = durability
        self._counts = counts
        self._wire = Wire(connections, self.name)
        self._wire.greetings.append(greet)
        self._queue: deque[_Held] = deque()
        # In the order of their publishing: written on this connection and not yet durable; then what this round writes.
        self._held: list[_Held] = []
        self._round = _Round()
        self._fit = False
        self._wake = asyncio.Event()

    def enqueue(self, confirmations: Sequence[Confirmation]) -> None:
        """Put publishes behind those that wait already."""
        now = asyncio.get_running_loop().time()
        self._queue.extend(_Held(each, each.until - min(MARGIN, (each.until - now) / 2)) for each in confirmations)
        self.empty.clear()
        self._wake.set()

    async def run(self, alive: Alive) -> None:
        """Take round after round; raises what is to be tried again later."""
        while True:
            if not (self._queue or self._held):
                self.empty.set()
                self._wake.clear()
                await self._wake.wait()
            await self.run_once()
            alive()

    async def run_once(self) -> None:
        """Write what is new, wait until all that was written is durable, and hand out what is known then.

        Raises:
            BackendError: Some of it has to be tried again later; it is queued again, in its old order.
        """
        self._begin()
        if not self._held:
            return
        failed: BackendError | None = None
        finished = False
        try:
            await self._check()
            finished = await self._exchange()
        except ConfigurationError as error:
            self._refuse(error)
        except (BackendUnavailable, BackendRefused) as error:
            failed = error
        finally:
            # Also where it was cancelled: what is without an answer then is for `run` or `abandon`.
            failed = self._settle(finished=finished) or failed
            self._end(failed, again=not finished or failed is not None)
        if failed is not None:
            self._counts.retries += 1
            await self._wire.close()  # a demoted primary keeps its connections: a new one finds the new primary
            raise failed

    def sweep(self, now: float) -> None:
        """Give up publishes whose time is over."""
        self._hear()
        _mark(each for each in self._round.unheard() if each.confirmation.until <= now)
        for each in (*self._held, *self._queue):
            if each.confirmation.until <= now and not each.done:
                self._give_up(each, "its time was over")

    async def abandon(self) -> None:
        """Answer everything that still waits, once the loop has ended, and disconnect."""
        for each in (*self._held, *self._queue):
            self._give_up(each, "the bus was closed")
        self._queue.clear()
        self._held.clear()
        self.empty.set()
        await self._wire.close()

    # -- a round

    def _begin(self) -> None:
        if not self._wire.connected:
            self._write_again(None)  # WAIT counts what its own connection wrote, and that one is gone
        self._round = _Round(_take(self._queue))
        self._held = [*(each for each in self._held if not each.done), *self._round.new]

    async def _check(self) -> None:
        """Connect, and know that this server can do it before anything is written to it."""
        if self._wire.connected and self._fit:
            return
        self._fit = False
        await self._wire.connect()
        if self._durability == "fsync":
            check_fsync(await probe(self._wire))
        self._fit = True

    async def _exchange(self) -> bool:
        """Write and wait; returns whether there was anything to write or to wait for."""
        # Whoever was given up or cancelled while it connected was told that nothing was written.
        self._round.new = [each for each in self._round.new if not each.done]
        self._held = [each for each in self._held if not each.done]
        if not self._held:
            return False
        now = asyncio.get_running_loop().time()
        seconds = max(0.0, min(ROUND, *(each.patience - now for each in self._held)))
        commands = [*(each.confirmation.command for each in self._round.new), wait(self._durability, seconds)]
        self._counts.writes += 1
        self._round.sent = True
        try:
            await self._wire.call(commands, timeout=seconds + ANSWER_TIMEOUT, into=self._round.replies)
        except BackendUnavailable as error:
            self._round.sent = error.maybe_executed
            raise
        return True

    def _settle(self, *, finished: bool) -> BackendRefused | None:
        """Hand out what a round brought; returns a refusal that a later try may not meet."""
        self._hear()
        _mark(self._round.unheard())
        passing = self._judge(self._round.replies[-1]) if finished else None
        return passing or self._round.passing

    def _end(self, failed: BackendError | None, *, again: bool) -> None:
        """Hold what the next WAIT of this connection still counts, or queue all of it to be written again."""
        self._held = [each for each in self._held if not each.done]
        self._round = _Round()
        if again:
            self._write_again(failed)

    def _write_again(self, failed: BackendError | None) -> None:
        for each in self._held:
            each.reached = 0
            each.confirmation.last = failed or each.confirmation.last
        self._queue.extendleft(reversed(self._held))
        self._held = []

    # -- what is known

    def _hear(self) -> None:
        """Note what the primary said to each event, as far as it came."""
        rounds = self._round
        for each, reply in zip(rounds.new[rounds.heard :], rounds.replies[rounds.heard :], strict=False):
            rounds.heard += 1
            confirmation = each.confirmation
            if isinstance(reply, bytes):
                each.written = Published(confirmation.event_id, confirmation.topic, reply.decode())
                continue
            if not isinstance(reply, BackendRefused):
                each.written = stored(confirmation, reply)
                continue
            error = confirmation.last = refusal(confirmation, reply)
            if error.code in TRANSIENT:
                rounds.passing = error
            else:
                self._fail(each, error)

    def _judge(self, reply: int | list[int] | BackendRefused) -> BackendRefused | None:
        """Hand out what the WAIT said of all that is written; returns a refusal that a later try may not meet."""
        written = [each for each in self._held if each.written and not each.done]
        if isinstance(reply, BackendRefused):
            return self._cannot_wait(written, reply)
        reached = counted(reply)
        now = asyncio.get_running_loop().time()
        for each in written:
            each.reached = max(each.reached, reached)
            if reached >= copies(self._durability):
                self._succeed(each)
            elif each.patience <= now:
                self._give_up(each, "its time was over")
        return None

    def _cannot_wait(self, written: Sequence[_Held], reply: BackendRefused) -> BackendRefused | None:
        self._fit = False  # it was, once: look again before the next write
        if reply.code in PASSING:
            return reply
        for each in written:
            each.confirmation.last = reply
            self._give_up(each, NO_FILE if self._durability == "fsync" else "the server refused to wait")
        return None

    # -- answers

    def _succeed(self, each: _Held) -> None:
        assert each.written is not None, "only what is written is judged"  # noqa: S101 - narrows the type
        self._counts.published += 1
        each.confirmation.set_result(each.written)

    def _refuse(self, error: ConfigurationError) -> None:
        for each in self._held:
            self._fail(each, error)

    def _fail(self, each: _Held, error: BackendRefused | ConfigurationError) -> None:
        """Answer with a refusal, unless an earlier try wrote the event or may have."""
        if each.done:
            return
        self._counts.refused += 1
        if each.written or each.confirmation.maybe_written:
            self._give_up(each, "an earlier try had no answer" if each.written is None else "a later try was refused")
        else:
            each.confirmation.set_exception(error)

    def _give_up(self, each: _Held, why: str) -> None:
        if each.done:
            return
        self._counts.given_up += 1
        if each.written is None:
            give_up(each.confirmation, why)
        else:
            each.confirmation.maybe_written = True
            each.confirmation.set_exception(_not_reached(each, each.written, self._durability, why))


@dataclass(slots=True)
class Durable:
    """The lanes of one publisher: one for each kind of durability that was asked for.

    A WAIT that does not come through so holds up only those who wait for the same.
    """

    connections: Connections
    counts: PublishCounts
    start: Start | None
    greet: Greeting
    lanes: dict[Durability, Lane] = field(default_factory=dict["Durability", Lane])

    def enqueue(self, confirmations: Sequence[Confirmation], durability: Durability) -> None:
        """Put publishes into their lane, which begins to run with the first of them.

        Raises:
            ConfigurationError: This is no durability. Nothing was queued.
        """
        check_durability(durability)
        if not confirmations:
            return
        lane = self.lanes.get(durability)
        if lane is None:
            assert self.start is not None, "whoever runs the publisher starts the lanes"  # noqa: S101 - narrows the type
            lane = self.lanes[durability] = Lane(durability, self.connections, self.counts, self.greet)
            # A loop outlives whoever published first: it gets none of that task's context variables.
            Context().run(self.start, lane.name, lane.run)
        lane.enqueue(confirmations)

    def sweep(self, now: float) -> None:
        """Give up publishes whose time is over."""
        for lane in self.lanes.values():
            lane.sweep(now)

    async def emptied(self) -> None:
        """Wait until nothing waits."""
        for lane in self.lanes.values():
            await lane.empty.wait()

    async def abandon(self) -> None:
        """Answer everything that still waits, and disconnect."""
        for lane in self.lanes.values():
            await lane.abandon()


def _take(queue: deque[_Held]) -> list[_Held]:
    """The next publishes to be written, without those that were cancelled or given up."""
    taken: list[_Held] = []
    size = 0
    while queue and len(taken) < ROUND_COMMANDS:
        if queue[0].done:
            queue.popleft()
            continue
        size += len(queue[0].confirmation.command)
        if taken and size > ROUND_BYTES:
            break
        taken.append(queue.popleft())
    return taken


def _mark(unanswered: Iterable[_Held]) -> None:
    for each in unanswered:
        each.confirmation.maybe_written = True


def _not_reached(each: _Held, published: Published, durability: Durability, why: str) -> DurabilityNotReached:
    last = each.confirmation.last
    return DurabilityNotReached(
        f"event {published.event_id} was written to {published.topic!r} as {published.entry_id} and did not reach "
        f"{spelled(durability)}, {why}: {_reached(each, durability)}. It exists on the primary and may be lost with it; "
        f"the same event is safe to publish again" + (f"; the last try failed: {last}" if last else ""),
        published=published,
        wanted=durability,
        reached=each.reached,
    )


def _reached(each: _Held, durability: Durability) -> str:
    if isinstance(durability, Replicated):
        return f"{each.reached} confirmed it"
    return "no fsync was confirmed" + ("" if each.confirmation.last else " (with `appendfsync no` none ever is)")
