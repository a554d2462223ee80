"""The checker of idempotent handling against histories written by hand."""

from __future__ import annotations

from tests.chaos.checkers.handled_once import HandledOnce
from tests.chaos.test_checkers import LEASE, fault, kinds, letter, paused, rec, run, verdict
from tests.chaos.troubles import Troubles


def check(*parts, faults=()):
    return verdict(HandledOnce(Troubles(faults, lease=LEASE)), *faults, *parts)


def begin(*places, t, got="free", p="w0.1", asked=None):
    return rec(t, p, "begin", g="charge", at=list(places), got=[got] * len(places), asked=t if asked is None else asked)


def acked(*places, t, p="w0.1"):
    return rec(t, p, "ack", g="charge", at=list(places))


def remembered(*numbers):
    return rec(99, "rig", "remembered", g="charge", id=[f"id-{number}" for number in numbers])


def finished(number=0, *, t=1.0, until=1.1, at="0-0"):
    """A delivery from the question to the mark."""
    return [begin(at, t=t), run(number, "invoke", t=t, at=at), run(number, "ok", t=until, at=at), acked(at, t=until + 0.1)]


def test_passes_what_ran_once_and_was_settled_afterwards():
    found = check(finished(), begin("1-0", t=0.9, got="twin"), begin("1-0", t=2, got="finished"), remembered(0))
    assert not found.complaints
    assert (found.finished, found.settled, found.put_off, found.again) == (1, 1, 1, 0)


def test_a_run_that_was_asked_for_after_the_mark_is_told():
    found = check(finished(), begin("1-0", t=2, p="w1.1"), run(0, "invoke", t=2.1, p="w1.1", at="1-0"), remembered(0))
    assert kinds(found) == {"after its mark"}


def test_a_run_that_nobody_asked_for_counts_from_its_begin():
    assert kinds(check(finished(), run(0, "invoke", t=2.1, p="w1.1", at="1-0"), remembered(0))) == {"after its mark"}


def test_a_question_that_crossed_the_mark_proves_nothing():
    """Redis may have answered it before."""
    crossed = [begin("1-0", t=1.15, p="w1.1", asked=1.12), run(0, "invoke", t=1.3, p="w1.1", at="1-0")]
    assert not check(finished(), crossed, remembered(0)).complaints


def test_a_run_after_one_whose_acknowledgement_was_never_answered_proves_nothing():
    """Its process was killed after the effect: that is what remains possible."""
    killed = [begin("0-0", t=1), run(0, "invoke", t=1), run(0, "ok", t=1.1)]
    again = [begin("0-0", t=9, p="w1.1"), run(0, "invoke", t=9, p="w1.1"), run(0, "ok", t=9.1, p="w1.1"), acked("0-0", t=9.2, p="w1.1")]
    found = check(killed, again, remembered(0), faults=[fault(1.2, "kill", "w0.1")])
    assert (found.complaints.words, found.again) == ([], 1)


def test_an_acknowledgement_of_what_was_settled_without_a_run_is_no_mark():
    assert not check(acked("1-0", t=0.5), finished(), remembered(0)).complaints


def test_two_deliveries_side_by_side_are_told():
    beside = [begin("1-0", t=1.05, p="w1.1"), run(0, "invoke", t=1.05, p="w1.1", at="1-0")]
    assert kinds(check(finished(), beside, remembered(0))) == {"side by side"}


def test_two_deliveries_side_by_side_in_one_process_are_told():
    assert kinds(check(finished(), run(0, "invoke", t=1.05, at="1-0"), remembered(0))) == {"side by side"}


def test_a_delivery_beside_one_whose_process_was_stopped_is_not():
    slow = [begin("0-0", t=1), run(0, "invoke", t=1), run(0, "fail", t=9.1, why="cancelled")]
    beside = [
        begin("1-0", t=6, p="w1.1"),
        *(run(0, how, t=t, p="w1.1", at="1-0") for how, t in (("invoke", 6), ("ok", 6.1))),
        acked("1-0", t=6.2, p="w1.1"),
    ]
    assert not check(slow, beside, remembered(0), faults=paused("w0.1", 1.5, 9)).complaints


def test_a_delivery_beside_one_whose_process_is_gone_is_not():
    dead = [begin("0-0", t=1), run(0, "invoke", t=1)]
    found = check(dead, finished(t=2, until=2.1, at="1-0"), remembered(0), faults=[fault(1.2, "kill", "w0.1")])
    assert not found.complaints


def test_what_was_finished_and_is_not_remembered_is_told():
    assert kinds(check(finished())) == {"no mark"}


def test_what_was_finished_once_and_is_a_dead_letter_needs_no_mark():
    """Its process was killed before the mark, and later ones at its start."""
    assert not check(finished()[:3], letter(0, "crashes")).complaints
