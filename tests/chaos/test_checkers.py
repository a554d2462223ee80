"""Each checker against histories written by hand: what it must pass, and what it must not."""

from __future__ import annotations

import math

import pytest

from tests.chaos.checkers import Accounting, Effects, Explained, LeaseSafety, Liveness, TotalQueue
from tests.chaos.checkers.apart import Apart
from tests.chaos.checkers.due import CANCELLED, Due
from tests.chaos.checkers.published_once import PublishedOnce
from tests.chaos.history import History, faults_of, records_of
from tests.chaos.patterns.priorities import level
from tests.chaos.patterns.shares import Shares
from tests.chaos.troubles import Troubles

LEASE = 3.0


def rec(t, p, op, how="ok", **rest):
    return {"t": t, "p": p, "op": op, "is": how, **rest}


def publish(number, *, t=0.0, entry=None, again=0, odd=None):
    """One publish that was confirmed."""
    begin = rec(t, "p0.1", "publish", "invoke", n=[number], id=[f"id-{number}"], odd={str(number): odd} if odd else {})
    return [begin, rec(t + 0.01, "p0.1", "publish", n=[number], e=[entry or f"{number}-0"], again=again)]


def run(number, how, *, t, p="w0.1", at=None, entry=None, **rest):
    entry = entry or f"{number}-0"
    rest = {"id": f"id-{number}", "sum": True} | rest
    return rec(t, p, "run", how, g="charge", n=number, e=entry, at=at or entry, a=1, **rest)


def fault(t, kind, of, how="ok"):
    return rec(t, "rig", "fault", how, kind=kind, of=of)


def paused(of, since, until):
    return [fault(since, "pause", of, "invoke"), fault(until, "pause", of)]


def came(t, p, way, *places, k=None):
    return rec(t, p, way, g="charge", at=list(places), **({"k": k} if k else {}))


def nothing_owed(t=99.0):
    return rec(t, "rig", "state", g="charge", pending=0, parked=0, due=0, retry=0, unread=0)


def letter(number, reason, *, t=98.0, entry=None):
    return rec(t, "rig", "dead", g="charge", n=number, id=f"id-{number}", e=entry or f"{number}-0", reason=reason)


def verdict(checker, *parts):
    """Show a checker a history: records, and lists of records, in order of time."""
    flat = [record for part in parts for record in (part if isinstance(part, list) else [part])]
    for record in sorted(flat, key=lambda record: record["t"]):
        checker.see(record)
    return checker.verdict()


def kinds(found):
    return set(found.complaints.counts)


