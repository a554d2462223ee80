"""The benchmarks run: a server, fresh processes, checksums, and what they cost. How fast it was is nobody's business here."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import commands, heats, regression, server
from benchmarks.backlog import entry
from benchmarks.cases import CASES
from benchmarks.contenders import CONTENDERS
from benchmarks.measure import measure
from benchmarks.processes import ROOT, Failed
from benchmarks.ratios import Spread
from benchmarks.results import Results
from benchmarks.rig import Rig
from tests.servers import packaged

FEW = 300


@pytest.fixture(scope="module")
def rig():
    with server.running(program=str(packaged().path)) as running:
        yield Rig(running, lambda _: sys.executable)


def small(name, **more):
    """An entrant with few events."""
    one = heats.entrant(name)
    return replace(one.case, **{"events": FEW, "before": 0, "held": 0, **more}), replace(one.contender, pace=(1.0, 1.0))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("consume-once/ours", {}),
        ("consume-once/bare", {}),
        ("consume-plain/hiredis", {}),
        ("consume-1M/ours", {"before": 200}),
        ("consume-held/ours", {"held": 200}),
        ("consume-2-workers/ours", {}),
        ("consume-4-topics/ours", {}),
        ("both/ours", {}),
        ("memory/ours", {"backlog": 2 * FEW}),
    ],
)
def test_events_are_handled_once_each_and_acknowledged(rig, name, more):
    """The sum of their numbers is compared, and nothing stays pending."""
    found = measure(rig, *small(name, **more))
    assert found.events == FEW
    assert min(found.rate, found.seconds, found.client_us, found.server_us, found.peak_mb, found.grew_mb) > 0
    assert rig.server.control.do("DBSIZE") == 0


@pytest.mark.parametrize(
    "name", ["publish-100/ours", "publish-gather/ours", "publish-many/ours", "publish-100/bare", "publish-each/hiredis"]
)
def test_events_are_published_and_counted(rig, name):
    """The stream has as many."""
    assert measure(rig, *small(name)).rate > 0


def test_latencies_are_from_publish_to_handler(rig):
    """In two processes, by one clock."""
    found = measure(rig, *small("latency/ours", events=60))
    assert 0 < found.p50_ms <= found.p99_ms < 10_000


def test_a_backlog_has_the_numbers_of_its_events(rig):
    """Copies of what the library wrote differ in nothing else."""
    case, contender = small("consume-once/ours")
    fields = entry(rig, case, contender)
    assert fields[4:6] == [b"type", b"Order"]
    assert rig.server.control.do("DBSIZE") == 0


def test_a_library_that_fails_is_told_with_what_it_printed(rig):
    """A blocking socket awaits nothing."""
    with pytest.raises(Failed, match="nothing to await"):
        measure(rig, *small("consume-once/hiredis"))


def test_a_library_that_is_not_installed_is_told(rig):
    """Not with a timeout."""
    contender = replace(CONTENDERS["bare"], module="arq")
    with pytest.raises(Failed, match="No module named 'arq'"):
        measure(rig, CASES["consume-once"], contender)


def given(path, *, record):
    program = str(packaged().path)
    return argparse.Namespace(results=path, rounds=1, fresh=True, server=program, persistence="none", record=record, tolerance=0.25)


def test_the_quick_run_ends_with_1_when_a_ratio_fell(tmp_path, monkeypatch, capsys):
    """And with 0 when none did; it is compared with what it recorded."""
    monkeypatch.setattr(regression, "RECORDED", tmp_path / "recorded.json")
    monkeypatch.setattr(regression, "COMPARED", {"consume-plain": "consume-plain"})
    monkeypatch.setattr(regression, "SHARE", FEW / CASES["consume-plain"].events)
    path = tmp_path / "self.jsonl"
    assert commands.self_check(given(path, record=True)) == 0
    for better, code in ((0.0001, 0), (10_000, 1)):
        regression.record({("consume-plain", "rate"): Spread(better, better, better, 1)}, Results(path).records[0].machine)
        assert commands.self_check(given(path, record=False)) == code
    said = capsys.readouterr().out
    assert "consume-plain" in said
    assert "FELL" in said


def test_a_publisher_that_fails_beside_a_consumer_is_told(rig):
    """Rather than waiting for events that never come."""
    case, contender = small("both/ours")
    with pytest.raises(Failed, match="no way to publish"):
        measure(rig, replace(case, publishing="somehow"), contender)


KILLED = """
import sys, time
from benchmarks import server
from benchmarks.cases import CASES
from benchmarks.contenders import CONTENDERS
from benchmarks.rig import Rig
with server.running(program=sys.argv[1]) as running:
    with Rig(running, lambda _: sys.executable).process("consume", CONTENDERS["bare"], CASES["both"]) as process:
        process.hear("ready")
        print(running.control.do("INFO", "server").decode().split("process_id:")[1].split()[0], process.pid, flush=True)
        time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends processes with the one that started them")
def test_a_benchmark_that_is_killed_leaves_nothing_running(tmp_path):
    """Neither its server nor the processes that it measured."""
    command = [sys.executable, "-c", KILLED, str(packaged().path)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # the server's folder stays behind
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as rig:
        pids = [int(pid) for pid in rig.stdout.readline().split()]
        assert all(map(runs, pids))
        rig.kill()
    assert len(pids) == 2
    until = time.monotonic() + 30
    while any(map(runs, pids)):
        assert time.monotonic() < until
        time.sleep(0.01)


def runs(pid):
    """Whether there is such a process; one that ended and was not waited for is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
