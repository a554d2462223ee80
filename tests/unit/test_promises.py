"""What `make promises` reads: the page, the marks, the mutations. That they hold is for that target to show."""

from __future__ import annotations

import ast

import pytest

from tests.mutations import MUTATIONS
from tests.promises import ROOT, Witness, promises, verdict


def test_the_page_numbers_its_promises():
    """From 1 on, each a sentence."""
    found = promises()
    assert list(found) == list(range(1, len(found) + 1))
    assert len(found) >= 8
    assert all(sentence.endswith(".") for sentence in found.values())


def test_each_promise_has_one_mutation():
    """A promise whose breach no test would notice is none."""
    assert [mutation.promise for mutation in MUTATIONS] == list(promises())


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"promise-{mutation.promise}")
def test_a_mutation_names_a_text_that_stands_once_and_a_test_of_its_promise(mutation):
    """Else it would change nothing, or turn red what proves something else."""
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    path, _, name = mutation.test.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name]
    marked = [*map(ast.unparse, found.decorator_list), *(ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign))]
    assert any(f"pytest.mark.promise({mutation.promise})" in mark for mark in marked)


def test_a_mutation_whose_text_is_gone_is_reported(tmp_path):
    """Nothing is run then."""
    mutation = MUTATIONS[0]
    path = tmp_path / mutation.file
    path.parent.mkdir(parents=True)
    path.write_text("something else")
    assert verdict(mutation, tmp_path) == "NOT FOUND"


def test_the_worst_ending_of_a_test_counts():
    """One that failed with one server of two has failed; a skipped one has shown nothing."""
    witness = Witness()
    for when, outcome in (("setup", "passed"), ("call", "passed"), ("call", "failed"), ("setup", "skipped"), ("call", "passed")):
        witness.pytest_runtest_logreport(Report("test_it.py::test_a[1]", when, outcome))
    witness.pytest_runtest_logreport(Report("test_it.py::test_b[1]", "setup", "skipped"))
    assert witness.endings == {"test_it.py::test_a": "failed", "test_it.py::test_b": "skipped"}


class Report:
    def __init__(self, nodeid, when, outcome):
        self.nodeid, self.when, self.outcome = nodeid, when, outcome
