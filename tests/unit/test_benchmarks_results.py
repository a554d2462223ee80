"""What comes of measurements: taking turns, going on after an interruption, ratios, and the page."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring, parse

import pytest

from benchmarks import page, ratios, regression, tables
from benchmarks.charts import Bar, bars
from benchmarks.heats import entrant, heat
from benchmarks.measure import Measured
from benchmarks.processes import Failed
from benchmarks.progress import Progress, spoken
from benchmarks.results import Record, Results, measured
from benchmarks.rounds import run, turns
from benchmarks.targets import TARGETS, Target

MACHINE = {
    "processor": "P",
    "cores": "2",
    "memory": "4 GB",
    "system": "S",
    "python": "CPython 3",
    "server": "Redis 7",
    "persistence": "none",
}
ONCE = heat("consume-once", "ours", "bare", "faststream")


def numbers(rate=100.0, **more):
    given = {"events": 10, "seconds": 1.0, "rate": rate, "client_us": 5.0, "server_us": 2.0, "peak_mb": 50.0, "grew_mb": 10.0}
    return Measured(**{**given, **more})


def record(entrant="consume-once/ours", number=0, found=None, *, of="consume-once", key="k", error="", took=1.0):
    return Record(of, key, number, entrant, MACHINE, "1.0", found, error, took)


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results.jsonl")


def todo(results, rounds=2):
    return [(turn.round, turn.entrant.contender.name) for turn in turns((ONCE,), rounds, {"consume-once": "k"}, results)]


# -- taking turns, and going on


def test_contenders_take_turns(results):
    """A B C A B C, so that a slow minute slows all of them."""
    assert todo(results) == [(0, "ours"), (0, "bare"), (0, "faststream"), (1, "ours"), (1, "bare"), (1, "faststream")]


def test_what_was_measured_is_not_measured_again(results):
    """After an interruption, by whoever reads the file."""
    results.add(record("consume-once/ours", 0, numbers()))
    results.add(record("consume-once/bare", 0, numbers()))
    assert todo(Results(results.path)) == [(0, "faststream"), (1, "ours"), (1, "bare"), (1, "faststream")]


def test_what_failed_is_tried_again(results):
    """It is no measurement."""
    results.add(record("consume-once/ours", 0, None, error="why"))
    assert todo(results, 1) == [(0, "ours"), (0, "bare"), (0, "faststream")]


def test_numbers_of_another_machine_or_version_do_not_count(results):
    """Their key differs."""
    results.add(record("consume-once/ours", 0, numbers(), key="another"))
    assert todo(results, 1) == [(0, "ours"), (0, "bare"), (0, "faststream")]


def test_a_line_that_was_cut_off_is_passed_over(results):
    """Somebody pulled the plug while it was written."""
    results.add(record("consume-once/ours", 0, numbers()))
    with results.path.open("a") as file:
        file.write('{"heat": "consume-o')
    assert Results(results.path).records == results.records


def test_only_the_heats_named_are_forgotten(results):
    """In the file, too."""
    results.add(record("consume-once/ours", 0, numbers()))
    results.add(record("both/ours", 0, numbers(), of="both"))
    results.forget({"both"})
    assert [each.heat for each in Results(results.path).records] == ["consume-once"]


def test_the_records_that_belong_together_are_those_of_the_last_key(results):
    """Numbers of two versions never meet."""
    for key in ("old", "new"):
        results.add(record("consume-once/ours", 0, numbers(), key=key))
    assert [each.key for each in results.latest("consume-once")] == ["new"]


class Silent:
    def __init__(self):
        self.seen = []

    def begins(self, turn):
        self.seen.append(turn.entrant.contender.name)

    def ended(self, turn, record):
        self.seen.append(record.error or record.measured.rate)


def test_a_failure_is_written_down_and_the_others_go_on(results):
    """One library that does not run spoils no night."""

    def take(rig, case, contender):
        if contender.name == "bare":
            raise Failed("it broke")
        return numbers(7.0)

    seen = Silent()
    run(None, list(turns((ONCE,), 1, {"consume-once": "k"}, results)), results, MACHINE, watcher=seen, take=take)
    assert seen.seen == ["ours", 7.0, "bare", "it broke", "faststream", 7.0]
    assert [each.error for each in Results(results.path).records] == ["", "it broke", ""]


def test_what_is_left_is_told_by_what_the_turns_took(results, capsys):
    """Each by its own last turn, others by the typical one."""
    left = list(turns((ONCE,), 2, {"consume-once": "k"}, results))
    progress = Progress(left, 2)
    for turn, took in zip(left[:4], (10.0, 2.0, 6.0, 20.0), strict=True):
        progress.begins(turn)
        progress.ended(turn, record(turn.entrant.name, 0, numbers(1234.5), took=took))
    assert progress.left() == 2.0 + 6.0
    assert "round 1/2  consume, handler awaits once · bare loop: 1,234/s" in capsys.readouterr().out


@pytest.mark.parametrize(("seconds", "said"), [(0, "about 0 s"), (89, "about 89 s"), (150, "about 2 min")])
def test_times_are_spoken_as_people_do(seconds, said):
    """Nobody plans by the second."""
    assert spoken(seconds) == said


# -- ratios


def test_a_ratio_is_taken_within_each_round():
    """A round in which everything was three times slower changes nothing."""
    ours = {0: numbers(100), 1: numbers(33), 2: numbers(110)}
    theirs = {0: numbers(10), 1: numbers(3.3), 2: numbers(10)}
    found = ratios.ratio(ours, theirs, "rate")
    assert (found.median, found.low, found.high, found.rounds) == (pytest.approx(10), pytest.approx(10), pytest.approx(11), 3)


def test_a_round_that_one_of_them_missed_gives_no_ratio():
    """It has nothing to be compared with."""
    assert ratios.ratio({0: numbers(100), 1: numbers(1)}, {0: numbers(10)}, "rate").rounds == 1
    assert ratios.ratio({0: numbers()}, {}, "rate") is None


def test_numbers_that_were_not_asked_for_have_no_spread():
    """Only one case has latencies."""
    assert ratios.of({0: numbers()}, "p50_ms") is None


@pytest.mark.parametrize(("metric", "reached"), [("rate", ["no", "must", "must", "goal"]), ("p50_ms", ["goal", "goal", "must", "no"])])
def test_targets_know_which_way_is_better(metric, reached):
    """More events, less of everything else."""
    must, goal = (2, 4) if metric == "rate" else (4, 2.5)
    target = Target("latency", "latency/ours", metric, "latency/redispy", must, goal)
    assert [target.met(number) for number in (1.9, 2, 3.9, 4.1)] == reached


def test_a_goal_alone_is_no_defect_where_it_is_missed():
    """Only a must can be missed."""
    assert Target("publish-many", "publish-many/ours", "rate", "publish-many/hiredis", goal=0.9).met(0.5) == "must"


# -- has it become slower?


def found(median):
    return ratios.Spread(median, median, median, 5)


RATE = ("consume-once", "rate")
THEN = {"ratios": {"consume-once": {"rate": 1.0}}}


@pytest.mark.parametrize(("now", "fell"), [(1.0, False), (0.76, False), (0.74, True), (2.0, False)])
def test_a_ratio_that_fell_by_more_than_is_tolerated_is_told(now, fell):
    """And no other."""
    (compared,) = regression.compare({RATE: found(now)}, THEN, 0.25)
    assert compared.fell == fell
    assert ("FELL" in regression.table([compared])) == fell


def test_one_good_round_is_enough():
    """On a busy machine the median says little; what really became slower is slower in all rounds."""
    (compared,) = regression.compare({RATE: ratios.Spread(0.5, 0.3, 0.9, 5)}, THEN, 0.25)
    assert not compared.fell


def test_ratios_are_taken_so_that_more_is_better():
    """Three times the events, half of the CPU."""
    records = [record("consume-plain/ours", 0, numbers(30, client_us=2.0)), record("consume-plain/hiredis", 0, numbers(10, client_us=1.0))]
    both = regression.found(records)
    assert (both["consume-plain", "rate"].median, both["consume-plain", "cpu"].median) == (3, 0.5)


def test_a_case_that_could_not_be_measured_fell():
    """Silence would be taken for speed."""
    (compared,) = regression.compare({RATE: None}, THEN, 0.25)
    assert compared.fell
    assert "failed" in regression.table([compared])


def test_a_new_case_has_nothing_to_fall_from():
    """It is shown all the same."""
    (compared,) = regression.compare({RATE: found(1.0)}, {}, 0.25)
    assert not compared.fell


def test_what_is_recorded_is_what_is_compared_with(tmp_path, monkeypatch):
    """The machine with it."""
    monkeypatch.setattr(regression, "RECORDED", tmp_path / "recorded.json")
    assert regression.load() == {}
    regression.record({RATE: found(1.2344), ("consume-once", "cpu"): found(0.5), ("both", "rate"): None}, MACHINE)
    assert regression.load() == {"machine": MACHINE, "ratios": {"consume-once": {"rate": 1.234, "cpu": 0.5}}}


def test_the_quick_run_compares_with_what_it_runs():
    """Each case of ours and the nearest one of blocking hiredis are in it."""
    names = {entrant.name for entrant in regression.heat().entrants}
    for ours, theirs in regression.COMPARED.items():
        assert {f"{ours}/ours", f"{theirs}/hiredis"} <= names


def test_every_case_of_the_quick_run_is_recorded():
    """One that is not could fall unseen: `make bench-self ARGS=--record`."""
    recorded = regression.load()["ratios"]
    assert {case: set(found) for case, found in recorded.items()} == {case: set(regression.METRICS) for case in regression.COMPARED}


# -- the page


@pytest.fixture
def filled(results):
    """Two rounds of everything in the table: ours thirty times as fast, and heavier."""
    from benchmarks.heats import TABLE

    for one in TABLE:
        for number in range(2):
            for each in one.entrants:
                ours = each.contender.name == "ours"
                late = {"p50_ms": 0.5 if ours else 2.0, "p99_ms": 5.0, "rate": 190.0 if ours else 210.0} if one.name == "latency" else {}
                results.add(
                    record(
                        each.name,
                        number,
                        numbers(**{"rate": 3000.0 if ours else 100.0, "server_us": 4.0 if ours else 2.0, **late}),
                        of=one.name,
                    )
                )
    return results


def test_every_target_has_a_row_with_its_verdict(filled):
    """Case, ours, theirs, ratio with its spread, must, goal."""
    rows = tables.targets(filled).splitlines()
    assert len(rows) == 2 + len(TARGETS)
    first = "| consume, handler awaits once | events a second | 3,000/s | FastStream 100/s | 30x (30x to 30x) | ≥ 10x | ≥ 25x | goal |"
    assert rows[2] == first
    assert rows[3].endswith("|  |  |  | ≥ 100,000/s | not yet |")
    assert any("redis-py 100/s" in row and row.endswith("| ≥ 1x |  | must |") for row in rows)
    assert any("CPU of Redis" in row and row.endswith("| ≤ 1.3x | ≤ 1.1x | **no** |") for row in rows)


def test_the_first_sentences_say_what_was_missed_too(filled):
    """A reader of the headline alone shall not be fooled."""
    missed = sum(row.endswith("| **no** |") for row in tables.targets(filled).splitlines())
    musts = sum(target.must is not None for target in TARGETS)
    assert missed
    assert f"Of {musts} musts {musts - missed} are met; the others are marked below." in tables.headline(filled)


def test_rows_that_were_not_measured_are_left_empty(results):
    """The page can be written at any time."""
    assert all(row.endswith("|  |") for row in tables.targets(results).splitlines()[2:])
    assert tables.headline(results) == ""


def test_where_others_are_better_is_said(filled):
    """By more than a twentieth, in what means something."""
    rows = tables.better(filled).splitlines()[2:]
    assert "| consume, handler awaits once | FastStream | CPU of Redis 2.0 µs, 4.0 µs |" in rows
    assert all(row.endswith("| CPU of Redis 2.0 µs, 4.0 µs |") for row in rows)


def test_all_that_somebody_does_better_stands_in_one_row(results):
    """Memory only where all of them had the same backlog; what shows the machine's limits is no library."""
    for heat_name, better in (("consume-once", "events a second 200/s, 100/s; CPU of the process 1.0 µs, 5.0 µs"), ("memory", "memory")):
        for name, found in (("ours", numbers()), ("bare", numbers(900)), ("faststream", numbers(200, client_us=1.0, grew_mb=5.0))):
            results.add(record(f"{heat_name}/{name}", 0, found, of=heat_name))
        (row,) = (row for row in tables.better(results).splitlines()[2:] if tables._title(heat_name) in row)
        assert better in row
        assert ("memory after" in row) == (heat_name == "memory")


