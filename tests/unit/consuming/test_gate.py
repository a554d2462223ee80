"""What a delivery passes before it starts: on a lease that is surely ours, counted where it must be."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from eventbus.consuming.alone import Alone
from eventbus.consuming.counts import Counts
from eventbus.consuming.gate import PAGE, Gate, is_last
from eventbus.delivery import CRASHES, Carried, Ending
from eventbus.errors import BackendUnavailable
from eventbus.streams import Beaten
from tests.support.entries import SETTINGS, delivery
from tests.support.events import OrderCreated

LEASE = 30.0
FRESH = 2 / 3
"""Of a lease, as the design says."""


class Server:
    """What the gate asks of Redis: rows by id, and a token. It answers when it may."""

    def __init__(self):
        self.token, self.lost, self.cut = "token", set(), set()
        self.calls, self.fails, self.healed = [], [], []
        self.asked, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()
        self.on_heal = None

    async def mark(self, entries, *, private, token):
        pairs = list(entries)
        await self._asked("mark", [entry_id for entry_id, _ in pairs], private, token)
        self.counted = pairs
        return None if token != self.token else frozenset({entry_id for entry_id, _ in pairs} - self.lost)

    async def beat(self, ids, *, private, token):
        await self._asked("beat", list(ids), private, token)
        return None if token != self.token else Beaten(frozenset(set(ids) - self.lost - self.cut), frozenset(self.cut & set(ids)))

    async def _asked(self, *call):
        self.calls.append(call)
        self.asked.set()
        await self.open.wait()
        if self.fails:
            raise self.fails.pop(0)


class Entrance:
    """A gate with everything around it; its lease is confirmed or not, as told."""

    def __init__(self, *, alone=None, lease=LEASE):
        self.server, self.counts, self.hurried = Server(), Counts(), []
        self.membership = SimpleNamespace(token="token", heal=self._heal)
        self.gate = Gate(
            settings=replace(SETTINGS, lease=lease),
            commands=self.server,
            membership=self.membership,
            counts=self.counts,
            alone=alone or Alone(),
            left=lambda: self.hurried.append(1),
        )

    async def _heal(self, lost):
        self.server.healed.append(lost)
        self.membership.token = self.server.token
        if self.server.on_heal:
            self.server.on_heal()

    @property
    def asked(self):
        return [(what, ids) for what, ids, *_ in self.server.calls]


def now():
    return asyncio.get_running_loop().time()


def fresh(**facts):
    return delivery(confirmed=now(), **facts)


def stale(**facts):
    return delivery(confirmed=now() - LEASE * FRESH, **facts)


def claimed(count=1, **facts):
    return fresh(claimed=True, count=count, **facts)


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_was_just_read_passes_without_a_question():
    """Nearly every delivery; it costs a comparison."""
    entrance = Entrance()
    assert entrance.gate.passes(fresh(), now())
    assert entrance.gate.passes(delivery(confirmed=now() - LEASE * FRESH + 1), now())
    assert entrance.asked == []


async def test_what_was_confirmed_too_long_ago_is_asked_for_first():
    """A third of the lease is left for what clocks and networks do."""
    entrance, one = Entrance(), stale()
    assert not entrance.gate.passes(one, now())
    before = now()
    assert await entrance.gate.admit(one) is None
    assert entrance.asked == [("beat", [one.entry_id])]
    assert one.confirmed >= before
    assert entrance.gate.passes(one, now())


async def test_a_lease_counts_from_when_it_was_asked_for_not_from_the_answer():
    """The answer may have travelled for a while."""
    entrance, one = Entrance(), stale()
    entrance.server.open.clear()
    waiting = asyncio.ensure_future(entrance.gate.admit(one))
    await entrance.server.asked.wait()
    asked = now()
    await asyncio.sleep(0.01)  # time itself is what is tested
    entrance.server.open.set()
    assert await waiting is None
    assert one.confirmed <= asked


@pytest.mark.parametrize("facts", [{"claimed": True}, {"carried": Carried(entry="1-0", crashes=0)}, {"private": True, "claimed": True}])
async def test_the_start_of_what_was_ever_claimed_is_counted_first_however_fresh_its_lease(facts):
    """If it takes the process down, the next one knows."""
    entrance, one = Entrance(), fresh(**facts)
    assert not entrance.gate.passes(one, now())
    assert await entrance.gate.admit(one) is None
    assert entrance.asked == [("mark", [one.entry_id])]
    assert entrance.server.counted == [(one.entry_id, one.count)]
    assert entrance.server.calls[0][2:] == (bool(facts.get("private")), "token")


async def test_what_comes_while_one_is_asked_for_is_asked_for_together():
    """One script for all that wait: a process that took over a hundred entries asks twice, not a hundred times."""
    entrance = Entrance()
    entrance.server.open.clear()
    first, *others = [[claimed() for _ in range(10)] for _ in range(2)]
    waiting = [asyncio.ensure_future(entrance.gate.admit(each)) for each in first]
    await entrance.server.asked.wait()
    waiting += [asyncio.ensure_future(entrance.gate.admit(each)) for each in others[0]]
    await turns()
    entrance.server.open.set()
    assert await asyncio.gather(*waiting) == [None] * 20
    assert entrance.asked == [("mark", [each.entry_id for each in batch]) for batch in (first, *others)]


async def test_all_whose_starts_were_counted_together_begin_in_one_turn():
    """What was counted and has not begun is a lost start when the process dies."""
    entrance, order = Entrance(), []
    entrance.server.open.clear()

    async def begin(each):
        await entrance.gate.admit(each)
        order.append("begun")

    async def watch():
        while order.count("begun") < 30:
            order.append("turn")
            await asyncio.sleep(0)

    waiting = [asyncio.ensure_future(begin(claimed())) for _ in range(30)]
    await entrance.server.asked.wait()
    entrance.server.open.set()
    await asyncio.gather(watch(), *waiting)
    first, last = order.index("begun"), len(order) - 1 - order[::-1].index("begun")
    assert order[first:last].count("turn") <= 1  # whoever asked is a turn ahead of those who are told


async def test_each_stream_token_and_question_is_asked_for_by_itself():
    """A script is about one stream."""
    entrance = Entrance()
    entrance.server.open.clear()
    kinds = [claimed(), claimed(private=True), stale(), stale(private=True)]
    waiting = [asyncio.ensure_future(entrance.gate.admit(each)) for each in kinds]
    entrance.server.open.set()
    await asyncio.gather(*waiting)
    assert sorted((what, private) for what, _, private, _ in entrance.server.calls) == [
        *(("beat", False), ("beat", True)),
        *(("mark", False), ("mark", True)),
    ]


@pytest.mark.parametrize("make", [stale, claimed])
async def test_what_is_no_longer_ours_does_not_start(make):
    """Another consumer has it."""
    entrance, one, other = Entrance(), make(), make()
    entrance.server.lost = {one.entry_id}
    endings = await asyncio.gather(entrance.gate.admit(one), entrance.gate.admit(other))
    assert [ended and ended.ending for ended in endings] == [Ending.LOST, None]
    assert (one.lost, other.lost, entrance.counts.lease_lost) == (True, False, 1)


async def test_what_was_found_lost_meanwhile_does_not_start_and_is_counted_once():
    """The beat was faster, and has counted it."""
    entrance, one = Entrance(), fresh()
    one.lost = True
    assert not entrance.gate.passes(one, now())
    assert (await entrance.gate.admit(one)).ending is Ending.LOST
    assert (entrance.asked, entrance.counts.lease_lost) == ([], 0)


@pytest.mark.parametrize("count", [4, 5, 9])
async def test_what_has_spent_its_starts_is_not_run_and_not_asked_for(count):
    """It took the process down three times; its dead letter names its type without decoding anything."""
    entrance = Entrance()
    one = delivery(OrderCreated(order_id="1"), confirmed=now(), claimed=True, count=count)
    ended = await entrance.gate.admit(one)
    assert (ended.ending, ended.type, entrance.asked) == (Ending.CRASHED, "OrderCreated", [])
    assert f"{count - 1} starts of it were lost" in ended.reason


async def test_starts_lost_in_an_earlier_copy_count_too():
    """It was retried between two crashes."""
    entrance = Entrance()
    spent = claimed(2, carried=Carried(entry="1-0", crashes=2))
    fresh_copy = fresh(carried=Carried(entry="1-0", crashes=2))
    assert (await entrance.gate.admit(spent)).ending is Ending.CRASHED
    assert (is_last(spent), is_last(fresh_copy)) == (False, True)
    assert await entrance.gate.admit(fresh_copy) is None


@pytest.mark.parametrize(
    ("one", "last"), [((1, True), False), ((2, True), False), ((3, True), True), ((4, True), False), ((3, False), False)]
)
async def test_the_last_start_is_the_one_after_two_that_were_lost(one, last):
    """What was never claimed has none."""
    count, was_claimed = one
    assert is_last(fresh(count=count, claimed=was_claimed)) is last


async def test_last_starts_go_one_at_a_time_in_the_whole_process():
    """Whatever the subscription: an innocent must not spend its budget beside a poison event."""
    alone, came = Alone(), []
    one, two = Entrance(alone=alone), Entrance(alone=alone)
    first, second, third = claimed(3), claimed(3), claimed(3)
    assert not one.gate.puts_aside(first, came.append)
    assert two.gate.puts_aside(second, came.append)
    assert one.gate.puts_aside(third, came.append)
    one.gate.leave(first)
    assert came == [second]
    assert not two.gate.puts_aside(second, came.append)  # the place is its own
    two.gate.leave(second)
    assert came == [second, third]
    one.gate.leave(third)
    assert (len(one.hurried), len(two.hurried)) == (2, 1)
    assert not one.gate.puts_aside(claimed(3), came.append)


async def test_others_do_not_wait_for_a_last_start():
    """Neither what was read nor what has starts to lose."""
    entrance = Entrance()
    assert not entrance.gate.puts_aside(claimed(3), None)
    assert not entrance.gate.puts_aside(claimed(2), None)
    assert await entrance.gate.admit(claimed(2)) is None
    assert entrance.gate.passes(fresh(), now())


async def test_leaving_without_having_been_alone_changes_nothing():
    """Every delivery leaves; hurrying is for those that made room."""
    entrance, came = Entrance(), []
    first, other = claimed(3), claimed(3)
    entrance.gate.puts_aside(first, came.append)
    entrance.gate.puts_aside(other, came.append)
    entrance.gate.leave(fresh())
    entrance.gate.leave(other)
    assert (came, entrance.hurried) == ([], [])
    entrance.gate.leave(first)
    assert came == [other]


@pytest.mark.parametrize("how", ["one", "all"])
async def test_a_last_start_that_is_given_up_while_it_waits_makes_room_for_the_next(how):
    """A shutdown takes all of one subscription; a lost lease takes one."""
    alone, came = Alone(), []
    entrance, other = Entrance(alone=alone), Entrance(alone=alone)
    holder, given_up, following = claimed(3), claimed(3), claimed(3)
    other.gate.puts_aside(holder, came.append)
    entrance.gate.puts_aside(given_up, came.append)
    other.gate.puts_aside(following, came.append)
    if how == "one":
        assert entrance.gate.take_back(given_up)
        assert not entrance.gate.take_back(given_up)
    else:
        assert entrance.gate.clear() == [given_up]
        assert entrance.gate.clear() == []
    other.gate.leave(holder)
    assert came == [following]


@pytest.mark.parametrize("make", [stale, claimed])
async def test_a_delivery_of_a_group_that_began_anew_starts_without_a_question(make):
    """It has no lease; what is in hand is the only copy."""
    entrance, orphan = Entrance(), make(token="old")
    if make is stale:
        assert entrance.gate.passes(orphan, now())
    assert await entrance.gate.admit(orphan) is None
    assert (entrance.asked, orphan.lost) == ([], False)


async def test_a_group_that_is_found_lost_at_the_gate_is_healed_and_the_delivery_starts():
    """As an orphan."""
    entrance, one = Entrance(), claimed()
    entrance.server.token = "new"
    assert await entrance.gate.admit(one) is None
    assert (entrance.server.healed, len(entrance.asked), one.lost) == (["token"], 1, False)


async def test_a_delivery_that_was_adopted_while_the_group_was_healed_is_asked_for_again():
    """It is the new group's now, and has a lease there."""
    entrance, one = Entrance(), claimed()
    entrance.server.token = "new"
    entrance.server.on_heal = lambda: setattr(one, "token", "new")
    assert await entrance.gate.admit(one) is None
    assert [token for *_, token in entrance.server.calls] == ["token", "new"]