class TestTotalQueue:
    def check(self, *parts):
        return verdict(TotalQueue(["charge"]), *parts)

    def test_passes_what_was_published_and_handled(self):
        found = self.check(publish(0), publish(1), run(0, "invoke", t=1), run(0, "ok", t=2), run(1, "invoke", t=1), run(1, "ok", t=2))
        assert not found.complaints
        assert (found.attempted, found.acknowledged, found.delivered) == (2, 2, 2)

    def test_an_acknowledged_event_that_reached_nobody_is_lost(self):
        found = self.check(publish(0), publish(1), run(0, "invoke", t=1), run(0, "ok", t=2))
        assert (found.lost, kinds(found)) == (1, {"lost"})

    def test_an_event_lost_to_one_group_of_two_is_lost(self):
        found = verdict(TotalQueue(["charge", "notify"]), publish(0), run(0, "invoke", t=1), run(0, "ok", t=2))
        assert found.lost == 1

    def test_an_unknown_publish_may_be_delivered_or_not(self):
        sent = [rec(0, "p0.1", "publish", "invoke", n=[0, 1], id=["id-0", "id-1"]), rec(1, "p0.1", "publish", "unknown", n=[0, 1])]
        found = self.check(sent, run(0, "invoke", t=2), run(0, "ok", t=3))
        assert not found.complaints
        assert (found.acknowledged, found.recovered) == (0, 1)

    def test_an_event_nobody_published_is_unexpected(self):
        assert kinds(self.check(run(7, "invoke", t=1))) == {"unexpected"}

    def test_another_event_id_is_unexpected(self):
        assert kinds(self.check(publish(0), run(0, "invoke", t=1, id="another"))) == {"unexpected"}

    def test_a_damaged_payload_is_unexpected(self):
        assert kinds(self.check(publish(0), run(0, "invoke", t=1, sum=False))) == {"unexpected"}

    def test_a_second_entry_of_an_event_that_was_sent_once_is_unexpected(self):
        assert kinds(self.check(publish(0), run(0, "invoke", t=1), run(0, "invoke", t=2, entry="5-0"))) == {"unexpected"}

    def test_a_second_entry_that_came_before_the_confirmation_is_unexpected_too(self):
        assert kinds(self.check(publish(0), run(0, "invoke", t=0.005, entry="5-0"), run(0, "invoke", t=2))) == {"unexpected"}

    def test_a_second_entry_of_an_event_that_was_sent_again_is_not(self):
        found = self.check(publish(0, again=1), run(0, "invoke", t=1), run(0, "invoke", t=2, entry="5-0"))
        assert not found.complaints

    def test_an_event_published_again_by_its_publisher_may_stand_twice(self):
        lost = [rec(0, "p0.1", "publish", "invoke", n=[0], id=["id-0"]), rec(1, "p0.1", "publish", "unknown", n=[0])]
        found = self.check(lost, publish(0, t=2), run(0, "invoke", t=3, entry="9-0"), run(0, "invoke", t=4))
        assert not found.complaints

    def test_runs_that_succeed_twice_are_counted(self):
        found = self.check(publish(0), *(run(0, how, t=at) for at, how in enumerate(["invoke", "ok", "invoke", "ok"], start=1)))
        assert (found.duplicated, found.complaints.counts) == (1, {})

    def test_dead_and_skipped_count_as_delivered(self):
        dropped = rec(2, "w0.1", "drop", "invoke", g="charge", at=["1-0"], n=[1])
        assert not self.check(publish(0), publish(1), letter(0, "attempts"), dropped).complaints


