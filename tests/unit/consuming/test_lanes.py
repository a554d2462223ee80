"""Lanes: of each key one delivery at a time, in the order in which they came, and no key waits for another."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from eventbus.consuming.lanes import BEHIND, Lanes, LanesInHand, key_of
from eventbus.delivery import Delivery
from eventbus.events import Envelope

KEYS = st.sampled_from([b"a", b"b", b"c", None])


def of(key, number=0, *, token="token"):
    fields = [b"id", b"1", *([] if key is None else [b"partitionkey", key]), b"data", b"{}"]
    return Delivery(b"%d-0" % number, fields, False, token)


def popped(lanes):
    found = []
    while (each := lanes.pop()) is not None:
        found.append(each)
    return found


@pytest.fixture
def lanes():
    return Lanes()


def test_only_the_first_of_each_key_is_given_out(lanes):
    one, two, other = of(b"a", 1), of(b"a", 2), of(b"b", 3)
    lanes.put([one, two, other])
    assert popped(lanes) == [one, other]


def test_the_next_of_a_key_is_given_out_when_the_one_before_is_settled(lanes):
    one, two = of(b"a", 1), of(b"a", 2)
    lanes.put([one, two])
    assert popped(lanes) == [one]
    lanes.settled([one])
    assert popped(lanes) == [two]


def test_those_without_a_key_share_a_lane(lanes):
    one, two = of(None, 1), of(None, 2)
    lanes.put([one, two])
    assert popped(lanes) == [one]


def test_the_first_of_several_attributes_of_a_name_counts_as_in_the_envelope():
    """Else an entry would be ordered by one key, and show its handler the other."""
    fields = [b"specversion", b"1.0", b"id", b"1", b"type", b"T", b"source", b"/s", b"data", b"{}"]
    fields += [b"partitionkey", b"a", b"partitionkey", b"b"]
    envelope = Envelope.parse(fields)
    assert envelope is not None
    assert key_of(Delivery(b"1-0", fields, False, "")) == b"a" == (envelope.key or "").encode()


def test_what_is_given_back_is_the_next_to_be_given_out(lanes):
    """It waited for its last start, or its executor failed."""
    one, two, other = of(b"a", 1), of(b"a", 2), of(b"b", 3)
    lanes.put([one, two])
    assert popped(lanes) == [one]
    lanes.put([other])
    lanes.put_first([one])
    assert popped(lanes) == [one, other]


def test_what_is_taken_over_goes_to_the_end_of_its_lane(lanes):
    """It comes in order; before what is read is where it comes from."""
    one, two = of(b"a", 1), of(b"a", 2)
    lanes.put_first([one, two])
    assert popped(lanes) == [one]
    lanes.settled([one])
    assert popped(lanes) == [two]


def test_a_key_that_waits_for_a_next_attempt_stops_nobody_else(lanes):
    one, two, other = of(b"a", 1), of(b"a", 2), of(b"b", 3)
    lanes.put([one, two, other])
    assert popped(lanes) == [one, other]
    lanes.hold(one)
    lanes.settled([other])
    assert (popped(lanes), lanes.held_up) == ([], 2)
    lanes.resume(one)
    assert (popped(lanes), lanes.held_up) == ([one], 0)


def test_what_was_taken_out_while_it_waited_is_not_resumed(lanes):
    one, two = of(b"a", 1), of(b"a", 2)
    lanes.put([one, two])
    popped(lanes)
    lanes.hold(one)
    assert lanes.remove(one)
    lanes.resume(one)
    assert popped(lanes) == []
    lanes.settled([one])
    assert popped(lanes) == [two]


def test_one_that_waits_can_be_taken_out_wherever_it_waits_and_one_that_runs_cannot(lanes):
    one, two, three, other = of(b"a", 1), of(b"a", 2), of(b"a", 3), of(b"b", 4)
    lanes.put([one, two, three])
    assert popped(lanes) == [one]
    lanes.put([other])
    assert (lanes.remove(one), lanes.remove(two), lanes.remove(other)) == (False, True, True)
    lanes.settled([other])
    lanes.settled([one])
    assert popped(lanes) == [three]


def test_everything_that_does_not_run_is_cleared_and_what_runs_lets_nothing_follow(lanes):
    running, behind, failed, ready = of(b"a", 1), of(b"a", 2), of(b"b", 3), of(b"c", 4)
    lanes.put([running, behind, failed])
    popped(lanes)
    lanes.hold(failed)
    lanes.put([ready])
    assert lanes.clear() == [behind, failed, ready]
    assert lanes.closed
    lanes.resume(failed)
    lanes.settled([behind, failed, ready, running])
    assert popped(lanes) == []


def in_hand(limit=10):
    held, lanes = LanesInHand(limit, 2), Lanes()
    held.queued_in(lanes)
    return held, lanes


def test_what_a_failed_event_holds_up_leaves_credit_to_other_keys():
    held, lanes = in_hand(limit=4)
    waiting = [of(b"a", number) for number in range(4)]
    for each in waiting:
        held.take(each)
    lanes.put(waiting)
    assert held.credit == 0
    lanes.hold(lanes.pop())
    assert held.credit == 4


def test_so_much_is_held_up_at_most_until_it_counts():
    held, lanes = in_hand(limit=4)
    waiting = [of(b"a", number) for number in range(BEHIND + 3)]
    for each in waiting:
        held.take(each)
    lanes.put(waiting)
    lanes.hold(lanes.pop())
    assert held.credit == 1


def test_what_is_let_go_of_lets_its_lane_go_on():
    held, lanes = in_hand()
    one, two = of(b"a", 1), of(b"a", 2)
    for each in (one, two):
        held.take(each)
    lanes.put([one, two])
    assert popped(lanes) == [one]
    held.settled(one)
    assert (popped(lanes), len(held)) == ([two], 1)


class AnyOrder(RuleBasedStateMachine):
    """Whatever comes, ends, fails and is resumed, in any order: never two of a key at once, in order, none forgotten."""

    def __init__(self):
        super().__init__()
        self.lanes, self.number = Lanes(), 0
        self.due = defaultdict(list)  # of each key, in order
        self.running, self.held = {}, {}  # by key

    @rule(key=KEYS)
    def comes(self, key):
        self.number += 1
        new = of(key, self.number)
        self.due[key].append(new)
        self.lanes.put([new])

    @rule()
    def is_given_out(self):
        if (each := self.lanes.pop()) is not None:
            key = key_of(each)
            assert key not in self.running | self.held
            assert each is self.due[key][0]
            self.running[key] = each

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def ends(self, data):
        self.settle(self.running.pop(data.draw(st.sampled_from(sorted(self.running, key=str)))))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def fails(self, data):
        key = data.draw(st.sampled_from(sorted(self.running, key=str)))
        self.held[key] = self.running.pop(key)
        self.lanes.hold(self.held[key])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def is_resumed(self, data):
        self.lanes.resume(self.held.pop(data.draw(st.sampled_from(sorted(self.held, key=str)))))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def is_given_back(self, data):
        self.lanes.put_first([self.running.pop(data.draw(st.sampled_from(sorted(self.running, key=str))))])

    @precondition(lambda self: any(self.due.values()))
    @rule(data=st.data())
    def is_taken_out(self, data):
        each = data.draw(st.sampled_from([each for due in self.due.values() for each in due]))
        assert self.lanes.remove(each) is (each not in self.running.values())
        if each not in self.running.values():
            self.held = {key: held for key, held in self.held.items() if held is not each}
            self.settle(each)

    def settle(self, delivery):
        self.due[key_of(delivery)].remove(delivery)
        self.lanes.settled([delivery])

    def teardown(self):
        for each in self.held.values():
            self.lanes.resume(each)
        self.held = {}
        for _ in range(self.number + 1):
            for key in list(self.running):
                self.settle(self.running.pop(key))
            while len(self.lanes):
                self.is_given_out()
        assert not any(self.due.values())


TestAnyOrder = AnyOrder.TestCase
