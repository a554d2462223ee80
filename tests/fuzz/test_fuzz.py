"""Hostile entries, each accounted for; and a judge that sees when one is not. The million is `make fuzz`."""

from __future__ import annotations

import itertools

import pytest

from eventbus.consuming import executors, mover
from eventbus.consuming.consumer import Consumer
from eventbus.consuming.mover import Mover
from eventbus.consuming.standing import HANDLED
from eventbus.delivery import Ending, Outcome, outcome
from eventbus.delivery.outcome import Decision
from tests.fuzz.entries import hostile
from tests.fuzz.judge import Tally
from tests.fuzz.rig import Rig
from tests.servers import Server, newest_on_path, packaged

ENTRIES = 20_000
SEED = 20_26
FEW = 300


@pytest.fixture
def url():
    server = Server(newest_on_path() or packaged())
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def few():
    return list(hostile(SEED, FEW))


@pytest.mark.timeout(170)
async def test_every_hostile_entry_is_accounted_for(url):
    """Handled, a dead letter with its raw fields, or skipped and counted; nothing fails or stalls, and the logs are safe to look at."""
    tally = Tally()
    await Rig(url, tally).run(hostile(SEED, ENTRIES))
    assert tally.complaints == []
    assert tally.entries == ENTRIES
    assert tally.handled + tally.dead.total() + tally.skipped == 2 * ENTRIES
    assert tally.dead.keys() == {"undecodable", "newer"}
    assert min(tally.handled, tally.skipped) > ENTRIES / 10  # else nothing is wrong any more with what is called hostile, or all of it


def resolving_raises(monkeypatch):
    turns, resolve = itertools.count(1), executors.resolve

    def raises_at_times(subscription, fields):
        if next(turns) % 50 == 0:
            raise ValueError("planted")
        return resolve(subscription, fields)

    monkeypatch.setattr(executors, "resolve", raises_at_times)


def dead_letters_are_dropped(monkeypatch):
    def forgets(self, delivery, ended, decision):
        if decision.outcome is not Outcome.DEAD:
            add(self, delivery, ended, decision)

    add = Mover.add
    monkeypatch.setattr(Mover, "add", forgets)


def the_undecodable_is_acknowledged(monkeypatch):
    def acknowledges(self, delivery, ended):
        finish(self, delivery, HANDLED if ended.ending is Ending.UNDECODABLE else ended)

    finish = Consumer._finish
    monkeypatch.setattr(Consumer, "_finish", acknowledges)


def the_undecodable_is_skipped(monkeypatch):
    monkeypatch.setitem(outcome._WITHOUT_RUN, Ending.UNDECODABLE, Decision(Outcome.SKIP))


def dead_letters_lose_a_byte(monkeypatch):
    def altered(delivery, *rest, **more):
        delivery.fields[1] = delivery.fields[1][:-1]
        return letter(delivery, *rest, **more)

    letter = mover.dead_letter
    monkeypatch.setattr(mover, "dead_letter", altered)


def logs_are_not_escaped(monkeypatch):
    monkeypatch.setattr("eventbus.observe.logging.escaped", str)


PLANTS = {
    resolving_raises: "something failed",
    dead_letters_are_dropped: "stalled",
    the_undecodable_is_acknowledged: "none to be skipped",
    the_undecodable_is_skipped: "none to be skipped",
    dead_letters_lose_a_byte: "holds other fields",
    logs_are_not_escaped: "raw control characters",
}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
async def test_the_judge_sees_a_planted_defect(url, few, monkeypatch, plant):
    """Without it nobody would know that the silence above means anything."""
    plant(monkeypatch)
    tally = Tally()
    await Rig(url, tally, patience=1.0).run([list(fields) for fields in few])
    assert any(PLANTS[plant] in said for said in tally.complaints), tally.complaints


def test_a_seed_makes_the_same_entries_again(few):
    """So that what a run finds can be looked at; another seed makes others, of every layout."""
    assert few == list(hostile(SEED, FEW)) != list(hostile(SEED + 1, FEW))
    assert {b"specversion", b"payload", b"value", b'{"id":1}', b"order_id", b"ebentry"} <= {name for fields in few for name in fields[::2]}
