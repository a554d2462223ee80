"""An event of a type that one member of the group knows and another does not, while members come and go.

A (old) does not know the type, B (new) does. B is deployed and rolled back, pauses, has no credit; the registry of
types is flushed, or an operator forgets the type. Whoever does not know an event asks the server to drop it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model.engine import Step, Violation
from tests.model.properties import Property

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.rules import Rules

UNPUBLISHED, WAITING, WITH_A, WITH_B, PARKED = "unpublished", "waiting", "with A", "with B", "parked"
HANDLED, SKIPPED, UNHANDLED = "handled", "skipped", "unhandled"  # as it should be
WRONGED, GIVEN_UP, VANISHED = "skipped though declared", "given up beside B", "vanished"
FOR_NOW = "skipped in a group that B has not found yet"

UP, PAUSED, DOWN = "up", "paused", "down"
MANY = 3
"""Hops that take a day, by the retry backoff."""


class Faults(NamedTuple):
    """How many of each may still happen."""

    deploys: int = 0
    pauses: int = 0
    flushes: int = 0
    forgets: int = 0
    deaths: int = 0
    joins: int = 0
    registries: int = 0


class State(NamedTuple):
    """Everything there is: the event, the registry, both members."""

    place: str = UNPUBLISHED
    stale: bool = False
    hops: int = 0
    declared: bool = False
    """What the registry on the server says."""
    cached: bool = False
    """What it said when A read it last."""
    healing: bool = False
    """The group was healed less than a lease ago."""
    lost: bool = False
    """The group's keys are gone, and nobody has healed them yet."""
    blind: bool = False
    """The group was created by somebody who never knew of it, and B has not found out yet."""
    promised: bool = False
    """A member that is there, or was there in this registry's time, knows the type: the event may not be skipped."""
    a: str = UP
    b: str = DOWN
    a_holds: bool = False
    b_holds: bool = False
    faults: Faults = Faults()


