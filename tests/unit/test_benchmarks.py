"""What the benchmarks measure and with whom: the tables of cases, contenders and heats, and what is counted while they run."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from benchmarks import environments, heats, server
from benchmarks.cases import CASES
from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.control import packed
from benchmarks.environments import LOCKS
from benchmarks.events import FIRST, MODELS, content
from benchmarks.measure import check
from benchmarks.peer import Tally, Task, handler
from benchmarks.peers import ours
from benchmarks.processes import ROOT, Failed
from benchmarks.targets import TARGETS

ALL = (*heats.TABLE, *heats.ALL)


# -- the tables


@pytest.mark.parametrize(("event", "size"), [("reading", 50), ("order", 300), ("document", 4096)])
def test_events_have_the_sizes_they_are_named_by(event, size):
    """Within a tenth."""
    written = MODELS[event].model_validate(content(event, 7)).model_dump_json()
    assert len(written) == pytest.approx(size, rel=0.1)


@pytest.mark.parametrize("event", MODELS)
def test_our_events_say_what_the_others_say(event):
    """Else we would be measured with other work."""
    given = content(event, 7)
    assert ours.EVENTS[event].model_validate(given).model_dump_json() == MODELS[event].model_validate(given).model_dump_json()


def test_numbers_of_events_have_one_length():
    """A stored event is copied by putting another number in the place of the first one's."""
    assert {len(str(content("order", number)["number"])) for number in (0, 1, 999_999, 10_000_000)} == {len(str(FIRST))}


def test_contenders_have_a_file_and_pins():
    """What is named in the table exists."""
    for contender in CONTENDERS.values():
        assert (ROOT / "benchmarks" / "peers" / f"{contender.module}.py").exists()
        assert contender.name == OURS or environments.version(contender.environment, contender.library)


def test_pins_name_no_index_and_no_folder():
    """They are the same wherever they were written; every one has a hash."""
    for lock in LOCKS.glob("*.lock"):
        text = lock.read_text()
        assert not re.search(r"://|index-url|find-links|^-|\s/", text, re.MULTILINE), lock
        assert text.count("==") <= text.count("--hash=sha256:")


def test_all_validate_with_the_same_pydantic():
    """It is most of what handling an event costs."""
    assert len({environments.version(lock.stem, "pydantic-core") for lock in LOCKS.glob("*.lock")}) == 1


def test_targets_compare_within_one_heat_of_the_table():
    """A ratio of numbers that did not take turns would say nothing."""
    table = {heat.name: {entrant.name for entrant in heat.entrants} for heat in heats.TABLE}
    for target in TARGETS:
        assert {target.ours, target.against or target.ours} <= table[target.heat]


def test_ours_is_in_every_heat_and_is_the_first():
    """Ratios in the tables of the page are taken to the first one."""
    assert all(heat.entrants[0].contender.name == OURS for heat in ALL)


def test_every_case_is_measured_by_somebody():
    """A case that is in no heat would never be seen."""
    assert {entrant.case.name for heat in ALL for entrant in heat.entrants} == set(CASES)


def test_a_slow_library_is_given_a_part_of_the_events():
    """A multiple of the topics, and never less than what can be measured."""
    case = CASES["consume-16-topics"]
    assert case.count((0.5, 0.1)) == 50_000
    assert case.count((0.00001, 0.1)) == 496
    assert CASES["publish-100"].count((0.5, 0.1)) == CASES["publish-100"].events * 0.1


def test_a_rate_is_the_same_for_all():
    """A slow library has to keep up with it."""
    assert CASES["latency"].count((0.01, 0.01)) == CASES["latency"].events


# -- what is counted


def test_a_tally_notes_the_first_and_says_when_all_were_handled():
    """It says so once."""
    said = []
    tally = Tally(3, lambda: said.append(tally.handled))
    for number in (5, 6, 7, 8):
        tally.add(number)
    assert (tally.handled, tally.total, said) == (4, 26, [3])
    assert tally.began > 0


@pytest.mark.parametrize("kind", ["plain", "once", "millisecond", "late"])
async def test_each_handler_adds_up_the_numbers(kind):
    """Ours and the others' do the same."""
    task = Task("consume", "ours", 1, ("bench-0",), handler=kind)
    event = ours.Order.model_validate(content("order", 7))
    theirs, mine = Tally(0, print), Tally(0, print)
    await handler(task, theirs)(event)
    await ours.handler(kind, mine, ours.Order)(event, None)
    assert theirs.total == mine.total == FIRST + 7
    assert len(theirs.delays) == len(mine.delays) == (kind == "late")


def said(*numbers):
    return {"handled": len(numbers), "total": sum(FIRST + number for number in numbers)}


def test_what_was_handled_is_what_was_published():
    """Whoever handled it."""
    check("somebody", [said(0, 2), said(1)], 3)


@pytest.mark.parametrize("reports", [[said(0, 1)], [said(0, 1, 1)], [said(0, 1, 2, 2)]])
def test_lost_doubled_or_other_events_are_no_measurement(reports):
    """A fast wrong answer is not printed."""
    with pytest.raises(Failed, match="somebody handled"):
        check("somebody", reports, 3)


def test_any_part_of_a_larger_backlog_will_do():
    """Which part depends on the order."""
    check("somebody", [said(7, 8, 9)], 3, any_of=10)
    with pytest.raises(Failed):
        check("somebody", [said(7, 8)], 3, any_of=10)


def test_commands_are_packed_as_redis_reads_them():
    """Lengths count bytes."""
    assert packed("XADD", "s", 7, b"\xff\r\n", "ä") == b"*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n7\r\n$3\r\n\xff\r\n\r\n$2\r\n\xc3\xa4\r\n"


def test_a_missing_server_is_said_with_the_remedy():
    """Not as a traceback of subprocess."""
    with pytest.raises(server.NoServer, match="apt-get install redis-server"):
        server.find("no-such-server")


PEAK = "from benchmarks.child import peak_mb; print(peak_mb())"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process cannot tell its own peak from that of who started it")
def test_a_process_is_not_charged_with_the_memory_of_the_one_that_started_it():
    """As getrusage would."""
    held = b"x" * 200_000_000
    own = float(subprocess.run([sys.executable, "-c", PEAK], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert own < len(held) / 2**20


def test_tasks_survive_the_way_to_their_process():
    """They travel as JSON."""
    task = Task("consume", "ours", 1, ("a", "b"), options={"ack": "batch"})
    again = Task(**json.loads(json.dumps({name: getattr(task, name) for name in task.__dataclass_fields__})))
    assert (again.stream, again.url, again.options) == (task.stream, task.url, task.options)
