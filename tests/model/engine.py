"""Visits every state of a model, breadth first, so that the trace of a violation is as short as any.

A model says where it begins, which steps lead on from a state, what is wrong with a state, and when all work is done.
Two things are checked: no state that can be reached is wrong, and from each of them the end can be reached without any
further fault (nothing is stranded, whatever happened before).
"""

from __future__ import annotations

import gc
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tests.model.properties import Property

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

CAP = 400_000
"""States after which a search gives up. Models are chosen so small that none comes near it."""


class Step(NamedTuple):
    """One thing that may happen next.

    Attributes:
        says: What happens, as a sentence of the trace.
        state: The state it leads to.
        fault: It is not the protocol's own: a death, a pause, a lost reply. The end must be reached without.
    """

    says: str
    state: Any
    fault: bool = False


class Violation(NamedTuple):
    """What is wrong with a state."""

    property: Property
    says: str


class Model(Protocol):
    """What the search asks of a model. States are hashable values; two that are equal are one."""

    name: str

    def initial(self) -> Any:
        """Say where everything begins."""

    def steps(self, state: Any) -> Iterable[Step]:
        """Say all that may happen next."""

    def violation(self, state: Any) -> Violation | None:
        """Say what is wrong with a state, if anything."""

    def drained(self, state: Any) -> bool:
        """Tell whether all work is done."""

    def key(self, state: Any) -> Hashable:
        """Give states that differ in names alone one key; the state itself where there are none."""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """The shortest way to a state that breaks a property."""

    property: Property
    says: str
    trace: tuple[str, ...]

    def __str__(self) -> str:
        """Number the steps, one a line."""
        steps = "\n".join(f"  {number:2}. {says}" for number, says in enumerate(self.trace, 1))
        return f"{self.property.value.upper()}: {self.says}\n{steps}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a search found.

    Attributes:
        states: How many were visited.
        capped: There are more: nothing is proven.
        counterexample: The first violation, if any; the search ended there.
    """

    model: str
    states: int
    seconds: float
    capped: bool
    counterexample: Counterexample | None

    @property
    def holds(self) -> bool:
        """Every state was visited and nothing was found."""
        return not self.capped and self.counterexample is None

    def __str__(self) -> str:
        """One line, and the trace."""
        ending = "CAPPED: nothing is proven" if self.capped else "safe, and always able to finish"
        line = f"{self.model}: {self.states:,} states in {self.seconds:.1f} s"
        return f"{line}: {ending}" if self.counterexample is None else f"{line}\n{self.counterexample}"


class Search:
    """One search through one model. States are known by their number, in the order in which they were found."""

    def __init__(self, model: Model, cap: int) -> None:
        self._model = model
        self._cap = cap
        self._numbers: dict[Hashable, int] = {}
        self._came_by: list[tuple[int, str]] = []  # the state before, and the step from there
        self._before: list[list[int]] = []  # all states from which one step that is no fault leads here
        self._drained: list[int] = []

    def run(self) -> Verdict:
        """Visit every state."""
        began = time.perf_counter()
        with _no_garbage():
            found = self._visit()
        capped = found is None and len(self._numbers) > self._cap
        if found is None and not capped:
            found = self._stranded()
        return Verdict(self._model.name, len(self._numbers), time.perf_counter() - began, capped, found)

    def _visit(self) -> Counterexample | None:
        model, first = self._model, self._model.initial()
        waiting = deque([(self._found(first, -1, ""), first)])
        while waiting and len(self._numbers) <= self._cap:
            number, state = waiting.popleft()
            wrong = model.violation(state)
            if wrong:
                return Counterexample(wrong.property, wrong.says, self._trace(number))
            if model.drained(state):
                self._drained.append(number)
            for says, following, fault in model.steps(state):
                known = self._numbers.get(model.key(following))
                if known is None:
                    known = self._found(following, number, says)
                    waiting.append((known, following))
                if not fault:
                    self._before[known].append(number)
        return None

    def _found(self, state: Any, before: int, says: str) -> int:
        number = self._numbers[self._model.key(state)] = len(self._numbers)
        self._came_by.append((before, says))
        self._before.append([])
        return number

    def _stranded(self) -> Counterexample | None:
        finishing, waiting = set(self._drained), list(self._drained)
        while waiting:
            more = [before for before in self._before[waiting.pop()] if before not in finishing]
            finishing.update(more)
            waiting += more
        stranded = min(set(range(len(self._numbers))) - finishing, default=None)
        if stranded is None:
            return None
        says = "nothing that can happen from here on settles everything"
        return Counterexample(Property.DRAINS, says, self._trace(stranded))

    def _trace(self, number: int) -> tuple[str, ...]:
        steps: list[str] = []
        while number:
            number, says = self._came_by[number]
            steps.append(says)
        return tuple(reversed(steps))


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Have nobody look for cycles among states: there are many, and they have none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def explore(model: Model, *, cap: int = CAP) -> Verdict:
    """Visit every state of a model, up to a cap, or up to the first that is wrong."""
    return Search(model, cap).run()
