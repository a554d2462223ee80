"""The life of one event in a group: read, claimed, beaten, started, settled; workers die, pause, stop, lose replies.

The topic, the private stream, parked copies and dead letters are one set of copies, each with its place and, while it
is pending, its row. Every script is one step, since Redis runs it as one; sending it and taking note of its answer are
one step too, except where the answer gets lost or, of a read, waits in the socket.

Time is the adversary's: a row is stale as soon as nobody beats it, a parked copy is due at any moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model.engine import Step, Violation
from tests.model.properties import Property
from tests.model.tuples import at, swapped, with_, without

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.rules import Rules

ATTEMPTS = 2

# Places. The first two are streams of which the group reads.
TOPIC, RETRY, PARKED, DEAD, LEFTOVER = "the topic", "retry", "parked", "dead", "left over"

# How far a worker is with what it holds.
WAITS, RUNS, OK, FAILED, CUT, DEAF = "waits", "runs", "ok", "failed", "cut", "deaf"
# OK, FAILED: its handler ended by itself. CUT: it is to be released. DEAF: asked to end, since its lease was lost.

UP, STOPPING, PAUSED = "up", "stopping", "paused"

NOBODY, GONE = -1, -2  # owners: of a copy that is not pending; a consumer whose process is gone


class Copy(NamedTuple):
    """A copy of the event. `generation` tells it from those it was moved from: it stands for the entry's id."""

    generation: int
    place: str
    attempts: int
    owner: int = NOBODY
    stale: bool = False


class Held(NamedTuple):
    """A delivery in hand. `sure` is lost with a pause: others may have taken its row since it was confirmed last."""

    generation: int
    attempts: int
    phase: str = WAITS
    sure: bool = True


class Worker(NamedTuple):
    """A process; `socket` is the reply of a read that it has not parsed."""

    life: str = UP
    socket: tuple[Held, ...] = ()
    hand: tuple[Held, ...] = ()


class Faults(NamedTuple):
    """How many of each may still happen."""

    deaths: int = 0
    pauses: int = 0
    lost_replies: int = 0
    stops: int = 0
    redrives: int = 0


class State(NamedTuple):
    """Everything there is."""

    copies: tuple[Copy, ...]
    workers: tuple[Worker, ...]
    faults: Faults
    failures: int = 0
    handled: bool = False
    disturbed: bool = False
    """A process died or was paused."""


