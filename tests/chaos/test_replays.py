"""The checker of replays against histories written by hand: what it must pass, and what it must not."""

from __future__ import annotations

import pytest

from tests.chaos.checkers import Complaints
from tests.chaos.checkers.replays import Apart, Replays, Workers


def rec(op, how="ok", **rest):
    return {"t": 0.0, "p": "w0.1", "op": op, "is": how, "g": "charge", **rest}


def asked(begin="1-0", until="3-0"):
    return rec("replay", "invoke", begin=begin, until=until)


def done(copied, begin="1-0", until="3-0", **rest):
    return rec("replay", begin=begin, until=until, copied=copied, **rest)


def ran(entry, at, group="charge"):
    return {**rec("run", "invoke", e=entry, at=at, replayed=True), "g": group}


def moved(*at, how="ok"):
    return rec("move", how, at=list(at), to="retry")


def kinds(*records):
    checker = Replays()
    for record in records:
        checker.see(record)
    return set(checker.verdict().complaints.counts)


def acked(*at):
    return rec("ack", at=list(at))


RAN = [asked(), ran("1-0", "r1-0"), ran("2-0", "r1-1"), ran("3-0", "r1-2"), done(3)]
GOOD = [*RAN, acked("r1-0", "r1-1", "r1-2", "r5-0")]


@pytest.mark.parametrize(
    ("history", "complaints"),
    [
        (GOOD, set()),
        ([*GOOD, ran("2-0", "r1-1")], set()),  # one copy, run twice: at least once
        ([*GOOD, moved("r1-1"), ran("2-0", "r5-0")], set()),  # retried, or released
        ([*GOOD, moved("r1-1", how="unknown"), ran("2-0", "r5-0")], set()),
        ([*RAN, ran("2-0", "r5-0"), acked("r5-0")], set()),  # whoever ran it first was killed: it may have moved it
        ([*RAN, ran("2-0", "r5-0"), ran("2-0", "r6-0"), acked("r5-0", "r6-0")], {"twice"}),
        ([*GOOD, ran("2-0", "r5-0")], {"twice"}),
        ([*GOOD, moved("r1-1", how="fail"), ran("2-0", "r5-0")], {"twice"}),
        ([*GOOD, moved("r1-0"), ran("2-0", "r5-0")], {"twice"}),
        ([asked(), ran("1-0", "r1-0"), done(2)], {"count"}),
        ([asked(), ran("1-0", "r1-0"), ran("2-0", "r1-1"), done(1)], {"count"}),
        ([*GOOD, ran("4-0", "r2-0")], {"elsewhere"}),
        ([*GOOD, ran("2-0", "r2-0", "notify")], {"elsewhere"}),
        ([*GOOD, ran("0-1", "r2-0")], {"elsewhere"}),
        ([*GOOD, asked("3-1", "9-0"), ran("4-0", "r2-0")], set()),  # under way
        ([*GOOD, asked("3-1", "9-0"), ran("4-0", "r2-0"), done(1, "3-1", "5-0"), asked("5-1", "9-0")], set()),
        ([asked(), ran("1-0", "r1-0")], {"none"}),
        ([asked(), done(0)], {"none"}),
        ([*GOOD, rec("run", "invoke", e="7-0", at="7-0")], set()),  # not of a replay
    ],
)
def test_each_copy_is_run_in_its_group_and_each_entry_copied_once(history, complaints):
    """As the ranges say, which follow each other."""
    assert kinds(*history) == complaints


def test_what_was_replayed_is_counted():
    """For the report."""
    checker = Replays()
    for record in (*GOOD[:-1], done(3, resumed=True), asked("3-1", "9-0"), ran("4-0", "r2-0")):
        checker.see(record)
    found = checker.verdict()
    assert (found.finished, found.resumed, found.copied, found.again) == (1, 1, 3, 4)


class Seen:
    """A checker that keeps what it is shown."""

    def __init__(self):
        self.records = []

    def see(self, record):
        self.records.append(record)

    def verdict(self):
        return Complaints()


def test_the_other_checkers_take_a_replayed_run_for_one_of_another_entry():
    """A retry and a replay of one entry may run at once, and both may die."""
    seen = Seen()
    checker = Apart(seen)
    for record in (ran("1-0", "r1-0"), rec("run", "invoke", e="1-0", at="1-0"), rec("dead", e="1-0", replayed=True), rec("dead", e="1-0")):
        checker.see(record)
    assert [(record["op"], record["e"]) for record in seen.records] == [("run", "1-0r"), ("run", "1-0"), ("dead", "1-0")]
    assert not checker.verdict()


def test_a_killed_replayer_is_no_killed_worker():
    """It holds no entries."""
    seen = Seen()
    for of in ("r0.1", "w0.1", "*"):
        Workers(seen, "r0").see(rec("fault", kind="kill", of=of))
    assert [record["of"] for record in seen.records] == ["w0.1", "*"]
