"""Whose turn it is among the priorities of a topic."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.consuming.turns import Turns

LEVELS = ("high", "normal", "low")
WEIGHTS = {"high": 4, "normal": 2, "low": 1}


def rounds(turns, count, ready=LEVELS):
    return [turns.next(ready) for _ in range(count)]


def test_the_most_urgent_goes_first_where_it_is_strict():
    """Always, whatever waits below it."""
    turns = Turns(LEVELS, None)
    assert rounds(turns, 5) == ["high"] * 5
    assert [turns.next(("low", "normal")), turns.next(("low",)), turns.next(LEVELS)] == ["normal", "low", "high"]


def test_the_weights_hold_while_all_have_something_to_do():
    """Exactly, in every round as long as all weights together, and evenly spread."""
    turns = Turns(LEVELS, WEIGHTS)
    assert rounds(turns, 7) == ["high", "normal", "high", "low", "high", "normal", "high"]
    for _ in range(5):
        assert Counter(rounds(turns, 7)) == WEIGHTS


def test_the_share_of_one_that_has_nothing_to_do_goes_to_the_others():
    """In proportion to their weights."""
    turns = Turns(LEVELS, WEIGHTS)
    assert Counter(rounds(turns, 60, ("high", "low"))) == {"high": 48, "low": 12}
    assert rounds(turns, 3, ("low",)) == ["low"] * 3


def test_one_that_was_idle_saved_nothing_up():
    """It comes back to its share and no more; nor was anything it took alone held against it."""
    turns = Turns(LEVELS, WEIGHTS)
    rounds(turns, 1_000, ("low", "normal"))
    assert Counter(rounds(turns, 7)) == WEIGHTS
    rounds(turns, 1_000, ("low",))
    assert Counter(rounds(turns, 7)) == WEIGHTS


@pytest.mark.parametrize("order", list(permutations(LEVELS)))
def test_the_order_in_which_they_are_named_changes_nothing(order):
    """Urgency is the topic's."""
    assert rounds(Turns(LEVELS, None), 2, order) == ["high"] * 2
    assert rounds(Turns(LEVELS, WEIGHTS), 4, order) == ["high", "normal", "high", "low"]


@given(
    st.lists(st.integers(1, 50), min_size=2, max_size=5),
    st.lists(st.sets(st.integers(0, 4)), max_size=200),
)
def test_nobody_starves(weights, who):
    """Whoever comes and goes: one that has something to do is passed over no longer than its weight says, and some turns."""
    names = [f"level-{number}" for number in range(len(weights))]
    by_name = dict(zip(names, weights, strict=True))
    turns, passed = Turns(names, by_name), Counter()
    for each in who:
        ready = {names[number] for number in each if number < len(names)} | {names[-1]}
        chosen = turns.next(ready)
        assert chosen in ready
        passed = Counter({name: passed[name] + 1 for name in ready if name != chosen})
        for name, count in passed.items():
            assert count <= 2 * (sum(weights) / by_name[name] + len(names))