@pytest.mark.parametrize(
    ("name", "heat_name", "title"),
    [("consume-once/ours", "consume-once", "eventbus"), ("consume-10k/ours", "length", "eventbus: consume, stream of 10,000")],
)
def test_rows_name_their_case_where_the_table_does_not(name, heat_name, title):
    """A table of lengths has several cases, and is named after none."""
    assert tables.title(entrant(name), heat_name) == title


def test_a_library_that_failed_is_shown_as_failed(results):
    """Its row is not left out."""
    results.add(record("consume-once/ours", 0, numbers()))
    results.add(record("consume-once/bare", 0, None, error="why"))
    assert "| bare loop | failed |" in tables.numbers(results)


def test_rounds_that_failed_are_counted(results):
    """A median of those that went well says less then."""
    results.add(record("consume-once/ours", 0, numbers()))
    results.add(record("consume-once/ours", 1, None, error="why"))
    assert "eventbus (1 of 2 failed)" in tables.numbers(results)


def test_the_page_has_its_numbers_and_its_charts(filled, tmp_path):
    """Written anew each time, with the pictures beside it."""
    path = tmp_path / "performance.md"
    page.write(filled, path)
    text = path.read_text()
    assert "**One process handles 3,000 typed events a second, 30x what FastStream does**" in text
    assert "P, 2 cores, 4 GB, S; CPython 3" in text
    assert "$" not in text
    for name in page.CHARTS:
        assert f"(performance/{name}.svg)" in text
        parse(tmp_path / "performance" / f"{name}.svg")


