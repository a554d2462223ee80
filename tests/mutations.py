"""For each promise one line of the source that keeps it: changed, its test turns red (`make promises-mutated`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """A change of the source that breaks a promise.

    Attributes:
        promise: Its number.
        says: What is broken, in words.
        file: Where, from the root of the tree.
        old: The exact text, which stands there once.
        new: What takes its place.
        test: The test that must turn red.
    """

    promise: int
    says: str
    file: str
    old: str
    new: str
    test: str


SCHEDULES = "tests/integration/schedules"
TROUBLE = "tests/integration/trouble"
LUA = "eventbus/streams/lua"

MUTATIONS = [
    Mutation(
        promise=1,
        says="a lost group begins anew at the watermark, which may be pending, and not before it",
        file=f"{LUA}/ensure_group.lua",
        old="return before(watermark)",
        new="return watermark",
        test=f"{SCHEDULES}/test_lost_groups.py::test_the_smallest_pending_entry_in_a_dead_hand_is_read_again_when_the_group_was_destroyed",
    ),
    Mutation(
        promise=2,
        says="what was taken over waits behind the backlog",
        file="eventbus/consuming/intake.py",
        old="self._work.put_first(taken)",
        new="self._work.put(taken)",
        test=f"{SCHEDULES}/test_takeover.py::test_a_killed_workers_events_start_on_a_worker_whose_every_slot_is_taken_as_soon_as_one_is_free",
    ),
    Mutation(
        promise=3,
        says="no lease is renewed",
        file="eventbus/consuming/beat.py",
        old="if delivery.token == token and not delivery.lost and not delivery.cut:",
        new="if False:",
        test=f"{SCHEDULES}/test_leases.py::test_a_handler_of_ten_leases_is_delivered_once_and_so_is_what_waits_behind_it",
    ),
    Mutation(
        promise=4,
        says="a move does not look whose row it is",
        file=f"{LUA}/move.lua",
        old="if rows[1][2] ~= ARGV[2] then return 2 end",
        new="",
        test=f"{SCHEDULES}/test_leases.py::test_a_failure_before_the_loss_was_noticed_changes_nothing",
    ),
    Mutation(
        promise=5,
        says="a move writes the copy and leaves the entry pending",
        file=f"{LUA}/move.lua",
        old="redis.call('XACK', KEYS[1], ARGV[1], id)",
        new="",
        test=f"{SCHEDULES}/test_lost_replies.py::test_a_move_whose_reply_is_lost_leaves_exactly_one_copy",
    ),
    Mutation(
        promise=6,
        says="what never started waits for its turn when the process is asked to end",
        file="eventbus/consuming/standing.py",
        old="for delivery in (*self._gate.clear(), *self._work.clear()):",
        new="for delivery in self._gate.clear():",
        test=f"{SCHEDULES}/test_ending.py::test_what_a_worker_under_load_had_only_queued_starts_elsewhere_in_under_a_second_of_its_sigterm",
    ),
    Mutation(
        promise=7,
        says="what fails after its group was lost is not written again",
        file="eventbus/consuming/mover.py",
        old="await self._rescue([each for each in batch if each.delivery.token == token])",
        new="[self._done(each, written=True) for each in batch]",
        test=f"{TROUBLE}/test_losses.py::test_events_that_redis_forgot_are_handled_where_they_were_in_hand",
    ),
    Mutation(
        promise=8,
        says="an entry that was cut while it was pending is acknowledged without a word",
        file=f"{LUA}/claim.lua",
        old="cut[#cut + 1] = id",
        new="",
        test=f"{TROUBLE}/test_nothing_is_silent.py::test_an_entry_that_was_cut_while_it_was_pending_leaves_a_dead_letter",
    ),
]
