"""What is promised, which tests prove it, and what came of them: `make promises`.

`python -m tests.promises` runs every test that is marked with `@pytest.mark.promise(number)` and fails when a promise
has no test, or when one failed or was skipped. `python -m tests.promises --mutate` breaks the source of a copy of this
tree, once for each promise, and fails when the test that is named for it does not notice.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "design.md"
COPIED = ("eventbus", "tests", "services", "scenarios", "docs", "pyproject.toml", "README.md")
PATIENCE = 25  # seconds that a test gets: what waits for something broken waits for ever
WORST = ("passed", "skipped", "failed")


def promises() -> dict[int, str]:
    """The promises by number, as the design page says them."""
    (section,) = re.findall(r"^## Promised.*?\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    parts = re.split(r"(?:^|(?<=\.\s))(\d+) (?=[A-Z])", section.partition("Not promised")[0].strip())
    return {int(number): sentence.strip() for number, sentence in zip(parts[1::2], parts[2::2], strict=True)}


@dataclass(eq=False)  # pytest wants plugins that can be hashed
class Witness:
    """A plugin of pytest that notes which tests prove what, and how they ended.

    A test that is run with several servers is one test; the worst of its endings counts.
    """

    proofs: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    endings: dict[str, str] = field(default_factory=dict)

    def pytest_collection_finish(self, session):
        for item in session.items:
            for number in {mark.args[0] for mark in item.iter_markers("promise")}:
                if function(item.nodeid) not in self.proofs[number]:
                    self.proofs[number].append(function(item.nodeid))

    def pytest_runtest_logreport(self, report):
        test = function(report.nodeid)
        if report.when == "call" or report.outcome != "passed":
            before = self.endings.get(test, "passed")
            self.endings[test] = max(before, report.outcome, key=WORST.index)


def function(nodeid: str) -> str:
    """A test without its parameters."""
    return nodeid.partition("[")[0]


def prove(arguments: list[str]) -> int:
    """Run the tests of all promises, print what came of them; returns the exit code."""
    witness = Witness()
    code = pytest.main(["-m", "promise", "-q", "--no-header", *arguments], plugins=[witness])
    said = promises()
    for number, sentence in said.items():
        print(f"\n{number}  {sentence}")
        for test in witness.proofs[number]:
            print(f"   {witness.endings.get(test, 'not run'):8}{test}")
        if not witness.proofs[number]:
            print("   NO TEST")
    wanting = [number for number in said if not _proven(witness, number)]
    unknown = sorted(witness.proofs.keys() - said.keys())
    print()
    for number in unknown:
        print(f"no promise has the number {number}: {', '.join(witness.proofs[number])}")
    print(f"{len(said) - len(wanting)} of {len(said)} promises are proven" + (f"; not {wanting}" if wanting else ""))
    return 1 if wanting or unknown or code != pytest.ExitCode.OK else 0


def _proven(witness: Witness, number: int) -> bool:
    tests = witness.proofs[number]
    return bool(tests) and all(witness.endings.get(test) == "passed" for test in tests)


def mutate(numbers: list[int]) -> int:
    """Break the source for each promise and see its test, which was green before, turn red; returns the exit code."""
    said = promises()
    wanted = [mutation for mutation in MUTATIONS if not numbers or mutation.promise in numbers]
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="eventbus-mutated-") as folder:
        copy_of_the_tree(Path(folder))
        for mutation in wanted:
            began = time.monotonic()
            found = verdict(mutation, Path(folder))
            wrong += found != "red"
            print(
                f"{mutation.promise}  {found:10} {time.monotonic() - began:5.1f} s  {mutation.says}\n   {mutation.file} → {mutation.test}",
                flush=True,
            )
    missing = sorted(said.keys() - {mutation.promise for mutation in MUTATIONS})
    for number in missing:
        print(f"{number}  NO MUTATION  {said[number]}")
    print(f"{len(wanted) - wrong} of {len(wanted)} mutations turn their test red")
    return 1 if wrong or missing else 0


def copy_of_the_tree(folder: Path) -> None:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)


def verdict(mutation: Mutation, folder: Path) -> str:
    """What came of one mutation: "red" is what it should be."""
    path = folder / mutation.file
    source = path.read_text()
    if source.count(mutation.old) != 1:
        return "NOT FOUND" if mutation.old not in source else "AMBIGUOUS"
    if ended(mutation.test, folder) != pytest.ExitCode.OK:
        return "RED BEFORE"
    path.write_text(source.replace(mutation.old, mutation.new))
    try:
        code = ended(mutation.test, folder)
    finally:
        path.write_text(source)
    return {pytest.ExitCode.OK: "GREEN", pytest.ExitCode.TESTS_FAILED: "red"}.get(code, f"BROKEN ({code})")


def ended(test: str, folder: Path) -> int:
    # The folder stands first on the path (see pyproject.toml), before an installed eventbus.
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--timeout={PATIENCE}", test]
    return subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.promises", description="Which tests prove what is promised.")
    parser.add_argument("--mutate", action="store_true", help="break the source for each promise, in a copy, and see its test turn red")
    parser.add_argument("--promise", type=int, action="append", default=[], help="only the mutation of this promise (may be repeated)")
    given, rest = parser.parse_known_args()
    return mutate(given.promise) if given.mutate else prove(rest)


if __name__ == "__main__":
    sys.exit(main())