class TestAccounting:
    def check(self, *parts, faults=()):
        return verdict(Accounting(["charge"], Troubles(faults, lease=LEASE)), *faults, *parts)

    def done(self, number):
        return [*publish(number), run(number, "invoke", t=1), run(number, "ok", t=2)]

    def test_passes_what_ends_where_it_belongs(self):
        dropped = [
            rec(2, "w0.1", "drop", "invoke", g="charge", at=["2-0"], n=[2]),
            rec(2, "w0.1", "drop", g="charge", at=["2-0"], n=[2], got=["gone"]),
        ]
        found = self.check(
            *(self.done(0), publish(1, odd="fail"), run(1, "invoke", t=1), run(1, "fail", t=2), letter(1, "attempts")),
            *(publish(2, odd="nobody"), dropped, nothing_owed()),
        )
        assert not found.complaints.words
        assert found.dead == {"charge": {"attempts": 1}}

    def test_an_event_whose_only_run_never_ended_is_unaccounted(self):
        assert kinds(self.check(publish(0), run(0, "invoke", t=1), nothing_owed())) == {"unaccounted"}

    def test_a_skipped_event_that_somebody_declared_is_a_loss(self):
        dropped = rec(2, "w0.1", "drop", g="charge", at=["0-0"], n=[0], got=["done"])
        assert kinds(self.check(publish(0, odd="fresh"), dropped, nothing_owed())) == {"skipped"}

    def test_a_drop_that_was_refused_skips_nothing(self):
        refused = rec(1, "w0.1", "drop", g="charge", at=["0-0"], n=[0], got=["declared"])
        assert not self.check(self.done(0), refused, nothing_owed()).complaints

    def test_an_event_scripted_to_fail_that_is_not_dead_is_told(self):
        assert kinds(self.check(publish(0, odd="fail"), run(0, "invoke", t=1), run(0, "ok", t=2), nothing_owed())) == {"not dead"}

    def test_a_killer_is_dead_in_its_group_only(self):
        found = self.check(publish(0, odd="kill:notify"), run(0, "invoke", t=1), run(0, "ok", t=2), nothing_owed())
        assert not found.complaints

    def test_a_dead_letter_for_another_reason_than_scripted_is_wrong(self):
        assert kinds(self.check(publish(0, odd="fail"), letter(0, "rejected"), nothing_owed())) == {"wrongly dead"}

    def test_an_innocent_is_wrongly_dead(self):
        assert kinds(self.check(publish(0), letter(0, "crashes"), nothing_owed())) == {"wrongly dead"}

    def starts(self, count):
        """Starts after a claim in processes that were killed, one after the other."""
        found, faults = [], []
        for number in range(count):
            process, t = f"w0.{number + 1}", 10.0 * (number + 1)
            found += [rec(t, process, "mark", "invoke", g="charge", at=["0-0"], n=[0]), run(0, "invoke", t=t + 1, p=process)]
            faults.append(fault(t + 2, "kill", process))
        return found, faults

    def test_an_innocent_whose_lost_starts_the_history_shows_is_permitted(self):
        found, faults = self.starts(3)
        result = self.check(publish(0), found, letter(0, "crashes"), nothing_owed(), faults=faults)
        assert (result.complaints.words, result.innocent) == ([], 1)

    def test_an_innocent_one_lost_start_short_of_the_budget_is_not(self):
        found, faults = self.starts(2)
        assert kinds(self.check(publish(0), found, letter(0, "crashes"), nothing_owed(), faults=faults)) == {"wrongly dead"}

    def test_a_mark_between_which_and_its_handler_no_fault_came_is_no_lost_start(self):
        marks = [
            rec(t, "w0.1", "mark", how, g="charge", at=[], n=[0])
            for t, how in [(10, "invoke"), (10.1, "ok"), (20, "invoke"), (20.1, "ok"), (30, "invoke"), (30.1, "ok")]
        ]
        assert kinds(self.check(publish(0), marks, letter(0, "crashes"), nothing_owed())) == {"wrongly dead"}

    def test_an_entry_that_died_twice_is_told(self):
        assert kinds(self.check(publish(0, odd="fail"), letter(0, "attempts"), letter(0, "attempts"), nothing_owed())) == {
            "two dead letters"
        }

    def test_an_event_that_was_sent_twice_may_die_twice(self):
        both = [letter(0, "attempts"), letter(0, "attempts", entry="5-0")]
        assert not self.check(publish(0, odd="fail", again=1), both, nothing_owed()).complaints

    def test_a_group_that_owes_something_at_the_end_is_told(self):
        owing = nothing_owed() | {"pending": 2}
        assert kinds(self.check(self.done(0), owing)) == {"owed"}

    def test_a_group_nobody_looked_at_is_told(self):
        assert kinds(self.check(self.done(0))) == {"owed"}

    def test_a_handled_event_that_was_never_published_is_told(self):
        assert kinds(self.check(run(3, "invoke", t=1), run(3, "ok", t=2), nothing_owed())) == {"from nowhere"}


class TestLeaseSafety:
    def check(self, *parts, faults=()):
        return verdict(LeaseSafety(Troubles(faults, lease=LEASE)), *faults, *parts)

    def overlap(self, *, first_ends=21.0):
        return [
            run(0, "invoke", t=10, p="w0.1"),
            run(0, "invoke", t=20, p="w1.1"),
            run(0, "fail", t=first_ends, p="w0.1"),
            run(0, "ok", t=30, p="w1.1"),
        ]

    def test_passes_runs_that_follow_each_other(self):
        assert not self.check(run(0, "invoke", t=1), run(0, "fail", t=2), run(0, "invoke", t=3), run(0, "ok", t=4)).complaints

    def test_a_second_run_beside_an_undisturbed_first_is_told(self):
        assert kinds(self.check(self.overlap())) == {"overlap"}

    def test_a_second_run_after_a_long_pause_of_the_first_is_permitted(self):
        found = self.check(self.overlap(), faults=paused("w0.1", 15, 20.5))
        assert (found.complaints.words, found.overlaps) == ([], 1)

    def test_a_short_pause_permits_nothing(self):
        assert kinds(self.check(self.overlap(), faults=paused("w0.1", 19, 19.5))) == {"overlap"}

    def test_a_pause_of_another_process_permits_nothing(self):
        assert kinds(self.check(self.overlap(), faults=paused("w2.1", 15, 20.5))) == {"overlap"}

    @pytest.mark.parametrize(("kind", "of"), [("redis", "*"), ("hole", "w0"), ("cut", "w0")])
    def test_an_outage_and_a_cut_link_permit_it_too(self, kind, of):
        faults = [fault(15, kind, of, "invoke"), fault(20, kind, of)]
        assert not self.check(self.overlap(), faults=faults).complaints

    def test_a_request_to_stop_permits_nothing(self):
        assert kinds(self.check(self.overlap(), faults=[fault(12, "term", "w0.1")])) == {"overlap"}

    def test_a_killed_process_runs_nothing(self):
        assert not self.check(run(0, "invoke", t=10), run(0, "invoke", t=20, p="w1.1"), faults=[fault(12, "kill", "w0.1")]).complaints

    def test_a_first_run_that_goes_on_long_after_its_pause_was_not_cancelled(self):
        assert kinds(self.check(self.overlap(first_ends=29.0), faults=paused("w0.1", 15, 20.5))) == {"not cancelled"}

    def test_a_first_run_that_never_ends_was_not_cancelled(self):
        parts = [run(0, "invoke", t=10, p="w0.1"), run(0, "invoke", t=20, p="w1.1"), run(0, "ok", t=40, p="w1.1")]
        assert kinds(self.check(parts, faults=paused("w0.1", 15, 20.5))) == {"not cancelled"}

    def test_one_process_never_runs_an_entry_twice_at_a_time(self):
        parts = [run(0, "invoke", t=10), run(0, "invoke", t=20, at="r5-0")]
        assert kinds(self.check(parts, faults=paused("w0.1", 12, 19.9))) == {"twice in one process"}

    def test_runs_of_one_event_that_stands_twice_in_the_topic_may_overlap(self):
        assert not self.check(run(0, "invoke", t=10), run(0, "invoke", t=11, p="w1.1", entry="5-0")).complaints


