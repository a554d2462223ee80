"""The search itself, on a model small enough to see through: a number that is counted up, and must not be three."""

from dataclasses import dataclass

from tests.model.engine import Step, Violation, explore
from tests.model.properties import Property


@dataclass
class Counting:
    name: str = "counting"
    wrong: int = 99
    last: int = 10
    strides: tuple[int, ...] = (1, 2)
    trap: bool = False
    only_by_faults: bool = False

    def initial(self):
        return 0

    def key(self, state):
        return state

    def steps(self, state):
        if state < 0:
            return
        for stride in self.strides:
            if state + stride <= self.last:
                yield Step(f"{stride} more", state + stride, fault=self.only_by_faults)
        if self.trap and state == 4:
            yield Step("falls into the trap", -1, fault=True)

    def violation(self, state):
        return Violation(Property.PLACE, f"it is {state}") if state == self.wrong else None

    def drained(self, state):
        return state == self.last


def test_a_model_without_a_flaw_holds_and_every_state_is_visited():
    verdict = explore(Counting())

    assert verdict.holds
    assert verdict.states == 11
    assert "11 states" in str(verdict)
    assert "safe, and always able to finish" in str(verdict)


def test_a_violation_comes_with_the_shortest_trace():
    verdict = explore(Counting(wrong=5))

    assert not verdict.holds
    assert verdict.counterexample.property is Property.PLACE
    assert len(verdict.counterexample.trace) == 3
    assert str(verdict).splitlines()[1] == "AN EVENT HAS A PLACE UNTIL IT IS HANDLED: it is 5"
    assert str(verdict).splitlines()[2] == "   1. 1 more"


def test_a_state_from_which_nothing_leads_to_the_end_is_found():
    verdict = explore(Counting(trap=True))

    assert verdict.counterexample.property is Property.DRAINS
    assert verdict.counterexample.trace == ("2 more", "2 more", "falls into the trap")


def test_the_end_must_be_reached_without_a_further_fault():
    verdict = explore(Counting(only_by_faults=True))

    assert verdict.counterexample.property is Property.DRAINS
    assert verdict.counterexample.trace == ()


def test_a_search_that_hits_its_cap_proves_nothing():
    verdict = explore(Counting(), cap=5)

    assert verdict.capped
    assert not verdict.holds
    assert verdict.counterexample is None
    assert "CAPPED" in str(verdict)


def test_states_under_one_key_are_one():
    class Parity(Counting):
        def key(self, state):
            return state % 2, state == self.last

    assert explore(Parity()).states < explore(Counting()).states
