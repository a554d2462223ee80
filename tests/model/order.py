"""An ordered group: one owner at a time, what is pending before what is new, one event of a key at a time.

Two processes, one key, and its events 1 and 2. Redis keeps the owner's epoch, the reading whose reads are executed, and who
was given what. A process takes the group, walks what is pending, reads, starts, acknowledges; it dies, freezes, is cut off
or loses a reply between any two steps. Its lease runs out as soon as nothing renews it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model.engine import Step, Violation
from tests.model.properties import Property

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.rules import Rules

EVENTS = (1, 2)
DONE = "done"
NAMES = "AB"

LIVES, FROZEN, CUT = "lives", "frozen", "cut off"


class Read(NamedTuple):
    """A read on its way: under which epoch and reading it was sent, and what it brought."""

    epoch: int
    reading: int
    brought: int = 0
    answered: bool = False


class Process(NamedTuple):
    """What a process knows. `epoch` 0: it stands by. `walked`: what was pending is in hand."""

    state: str = LIVES
    epoch: int = 0
    walked: bool = False
    reading: int = 0
    hand: tuple[int, ...] = ()
    """Its lane: the first one may start."""
    foreign: tuple[int, ...] = ()
    """What it took in hand under an epoch that was not its own any more: to it, events of a lost group, which start."""
    runs: int = 0
    ending: int = 0
    """It was given up and cancelled, and takes its time."""
    settles: int = 0
    """Its acknowledgement is on its way."""
    read: Read | None = None


class Faults(NamedTuple):
    """How many there may still be."""

    deaths: int = 1
    freezes: int = 1
    cuts: int = 1
    lost: int = 1


class State(NamedTuple):
    """Everything there is. `free`: whoever owned the group released it, or its lease is over."""

    faults: Faults
    epoch: int = 0
    owner: int = -1
    free: bool = True
    reading: int = 0
    given: tuple[int | str | None, ...] = (None, None)
    """Of each event: to whom it was given, None for nobody, or that it is done."""
    processes: tuple[Process, Process] = (Process(), Process())
    late: tuple[int, Read] | None = None
    """A read in the socket of a connection that was given up."""
    latest: int = 0
    """The last event that started for the first time."""
    wrong: str = ""


class Order:
    """Two processes and one key.

    Args:
        name: Of this run.
        rules: Which are on.
        faults: How many there may be.
    """

    def __init__(self, name: str, rules: Rules, *, faults: Faults) -> None:
        self.name = f"order: {name}"
        self._rules = rules
        self._faults = faults

    def initial(self) -> State:
        return State(self._faults)

    def key(self, state: State) -> State:
        return state

    def drained(self, state: State) -> bool:
        return all(given == DONE for given in state.given)

    def violation(self, state: State) -> Violation | None:
        return Violation(Property.ORDER, state.wrong) if state.wrong else None

    # ------------------------------------------------------------------------------------ what may happen next

    def steps(self, state: State) -> Iterator[Step]:
        for who, process in enumerate(state.processes):
            name = NAMES[who]
            if process.state == LIVES:
                yield from self._owns(state, who, process, name)
                yield from self._reads(state, who, process, name)
                yield from self._handles(state, who, process, name)
            elif process.state == CUT:
                yield from self._alone(state, who, process, name)
            yield from self._on_the_server(state, who, process, name)
            yield from self._breaks(state, who, process, name)
        if state.late is not None:
            who, read = state.late
            after, _ = self._give(state._replace(late=None), who, read)
            yield Step(f"the read that {NAMES[who]} had given up is executed", after)
        if not state.free and self._lease_may_end(state):
            yield Step("the owner's lease is over", state._replace(free=True))

    def _lease_may_end(self, state: State) -> bool:
        """Nothing renews it any more; whoever only cannot reach the server has given up by its own clock before."""
        owner = state.processes[state.owner]
        if owner.epoch != state.epoch or owner.state == FROZEN:
            return True
        return owner.state == CUT and not self._rules.own_clock

    def _owns(self, state: State, who: int, process: Process, name: str) -> Iterator[Step]:
        holds = process.runs or process.ending or process.settles or process.hand or process.foreign
        if not process.epoch and (state.free or state.owner == who) and not (holds and self._rules.empty_hands):
            epoch = state.epoch + 1
            if epoch <= 1 + sum(self._faults):
                taken = self._put(state._replace(epoch=epoch, owner=who, free=False), who, process._replace(epoch=epoch, walked=False))
                yield Step(f"{name} takes the group", taken)
        if process.epoch and process.read is None and not (process.walked and self._rules.walk_before_read):
            yield from self._walks(state, who, process, name)
        if process.epoch and process.epoch != state.epoch:
            yield Step(f"{name} is refused, and gives up", self._put(state, who, _given_up(process)))

    def _walks(self, state: State, who: int, process: Process, name: str) -> Iterator[Step]:
        if process.epoch != state.epoch:
            return
        if not self._rules.walk_before_read and not process.walked:
            yield Step(f"{name} reads on at once", self._put(state._replace(reading=state.reading + 1), who, self._read_on(state, process)))
        pending = tuple(each for each, given in zip(EVENTS, state.given, strict=True) if given not in (None, DONE))
        known = {process.runs, process.settles, *process.hand}
        walked = self._read_on(state, process)._replace(hand=(*process.hand, *(each for each in pending if each not in known)))
        given = tuple(who if each in pending else before for each, before in zip(EVENTS, state.given, strict=True))
        yield Step(f"{name} takes over {list(pending)}", self._put(state._replace(given=given, reading=state.reading + 1), who, walked))

    def _read_on(self, state: State, process: Process) -> Process:
        return process._replace(walked=True, reading=state.reading + 1)

    def _reads(self, state: State, who: int, process: Process, name: str) -> Iterator[Step]:
        read = process.read
        if read is None and process.walked and process.epoch:
            yield Step(f"{name} sends a read", self._put(state, who, process._replace(read=Read(process.epoch, process.reading))))
        elif read is not None and read.answered:
            yield Step(
                f"{name} parses what its read brought: {read.brought or 'nothing'}", self._put(state, who, self._parsed(process, read))
            )

    def _parsed(self, process: Process, read: Read) -> Process:
        after = process._replace(read=None)
        if not read.brought:
            return after
        if read.epoch == process.epoch:
            return after._replace(hand=(*process.hand, read.brought))
        return after if self._rules.replies_under_epoch else after._replace(foreign=(*process.foreign, read.brought))

    def _on_the_server(self, state: State, who: int, process: Process, name: str) -> Iterator[Step]:
        """What was sent is executed, also while its sender is frozen."""
        if process.read is not None and not process.read.answered:
            after, brought = self._give(state, who, process.read)
            answered = process.read._replace(brought=brought, answered=True)
            yield Step(
                f"{name}'s read is executed and brings {brought or 'nothing'}", self._put(after, who, process._replace(read=answered))
            )

    def _give(self, state: State, who: int, read: Read) -> tuple[State, int]:
        if self._rules.reads_check_epoch and read.epoch != state.epoch:
            return state, 0
        if self._rules.reads_check_reading and read.epoch == state.epoch and read.reading != state.reading:
            return state, 0
        for at, given in enumerate(state.given):
            if given is None:
                return state._replace(given=(*state.given[:at], who, *state.given[at + 1 :])), EVENTS[at]
        return state, 0

    def _handles(self, state: State, who: int, process: Process, name: str) -> Iterator[Step]:
        waits = process.settles and self._rules.next_when_settled
        for lane in ("hand", "foreign"):
            waiting = getattr(process, lane)
            if waiting and not process.runs and not waits:
                after = process._replace(runs=waiting[0], **{lane: waiting[1:]})
                yield Step(f"{name} starts {waiting[0]}", self._started(state, who, process, after))
        if process.runs and not process.settles:
            yield Step(f"{name} handled {process.runs}", self._put(state, who, process._replace(runs=0, settles=process.runs)))
        if process.ending:
            yield Step(f"{name}'s cancelled handler ends", self._put(state, who, process._replace(ending=0)))
        if process.settles:
            answered = self._put(self._acknowledged(state, process), who, process._replace(settles=0))
            yield Step(f"{name}'s acknowledgement of {process.settles} is answered", answered)
            if state.faults.lost:
                lost = self._acknowledged(state, process)
                yield Step(f"{name}'s acknowledgement is executed, its answer lost", self._spend(lost, "lost"), fault=True)

    def _alone(self, state: State, who: int, process: Process, name: str) -> Iterator[Step]:
        """What a process does without the server."""
        yield from (each for each in self._handles(state, who, process, name) if "acknowledgement" not in each.says)
        if process.epoch and self._rules.own_clock:
            yield Step(f"{name} gives up by its own clock", self._put(state, who, _given_up(process)))

    def _started(self, state: State, who: int, before: Process, after: Process) -> State:
        event, other = after.runs, state.processes[1 - who]
        wrong = ""
        if event < state.latest:
            wrong = f"{event} starts after {state.latest} had started"
        elif other.runs and other.state != FROZEN:
            wrong = f"{event} starts while another process, which is not frozen, runs {other.runs}"
        elif before.ending:
            wrong = f"{event} starts beside {before.ending} in one process"
        return self._put(state._replace(latest=max(state.latest, event), wrong=wrong), who, after)

    def _acknowledged(self, state: State, process: Process) -> State:
        if not process.epoch or process.epoch != state.epoch:
            return state
        at = process.settles - 1
        return state._replace(given=(*state.given[:at], DONE, *state.given[at + 1 :]))

    # ------------------------------------------------------------------------------------ faults

    def _breaks(self, state: State, who: int, process: Process, name: str) -> Iterator[Step]:
        if process.state == FROZEN:
            # Its loop turns first of all to what is over: it gives up before anything waiting is begun.
            lost = state.free or process.epoch != state.epoch
            woken = _given_up(process) if lost and process.epoch else process
            yield Step(f"{name} wakes", self._put(state, who, woken._replace(state=LIVES)))
        elif process.state == CUT:
            yield Step(f"{name} reaches the server again", self._put(state, who, process._replace(state=LIVES)))
        if state.faults.deaths:
            yield Step(f"{name} dies, and another takes its place", self._spend(self._put(state, who, Process()), "deaths"), fault=True)
        if process.state == LIVES and state.faults.freezes:
            yield Step(f"{name} freezes", self._spend(self._put(state, who, process._replace(state=FROZEN)), "freezes"), fault=True)
        if process.state == LIVES and process.epoch and state.faults.cuts:
            yield Step(f"{name} is cut off", self._spend(self._put(state, who, process._replace(state=CUT)), "cuts"), fault=True)
        if process.state == LIVES and process.read is not None and state.faults.lost:
            late = None if process.read.answered else (who, process.read)
            reconnected = self._put(state._replace(late=late), who, process._replace(read=None, walked=False))
            yield Step(f"{name} loses its connection, and what its read brings", self._spend(reconnected, "lost"), fault=True)

    def _spend(self, state: State, fault: str) -> State:
        return state._replace(faults=state.faults._replace(**{fault: getattr(state.faults, fault) - 1}))

    def _put(self, state: State, who: int, process: Process) -> State:
        other = state.processes[1 - who]
        return state._replace(processes=(process, other) if who == 0 else (other, process))


def _given_up(process: Process) -> Process:
    """All it held is another's, or will be: what waits does not start, what runs is cancelled."""
    return process._replace(epoch=0, walked=False, hand=(), runs=0, ending=process.ending or process.runs, settles=0)