class TestExplained:
    def check(self, *parts, faults=(), concurrency=2):
        return verdict(Explained(Troubles(faults, lease=LEASE), concurrency=concurrency), *faults, *parts)

    def test_passes_what_is_read_run_and_settled(self):
        found = self.check(came(1, "w0.1", "read", "0-0"), run(0, "invoke", t=1.1), run(0, "ok", t=2), came(2, "w0.1", "ack", "0-0"))
        assert (found.complaints.words, found.handed, found.changed) == ([], 1, 0)

    def test_a_claim_from_a_process_that_is_well_is_told(self):
        assert kinds(self.check(came(1, "w0.1", "read", "0-0"), came(9, "w1.1", "claim", "0-0"))) == {"unexplained"}

    @pytest.mark.parametrize("kind", ["kill", "point", "poison", "term"])
    def test_a_claim_from_a_dead_or_stopping_process_is_explained(self, kind):
        found = self.check(came(1, "w0.1", "read", "0-0"), came(9, "w1.1", "claim", "0-0"), faults=[fault(2, kind, "w0.1")])
        assert (found.complaints.words, found.causes) == ([], {kind: 1})

    def test_a_claim_after_a_pause_is_explained_by_it(self):
        found = self.check(came(1, "w0.1", "read", "0-0"), came(9, "w1.1", "claim", "0-0"), faults=paused("w0.1", 2, 8))
        assert found.causes == {"pause": 1}

    def test_a_pause_that_was_long_over_explains_nothing(self):
        assert kinds(self.check(came(1, "w0.1", "read", "0-0"), came(20, "w1.1", "claim", "0-0"), faults=paused("w0.1", 2, 8))) == {
            "unexplained"
        }

    def test_a_stall_that_the_process_noted_explains_as_a_pause_does(self):
        stall = rec(8, "w0.1", "stall", since=2)
        assert not self.check(came(1, "w0.1", "read", "0-0"), came(8.5, "w1.1", "claim", "0-0"), faults=[stall]).complaints

    def test_an_entry_that_nobody_was_seen_to_read_comes_from_a_lost_read(self):
        lost = [rec(1, "w0.1", "read", "invoke", g="charge"), fault(2, "kill", "w0.1")]
        found = self.check(lost[0], came(9, "w1.1", "claim", "0-0"), faults=lost[1:])
        assert (found.complaints.words, found.unseen) == ([], 1)

    def test_an_entry_from_a_read_that_was_cancelled_for_no_reason_is_told(self):
        cancelled = [rec(1, "w0.1", "read", "invoke", g="charge"), rec(2, "w0.1", "read", "unknown", g="charge")]
        assert kinds(self.check(cancelled, came(9, "w1.1", "claim", "0-0"))) == {"unexplained"}

    def test_an_own_entry_found_again_after_a_cut_is_explained(self):
        lost = [rec(1, "w0.1", "read", "invoke", g="charge"), rec(2, "w0.1", "read", "unknown", g="charge")]
        cut = [fault(1.9, "cut", "w0", "invoke"), fault(1.9, "cut", "w0")]
        assert not self.check(lost, came(3, "w0.1", "recover", "0-0"), faults=cut).complaints

    def test_an_entry_read_by_two_is_told(self):
        assert kinds(self.check(came(1, "w0.1", "read", "0-0"), came(2, "w1.1", "read", "0-0"))) == {"unexplained"}

    def test_a_server_that_forgets_may_have_an_entry_read_by_two(self):
        checker = Explained(Troubles([fault(1.5, "redis", "*", "invoke"), fault(1.7, "redis", "*")], lease=LEASE), 2, forgetful=True)
        assert not verdict(checker, came(1, "w0.1", "read", "0-0"), came(2, "w1.1", "read", "0-0")).complaints

    def test_an_entry_that_was_settled_changes_no_hands(self):
        found = self.check(came(1, "w0.1", "read", "0-0"), came(2, "w0.1", "ack", "0-0"), came(3, "w1.1", "read", "0-0"))
        assert found.changed == 0

    def test_an_answer_that_comes_after_the_entry_was_handed_on_changes_nothing(self):
        late = came(9, "w0.1", "read", "0-0") | {"s": 1}
        read = rec(1, "w0.1", "read", "invoke", g="charge")
        assert not self.check(read, came(8, "w1.1", "claim", "0-0"), late, faults=paused("w0.1", 2, 8.9)).complaints

    def test_waiting_a_lease_beside_a_free_slot_is_told(self):
        assert kinds(self.check(came(1, "w0.1", "read", "0-0"), run(0, "invoke", t=9))) == {"waited"}

    def test_waiting_while_every_slot_is_busy_is_no_fault(self):
        busy = [run(7, "invoke", t=0.5), run(8, "invoke", t=0.5)]
        free = [run(7, "ok", t=8.5), run(0, "invoke", t=9)]
        assert not self.check(busy, came(1, "w0.1", "read", "0-0"), free).complaints

    def test_waiting_through_a_pause_is_no_fault(self):
        assert not self.check(came(1, "w0.1", "read", "0-0"), run(0, "invoke", t=9), faults=paused("w0.1", 2, 8.5)).complaints