def test_bars_are_as_long_as_their_numbers():
    """Names are escaped; ours is the one to look at."""
    root = fromstring(bars("a < b", [Bar("x & y", 100, "100/s", ours=True), Bar("z", 50, "50/s")]))
    space = "{http://www.w3.org/2000/svg}"
    first, second = (rect.attrib for rect in root.iter(f"{space}rect"))
    assert float(first["width"]) == pytest.approx(2 * float(second["width"]), abs=0.2)
    assert (first["class"], second["class"]) == ("bar ours", "bar")
    assert {"a < b", "x & y", "z"} <= {text.text for text in root.iter(f"{space}text")}


def test_the_best_comes_first_in_a_chart(filled):
    """The most events, the least latency."""
    drawn = page.chart(filled.latest("latency"), "p50_ms", "latency")
    assert drawn.index(">eventbus<") < drawn.index(">redis-py<")


def test_a_chart_shows_one_case(filled):
    """Other cases of the heat have bars of other things."""
    assert page.chart(filled.latest("publish-100"), "rate", "publish").count('class="bar ours"') == 1


def test_measurements_are_found_by_round():
    """Those that failed are not among them."""
    records = [record(number=0, found=numbers(1)), record(number=1), record("consume-once/bare", 0, numbers(2))]
    assert {number: each.rate for number, each in measured(records, "consume-once/ours").items()} == {0: 1}
