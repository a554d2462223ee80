"""Every scenario runs by itself, on the embedded server, and says what came of it."""

from __future__ import annotations

import ast
import logging
import os
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAID = {
    "audit": r"120 events of three topics, 120 in .*audit\.jsonl, 0 lines repeated(.*\n)+what user-7 did.*(\n.*user='user-7'.*){3}\n",
    "changes": r"250 changes; the source and its replica have the same 50 rows:(\n +\d+ customer \d+ +Oslo){3}\n",
    "leaderboard": r"( ?\d+\. player-\d+ +\d+ points in 10 games\n){10}",
    "notifications": r"alarm +60 shown(.*\n)reminder +60 shown(.*\n)newsletter 60 shown.*\n",
    "orders": r"50 orders, one bank closed:\n(.* 10 .*\n){5}the bank is mended, 10 orders are redriven:\n(.* 10 .*\n){5}",
    "report": r".*page 0 of 40(.*\r)+.*page 40 of 40\nworker \d+ began at page 1\n40 pages are written\n",
    "sensors": r"sensor   window .*(\nroom-\d +\d+- ?\d+ s +10 .*){18}\n",
    "signup": r"50 users, 100 events, 50 mails\nusers without a mail: 0, with more than one: 0\n",
}


@pytest.fixture(autouse=True)
def _by_itself(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("EVENTBUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SCENARIO_FOLDER", str(tmp_path))
    yield
    logging.disable(logging.NOTSET)  # a program may be silent; what comes after it in this process may not


@pytest.mark.parametrize("name", SAID)
def test_it_runs_by_itself_and_says_what_came_of_it(name, capsys):
    """As `python -m scenarios.signup` does, with no server to hand."""
    runpy.run_path(str(ROOT / "scenarios" / f"{name}.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert re.fullmatch(SAID[name], said), said


def test_all_of_them_are_listed_with_what_they_are(capsys):
    """`python -m scenarios` and the README name each file there is, and each has a test above."""
    names = {path.stem for path in (ROOT / "scenarios").glob("*.py") if not path.stem.startswith("_")}
    runpy.run_path(str(ROOT / "scenarios" / "__main__.py"), run_name="__main__")
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.partition("\n\n")[0].splitlines())
    assert listed == {name: sentence(ROOT / "scenarios" / f"{name}.py") for name in names}
    assert names == set(SAID)
    assert names == set(
        re.findall(r"^\|.*\]\(scenarios/(\w+)\.py\).*`python -m scenarios\.\1`", (ROOT / "README.md").read_text(), re.MULTILINE)
    )


def sentence(path):
    """What a file's docstring begins with."""
    return ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