class TestLiveness:
    def check(self, *parts, faults=()):
        return verdict(Liveness(Troubles(faults, lease=LEASE), sweep=1.0, backoff=0.5), *faults, *parts)

    def drained(self, t):
        return rec(t, "rig", "phase", name="drained")

    def test_passes_a_run_that_drains_soon_after_the_last_fault(self):
        found = self.check(self.drained(12), faults=paused("w0.1", 2, 10))
        assert (found.complaints.words, found.drained) == ([], 2)

    def test_a_run_that_never_drains_is_told(self):
        assert kinds(self.check()) == {"not drained"}

    def test_a_run_that_drains_late_is_told(self):
        assert kinds(self.check(self.drained(30), faults=paused("w0.1", 2, 10))) == {"drained late"}

    def test_a_poison_event_that_kills_late_is_a_fault_too(self):
        assert not self.check(self.drained(30), faults=[*paused("w0.1", 2, 10), fault(28, "poison", "w1.1")]).complaints

    def test_time_in_which_an_entry_ran_at_its_last_start_is_not_counted(self):
        alone = [came(9, "w0.1", "claim", "0-0", k=[3]), run(0, "invoke", t=11), run(0, "ok", t=28)]
        found = self.check(alone, self.drained(29), faults=paused("w0.1", 2, 10))
        assert (found.complaints.words, found.drained) == ([], 2)

    def takeover(self, t, **rest):
        return [
            rec(0, "w1.1", "ready"),
            came(1, "w0.1", "read", "0-0"),
            came(t, "w1.1", "claim", "0-0", **rest),
            self.drained(t + 1),
        ]

    def test_what_a_dead_worker_held_is_taken_over_in_time(self):
        found = self.check(self.takeover(7.0), faults=[fault(2, "kill", "w0.1")])
        assert (found.complaints.words, found.taken) == ([], 1)

    def test_an_unseen_takeover_by_one_that_died_too_begins_a_lease_anew(self):
        faults = [fault(2, "kill", "w0.1"), fault(14.5, "kill", "w2.1")]
        assert "late" not in kinds(self.check(self.takeover(20.0), faults=faults))

    def test_what_a_dead_worker_held_is_taken_over_too_late(self):
        assert "late" in kinds(self.check(self.takeover(20.0), faults=[fault(2, "kill", "w0.1")]))

    def test_nobody_is_late_who_was_disturbed_all_the_time(self):
        faults = [fault(2, "kill", "w0.1"), *paused("w1.1", 5, 9), *paused("w1.1", 12, 16)]
        assert "late" not in kinds(self.check(self.takeover(20.0), faults=faults))

    def test_an_entry_at_its_last_start_may_wait(self):
        assert "late" not in kinds(self.check(self.takeover(20.0, k=[3]), faults=[fault(2, "kill", "w0.1")]))

    def test_a_process_that_ends_by_itself_is_told(self):
        assert "ended by itself" in kinds(self.check(self.drained(3), faults=[rec(2, "rig", "exit", of="w0.1", code=1)]))

    def test_a_process_that_was_asked_to_end_may(self):
        faults = [fault(1, "term", "w0.1"), rec(2, "rig", "exit", of="w0.1", code=0)]
        assert not self.check(self.drained(3), faults=faults).complaints


