"""What the demo computes of what it sees: rates, latencies, holders, whom to replace, and the lines it prints."""

from __future__ import annotations

import signal
import subprocess
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from services.demo.audit import Record, Totals
from services.demo.looks import Look, held_by, joined, process_of
from services.demo.meters import Meters
from services.demo.minder import Minder, mind
from services.demo.plan import App, Group
from services.demo.rates import Recent, percentile
from services.demo.replacements import Replacement, candidates, has_joined
from services.demo.screen import PlainScreen, Snapshot, render

CHARGE = Group("payments", "orders", frozenset({"OrderCreated"}))
SHIP = Group("shipping", "payments", frozenset({"PaymentSucceeded"}))


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.99, 4), (0.25, 1), (0.0, 1), (1.0, 4)])
def test_a_percentile_is_the_smallest_value_that_the_share_does_not_exceed(share, expected):
    """Of four values the median is the second."""
    assert percentile(share, [4, 1, 3, 2]) == expected


def test_nothing_has_no_percentile():
    """It is unknown, not 0."""
    assert percentile(0.5, []) is None


def test_a_rate_counts_the_last_seconds_only():
    """What is older is forgotten, but stays in the total."""
    recent = Recent(window=5.0)
    for at in (1.0, 2.0, 6.5):
        recent.add(at)
    assert recent.rate(now=6.5) == pytest.approx(2 / 5)
    assert recent.rate(now=20.0) == 0
    assert recent.total == 3


def test_meters_tell_topics_and_groups_apart():
    """A group on one topic is not the group of the same name on another."""
    meters = Meters([CHARGE, SHIP])
    meters.take(Record("published", 10.0, "o1", "orders", "OrderCreated"))
    meters.take(Record("handled", 10.0, "o1", "orders", "OrderCreated", "payments", 0.25))
    assert [(row.topic, row.total) for row in meters.topics(10.0)] == [("orders", 1), ("payments", 0)]
    charge, ship = meters.groups(10.0, {SHIP: 3}, {CHARGE: Look(lag=7, pending=2)})
    assert (charge.total, charge.p50, charge.look.lag, charge.missing) == (1, 0.25, 7, 0)
    assert (ship.total, ship.p50, ship.look.lag, ship.missing) == (0, None, 0, 3)


def test_a_consumer_carries_its_process_in_its_name():
    """Dots in the service's name do no harm."""
    assert process_of("acme.payments.host.4242.0a1b2c3d") == 4242
    assert held_by([{"name": "payments.host.17.aa", "pending": 3}]) == {17: 3}


def worker(name, pid, group, told=None):
    return SimpleNamespace(app=App(name, f"{name}:bus", 1, (group,)), pid=pid, told=told)


def test_only_busy_workers_that_are_wanted_can_be_replaced_and_the_busiest_comes_first():
    """One that was told to leave already, and one that holds nothing, are left alone."""
    idle, busy, busier, leaving = (worker("payments", pid, CHARGE, told) for pid, told in [(1, None), (2, None), (3, None), (4, 9.0)])
    looks = {CHARGE: Look(held={1: 0, 2: 1, 3: 5, 4: 8})}
    assert candidates([idle, busy, busier, leaving], looks, []) == [busier, busy]


def test_apps_take_turns_at_being_replaced():
    """Who was replaced last comes last, however busy."""
    charging, shipping = worker("payments", 1, CHARGE), worker("shipping", 2, SHIP)
    looks = {CHARGE: Look(held={1: 9}), SHIP: Look(held={2: 1})}
    replaced = [Replacement(at=5.0, worker=charging, held=1, successor=charging)]
    assert candidates([charging, shipping], looks, replaced) == [shipping, charging]


def test_a_worker_has_joined_when_all_its_groups_know_it():
    """One of two is not enough."""
    both = SimpleNamespace(app=App("both", "both:bus", 1, (CHARGE, SHIP)), pid=1)
    known = Look(members=frozenset({1}))
    assert not has_joined(both, {CHARGE: known})
    assert has_joined(both, {CHARGE: known, SHIP: known})


def snapshot(elapsed, replaced=()):
    groups = Meters([CHARGE]).groups(0.0, {}, {})
    return Snapshot("running", elapsed, 3, Meters([CHARGE]).topics(0.0), groups, Totals(2, 2, 1, 1), replaced)


def test_without_a_terminal_there_is_a_line_a_second_and_one_for_each_replacement():
    """Nothing is said twice."""
    lines = []
    screen = PlainScreen(lines.append)
    for elapsed, replaced in [(1.0, []), (1.5, ["one"]), (1.9, ["one"]), (2.1, ["one"])]:
        screen.show(snapshot(elapsed, replaced))
    assert [line.split("  |")[0].strip() for line in lines] == [
        "1 s  running   published 2 handled 1 missing 1",
        "one",
        "2 s  running   published 2 handled 1 missing 1",
    ]


def test_the_live_screen_shows_every_part():
    """Drawn without a terminal, as text."""
    console = Console(width=150, file=StringIO())
    console.print(render(snapshot(1.0, ["payments 1 stopped"])))
    text = console.file.getvalue()
    for part in ("orders/payments", "published 2 handled 1 missing 1", "1 handled again", "payments 1 stopped", "p99 ms"):
        assert part in text


def test_the_minder_remembers_who_was_not_taken_back():
    """In any order."""
    assert mind(["+1\n", "+2\n", "-1\n", "+3\n"]) == {2, 3}


def test_the_minder_kills_those_whom_a_killed_demo_leaves_behind():
    """The end of its input is the end of the demo; what was taken back lives on."""
    left, taken_back = (subprocess.Popen(["sleep", "600"]) for _ in range(2))
    try:
        minder = Minder()
        minder.watch(left.pid)
        minder.watch(taken_back.pid)
        minder.forget(taken_back.pid)
        minder._process.stdin.close()  # as the system does for a process that was killed
        minder._process.wait()
        assert left.wait() == -signal.SIGKILL
        assert taken_back.poll() is None
    finally:
        for process in (left, taken_back):
            process.kill()
            process.wait()


def test_what_is_seen_of_each_priority_is_added_up():
    """A process has joined once it reads all of them."""
    high, normal = Look(1, 2, {1: 2}, frozenset({1, 2})), Look(3, 4, {1: 1, 3: 3}, frozenset({1, 3}))
    assert joined([high, normal]) == Look(4, 6, {1: 3, 3: 3}, frozenset({1}))
    assert Group("payments", "orders", frozenset(), ("high", "normal")).streams == ("{orders}:p:high", "orders")


def test_how_long_events_took_is_told_by_priority():
    """Of the priorities at which something was handled, since the start."""
    group = Group("payments", "orders", frozenset({"OrderCreated"}), ("high", "normal", "low"))
    meters = Meters([group])
    for at, (priority, took) in enumerate([("high", 0.1), ("high", 0.2), ("high", 0.9), ("normal", 3.0)]):
        meters.take(Record("handled", 100.0 * at, f"o{at}", "orders", "OrderCreated", "payments", took, priority))
    assert meters.waits(group) == {"high": 0.2, "normal": 3.0}