class Hops:
    """One event, a member that does not know it and one that does."""

    def __init__(self, name: str, rules: Rules, *, faults: Faults) -> None:
        self.name = f"hops: {name}"
        self._rules = rules
        self._faults = faults

    def initial(self) -> State:
        return State(faults=self._faults)

    def key(self, state: State) -> State:
        return state

    def drained(self, state: State) -> bool:
        return state.place in {HANDLED, SKIPPED, UNHANDLED} and not state.a_holds and not state.b_holds

    def violation(self, state: State) -> Violation | None:
        if state.place == VANISHED:
            return Violation(Property.PLACE, "A removed the row of B, which was to handle it")
        if state.place == WRONGED:
            return Violation(Property.PLACE, "it is skipped, although a member of the group declares its type")
        if state.place == GIVEN_UP:
            return Violation(Property.SERVED, "it is dead-lettered as unhandled, beside B")
        return None

    # ------------------------------------------------------------------------------------ what may happen next

    def steps(self, state: State) -> Iterator[Step]:
        yield from self._around(state)
        yield from self._keys(state)
        if state.a == UP:
            yield from self._a(state)
        if state.b == UP:
            yield from self._b(state)
        if state.place == PARKED:
            yield from self._parked(state)

    def _around(self, state: State) -> Iterator[Step]:
        faults = state.faults
        if state.place == UNPUBLISHED:
            yield Step("the event is published", state._replace(place=WAITING))
        if faults.deploys:
            after = state._replace(faults=faults._replace(deploys=faults.deploys - 1))
            if state.b == DOWN:
                yield Step("B starts, and declares the type", after._replace(b=UP, declared=True, promised=True, lost=False), fault=True)
            elif state.b == UP and not state.b_holds:
                place = SKIPPED if state.place == FOR_NOW else state.place
                yield Step("B is rolled back", after._replace(b=DOWN, place=place), fault=True)
        if faults.deaths and state.b == UP:
            place = SKIPPED if state.place == FOR_NOW else state.place  # nobody is left who knew it
            yield Step(
                "B dies", state._replace(place=place, b=DOWN, b_holds=False, faults=faults._replace(deaths=faults.deaths - 1)), fault=True
            )
        if faults.pauses:
            after = state._replace(faults=faults._replace(pauses=faults.pauses - 1))
            if state.a == UP:
                yield Step("A is paused", after._replace(a=PAUSED), fault=True)
            if state.b == UP:
                yield Step("B is paused", after._replace(b=PAUSED), fault=True)
        if state.a == PAUSED:
            yield Step("A goes on", state._replace(a=UP))
        if state.b == PAUSED:
            yield Step("B goes on", state._replace(b=UP))
        if not state.stale and self._silent(state):
            yield Step("the row's idle time reaches the lease", state._replace(stale=True))

    def _silent(self, state: State) -> bool:
        """Nobody beats the event's row."""
        if state.place == WITH_A:
            return not (state.a == UP and state.a_holds)
        return state.place == WITH_B and not (state.b == UP and state.b_holds)

    def _keys(self, state: State) -> Iterator[Step]:
        """The registry, and the group's keys beside it."""
        faults = state.faults
        if faults.flushes and state.place == UNPUBLISHED:
            after = state._replace(faults=faults._replace(flushes=faults.flushes - 1))
            yield Step("FLUSHALL", after._replace(declared=False, lost=True, promised=state.b == UP), fault=True)
        if faults.registries and not state.lost:  # announce.lua notices, and counts it as a heal
            after = state._replace(faults=faults._replace(registries=faults.registries - 1))
            yield Step("the registry is deleted", after._replace(declared=False, healing=True, promised=state.b == UP), fault=True)
        if faults.forgets and state.declared:
            after = state._replace(faults=faults._replace(forgets=faults.forgets - 1))
            yield Step("an operator removes the type from the registry", after._replace(declared=False, promised=False), fault=True)
        if state.lost and faults.joins:
            after = state._replace(lost=False, blind=state.b == UP)
            says = "another old member starts, finds no trace of the group, and creates it"
            yield Step(says, after._replace(faults=faults._replace(joins=faults.joins - 1)), fault=True)
        if state.lost and UP in {state.a, state.b}:
            yield Step("the group is healed", state._replace(lost=False, healing=True))
        if state.healing and (state.declared or state.b != UP):
            promised = state.declared  # B, if it is there, was silent for a lease: it may be skipped for
            yield Step("a lease has passed since the heal", state._replace(healing=False, promised=promised))
        if state.b == UP and not state.declared and not state.lost:
            yield self._declare(state)
        if state.a == UP and state.cached != state.declared:
            yield Step("A's heartbeat reads the registry", state._replace(cached=state.declared))

    def _declare(self, state: State) -> Step:
        """B's heartbeat; it finds another token, and its type missing, where the group was made without it."""
        after = state._replace(declared=True, promised=True, blind=False)
        if not state.blind or not self._rules.finders_set_back:
            return Step("B's heartbeat declares the type", after)
        place = WAITING if state.place == FOR_NOW else state.place
        return Step("B finds the group made anew without its type, and sets it back", after._replace(place=place))

    def _a(self, state: State) -> Iterator[Step]:
        if state.lost:
            return
        if state.place == WAITING and not state.a_holds:
            yield Step("A reads it", state._replace(place=WITH_A, a_holds=True, stale=False))
        if state.stale and not state.a_holds:
            yield Step("A claims it", state._replace(place=WITH_A, a_holds=True, stale=False))
        if state.a_holds and state.stale and state.place == WITH_A:
            yield Step("A beats", state._replace(stale=False))
        if state.a_holds:
            yield self._ask_to_drop(state)

    def _ask_to_drop(self, state: State) -> Step:
        """A does not know the type: drop.lua, and move.lua where that says that the type is declared."""
        settled = state._replace(a_holds=False, stale=False)
        if state.place != WITH_A and self._rules.fenced_drop:
            return Step("A asks to drop it: refused, the row is not its own", state._replace(a_holds=False))
        if self._known(state):
            if state.place != WITH_A:
                return Step("A moves it: refused, the row is not its own", state._replace(a_holds=False))
            hops = min(state.hops + 1, MANY)
            return Step("A asks to drop it: the type is declared; parked", settled._replace(place=PARKED, hops=hops))
        if state.place == WITH_B:
            return Step("A drops it, whoever's row it is", settled._replace(place=VANISHED))
        if state.place != WITH_A:
            return Step("A asks to drop it: it is gone", state._replace(a_holds=False))
        return Step("A asks to drop it: nobody declared the type; skipped", settled._replace(place=self._skipped(state)))

    def _known(self, state: State) -> bool:
        """What decides whether anybody knows the type."""
        if not self._rules.registry_decides:
            return state.b == UP
        if state.healing and self._rules.lease_of_doubt:
            return True
        return state.declared if self._rules.drop_looks_up else state.cached

    def _b(self, state: State) -> Iterator[Step]:
        if state.lost:
            return
        if state.place == WAITING:
            yield Step("B reads it", state._replace(place=WITH_B, b_holds=True, stale=False))
        if state.stale and not state.b_holds:
            yield Step("B claims it", state._replace(place=WITH_B, b_holds=True, stale=False))
        if state.b_holds and state.place == WITH_B:
            if state.stale:
                yield Step("B beats", state._replace(stale=False))
            yield Step("B handles it", state._replace(place=HANDLED, b_holds=False, stale=False, hops=0))
        elif state.b_holds:
            yield Step("B beats: the lease is lost", state._replace(b_holds=False))

    def _parked(self, state: State) -> Iterator[Step]:
        day = state.b == DOWN
        if state.b == UP and not state.lost and not state.b_holds:
            yield Step("B promotes it, and reads it in the same step", state._replace(place=WITH_B, b_holds=True))
        if not self._rules.hops_go_to_who_knows:
            yield Step("it is due: promoted", state._replace(place=WAITING))
            day = day or state.hops == MANY
        if not state.declared and not state.healing and not state.lost:
            yield Step("it is due: nobody declares the type any more; skipped", state._replace(place=self._skipped(state)))
        if day:
            yield Step("it has hopped for a day: dead letter", state._replace(place=GIVEN_UP if state.b == UP else UNHANDLED))

    def _skipped(self, state: State) -> str:
        if state.promised and state.blind and self._rules.finders_set_back:
            return FOR_NOW
        return WRONGED if state.promised else SKIPPED