class TestTroubles:
    def test_calm_is_the_longest_stretch_between_troubles(self):
        troubles = Troubles([*paused("w0.1", 2, 4), *paused("w0.1", 8, 9)], lease=LEASE)
        assert troubles.calm("w0.1", 0, 10) == pytest.approx(3.8)

    def test_a_fault_without_an_end_lasts_for_ever(self):
        troubles = Troubles([fault(2, "redis", "*", "invoke")], lease=LEASE)
        assert troubles.calm("w0.1", 3, 100) == 0

    def test_a_link_is_that_of_every_process_in_its_place(self):
        troubles = Troubles([fault(2, "hole", "w0", "invoke"), fault(9, "hole", "w0")], lease=LEASE)
        assert (troubles.cause("w0.4", 8), troubles.cause("w1.1", 8)) == ("hole", "")

    def test_a_living_process_has_not_ended(self):
        assert Troubles([], lease=LEASE).ended("w0.1") == math.inf


class TestHistory:
    def test_many_files_are_read_in_order_of_time(self, tmp_path):
        first, second = History(tmp_path, "w0.1"), History(tmp_path, "w1.1")
        for number in range(3):
            first.write("run", "invoke", n=number)
            second.write("run", "ok", n=number)
        second.fault("stall", "ok", since=0)
        first.close()
        second.close()
        found = list(records_of(tmp_path))
        assert [record["t"] for record in found] == sorted(record["t"] for record in found)
        assert len(found) == 7
        assert [record["op"] for record in faults_of(tmp_path)] == ["stall"]


class TestEffects:
    def check(self, *parts, faults=(), expected=()):
        return verdict(Effects(Troubles(faults, lease=LEASE), expected), *faults, *parts)

    def test_a_kind_that_forced_nothing_did_not_bite(self):
        assert kinds(self.check(faults=paused("w0.1", 1, 9), expected=["pause"])) == {"did not bite"}

    def test_a_kind_that_never_came_is_told(self):
        assert kinds(self.check(expected=["redis"])) == {"did not happen"}

    def test_an_entry_that_changed_hands_is_a_bite(self):
        held = [came(1, "w0.1", "read", "0-0"), run(0, "invoke", t=1.1), came(9, "w1.1", "claim", "0-0"), run(0, "invoke", t=9.5, p="w1.1")]
        found = self.check(held, faults=[fault(2, "kill", "w0.1", "invoke")], expected=["kill"])
        assert (found.complaints.words, found.by_kind["kill"].redelivered, found.busy, found.recovery_p50) == ([], 1, 1, 7.5)

    def test_a_command_that_was_sent_again_is_a_bite(self):
        cut = [fault(1, "cut", "w0", "invoke"), fault(1, "cut", "w0")]
        unanswered = rec(1.01, "w0.1", "ack", "unknown", g="charge", at=["0-0"])
        assert self.check(unanswered, faults=cut, expected=["cut"]).by_kind["cut"].resent == 1

    def test_a_delay_shows_the_replies_it_met(self):
        delay = [fault(1, "delay", "w0", "invoke"), fault(2, "delay", "w0") | {"hits": 3}]
        assert not self.check(faults=delay, expected=["delay"]).complaints

    def test_a_second_success_is_charged_to_what_moved_the_entry(self):
        held = [came(1, "w0.1", "read", "0-0"), run(0, "invoke", t=1.1), run(0, "ok", t=1.2), came(9, "w1.1", "claim", "0-0")]
        again = [run(0, "invoke", t=9.5, p="w1.1"), run(0, "ok", t=9.6, p="w1.1")]
        assert self.check(held, again, faults=[fault(2, "kill", "w0.1", "invoke")]).by_kind["kill"].duplicates == 1

    def test_workers_that_are_killed_while_nothing_runs_are_told(self):
        assert kinds(self.check(faults=[fault(2, "kill", "w0.1", "invoke")])) == {"killed idle"}


