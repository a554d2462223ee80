"""The crash budget: starts that are lost with their process are counted, and nothing else is.

Some events are poison: once their handler runs, all it ever does is take its process down. The others succeed. An
event is claimed with its delivery count untouched; the start of what was ever claimed is marked first (count + 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model.engine import Step, Violation
from tests.model.properties import Property
from tests.model.tuples import at, swapped, with_, without

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.rules import Rules

CRASHES = 2
SLOTS = 2
"""Handlers that one process runs at a time; it holds one entry more than that."""

WAITING, PENDING, DONE, DEAD = "waiting", "pending", "done", "dead"
WAITS, ASKS, RUNS = "waits", "asks", "runs"  # ASKS: its start is marked, as far as this process knows or not; it has a slot
NOBODY, GONE = -1, -2
NEVER = -1
"""`carried` of a copy that was never claimed: it is not marked when it starts."""


class Entry(NamedTuple):
    """An event in the group, and what is true of it: `lost` starts, and processes it `killed`."""

    place: str = WAITING
    carried: int = NEVER
    owner: int = NOBODY
    deliveries: int = 0
    stale: bool = False
    lost: int = 0
    killed: int = 0


class Held(NamedTuple):
    """A delivery in hand, with the delivery count it came with."""

    event: int
    deliveries: int
    marked_first: bool
    phase: str = WAITS

    @property
    def begun(self) -> bool:
        """Whether its process would take this start with it."""
        return self.phase != WAITS


class Worker(NamedTuple):
    """A process."""

    hand: tuple[Held, ...] = ()
    paused: bool = False


class Faults(NamedTuple):
    """How many of each may still happen."""

    kills: int = 0
    pauses: int = 0
    lost_replies: int = 0
    releases: int = 0


class State(NamedTuple):
    """Everything there is."""

    entries: tuple[Entry, ...]
    workers: tuple[Worker, ...]
    faults: Faults


class Crashes:
    """Some events, the first of them poison, and some workers of one group."""

    def __init__(self, name: str, rules: Rules, *, faults: Faults, events: int = 2, poison: int = 1, workers: int = 2) -> None:
        self.name = f"crashes: {name}"
        self._rules = rules
        self._faults = faults
        self._events = events
        self._poison = poison
        self._workers = workers

    def initial(self) -> State:
        return State((Entry(),) * self._events, (Worker(),) * self._workers, self._faults)

    def key(self, state: State) -> State:
        """Order the workers: which of them is called A makes no difference."""
        order = sorted(range(self._workers), key=state.workers.__getitem__)
        if order == list(range(self._workers)):
            return state
        names = {old: new for new, old in enumerate(order)}
        entries = tuple(entry._replace(owner=names.get(entry.owner, entry.owner)) for entry in state.entries)
        return state._replace(entries=entries, workers=tuple(state.workers[old] for old in order))

    def drained(self, state: State) -> bool:
        return all(entry.place in {DONE, DEAD} for entry in state.entries) and not any(worker.hand for worker in state.workers)

    def violation(self, state: State) -> Violation | None:
        for event, entry in enumerate(state.entries):
            if event < self._poison and entry.killed > CRASHES + 1:
                return Violation(Property.POISON, f"{_name(event)} took {entry.killed} processes down; {CRASHES} lost starts are allowed")
            if event >= self._poison and entry.place == DEAD:
                if entry.lost < CRASHES:
                    return Violation(Property.INNOCENT, f"{_name(event)} is dead-lettered, and lost {entry.lost} of {CRASHES} starts")
                if self._poison == 1 and state.faults[:2] == (0, 0) == self._faults[:2]:
                    return Violation(Property.INNOCENT, f"{_name(event)} is dead-lettered for what one poison event did")
        return None

    # ------------------------------------------------------------------------------------ what may happen next

    def steps(self, state: State) -> Iterator[Step]:
        for event, entry in enumerate(state.entries):
            if entry.place == PENDING and not entry.stale and not _beaten(state, event, entry):
                yield Step(f"{_name(event)}'s idle time reaches the lease", _set(state, event, entry._replace(stale=True)))
        for me, worker in enumerate(state.workers):
            if worker.paused:
                yield Step(f"{_who(me)} goes on, and beats: it keeps what is its own", self._go_on(state, me, worker))
                continue
            yield from self._faulty(state, me, worker)
            yield from self._take(state, me, worker)
            for held in worker.hand:
                yield from self._run(state, me, worker, held) if held.phase == RUNS else self._wait(state, me, worker, held)

    def _faulty(self, state: State, me: int, worker: Worker) -> Iterator[Step]:
        if not worker.hand:
            return
        if state.faults.kills:
            yield Step(f"{_who(me)} is killed", self._die(_spend(state, "kills"), me, worker), fault=True)
        if state.faults.pauses:
            yield Step(f"{_who(me)} is paused", _put(_spend(state, "pauses"), me, worker._replace(paused=True)), fault=True)

    def _die(self, state: State, me: int, worker: Worker) -> State:
        begun = {held.event for held in worker.hand if held.begun}
        entries = [
            entry._replace(owner=GONE if entry.owner == me else entry.owner, lost=_capped(entry.lost + (event in begun)))
            for event, entry in enumerate(state.entries)
        ]
        return _put(state._replace(entries=tuple(entries)), me, Worker())

    def _go_on(self, state: State, me: int, worker: Worker) -> State:
        """What was taken meanwhile is dropped."""
        for held in worker.hand:
            entry = state.entries[held.event]
            if entry.owner != me:
                worker = worker._replace(hand=without(worker.hand, held))
            else:
                state = _set(state, held.event, entry._replace(stale=False))
        return _put(state, me, worker._replace(paused=False))

    # ------------------------------------------------------------------------------------- reading and claiming

    def _take(self, state: State, me: int, worker: Worker) -> Iterator[Step]:
        if len(worker.hand) > SLOTS:
            return
        for event, entry in enumerate(state.entries):
            known = any(held.event == event for held in worker.hand)
            if entry.place == WAITING:
                read = _set(state, event, entry._replace(place=PENDING, owner=me, deliveries=1))
                yield Step(f"{_who(me)} reads {_name(event)}", _hold(read, me, worker, Held(event, 1, entry.carried != NEVER)))
            elif entry.owner == me and not known:
                recovered = _set(state, event, entry._replace(stale=False))
                yield Step(
                    f"{_who(me)} recovers {_name(event)}", _hold(recovered, me, worker, Held(event, entry.deliveries, marked_first=True))
                )
            elif entry.stale and not known:
                yield from self._claim(state, me, worker, event)

    def _claim(self, state: State, me: int, worker: Worker, event: int) -> Iterator[Step]:
        entry = state.entries[event]
        count = entry.deliveries if self._rules.claim_keeps_count else entry.deliveries + 1
        lost = entry.owner >= 0 and any(held.event == event and held.begun for held in state.workers[entry.owner].hand)
        claimed = _set(state, event, entry._replace(owner=me, deliveries=count, stale=False, lost=_capped(entry.lost + lost)))
        says = f"{_who(me)} claims {_name(event)} (count {count})"
        yield Step(says, _hold(claimed, me, worker, Held(event, count, marked_first=True)))
        if state.faults.lost_replies:
            yield Step(f"{says}; the reply is lost", _spend(claimed, "lost_replies"), fault=True)

    # ------------------------------------------------------------------------------------ starting and ending

    def _wait(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        entry, who, name = state.entries[held.event], _who(me), _name(held.event)
        if held.marked_first and _lost_starts(held, entry) >= CRASHES:
            yield Step(f"{who} dead-letters {name}: its starts are spent", _settle(state, me, held, place=DEAD))
            return
        if held.begun or self._may_start(state, worker, held):
            yield from self._start(state, me, worker, held)
        if state.faults.releases:
            yield Step(f"{who} stops, and releases {name}, which never started", self._release(state, me, held), fault=True)

    def _may_start(self, state: State, worker: Worker, held: Held) -> bool:
        begun = [each for each in worker.hand if each.begun]
        lasts = [each for each in begun if _is_last(each, state.entries[each.event])]
        alone = not (lasts and _is_last(held, state.entries[held.event])) or not self._rules.last_start_alone
        return len(begun) < SLOTS and alone

    def _start(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        entry, who, name = state.entries[held.event], _who(me), _name(held.event)
        started, asking = (worker._replace(hand=swapped(worker.hand, held, held._replace(phase=phase))) for phase in (RUNS, ASKS))
        if not held.marked_first or not self._rules.starts_are_marked:
            yield Step(f"{who} starts {name}", _put(state, me, started))
            return
        count = entry.deliveries + (entry.deliveries == held.deliveries or not self._rules.mark_once)
        marked = _set(state, held.event, entry._replace(deliveries=count))
        yield Step(f"{who} marks (count {count}) and starts {name}", _put(marked, me, started))
        if state.faults.lost_replies:
            unanswered = _spend(_put(marked, me, asking), "lost_replies")
            yield Step(f"{who} marks {name} (count {count}); the reply is lost", unanswered, fault=True)

    def _run(self, state: State, me: int, worker: Worker, held: Held) -> Iterator[Step]:
        entry, name = state.entries[held.event], _name(held.event)
        if held.event < self._poison:
            counted = _set(state, held.event, entry._replace(killed=entry.killed + 1))
            yield Step(f"{name} takes {_who(me)} down", self._die(counted, me, worker))
        else:
            yield Step(f"{_who(me)} handles {name}", _settle(state, me, held, place=DONE))
        if state.faults.releases:
            yield Step(f"{_who(me)} stops, cancels {name} and releases it", self._release(state, me, held), fault=True)

    def _release(self, state: State, me: int, held: Held) -> State:
        entry, carried = state.entries[held.event], NEVER
        if held.marked_first and self._rules.crashes_travel:
            carried = _lost_starts(held, entry)
            if not carried and not self._rules.no_crashes_travel_too:
                carried = NEVER
        return _settle(_spend(state, "releases"), me, held, place=WAITING, carried=carried)


def _capped(lost: int) -> int:
    return min(lost, CRASHES)


def _lost_starts(held: Held, entry: Entry) -> int:
    return held.deliveries - 1 + max(entry.carried, 0)


def _is_last(held: Held, entry: Entry) -> bool:
    return held.marked_first and _lost_starts(held, entry) == CRASHES - 1


def _beaten(state: State, event: int, entry: Entry) -> bool:
    worker = state.workers[entry.owner] if entry.owner >= 0 else Worker()
    return not worker.paused and any(held.event == event for held in worker.hand)


def _settle(state: State, me: int, held: Held, *, place: str, carried: int = NEVER) -> State:
    """Settle an entry, if it is still this worker's."""
    entry, worker = state.entries[held.event], state.workers[me]
    state = _put(state, me, worker._replace(hand=without(worker.hand, held)))
    if entry.owner != me:
        return state
    return _set(state, held.event, Entry(place, carried, lost=entry.lost, killed=entry.killed))


def _hold(state: State, me: int, worker: Worker, held: Held) -> State:
    return _put(state, me, worker._replace(hand=with_(worker.hand, held)))


def _put(state: State, me: int, worker: Worker) -> State:
    return state._replace(workers=at(state.workers, me, worker))


def _set(state: State, event: int, entry: Entry) -> State:
    return state._replace(entries=at(state.entries, event, entry))


def _spend(state: State, kind: str) -> State:
    return state._replace(faults=state.faults._replace(**{kind: getattr(state.faults, kind) - 1}))


def _who(me: int) -> str:
    return "ABC"[me]


def _name(event: int) -> str:
    return "xyz"[event]
