"""Decisions about child processes, without any."""

from __future__ import annotations

import os

import pytest

from eventbus.supervision.processes import STEADY, Restarts, ending
from eventbus.supervision.reloading import changed, snapshot


def test_a_child_that_ends_again_and_again_waits_longer_each_time_up_to_half_a_minute():
    """A crash loop does not keep a machine busy."""
    restarts = Restarts()
    assert [restarts.delay(started=0, now=1, chance=1) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_pauses_are_jittered():
    """Children that fell together do not come back together."""
    assert Restarts().delay(started=0, now=1, chance=0) == 0.25


def test_a_child_that_lived_long_begins_anew():
    """A crash a day is not a crash loop."""
    restarts = Restarts()
    for _ in range(5):
        restarts.delay(started=0, now=1)
    assert restarts.delay(started=0, now=STEADY, chance=1) == 0.5


@pytest.mark.parametrize(
    ("status", "words"), [(0, "ended with exit code 0"), (-9, "was killed by SIGKILL"), (-63, "was killed by signal 63")]
)
def test_an_exit_status_is_said_in_words(status, words):
    """Who reads the log need not know what -9 means."""
    assert ending(status) == words


def test_a_snapshot_sees_sources_only(tmp_path):
    """Caches, hidden directories and virtual environments change without meaning anything."""
    for name in ("app.py", "deep/er/app.py", "notes.txt", ".hidden/a.py", "__pycache__/a.py", "venv/lib/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "venv/pyvenv.cfg").write_text("")
    assert {os.path.relpath(path, tmp_path) for path in snapshot(tmp_path)} == {"app.py", "deep/er/app.py"}


def test_new_gone_and_different_files_are_changes(tmp_path):
    """And a file that was only looked at is none."""
    for name in ("same.py", "gone.py", "different.py"):
        (tmp_path / name).write_text("")
    before = snapshot(tmp_path)
    assert changed(before, snapshot(tmp_path)) == []
    (tmp_path / "gone.py").unlink()
    (tmp_path / "different.py").write_text("1")
    (tmp_path / "new.py").write_text("")
    names = [os.path.basename(path) for path in changed(before, snapshot(tmp_path))]  # noqa: PTH119
    assert names == ["different.py", "gone.py", "new.py"]