async def test_what_was_cut_from_the_stream_starts():
    """Whatever becomes of its row: this process has its fields."""
    entrance, one = Entrance(), stale()
    entrance.server.cut = {one.entry_id}
    assert await entrance.gate.admit(one) is None
    assert one.cut
    assert entrance.gate.passes(delivery(cut=True), now())


async def test_without_redis_a_start_waits_until_it_is_back():
    """It may be another's by then; nothing is raised meanwhile."""
    entrance, one = Entrance(lease=0.06), claimed()
    entrance.server.fails = [BackendUnavailable("gone")] * 4
    assert await entrance.gate.admit(one) is None
    assert len(entrance.asked) == 5


async def test_a_start_that_waits_for_redis_can_be_cancelled():
    """A shutdown does not wait for Redis; nothing of it stays behind."""
    entrance, one, other = Entrance(), claimed(), claimed()
    entrance.server.open.clear()
    tasks = [asyncio.ensure_future(entrance.gate.admit(each)) for each in (one, other)]
    await entrance.server.asked.wait()
    for task in tasks:
        task.cancel()
    assert all(isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*tasks, return_exceptions=True))
    entrance.server.open.set()
    following = claimed()
    assert await entrance.gate.admit(following) is None
    assert entrance.asked[-1] == ("mark", [following.entry_id])