class Delivery:
    """One event, some workers of one group."""

    def __init__(self, name: str, rules: Rules, *, faults: Faults, workers: int = 2, prefetch: int = 1) -> None:
        self.name = f"delivery: {name}"
        self._rules = rules
        self._faults = faults
        self._workers = workers
        self._prefetch = prefetch

    def initial(self) -> State:
        return State((Copy(0, TOPIC, 0),), (Worker(),) * self._workers, self._faults)

    def key(self, state: State) -> State:
        """Order the workers: which of them is called A makes no difference."""
        order = sorted(range(self._workers), key=state.workers.__getitem__)
        if order == list(range(self._workers)):
            return state
        names = {old: new for new, old in enumerate(order)}
        copies = tuple(sorted(copy._replace(owner=names.get(copy.owner, copy.owner)) for copy in state.copies))
        return state._replace(copies=copies, workers=tuple(state.workers[old] for old in order))

    def drained(self, state: State) -> bool:
        return all(copy.place == DEAD for copy in state.copies) and not any(each.hand or each.socket for each in state.workers)

    # ---------------------------------------------------------------------------------------- what must hold

    def violation(self, state: State) -> Violation | None:
        live = [copy for copy in state.copies if copy.place != LEFTOVER]
        if not live and not state.handled:
            return Violation(Property.PLACE, "no stream and no pending list knows the event any more")
        if len(live) > 1:
            return Violation(Property.ONE_COPY, f"copies in {' and in '.join(copy.place for copy in live)}")
        if any(copy.attempts > state.failures for copy in live):
            return Violation(Property.ATTEMPTS, "an attempt was counted that did not fail")
        return self._runs(state) or self._taken(state)

    def _runs(self, state: State) -> Violation | None:
        here = [[held for held in worker.hand if held.phase == RUNS] for worker in state.workers]
        runs = [held for each in here for held in each]
        twice = any(len({held.generation for held in each}) < len(each) for each in here)
        if twice or sum(held.sure for held in runs) > 1:
            return Violation(Property.ONE_RUN, "two handlers run it")
        if runs and state.handled and not state.disturbed:
            return Violation(Property.NO_RERUN, "a handler runs it, and one has succeeded before")
        return None

    def _taken(self, state: State) -> Violation | None:
        owners = {copy.generation: copy.owner for copy in state.copies if copy.owner != NOBODY}
        for me, worker in enumerate(state.workers):
            for held in worker.hand:
                if (
                    worker.life != PAUSED
                    and held.sure
                    and held.phase in {WAITS, RUNS}
                    and owners.get(held.generation, me) != self._name(me)
                ):
                    return Violation(Property.KEPT_LEASE, f"{_who(me)} works on it, and its row is another's")
        return None

    def _name(self, me: int) -> int:
        """Its consumer name."""
        return me if self._rules.unique_names else 0

    # ------------------------------------------------------------------------------------ what may happen next

    def steps(self, state: State) -> Iterator[Step]:
        for copy in state.copies:
            yield from self._by_time(state, copy)
        for me, worker in enumerate(state.workers):
            yield from self._faulty(state, me, worker)
            if worker.life == PAUSED:
                yield Step(f"{_who(me)} goes on", _put(state, me, worker._replace(life=UP)))
                continue
            for copy in state.copies:
                yield from self._on_copy(state, me, worker, copy)
            for held in worker.socket:
                yield self._parse(state, me, worker, held)
            for held in sorted(set(worker.hand)):
                yield from self._on_held(state, me, worker, held)
            if worker.life == STOPPING:
                yield from self._stop(state, me, worker)

    def _by_time(self, state: State, copy: Copy) -> Iterator[Step]:
        if copy.place == PARKED:
            yield Step("the copy is due: promoted", _swap(state, copy, copy._replace(place=RETRY)))
            if not self._rules.atomic_promote and state.faults.deaths:
                half = _drop(_spend(state, "deaths"), copy)
                yield Step("the copy is due: a promoter takes it out of parked, and dies before the XADD", half, fault=True)
        if copy.place == DEAD and state.faults.redrives:
            spent = _spend(state, "redrives")
            again = Copy(copy.generation + 1, RETRY, 0)
            yield Step("an operator redrives it", _swap(spent, copy, again), fault=True)
            if not self._rules.atomic_redrive:
                yield Step("an operator redrives it: XADD, and dies before the XDEL", _add(spent, again), fault=True)
        if copy.owner != NOBODY and not copy.stale and not self._beaten(state, copy):
            yield Step("the row's idle time reaches the lease", _swap(state, copy, copy._replace(stale=True)))

    def _beaten(self, state: State, copy: Copy) -> bool:
        """Whether its owner renews its row in time: everything it holds, and a reply is parsed at once."""
        for me, worker in enumerate(state.workers):
            if self._name(me) == copy.owner and worker.life != PAUSED:
                held = [each for each in worker.hand if self._rules.in_hand_until_answered or each.phase != OK]
                if any(each.generation == copy.generation for each in (*worker.socket, *held)):
                    return True
        return False

    def _faulty(self, state: State, me: int, worker: Worker) -> Iterator[Step]:
        who, busy = _who(me), bool(worker.hand or worker.socket)
        if state.faults.deaths and busy:
            yield Step(f"{who} dies, and is started again", self._end(_spend(state, "deaths"), me)._replace(disturbed=True), fault=True)
        if worker.life == PAUSED:
            return
        if state.faults.pauses and busy:
            yield Step(f"{who} is paused", _put(_spend(state, "pauses"), me, _paused(worker))._replace(disturbed=True), fault=True)
        if state.faults.stops and worker.life == UP and busy:
            yield Step(f"{who} is asked to stop", _put(_spend(state, "stops"), me, worker._replace(life=STOPPING)), fault=True)

    def _end(self, state: State, me: int) -> State:
        """The process ends; the next one has another name."""
        copies = state.copies
        if self._rules.unique_names:
            copies = tuple(sorted(copy._replace(owner=GONE) if copy.owner == me else copy for copy in copies))
        return _put(state._replace(copies=copies), me, Worker())

    # -------------------------------------------------------------------------- reading, recovering, claiming

    def _on_copy(self, state: State, me: int, worker: Worker, copy: Copy) -> Iterator[Step]:
        if worker.life == UP:
            if copy.owner == NOBODY and copy.place in {TOPIC, RETRY}:
                yield from self._read(state, me, worker, copy)
            if copy.owner == self._name(me):
                yield from self._recover(state, me, worker, copy)
            if copy.stale:
                yield from self._claim(state, me, worker, copy)
        if not self._rules.retire_only_empty and (copy.owner == GONE or (copy.owner >= 0 and state.workers[copy.owner].life == PAUSED)):
            yield Step(f"{_who(me)} retires the silent consumer and its row with it", _drop(state, copy))

    def _read(self, state: State, me: int, worker: Worker, copy: Copy) -> Iterator[Step]:
        if len(worker.hand) + len(worker.socket) >= self._prefetch:
            return
        served = _swap(state, copy, copy._replace(owner=self._name(me)))
        reply = with_(worker.socket, Held(copy.generation, copy.attempts))
        yield Step(f"{_who(me)} reads it from {copy.place}; the reply is on its way", _put(served, me, worker._replace(socket=reply)))
        if state.faults.lost_replies:
            yield Step(f"{_who(me)} reads it from {copy.place}; the reply is lost", _spend(served, "lost_replies"), fault=True)

    def _parse(self, state: State, me: int, worker: Worker, held: Held) -> Step:
        parsed = worker._replace(socket=without(worker.socket, held))
        if any(each.generation == held.generation for each in worker.hand):
            return Step(f"{_who(me)} parses the reply: it is in hand already", _put(state, me, parsed))
        return Step(f"{_who(me)} parses the reply", _put(state, me, parsed._replace(hand=with_(worker.hand, held))))

    def _recover(self, state: State, me: int, worker: Worker, copy: Copy) -> Iterator[Step]:
        unknown = all(each.generation != copy.generation for each in worker.hand)
        if unknown and not (worker.socket and self._rules.recover_between_reads):
            taken = _swap(state, copy, copy._replace(stale=False))
            hand = with_(worker.hand, Held(copy.generation, copy.attempts))
            yield Step(f"{_who(me)} recovers its own row, which it does not know", _put(taken, me, worker._replace(hand=hand)))

    def _claim(self, state: State, me: int, worker: Worker, copy: Copy) -> Iterator[Step]:
        mine = copy.owner == self._name(me)
        known = any(each.generation == copy.generation for each in worker.hand)
        if mine and (self._rules.claim_skips_in_hand or not known):
            return
        claimed = _swap(state, copy, copy._replace(owner=self._name(me), stale=False))
        says = f"{_who(me)} claims {'its own' if mine else 'the stale'} row"
        if known and not mine:
            yield Step(f"{says}; it is in hand already", claimed)
            return
        hand = with_(worker.hand, Held(copy.generation, copy.attempts))
        yield Step(says, _put(claimed, me, worker._replace(hand=hand)))
        if state.faults.lost_replies and not mine:
            yield Step(f"{says}; the reply is lost", _spend(claimed, "lost_replies"), fault=True)

    # --------------------------------------------------------------------------------- beating, running, settling

    def _on_held(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        yield from self._beat(state, me, worker, held)
        if held.phase == WAITS:
            yield from self._start(state, me, worker, held)
        elif held.phase == RUNS:
            yield from self._run(state, me, worker, held)
        elif held.phase == DEAF:
            yield from self._end_deaf(state, me, worker, held)
        elif held.phase == OK:
            yield from self._ack(state, me, worker, held)
        else:
            yield from self._move(state, me, worker, held)

    def _beat(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        row = _row(state, held)
        if row and (row.owner == self._name(me) or not self._rules.fenced_beat):
            kept = _swap(state, row, row._replace(owner=self._name(me), stale=False))
            following = _put(kept, me, _now(worker, held, held._replace(sure=True)))
            if following != state:
                yield Step(f"{_who(me)} beats: the row is {'its own' if row.owner == self._name(me) else 'its own again'}", following)
        elif held.phase == WAITS:
            yield Step(f"{_who(me)} beats: the lease is lost, nothing will start", _put(state, me, _now(worker, held)))
        elif held.phase == RUNS:
            yield Step(f"{_who(me)} beats: the lease is lost, the handler is cancelled", _put(state, me, _now(worker, held, phase=DEAF)))

    def _start(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        if worker.life == UP and (held.sure or not self._rules.confirmed_start):
            yield Step(f"{_who(me)} starts its handler", _put(state, me, _now(worker, held, held._replace(phase=RUNS, sure=True))))

    def _run(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        ok = _put(state, me, _now(worker, held, phase=OK))
        yield Step(f"{_who(me)}'s handler returns", ok._replace(handled=True))
        failed = _put(state, me, _now(worker, held, phase=FAILED))
        yield Step(f"{_who(me)}'s handler raises", failed._replace(failures=min(state.failures + 1, ATTEMPTS)))

    def _end_deaf(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        if self._rules.cancel_is_no_success:
            yield Step(f"{_who(me)}'s cancelled handler ends: nothing is written", _put(state, me, _now(worker, held)))
        else:
            yield Step(f"{_who(me)}'s cancelled handler returns as if nothing were", _put(state, me, _now(worker, held, phase=OK)))

    def _ack(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        row = _row(state, held)
        acked = _drop(state, row) if row else state
        says = f"{_who(me)} acknowledges it ({1 if row else 0})"
        yield Step(says, _put(acked, me, _now(worker, held)))
        if state.faults.lost_replies and row:
            yield Step(f"{says}; the reply is lost", _spend(acked, "lost_replies"), fault=True)
        if not self._rules.private_ack_deletes and row and row.place == RETRY and state.faults.deaths:
            rest = _add(acked, row._replace(place=LEFTOVER, owner=NOBODY))
            yield Step(f"{_who(me)} sends XACK, and dies before the XDEL", self._end(_spend(rest, "deaths"), me), fault=True)

    def _move(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        row, who = _row(state, held), _who(me)
        if not (row and row.owner == self._name(me)) and self._rules.fenced_move:
            yield Step(f"{who} moves it: refused, the row is {'taken' if row else 'gone'}", _put(state, me, _now(worker, held)))
            return
        copy = self._copy(held)
        moved = _add(_drop(state, row) if row else state, copy)
        yield Step(f"{who} moves it to {copy.place}", _put(moved, me, _now(worker, held)))
        if state.faults.lost_replies:
            yield Step(f"{who} moves it to {copy.place}; the reply is lost", _spend(moved, "lost_replies"), fault=True)
        if not self._rules.atomic_move and state.faults.deaths:
            half = self._end(_spend(_add(state, copy), "deaths"), me)
            yield Step(f"{who} sends XADD to {copy.place}, and dies before the XACK", half, fault=True)

    def _copy(self, held: Held) -> Copy:
        counted = held.phase == FAILED or not self._rules.release_is_uncounted
        attempts = held.attempts + counted
        place = DEAD if attempts >= ATTEMPTS else PARKED if held.phase == FAILED else RETRY
        return Copy(held.generation + 1, place, attempts)

    # ---------------------------------------------------------------------------------------------- stopping

    def _stop(self, state: State, me: int, worker: Worker) -> Iterator[Step]:
        who = _who(me)
        for held in sorted(set(worker.hand)):
            cut = _put(state, me, _now(worker, held, phase=CUT))
            if held.phase == WAITS:
                yield Step(f"{who} releases what never started", cut)
            elif held.phase == RUNS:
                yield Step(f"{who}'s handler ends by the cancel at the deadline", cut)
                if not self._rules.release_only_ended:
                    yield Step(
                        f"{who} releases a handler that does not end", _release(state, me, held, self._copy(held._replace(phase=CUT)))
                    )
        if all(held.phase in {RUNS, DEAF} for held in worker.hand) and not worker.socket:
            left = " with a handler that does not end; its entry is left to the lease" if worker.hand else ""
            yield Step(f"{who} exits{left}", self._end(state, me)._replace(disturbed=state.disturbed or bool(worker.hand)))


def _who(me: int) -> str:
    return "ABC"[me]


def _put(state: State, me: int, worker: Worker) -> State:
    return state._replace(workers=at(state.workers, me, worker))


def _now(worker: Worker, held: Held, following: Held | None = None, *, phase: str = "") -> Worker:
    """The worker after something became of what it held; without anything it lets go of it."""
    if phase:
        following = held._replace(phase=phase)
    rest = without(worker.hand, held)
    return worker._replace(hand=rest if following is None else with_(rest, following))


def _row(state: State, held: Held) -> Copy | None:
    """The pending copy that was handed over."""
    return next((copy for copy in state.copies if copy.generation == held.generation and copy.owner != NOBODY), None)


def _swap(state: State, old: Copy, new: Copy) -> State:
    return state._replace(copies=swapped(state.copies, old, new))


def _add(state: State, copy: Copy) -> State:
    return state._replace(copies=with_(state.copies, copy))


def _drop(state: State, copy: Copy) -> State:
    return state._replace(copies=without(state.copies, copy))


def _release(state: State, me: int, held: Held, copy: Copy) -> State:
    row = _row(state, held)
    return _swap(state, row, copy) if row and row.owner == me else state


def _spend(state: State, kind: str) -> State:
    return state._replace(faults=state.faults._replace(**{kind: getattr(state.faults, kind) - 1}))


def _paused(worker: Worker) -> Worker:
    """Whatever it holds may be another's by the time it goes on."""
    socket, hand = (tuple(sorted(held._replace(sure=False) for held in known)) for known in (worker.socket, worker.hand))
    return Worker(PAUSED, socket, hand)
