"""Trimming a topic below what all its groups have settled, while groups are lost, healed, created and set back.

Two groups of ours and some entries; a third group may be created at the beginning at any moment. Readers settle in
any order. The trim stores each group's watermark, from which a lost group is made anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model.engine import Step, Violation
from tests.model.properties import Property
from tests.model.tuples import at, without

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.rules import Rules

FIRST = 8
"""The first id."""

NAMES = "gh"


class Group(NamedTuple):
    """One of ours: its place on the stream, None while it is missing, and what the trim stored about it."""

    there: bool = True
    delivered: int = 0
    pending: tuple[int, ...] = ()
    watermark: int = 0
    settled: tuple[int, ...] = ()


class Faults(NamedTuple):
    """How many of each may still happen."""

    losses: int = 0
    seeks: int = 0
    creations: int = 0


class State(NamedTuple):
    """The stream from `low` to `high`, and its groups. `decided`: where a trim in two steps is going to cut."""

    low: int = FIRST
    high: int = FIRST - 1
    groups: tuple[Group, ...] = (Group(), Group())
    newcomer: int = 0
    """The oldest entry there was when a new group was created at the beginning; 0: there is none."""
    decided: int = 0
    faults: Faults = Faults()


class Trim:
    """Two groups, one stream; with three entries the last id is 10, which as text would come first."""

    def __init__(self, name: str, rules: Rules, *, faults: Faults, entries: int = 3) -> None:
        self.name = f"trim: {name}"
        self._rules = rules
        self._faults = faults
        self._last = FIRST + entries - 1

    def initial(self) -> State:
        return State(faults=self._faults)

    def key(self, state: State) -> State:
        if state.groups[1] < state.groups[0]:
            return state._replace(groups=(state.groups[1], state.groups[0]))
        return state

    def drained(self, state: State) -> bool:
        return state.high == self._last and all(len(group.settled) == self._last - FIRST + 1 for group in state.groups)

    def violation(self, state: State) -> Violation | None:
        if state.newcomer and state.low > state.newcomer:
            return Violation(Property.PLACE, f"{state.newcomer} was cut from under the new group, which never read it")
        for name, group in zip(NAMES, state.groups, strict=True):
            for entry in range(FIRST, state.high + 1):
                if entry in group.settled:
                    continue
                if entry < state.low:
                    return Violation(Property.PLACE, f"{entry} was cut before {name} settled it")
                if group.there and entry <= group.delivered and entry not in group.pending:
                    return Violation(Property.PLACE, f"{name} will never read {entry}: it stands before its place, and is not pending")
        return None

    # ------------------------------------------------------------------------------------ what may happen next

    def steps(self, state: State) -> Iterator[Step]:
        if state.high < self._last:
            yield Step(f"{state.high + 1} is published", state._replace(high=state.high + 1))
        if state.faults.creations:
            spent = state._replace(faults=state.faults._replace(creations=state.faults.creations - 1))
            yield Step("a new group is created at the beginning", spent._replace(newcomer=state.low), fault=True)
        for place, group in enumerate(state.groups):
            yield from self._group(state, place, group) if group.there else self._heal(state, place, group)
        if not state.newcomer:  # it never reads here, so that it holds what there is
            yield from self._trim(state)
        if state.decided:
            cut = state._replace(low=max(state.low, state.decided), decided=0)
            yield Step(f"the janitor cuts what is before {state.decided}", cut)

    def _group(self, state: State, place: int, group: Group) -> Iterator[Step]:
        name = NAMES[place]
        following = max(group.delivered + 1, state.low)
        if following <= state.high:
            read = group._replace(delivered=following, pending=tuple(sorted({*group.pending, following})))
            yield Step(f"{name} reads {following}", _set(state, place, read))
        for entry in group.pending:
            settled = tuple(sorted({*group.settled, entry}))
            yield Step(
                f"{name} settles {entry}", _set(state, place, group._replace(pending=without(group.pending, entry), settled=settled))
            )
        if state.faults.losses:
            spent = state._replace(faults=state.faults._replace(losses=state.faults.losses - 1))
            yield Step(f"{name} is destroyed", _set(spent, place, group._replace(there=False, delivered=0, pending=())), fault=True)
        if state.faults.seeks and group.delivered > state.low:
            yield self._seek(state, place, group)

    def _seek(self, state: State, place: int, group: Group) -> Step:
        """Replay: everything from the oldest entry on is to be handled again."""
        back = state.low - 1
        watermark = min(group.watermark, back) if self._rules.seek_lowers_watermark else group.watermark
        again = tuple(entry for entry in group.settled if entry < state.low)
        sought = group._replace(delivered=back, watermark=watermark, settled=again)
        spent = state._replace(faults=state.faults._replace(seeks=state.faults.seeks - 1))
        return Step(f"{NAMES[place]} is set back to the oldest entry", _set(spent, place, sought), fault=True)

    def _heal(self, state: State, place: int, group: Group) -> Iterator[Step]:
        known = group.watermark - 1 if self._rules.heal_before_watermark else group.watermark
        position = max(known, 0)
        yield Step(f"{NAMES[place]} is healed at {position}", _set(state, place, group._replace(there=True, delivered=position)))

    def _trim(self, state: State) -> Iterator[Step]:
        groups = tuple(group._replace(watermark=self._low(group)) if group.there else group for group in state.groups)
        stored = state._replace(groups=groups)
        there = [group for group in groups if group.there]
        if len(there) < len(groups) and (self._rules.missing_group_stops_trim or not there):
            if stored != state:
                yield Step("the janitor stores the watermarks, and trims nothing while a group is missing", stored)
            return
        edge = min((group.watermark for group in there), key=int if self._rules.ids_are_numbers else str)
        if edge > state.low and self._rules.trim_in_one_step:
            yield Step(f"the janitor cuts what is before {edge}", stored._replace(low=edge))
        elif edge > state.low and not state.decided:
            yield Step(f"the janitor looks: it is going to cut before {edge}", stored._replace(decided=edge))
        elif stored != state:
            yield Step("the janitor stores the watermarks, and finds nothing to cut", stored)

    def _low(self, group: Group) -> int:
        if self._rules.watermark_is_the_smaller:
            return min((group.delivered, *group.pending))
        return min(group.pending, default=group.delivered)


def _set(state: State, place: int, group: Group) -> State:
    return state._replace(groups=at(state.groups, place, group))
