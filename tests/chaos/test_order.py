"""The checker of order per key, against histories written by hand: what it must pass, and what it must not."""

from __future__ import annotations

import pytest

from tests.chaos.checkers.order import Order
from tests.chaos.test_checkers import LEASE, fault, kinds, paused, run, verdict
from tests.chaos.troubles import Troubles


def check(*parts, faults=()):
    """Of two keys: even numbers and odd ones."""
    return verdict(Order(Troubles(faults, lease=LEASE), lambda number: "odd" if number % 2 else "even"), *faults, *_flat(parts))


def _flat(parts):
    return [each for part in parts for each in (_flat(part) if isinstance(part, list) else [part])]


def once(number, t, *, p="w0.1", lasts=0.5, **rest):
    return [run(number, "invoke", t=t, p=p, **rest), run(number, "ok", t=t + lasts, p=p, **rest)]


def test_passes_one_after_the_other_and_other_keys_beside_them():
    found = check(once(2, 1), once(3, 1.2), once(4, 2), once(5, 2.2))
    assert (found.complaints.words, found.runs, found.keys, found.owners) == ([], 4, 2, 1)


def test_ids_are_compared_as_numbers():
    assert not check(once(8, 1), once(10, 2)).complaints


def test_two_runs_of_a_key_at_once_are_told():
    assert kinds(check(once(2, 1, lasts=1.2), once(4, 2))) == {"overlap"}
    assert kinds(check(once(2, 1, lasts=3), once(4, 2, p="w1.1"))) == {"overlap", "not cancelled"}


def test_an_event_again_in_its_place_is_no_inversion():
    """It was not settled: its owner died."""
    assert not check(once(2, 1), run(4, "invoke", t=2), once(4, 9, p="w1.1"), faults=[fault(3, "kill", "w0.1")]).complaints


def test_an_event_after_a_later_one_is_told():
    assert kinds(check(once(4, 1), once(2, 2))) == {"inversion"}
    assert kinds(check(once(2, 1), once(4, 2), once(2, 3, p="w1.1"))) == {"inversion"}


def test_what_was_overtaken_comes_back_without_a_place_but_beside_nothing():
    assert not check(once(4, 1), once(2, 2, at="r2-0")).complaints
    assert kinds(check(once(4, 1, lasts=1.2), once(2, 2, at="r2-0"))) == {"overlap"}


def test_a_process_that_is_frozen_or_just_woke_may_overlap():
    parts = [run(2, "invoke", t=10), run(2, "fail", t=20.3), once(2, 15, p="w1.1"), once(4, 16, p="w1.1")]
    found = check(parts, faults=paused("w0.1", 11, 20))
    assert (found.complaints.words, found.beside_frozen) == ([], 2)


def test_one_that_runs_on_when_it_turns_again_was_not_cancelled():
    parts = [run(2, "invoke", t=10), run(2, "ok", t=23), once(2, 15, p="w1.1")]
    assert kinds(check(parts, faults=paused("w0.1", 11, 20))) == {"not cancelled"}


def test_a_start_at_the_moment_of_waking_is_permitted_and_a_later_one_is_not():
    faults = paused("w0.1", 11, 20)
    others = [once(2, 15, p="w1.1"), once(4, 16, p="w1.1")]
    assert not check(others, once(2, 20.1, lasts=0.1), faults=faults).complaints
    assert kinds(check(others, once(2, 22), faults=faults)) == {"inversion"}


@pytest.mark.parametrize(("kind", "of"), [("redis", "*"), ("hole", "w0"), ("cut", "w0")])
def test_whoever_cannot_reach_redis_is_permitted_nothing(kind, of):
    """It gives up by its own clock."""
    faults = [fault(8, kind, of, "invoke"), fault(16, kind, of)]
    assert kinds(check(once(2, 7, lasts=9), once(2, 15, p="w1.1"), faults=faults)) == {"overlap", "not cancelled"}