class TestApart:
    def check(self, *parts):
        return verdict(Apart(), *parts)

    def test_passes_what_failed_beside_what_was_acknowledged(self):
        found = self.check(run(1, "ok", t=1), run(2, "fail", t=1), came(2, "w0.1", "ack", "1-0"))
        assert (found.complaints.words, found.failed, found.acknowledged) == ([], 1, 1)

    def test_what_failed_and_was_acknowledged_is_found(self):
        assert kinds(self.check(run(1, "ok", t=1), run(2, "fail", t=1), came(2, "w0.1", "ack", "1-0", "2-0"))) == {"acknowledged"}

    def test_a_later_success_may_be_acknowledged_and_so_may_another_process_s(self):
        again = self.check(run(2, "fail", t=1), run(2, "ok", t=2), came(3, "w0.1", "ack", "2-0"))
        assert not again.complaints
        assert not self.check(run(2, "fail", t=1), came(3, "w1.1", "ack", "2-0")).complaints


class TestShares:
    """Event 0 is high, as are 1 to 3; 4 and 5 are normal, 6 is low; and so on."""

    def check(self, *parts, concurrency=1):
        return verdict(Shares({"high": 4, "normal": 2, "low": 1}, level, concurrency), *parts)

    def start(self, number, *, t, entry=None):
        return run(number, "invoke", t=t, entry=entry or self.at(number))

    def at(self, number):
        mark = "" if level(number) == "normal" else f"{level(number)}:"
        return f"{mark}{number}-0"

    def backlog(self, count, order):
        """So many of each came at once, and start in an order of priorities."""
        numbers = {name: [number for number in range(7 * count) if level(number) == name][:count] for name in ("high", "normal", "low")}
        came_ = came(0, "w0.1", "read", *(self.at(number) for found in numbers.values() for number in found))
        return [came_, *(self.start(numbers[name].pop(0), t=1 + place) for place, name in enumerate(order))]

    def test_passes_starts_by_weight(self):
        found = self.check(self.backlog(100, ["high", "normal", "high", "low", "high", "normal", "high"] * 20))
        assert not found.complaints
        assert (found.starts, found.saturated, found.shares) == (140, 140, {"high": 80, "normal": 40, "low": 20})

    @pytest.mark.parametrize("order", [["high"] * 60, ["high", "normal", "low"] * 40, ["high", "normal", "high"] * 30])
    def test_a_share_that_is_not_its_weight_is_found(self, order):
        assert kinds(self.check(self.backlog(100, order))) == {"share"}

    def test_what_is_alone_may_have_everything(self):
        low = [number for number in range(700) if level(number) == "low"]
        found = self.check(came(0, "w0.1", "read", *map(self.at, low)), [self.start(number, t=1 + number) for number in low])
        assert (found.complaints.counts, found.saturated) == ({}, 0)

    def test_what_was_settled_or_went_to_another_waits_no_more(self):
        parts = self.backlog(100, ["high"] * 60)
        gone = [self.at(number) for number in range(700) if level(number) == "low"]
        for way, process in (("move", "w0.1"), ("claim", "w1.1")):
            assert not self.check(parts, came(0.5, process, way, *gone)).complaints

    @pytest.mark.parametrize("entry", ["6-0", "high:6-0"])
    def test_a_delivery_at_another_priority_is_found(self, entry):
        assert kinds(self.check(self.start(6, t=1, entry=entry))) == {"changed"}
        assert kinds(self.check(letter(6, "attempts", entry=entry))) == {"changed"}

    def test_the_private_stream_is_of_its_priority(self):
        assert not self.check(rec(1, "w0.1", "run", "invoke", g="charge", n=6, e="low:6-0", at="rlow:9-0", a=2)).complaints

    def test_a_run_without_any_backlog_shows_nothing(self):
        starts = [self.start(number, t=1 + number) for number in range(1_000)]
        assert kinds(self.check(starts)) == {"not seen"}