async def test_when_the_one_that_asks_is_cancelled_those_that_wait_with_it_ask_again():
    """Its question may never have been answered."""
    entrance = Entrance()
    entrance.server.open.clear()
    deliveries = [claimed() for _ in range(3)]
    tasks = [asyncio.ensure_future(entrance.gate.admit(each)) for each in deliveries]
    await entrance.server.asked.wait()
    assert entrance.asked == [("mark", [each.entry_id for each in deliveries])]
    tasks[0].cancel()
    await turns()
    entrance.server.open.set()
    assert await asyncio.gather(*tasks[1:]) == [None, None]
    assert sorted(entrance.asked[1][1]) == sorted(each.entry_id for each in deliveries[1:])


async def test_all_of_a_batch_are_asked_for_together_and_those_that_pass_are_not():
    """One question a kind: leases are confirmed, starts of what was claimed are counted."""
    entrance = Entrance()
    read, old, (one, two) = fresh(), stale(), (claimed(), claimed(count=2))
    assert await entrance.gate.admit_together([read, old, one, two]) == {}
    assert entrance.asked == [("beat", [old.entry_id]), ("mark", [one.entry_id, two.entry_id])]
    assert entrance.server.counted == [(one.entry_id, 1), (two.entry_id, 2)]


async def test_of_a_large_batch_a_script_is_asked_for_a_few_hundred():
    """Each holds up the server for some milliseconds."""
    entrance, batch = Entrance(), [stale() for _ in range(PAGE + 1)]
    assert await entrance.gate.admit_together(batch) == {}
    assert [len(ids) for _, ids in entrance.asked] == [PAGE, 1]


