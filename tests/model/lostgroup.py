"""A group that the server loses, wholly or in part, while its workers hold entries of it.

The topic's stream, the private stream, their groups and the group's hash (token, watermark) can go one by one or all
together. Whoever notices heals: what is missing is created, with a new token. A delivery carries the token that was
known when its read was sent; with another one it is an orphan, of which Redis may know nothing any more.

No worker pauses here and no reply is lost: delivery.py has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model.engine import Step, Violation
from tests.model.properties import Property
from tests.model.tuples import at, swapped, with_, without

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.rules import Rules

WAITS, RUNS, OK, FAILED = "waits", "runs", "ok", "failed"
TOPIC, PRIVATE = "topic", "private"
GONE = -1  # the owner of a row whose process is gone
NONE = 0  # no token, no watermark
PREFETCH = 2

FLUSH, DESTROY_TOPIC, DESTROY_PRIVATE = "FLUSHALL", "XGROUP DESTROY on the topic", "XGROUP DESTROY on the private stream"
DELETE_TOPIC, DELETE_PRIVATE, DELETE_HASH = "DEL of the topic", "DEL of the private stream", "DEL of the group's hash"
LOSSES = (FLUSH, DESTROY_TOPIC, DESTROY_PRIVATE, DELETE_TOPIC, DELETE_PRIVATE, DELETE_HASH)


class Entry(NamedTuple):
    """An event in a stream, or parked: then its id is of no use."""

    id: int
    event: int
    attempts: int = 0


class Row(NamedTuple):
    """A pending entry."""

    id: int
    owner: int
    stale: bool = False


class Stream(NamedTuple):
    """A stream and the group on it; its place is the last id it was given, or None while it is missing."""

    entries: tuple[Entry, ...] = ()
    place: int | None = 0
    rows: tuple[Row, ...] = ()
    newest: int = 0
    anew: bool = False
    """It was made anew since the watermark was stored."""

    @property
    def known(self) -> tuple[Entry, ...]:
        """The entries that were not given out yet, and those that are pending. Without a group: all."""
        if self.place is None:
            return self.entries
        pending = {row.id for row in self.rows}
        return tuple(entry for entry in self.entries if entry.id > self.place or entry.id in pending)


class Held(NamedTuple):
    """A delivery in hand."""

    stream: str
    entry: Entry
    token: int
    phase: str = WAITS


class Worker(NamedTuple):
    """A process, and the token it knows; none before it has joined."""

    token: int = 1
    socket: tuple[Held, ...] = ()
    hand: tuple[Held, ...] = ()


class Faults(NamedTuple):
    """How many of each may still happen."""

    losses: int = 0
    deaths: int = 0
    exits: int = 0


class State(NamedTuple):
    """Everything there is."""

    topic: Stream
    private: Stream
    workers: tuple[Worker, ...]
    faults: Faults
    unpublished: int = 0
    parked: tuple[Entry, ...] = ()
    dead: tuple[Entry, ...] = ()
    token: int = 1
    tokens: int = 1
    watermark: int = NONE
    begun: int = NONE
    """The token with which a new group began behind the entries that were there."""
    handled: frozenset[int] = frozenset()
    excused: frozenset[int] = frozenset()
    """Events whose last copy in Redis the server lost. Who holds one is to bring it back."""


class LostGroup:
    """Some events, some workers of one group, and the losses that may happen."""

    def __init__(
        self,
        name: str,
        rules: Rules,
        *,
        losses: tuple[str, ...] = LOSSES,
        faults: Faults,
        events: int = 1,
        later: int = 0,
        workers: int = 2,
        attempts: int = 1,
        watermarks: bool = False,
        latest: bool = False,
    ) -> None:
        self.name = f"lost group: {name}"
        self._rules = rules
        self._losses = losses
        self._faults = faults
        self._events = events
        self._later = later
        self._workers = workers
        self._attempts = attempts
        self._watermarks = watermarks
        self._latest = latest

    def initial(self) -> State:
        there = self._events - self._later
        topic = Stream(tuple(Entry(event + 1, event) for event in range(there)), newest=there)
        return State(topic, Stream(), (Worker(),) * self._workers, self._faults, unpublished=self._later)

    def key(self, state: State) -> State:
        """Order the workers: which of them is called A makes no difference."""
        order = sorted(range(self._workers), key=state.workers.__getitem__)
        if order == list(range(self._workers)):
            return state
        names = {old: new for new, old in enumerate(order)}
        topic, private = (_renamed(stream, names) for stream in (state.topic, state.private))
        return state._replace(topic=topic, private=private, workers=tuple(state.workers[old] for old in order))

    def drained(self, state: State) -> bool:
        busy = any(worker.hand or worker.socket for worker in state.workers)
        owing = state.topic.known or state.private.entries or _to_be_set_back(state)
        return not (busy or state.parked or self._broken(state) or owing)

    def _broken(self, state: State) -> bool:
        """Whether something is missing that a heal creates."""
        return state.topic.place is None or state.private.place is None or state.token == NONE

    # ---------------------------------------------------------------------------------------- what must hold

    def violation(self, state: State) -> Violation | None:
        lost = self._faults.losses - state.faults.losses
        for event in range(self._events - state.unpublished):
            copies = _copies(state, event)
            if not copies and event not in state.handled and event not in state.excused:
                return Violation(Property.PLACE, f"{_name(event)} is in no stream, not pending, not parked, not handled")
            if event in state.excused and not copies and not _in_memory(state, event) and event not in state.handled:
                return Violation(Property.PLACE, f"{_name(event)} was in the hand of a worker that let go of it")
            if copies > 1 and not lost:
                return Violation(Property.ONE_COPY, f"{copies} of {_name(event)}, and nothing was lost")
            if copies > 1 + lost * (1 + self._workers * PREFETCH):
                return Violation(Property.FEW_COPIES, f"{copies} of {_name(event)} after {lost} loss")
        return None

    def _by_server(self, before: State, after: State) -> State:
        """Excuse the events that the server lost; forgive for good those that nobody has in memory either."""
        gone = {event for event in range(self._events) if _copies(before, event) and not _copies(after, event)}
        forgotten = {event for event in gone | after.excused if not _in_memory(after, event) and not _copies(after, event)}
        return after._replace(excused=(after.excused | gone) - forgotten, handled=after.handled | forgotten)

    # ------------------------------------------------------------------------------------ what may happen next

    def steps(self, state: State) -> Iterator[Step]:
        for step in self._steps(state):
            back = {event for event in step.state.excused if _copies(step.state, event)}
            yield step._replace(state=step.state._replace(excused=step.state.excused - back)) if back else step

    def _steps(self, state: State) -> Iterator[Step]:
        if state.faults.losses:
            yield from self._lose(state)
        if state.unpublished and state.faults.losses < self._faults.losses:
            yield self._publish(state)
        for entry in state.parked:
            waiting = state._replace(parked=without(state.parked, entry))
            yield Step(f"{_name(entry.event)} is due: promoted", _append(waiting, PRIVATE, entry))
        if self._watermarks and state.topic.place and state.token:
            watermark = min((state.topic.place, *(row.id for row in state.topic.rows)))
            if watermark != state.watermark:
                yield Step(f"the janitor stores the watermark {watermark}", _remembered(state, watermark))
        yield from self._grow_stale(state)
        for me, worker in enumerate(state.workers):
            yield from self._worker(state, me, worker)

    def _lose(self, state: State) -> Iterator[Step]:
        spent = state._replace(faults=state.faults._replace(losses=state.faults.losses - 1))
        nothing = Stream(place=None, anew=state.watermark != NONE)
        results = {
            FLUSH: spent._replace(
                topic=Stream(place=None), private=Stream(place=None), parked=(), dead=(), token=NONE, watermark=NONE, begun=NONE
            ),
            DESTROY_TOPIC: spent._replace(topic=state.topic._replace(place=None, rows=())),
            DESTROY_PRIVATE: spent._replace(private=state.private._replace(place=None, rows=())),
            DELETE_TOPIC: spent._replace(topic=nothing),
            DELETE_PRIVATE: spent._replace(private=Stream(place=None)),
            DELETE_HASH: spent._replace(token=NONE, watermark=NONE, begun=NONE),
        }
        for kind in self._losses:
            yield Step(kind, self._by_server(state, results[kind]), fault=True)

    def _publish(self, state: State) -> Step:
        """The clock is behind, or it is the same millisecond: a stream that is made anew gives the same ids again."""
        event = self._events - state.unpublished
        published = _append(state._replace(unpublished=state.unpublished - 1), TOPIC, Entry(0, event))
        return Step(f"{_name(event)} is published as {published.topic.newest}", published)

    def _grow_stale(self, state: State) -> Iterator[Step]:
        for kind in (TOPIC, PRIVATE):
            for row in _stream(state, kind).rows:
                if not row.stale and not self._beaten(state, kind, row):
                    stream = _stream(state, kind)
                    rows = swapped(stream.rows, row, row._replace(stale=True))
                    yield Step(f"{kind} entry {row.id}: its idle time reaches the lease", _with(state, kind, stream._replace(rows=rows)))

    def _beaten(self, state: State, kind: str, row: Row) -> bool:
        if row.owner == GONE:
            return False
        worker = state.workers[row.owner]
        known = (*worker.socket, *worker.hand)
        return any((held.stream, held.entry.id, held.token) == (kind, row.id, state.token) for held in known)

    # ------------------------------------------------------------------------------------------------ workers

    def _worker(self, state: State, me: int, worker: Worker) -> Iterator[Step]:
        if state.faults.deaths and (worker.hand or worker.socket):
            yield Step(f"{_who(me)} dies, and is started again", self._die(state, me), fault=True)
        if self._broken(state) or worker.token != state.token:
            yield self._heal(state, me, worker)
        if worker.token != NONE:
            yield from self._take(state, me, worker)
        for held in worker.socket:
            yield self._parse(state, me, worker, held)
        for held in sorted(set(worker.hand)):
            yield from self._on_held(state, me, worker, held)
        if state.faults.exits and any(held.phase == RUNS for held in worker.hand):
            yield from self._exit(state, me, worker)

    def _die(self, state: State, me: int) -> State:
        topic, private = (_renamed(stream, {me: GONE}) for stream in (state.topic, state.private))
        after = state._replace(topic=topic, private=private, faults=state.faults._replace(deaths=state.faults.deaths - 1))
        return self._by_server(state, _put(after, me, Worker(token=NONE)))

    def _heal(self, state: State, me: int, worker: Worker) -> Step:
        """ensure_group.lua: creates what is missing; leaves alone what exists, but for a group that began too late."""
        if not self._broken(state) and (worker.token or self._rules.heal_leaves_alone):
            says = f"{_who(me)} learns the group's token"
            if worker.token and state.begun not in {NONE, worker.token}:
                says += ", which is not the one it began with, and sets it back to 0"
                state = state._replace(topic=state.topic._replace(place=0), watermark=NONE, begun=NONE)
            return Step(says, _put(state, me, worker._replace(token=state.token)))
        if self._latest and worker.token == state.token == NONE and state.topic.place is None:
            return self._begin(state, me, worker)
        topic, private = state.topic, state.private
        position = self._position(state)
        says = f"{_who(me)} heals the group, with a new token"
        if topic.place is None:
            topic = topic._replace(place=position)
            says += f", the topic from {position} on"
        if private.place is None:
            private = private._replace(place=0 if self._rules.private_at_zero else private.newest)
        tokens = state.tokens + 1
        after = state._replace(topic=topic, private=private, token=tokens, tokens=tokens)
        return Step(says, _put(after, me, worker._replace(token=tokens)))

    def _begin(self, state: State, me: int, worker: Worker) -> Step:
        """For a member that starts, and finds no trace of it, the group is new."""
        tokens = state.tokens + 1
        topic, private = state.topic._replace(place=state.topic.newest), state.private._replace(place=state.private.place or 0)
        begun = tokens if self._rules.newcomers_say_so else NONE
        after = state._replace(topic=topic, private=private, token=tokens, tokens=tokens, begun=begun)
        after = _put(after, me, worker._replace(token=tokens))
        if not any(each.token for each in state.workers):  # nobody is left who knew it: it is new
            after = self._by_server(state, after)
        return Step(f"{_who(me)} finds no trace of the group, and creates it behind entry {state.topic.newest}", after)

    def _position(self, state: State) -> int:
        if state.watermark == NONE or state.topic.newest < state.watermark:
            return 0
        if state.topic.anew and self._rules.watermark_knows_its_stream:
            return 0
        return state.watermark - 1 if self._rules.heal_before_watermark else state.watermark

    # ------------------------------------------------------------------------------------- reading and claiming

    def _take(self, state: State, me: int, worker: Worker) -> Iterator[Step]:
        for kind in (TOPIC, PRIVATE):
            stream = _stream(state, kind)
            if stream.place is None:
                continue
            if None not in {state.topic.place, state.private.place} and len(worker.hand) + len(worker.socket) < PREFETCH:
                yield from self._read(state, me, worker, kind)
            for row in stream.rows:
                yield from self._claim(state, me, worker, kind, row)

    def _read(self, state: State, me: int, worker: Worker, kind: str) -> Iterator[Step]:
        stream = _stream(state, kind)
        entry = next((entry for entry in stream.entries if entry.id > (stream.place or 0)), None)
        if entry and not worker.socket:
            rows = with_(tuple(row for row in stream.rows if row.id != entry.id), Row(entry.id, me))
            served = _with(state, kind, stream._replace(place=entry.id, rows=rows))
            reply = (Held(kind, entry, worker.token),)
            says = f"{_who(me)} reads {_name(entry.event)} ({kind} entry {entry.id}); the reply is on its way"
            yield Step(says, _put(served, me, worker._replace(socket=reply)))

    def _claim(self, state: State, me: int, worker: Worker, kind: str, row: Row) -> Iterator[Step]:
        """A stale row of another, or an own one that is not in hand under this token. A claim tells the group's token."""
        stream = _stream(state, kind)
        entry = next((entry for entry in stream.entries if entry.id == row.id), None)
        mine = row.owner == me and not worker.socket
        token = worker.token if mine else state.token
        in_hand = any((held.stream, held.entry.id, held.token) == (kind, row.id, token) for held in worker.hand)
        if not (row.stale or mine) or in_hand or entry is None or token == NONE:
            return
        claimed = _with(state, kind, stream._replace(rows=swapped(stream.rows, row, Row(row.id, me))))
        taken = self._take_in(worker, Held(kind, entry, token))
        yield Step(f"{_who(me)} {'recovers' if mine else 'claims'} {_name(entry.event)} ({kind} entry {row.id})", _put(claimed, me, taken))

    def _take_in(self, worker: Worker, held: Held) -> Worker:
        """Take a delivery in hand, or adopt the one that is there, or drop it."""
        there = next((each for each in worker.hand if (each.stream, each.entry.id) == (held.stream, held.entry.id)), None)
        if there is None:
            return worker._replace(hand=with_(worker.hand, held))
        if there.entry == held.entry:
            return worker._replace(hand=swapped(worker.hand, there, there._replace(token=held.token)))
        if self._rules.reused_ids_apart and there.token != held.token:
            return worker._replace(hand=with_(worker.hand, held))
        return worker

    def _parse(self, state: State, me: int, worker: Worker, held: Held) -> Step:
        if not self._rules.token_of_the_read:
            held = held._replace(token=worker.token)
        parsed = self._take_in(worker._replace(socket=()), held)
        return Step(f"{_who(me)} parses the reply", _put(state, me, parsed))

    # --------------------------------------------------------------------------------- beating, running, settling

    def _on_held(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        who, name = _who(me), _name(held.entry.event)
        orphan = held.token != worker.token
        yield from self._beat(state, me, worker, held)
        if held.phase == WAITS and (self._rules.orphans_start or not orphan):
            yield Step(f"{who} starts {name}", _put(state, me, _now(worker, held, RUNS)))
        elif held.phase == RUNS:
            ok = _put(state, me, _now(worker, held, OK))
            yield Step(f"{who}'s handler of {name} returns", ok._replace(handled=ok.handled | {held.entry.event}))
            yield Step(f"{who}'s handler of {name} raises", _put(state, me, _now(worker, held, FAILED)))
        elif held.phase == OK:
            yield from self._ack(state, me, worker, held)
        elif held.phase == FAILED:
            yield from self._move(state, me, worker, held)

    def _beat(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        if held.token != worker.token or worker.token != state.token or _stream(state, held.stream).place is None:
            return
        row = _row(state, held)
        if row and row.owner == me and row.stale:
            stream = _stream(state, held.stream)
            renewed = stream._replace(rows=swapped(stream.rows, row, row._replace(stale=False)))
            yield Step(f"{_who(me)} beats", _with(state, held.stream, renewed))
        elif (not row or row.owner != me) and held.phase in {WAITS, RUNS}:
            yield Step(f"{_who(me)} beats: the lease of {_name(held.entry.event)} is lost, cancelled", _put(state, me, _now(worker, held)))

    def _ack(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        """ack.lua: the token first. What another group knows, or none, is not acknowledged."""
        who, name = _who(me), _name(held.entry.event)
        done = _put(state, me, _now(worker, held))
        if held.token == state.token or not self._rules.token_in_ack:
            row = _row(state, held)
            yield Step(f"{who} acknowledges {held.stream} entry {held.entry.id} ({1 if row else 0})", _settled(done, held) if row else done)
        elif held.token != worker.token:
            yield Step(f"{who} asks to acknowledge {name}: regrouped; nothing is written", done)

    def _move(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        who, name = _who(me), _name(held.entry.event)
        done = _put(state, me, _now(worker, held))
        if held.token == state.token and _stream(state, held.stream).place is not None:
            row = _row(state, held)
            if row and row.owner == me:
                yield Step(f"{who} moves {name}", self._copy(_settled(done, held), held))
            else:
                yield Step(f"{who} asks to move {name}: {'taken' if row else 'gone'}", done)
        elif held.token != worker.token or not self._rules.heal_first:
            if self._rules.orphans_are_rescued:
                yield Step(f"{who} asks to move {name}: regrouped; rescued without a fence", self._copy(done, held))
            else:
                yield Step(f"{who} asks to move {name}: regrouped; nothing is written", done)

    def _copy(self, state: State, held: Held) -> State:
        copy = Entry(0, held.entry.event, held.entry.attempts + 1)
        if copy.attempts >= self._attempts:
            return state._replace(dead=with_(state.dead, copy))
        return state._replace(parked=with_(state.parked, copy))

    def _exit(self, state: State, me: int, worker: Worker) -> Iterator[Step]:
        """At the end of a shutdown, with a handler that ignores it: all else is settled; a last beat tells the token."""
        if worker.socket or any(held.phase != RUNS for held in worker.hand) or worker.token != state.token or self._broken(state):
            return
        after = state._replace(faults=state.faults._replace(exits=state.faults.exits - 1))
        topic, private = (_renamed(stream, {me: GONE}) for stream in (state.topic, state.private))
        after = _put(after._replace(topic=topic, private=private), me, Worker(token=NONE))
        if self._rules.orphans_are_rescued_at_exit:
            for held in worker.hand:
                if held.token != worker.token:
                    after = _append(after, PRIVATE, held.entry)
        yield Step(
            f"{_who(me)} exits beside a handler that does not end; what has a lease is left to it, orphans are rescued", after, fault=True
        )


def _remembered(state: State, watermark: int) -> State:
    return state._replace(watermark=watermark, topic=state.topic._replace(anew=False))


def _copies(state: State, event: int) -> int:
    topic = state.topic.entries if _to_be_set_back(state) else state.topic.known
    places = (*topic, *state.private.known, *state.parked, *state.dead)
    return sum(entry.event == event for entry in places)


def _to_be_set_back(state: State) -> bool:
    """Whether somebody who was there before the group began is still to find it."""
    return any(NONE < worker.token < state.begun for worker in state.workers)


def _in_memory(state: State, event: int) -> bool:
    return any(held.entry.event == event for worker in state.workers for held in (*worker.socket, *worker.hand))


def _stream(state: State, kind: str) -> Stream:
    return state.topic if kind == TOPIC else state.private


def _with(state: State, kind: str, stream: Stream) -> State:
    return state._replace(topic=stream) if kind == TOPIC else state._replace(private=stream)


def _append(state: State, kind: str, entry: Entry) -> State:
    stream = _stream(state, kind)
    newest = stream.newest + 1
    return _with(state, kind, stream._replace(entries=(*stream.entries, entry._replace(id=newest)), newest=newest))


def _settled(state: State, held: Held) -> State:
    """XACK, and XDEL where the stream is private."""
    stream = _stream(state, held.stream)
    rows = tuple(row for row in stream.rows if row.id != held.entry.id)
    entries = stream.entries
    if held.stream == PRIVATE:
        entries = tuple(entry for entry in entries if entry.id != held.entry.id)
    return _with(state, held.stream, stream._replace(rows=rows, entries=entries))


def _row(state: State, held: Held) -> Row | None:
    return next((row for row in _stream(state, held.stream).rows if row.id == held.entry.id), None)


def _renamed(stream: Stream, names: dict[int, int]) -> Stream:
    return stream._replace(rows=tuple(row._replace(owner=names.get(row.owner, row.owner)) for row in stream.rows))


def _put(state: State, me: int, worker: Worker) -> State:
    return state._replace(workers=at(state.workers, me, worker))


def _now(worker: Worker, held: Held, phase: str = "") -> Worker:
    rest = without(worker.hand, held)
    return worker._replace(hand=with_(rest, held._replace(phase=phase)) if phase else rest)


def _who(me: int) -> str:
    return "ABC"[me]


def _name(event: int) -> str:
    return "xyzuvw"[event]
