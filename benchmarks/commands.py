"""What `python -m benchmarks` can be told to do."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks import environments, heats, identity, page, regression, server
from benchmarks.cases import CASES
from benchmarks.contenders import CONTENDERS
from benchmarks.measure import measure
from benchmarks.progress import Progress
from benchmarks.results import Results
from benchmarks.rig import Rig
from benchmarks.rounds import run, turns

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from benchmarks.heats import Entrant, Heat


def table(given: argparse.Namespace) -> int:
    """Measure what has targets, and write the report."""
    return _run(given, heats.TABLE, environments.python)


def everything(given: argparse.Namespace) -> int:
    """Measure everything, and write the report."""
    return _run(given, heats.ALL, environments.python)


def _run(given: argparse.Namespace, wanted: tuple[Heat, ...], python: Callable[[str], str]) -> int:
    chosen = tuple(_possible(heat) for heat in wanted if heat.name in given.only)
    _install(chosen)
    results = _measured(given, chosen, python)
    page.write(results)
    print(f"\n{page.targets(results)}\n\nwritten: docs/performance.md")
    return 0


def self_check(given: argparse.Namespace) -> int:
    """Compare our own cases with the recorded ones."""
    given.fresh = True  # it is quick, and asks about now
    results = _measured(given, (regression.heat(),), lambda _: sys.executable)
    now, machine = regression.found(results.records), results.records[-1].machine
    if given.record:
        regression.record(now, machine)
        print(f"\nrecorded in {regression.RECORDED.name}")
        return 0
    recorded = regression.load()
    comparisons = regression.compare(now, recorded, given.tolerance)
    print("\nratios to blocking hiredis, by events a second and by CPU an event: more is better")
    print(f"a ratio fell when the best of {given.rounds} rounds is below {1 - given.tolerance:.0%} of the recorded one")
    if differing := [name for name, value in recorded.get("machine", {}).items() if machine.get(name) != value]:
        print(f"recorded on another {', '.join(differing)}: expect other ratios")
    print(regression.table(comparisons))
    fell = any(each.fell for each in comparisons)
    print("something fell" if fell else "nothing fell")
    return int(fell)


def one(given: argparse.Namespace) -> int:
    """Measure single entrants, and show all numbers."""
    chosen = [_sized(entrant, given.events) for entrant in given.entrants]
    _install((heats.Heat("one", tuple(chosen)),))
    with server.running(given.persistence, given.server) as running:
        rig = Rig(running, environments.python)
        for each in chosen:
            print(each.name, measure(rig, each.case, each.contender), flush=True)
    return 0


def report(given: argparse.Namespace) -> int:
    """Write the report."""
    results = Results(given.results)
    page.write(results)
    print(f"{page.targets(results)}\n\nwritten: docs/performance.md")
    return 0


def listed(_: argparse.Namespace) -> int:
    """Show cases, contenders and heats."""
    print("cases")
    for case in CASES.values():
        print(f"  {case.name:20}{case.title}")
    print("\ncontenders")
    for contender in CONTENDERS.values():
        print(f"  {contender.name:20}{contender.title} {identity.version(contender)}")
    for name, found in (("table", heats.TABLE), ("all", heats.ALL)):
        print(f"\nheats of `{name}`")
        for heat in found:
            print(f"  {heat.name:20}{', '.join(each.name.removeprefix(f'{heat.name}/') for each in heat.entrants)}")
    return 0


# -- what they share


def _measured(given: argparse.Namespace, chosen: tuple[Heat, ...], python: Callable[[str], str]) -> Results:
    """Take the turns that are left, and return all there is."""
    results = Results(given.results)
    if given.fresh:
        results.forget({heat.name for heat in chosen})
    with server.running(given.persistence, given.server) as running:
        machine = identity.machine(running, given.persistence)
        todo = list(turns(chosen, given.rounds, {heat.name: identity.key(heat, machine) for heat in chosen}, results))
        print(
            f"{machine['processor']}, {machine['cores']} cores; {machine['python']}; {machine['server']}: {len(todo)} measurements",
            flush=True,
        )
        run(Rig(running, python), todo, results, machine, watcher=Progress(todo, given.rounds))
    return results


def _install(chosen: tuple[Heat, ...]) -> None:
    for name in dict.fromkeys(entrant.contender.environment for heat in chosen for entrant in heat.entrants):
        if not environments.made(name):
            print(f"installing {name} into .bench/envs (once)", flush=True)
            environments.make(name)


def _possible(heat: Heat) -> Heat:
    """A heat without those that need a newer Python."""
    able = tuple(each for each in heat.entrants if environments.possible(each.contender.environment))
    for left_out in dict.fromkeys(each.contender.title for each in heat.entrants if each not in able):
        print(f"{heat.name}: {left_out} needs a newer Python than this one, and is left out", flush=True)
    return replace(heat, entrants=able)


def _sized(entrant: Entrant, events: int) -> Entrant:
    if not events:
        return entrant
    return replace(entrant, case=replace(entrant.case, events=events), contender=replace(entrant.contender, pace=(1.0, 1.0)))