class TestDue:
    """Events are due a second after `id-<number>` was made at 100 s of the wall clock, which is 1,000 s ahead."""

    def check(self, *parts, faults=()):
        clock = rec(0, "rig", "clock", wall=1_000.0)
        return verdict(Due(Troubles(faults, lease=LEASE), lambda _, number: 1_100_000 if number % 2 else 0), clock, *parts)

    def came(self, number, at, **rest):
        """An entry that was written so many milliseconds after it was due."""
        return run(number, "invoke", t=100 + at / 1000 + 0.01, entry=f"{1_100_000 + at}-0", **rest)

    def test_passes_what_comes_when_it_is_due(self):
        found = self.check(publish(1), publish(2), self.came(1, 3), run(2, "invoke", t=50))
        assert not found.complaints
        assert (found.scheduled, found.latest) == (1, 3)

    def test_nothing_comes_before_it_is_due(self):
        assert kinds(self.check(publish(1), self.came(1, -1))) == {"early"}

    def test_nothing_is_late_by_more_than_a_second_while_somebody_could_promote_it(self):
        assert not self.check(publish(1), self.came(1, 1_000)).complaints
        assert kinds(self.check(publish(1), self.came(1, 1_400))) == {"late"}

    def test_an_outage_of_redis_excuses_as_long_as_it_lasts(self):
        outage = [fault(99, "redis", "*", "invoke"), fault(102, "redis", "*")]
        assert not self.check(publish(1), self.came(1, 3_000), faults=outage).complaints
        assert kinds(self.check(publish(1), self.came(1, 4_500), faults=outage)) == {"late"}

    def test_what_was_stored_when_it_was_due_already_comes_at_once(self):
        assert not self.check(publish(1, t=105), self.came(1, 4_900)).complaints

    def test_what_was_taken_back_in_time_never_comes(self):
        found = self.check(publish(1, entry=CANCELLED), publish(3), self.came(3, 1))
        assert (found.cancelled, bool(found.complaints)) == (1, False)
        assert kinds(self.check(publish(1, entry=CANCELLED), self.came(1, 1))) == {"cancelled"}

    def test_one_publish_is_promoted_once(self):
        twice = [self.came(1, 1), self.came(1, 2, p="w1.1")]
        assert kinds(self.check(publish(1), *twice)) == {"twice"}
        assert not self.check(publish(1, again=1), *twice).complaints

    def test_a_run_in_which_nothing_was_scheduled_shows_nothing(self):
        assert kinds(self.check(publish(2), run(2, "invoke", t=50))) == {"nothing"}


class TestPublishedOnce:
    def check(self, *parts):
        return verdict(PublishedOnce(), *parts)

    def test_passes_one_entry_however_often_it_was_published(self):
        found = self.check(publish(0, again=2), run(0, "invoke", t=1), run(0, "invoke", t=2))
        assert not found.complaints
        assert (found.published, found.again) == (1, 1)

    def test_a_second_entry_is_found_by_its_delivery(self):
        assert kinds(self.check(publish(0, again=1), run(0, "invoke", t=1), run(0, "invoke", t=2, entry="9-0"))) == {"twice"}

    def test_the_confirmation_names_the_first_one(self):
        assert kinds(self.check(run(0, "invoke", t=0.001), publish(0, again=1, entry="9-0"))) == {"twice"}

    def test_a_run_without_a_second_try_shows_nothing(self):
        assert kinds(self.check(publish(0), run(0, "invoke", t=1))) == {"not tried"}
