"""Running heats: the entrants take turns, and what was measured before is not measured again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from benchmarks import identity
from benchmarks.measure import measure
from benchmarks.processes import Failed
from benchmarks.results import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.cases import Case
    from benchmarks.contenders import Contender
    from benchmarks.heats import Entrant, Heat
    from benchmarks.measure import Measured
    from benchmarks.results import Results
    from benchmarks.rig import Rig


@dataclass(frozen=True, slots=True)
class Turn:
    """One entrant's turn in one round of a heat."""

    heat: Heat
    key: str
    round: int
    entrant: Entrant


class Watcher(Protocol):
    """Somebody who watches a run."""

    def begins(self, turn: Turn, /) -> None:
        """A turn is being taken."""

    def ended(self, turn: Turn, record: Record, /) -> None:
        """A turn was taken."""


def turns(heats: tuple[Heat, ...], rounds: int, keys: dict[str, str], results: Results) -> Iterator[Turn]:
    """The turns that are still to be taken, in their order: each heat's entrants A, B, C, and again.

    Args:
        heats: In this order.
        rounds: Of each heat.
        keys: What the numbers of each heat depend on, by its name.
        results: What was measured already, perhaps.
    """
    for heat in heats:
        done = results.done(keys[heat.name])
        for number in range(rounds):
            for entrant in heat.entrants:
                if (number, entrant.name) not in done:
                    yield Turn(heat, keys[heat.name], number, entrant)


def run(
    rig: Rig,
    todo: list[Turn],
    results: Results,
    machine: dict[str, str],
    *,
    watcher: Watcher,
    take: Callable[[Rig, Case, Contender], Measured] = measure,
) -> None:
    """Take turns, and write down what each one found.

    Args:
        rig: Where.
        todo: The turns, from `turns`.
        results: Where it is written down.
        machine: What is known of the machine.
        watcher: Is told of each turn.
        take: How a turn is taken.
    """
    for turn in todo:
        watcher.begins(turn)
        began, found, error = time.monotonic(), None, ""
        try:
            found = take(rig, turn.entrant.case, turn.entrant.contender)
        except Failed as failure:
            error = str(failure)
        contender = turn.entrant.contender
        record = Record(
            heat=turn.heat.name,
            key=turn.key,
            round=turn.round,
            entrant=turn.entrant.name,
            machine=machine,
            version=identity.version(contender),
            measured=found,
            error=error,
            took=round(time.monotonic() - began, 2),
        )
        results.add(record)
        watcher.ended(turn, record)
