"""Explores the models from a shell, and prints what was found: `python -m tests.model --help`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tests.model.cases import GAPS, RULES, SOUND, Case
from tests.model.engine import explore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.model.engine import Counterexample

KNOWN = {case.rule: case for case in (*RULES, *GAPS)}

ABOUT = """\
Visit every state of the delivery protocol's models.

Without a rule: the protocol as it is built, model by model; then each rule switched off, with the property that breaks;
then the gaps that are known. With rules: the shortest trace to what breaks without each of them.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Returns:
        0 when everything is as the tests expect it, else 1.
    """
    parser = argparse.ArgumentParser("python -m tests.model", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", nargs="*", metavar="RULE", help="a rule to switch off, or a gap; --list names them")
    parser.add_argument("--list", action="store_true", help="list the rules and the known gaps")
    parser.add_argument("--traces", action="store_true", help="without a rule: print every trace, too")
    chosen = parser.parse_args(arguments)
    if unknown := [rule for rule in chosen.rules if rule not in KNOWN]:
        parser.error(f"no rule is called {', '.join(unknown)}; --list names them")
    if chosen.list:
        return _list()
    if chosen.rules:
        return max(_show(KNOWN[rule]) for rule in chosen.rules)
    return max(_as_built(), _without(traces=chosen.traces), _gaps(traces=chosen.traces))


def _list() -> int:
    for title, cases in (("Rules", RULES), ("Gaps: rules that are not built", GAPS)):
        print(f"{title}\n")
        for case in cases:
            print(f'  {case.rule:28}{case.says}\n{"":30}breaks "{case.breaks.value}"')
        print()
    return 0


def _show(case: Case) -> int:
    verdict = explore(case.switched(on=False))
    print(f"Rule: {case.says}.\nWithout it, in {verdict}\n", flush=True)
    return int(not _expected(case, verdict.counterexample))


def _as_built() -> int:
    print("The protocol as it is built\n")
    failed, states, seconds = 0, 0, 0.0
    for builder in SOUND:
        verdict = explore(builder())
        print(f"  {'ok  ' if verdict.holds else 'FAIL'} {verdict}", flush=True)
        failed, states, seconds = failed + (not verdict.holds), states + verdict.states, seconds + verdict.seconds
    print(f"\n  {states:,} states in {seconds:.1f} s\n")
    return int(failed > 0)


def _without(*, traces: bool) -> int:
    print("Without a rule\n")
    return max(_summary(case, traces=traces) for case in RULES)


def _gaps(*, traces: bool) -> int:
    print("\nKnown gaps: without a rule that is not built; with it nothing breaks\n")
    failed = 0
    for case in GAPS:
        holds = explore(case.switched(on=True)).holds
        failed = max(failed, _summary(case, traces=traces), int(not holds))
    return failed


def _summary(case: Case, *, traces: bool) -> int:
    found = explore(case.switched(on=False)).counterexample
    expected = _expected(case, found)
    what = f'breaks "{found.property.value}" after {len(found.trace)} steps' if found else "NOTHING BREAKS"
    print(f"  {'ok  ' if expected else 'FAIL'} {case.rule:28}{what}", flush=True)
    if traces and found:
        print(f"\n{found}\n")
    return int(not expected)


def _expected(case: Case, found: Counterexample | None) -> bool:
    return found is not None and found.property is case.breaks


if __name__ == "__main__":
    sys.exit(main())
