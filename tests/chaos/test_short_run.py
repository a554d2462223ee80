"""The rig itself, briefly: every kind of fault, every checker, one seed; and one planted bug that is caught."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.chaos.patterns import PATTERNS
from tests.chaos.planted import PLANTS
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.troubles import Troubles
from tests.chaos.verdicts import Terms, checkers

ROOT = Path(__file__).parents[2]
SECONDS = 30


async def ended(*arguments: str) -> tuple[int, str]:
    """A module of the rig as a process: its exit code, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()  # what it started ends with it
            await process.wait()
    return process.returncode, out.decode()


@pytest.mark.timeout(170)
async def test_a_short_run_loses_nothing(tmp_path):
    """Workers are killed, stopped and cut off, and Redis is killed: no event is lost, and every checker is content."""
    result = tmp_path / "result"
    code, said = await ended("tests.chaos", "--seconds", str(SECONDS), "--seed", "1", "--rate", "800", "--result", str(result))
    assert code == 0, said
    found = json.loads(result.with_suffix(".json").read_text())
    queue = found["checkers"]["total-queue"]
    assert (queue["lost"], queue["unexpected"]) == (0, 0)
    assert queue["acknowledged"] > 1_000


@pytest.mark.timeout(120)
async def test_a_planted_bug_is_caught():
    """A retry that is written to the topic reaches every other group: the checker named for it says so."""
    code, said = await ended("tests.chaos.planted_matrix", "--one", "retry to the topic", "--seed", "1", "--planted")
    assert code == 0, said
    assert "total-queue" in json.loads(said.splitlines()[-1])["complaining"]


def test_every_planted_bug_has_a_schedule_and_a_checker():
    """The rest of the matrix is `make chaos-planted`."""
    assert list(PLANTS) == list(SCENARIOS)
    assert {plant.checker for plant in PLANTS.values()} <= set(checkers(Troubles([], lease=1), Terms((), 1, 1, 1)))


def test_every_pattern_has_bugs_to_be_caught_by_a_checker_of_its_own():
    """Else nobody knows whether the checker can complain."""
    plain = set(checkers(Troubles([], lease=1), Terms((), 1, 1, 1)))
    for name, pattern in PATTERNS.items():
        found = set(checkers(Troubles([], lease=1), Terms((), 1, 1, 1, pattern=name)))
        caught = {plant.checker for plant in pattern.plants.values()}
        assert list(pattern.plants) == list(pattern.scenarios), name
        assert found - plain, name
        assert found - plain <= caught <= found, name