async def test_what_may_not_start_is_told_with_the_reason():
    """It is another's, or spent its starts; the latter needs no question."""
    entrance, good, gone, spent, lost = Entrance(), stale(), stale(), claimed(count=CRASHES + 1), fresh(lost=True)
    entrance.server.lost = {gone.entry_id}
    refused = await entrance.gate.admit_together([good, gone, spent, lost])
    assert {each: ended.ending for each, ended in refused.items()} == {gone: Ending.LOST, spent: Ending.CRASHED, lost: Ending.LOST}
    assert entrance.asked == [("beat", [good.entry_id, gone.entry_id])]


async def test_a_batch_has_no_lease_of_a_group_that_began_anew_and_needs_none_of_what_was_cut():
    """What this process holds of them is all there is."""
    entrance = Entrance()
    assert await entrance.gate.admit_together([stale(token="before"), stale(cut=True)]) == {}
    assert entrance.asked == []


async def test_what_was_fresh_is_asked_for_when_others_were_waited_for_too_long():
    """Nothing of a batch starts on a lease that ran out while Redis was away for the others."""
    entrance, read, old = Entrance(), fresh(), stale()
    entrance.server.open.clear()
    waiting = asyncio.ensure_future(entrance.gate.admit_together([read, old]))
    await entrance.server.asked.wait()
    read.confirmed -= LEASE * FRESH  # so long did it take
    entrance.server.open.set()
    assert await waiting == {}
    assert entrance.asked == [("beat", [old.entry_id]), ("beat", [read.entry_id])]


async def test_starts_that_were_counted_are_not_counted_again_for_those_of_the_others():
    """What one answer counted begins when all may; a question that was not answered is asked again."""
    entrance, one, old = Entrance(), claimed(), stale()
    entrance.server.fails = [BackendUnavailable("away")]
    assert await entrance.gate.admit_together([one, old]) == {}
    assert sorted(what for what, _ in entrance.asked) in (["beat", "mark", "mark"], ["beat", "beat", "mark"])


async def test_starts_are_counted_when_nothing_else_is_to_be_waited_for():
    """A process that dies while the others' leases are still asked for has lost no start."""
    entrance, one, old = Entrance(), claimed(), stale()
    entrance.server.fails = [BackendUnavailable("away")] * 2
    assert await entrance.gate.admit_together([one, old]) == {}
    assert entrance.asked == [*[("beat", [old.entry_id])] * 3, ("mark", [one.entry_id])]
