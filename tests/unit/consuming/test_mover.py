"""Writing what is no success: each in one place, fenced, until it is answered; and what becomes of it when the group is lost."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from eventbus.consuming import mover as module
from eventbus.consuming.counts import Counts
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.mover import Mover
from eventbus.delivery import Carried, Decision, Ended, Ending, Outcome, Retry, split
from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.streams import Destination, Moved
from tests.support.entries import delivery, subscription
from tests.support.events import OrderCreated


async def handler(event: OrderCreated): ...


RETRY = Retry(attempts=5, backoff=[5.0], jitter=0)


class Server:
    """What the mover asks of Redis; answers by entry id, `DONE` where nothing else is said."""

    consumer = "billing.host.7.ab"

    def __init__(self):
        self.token, self.answers = "token", {}
        self.calls, self.fails, self.rescued, self.healed = [], [], [], []
        self.asked = asyncio.Event()

    async def move(self, copies, destination, *, private, token):
        ids = [copy.entry_id for copy in copies]
        self.copies = list(copies)
        return await self._answer((destination, ids, private, token), ids, token)

    async def drop(self, entries, *, private, token):
        pairs = list(entries)
        return await self._answer((None, pairs, private, token), [entry_id for entry_id, _ in pairs], token)

    async def rescue(self, copies, destination):
        if self.fails:
            raise self.fails.pop(0)
        self.rescued.append((destination, list(copies)))

    async def _answer(self, call, ids, token):
        self.calls.append(call)
        self.asked.set()
        await asyncio.sleep(0)
        if self.fails:
            error = self.fails.pop(0)
            if error is not None:
                raise error
        return None if token != self.token else [self.answers.get(each, Moved.DONE) for each in ids]


class Desk:
    """A mover with everything around it."""

    def __init__(self):
        self.server, self.in_hand, self.counts, self.parked = Server(), InHand(10_000, 10_000), Counts(), []
        self.membership = SimpleNamespace(token="token", heal=self._heal, about={})
        self.heals = lambda: None
        self.mover = Mover(
            subscription=subscription(handler, retry=RETRY),
            commands=self.server,
            membership=self.membership,
            in_hand=self.in_hand,
            counts=self.counts,
            parked=self.parked.append,
        )

    async def _heal(self, lost):
        self.server.healed.append(lost)
        self.membership.token = self.server.token
        self.heals()

    def add(self, outcome, *, ending=Ending.RAISED, delay=0.0, reason=None, unless=None, carried=None, event_type="OrderCreated", **facts):
        each = delivery(OrderCreated(order_id="1"), settling=True, **facts)
        self.in_hand.take(each)
        carried = carried or Carried(entry=each.origin, attempts=1)
        decision = Decision(outcome, carried, delay=delay, reason=reason, unless=unless)
        self.mover.add(each, Ended(ending, "why", type=event_type), decision)
        return each

    def retry(self, **facts):
        return self.add(Outcome.RETRY, delay=5.0, **facts)

    def release(self, **facts):
        return self.add(Outcome.RELEASE, ending=Ending.STOPPED, **facts)

    def dead(self, **facts):
        return self.add(Outcome.DEAD, reason="attempts", **facts)

    def newer(self, **facts):
        return self.add(Outcome.DEAD, ending=Ending.NEWER, reason="newer", unless=("OrderCreated", 2), **facts)

    def skip(self, event_type="Unheard", **facts):
        return self.add(Outcome.SKIP, ending=Ending.NOBODY, event_type=event_type, **facts)

    @property
    def sent(self):
        return [(destination, ids) for destination, ids, *_ in self.server.calls]


async def test_each_outcome_goes_to_its_place_with_what_it_carries():
    """The original fields, and our block behind them."""
    desk = Desk()
    carried = Carried(entry="7-0", attempts=2, crashes=1)
    for outcome, delay, destination, kept in (
        (Outcome.RELEASE, 0.0, Destination.RETRY, None),
        (Outcome.RETRY, 5.0, Destination.PARKED, 5.0),
        (Outcome.RETRY, 0.0, Destination.RETRY, None),
        (Outcome.HOP, 5.0, Destination.PARKED, 5.0),
        (Outcome.DEAD, 0.0, Destination.DEAD, None),
    ):
        each = desk.add(outcome, delay=delay, reason="attempts" if outcome is Outcome.DEAD else None, carried=carried)
        await desk.mover.run_once()
        assert desk.sent[-1] == (destination, [each.entry_id])
        (copy,) = desk.server.copies
        assert split(list(copy.fields)) == (each.fields, carried)
        assert (copy.delay, copy.unless) == (kept, None)
    assert (len(desk.in_hand), desk.parked) == (0, [5.0, 5.0])
    assert b"ebreason" in copy.fields
    assert desk.server.consumer.encode() in copy.fields


async def test_outcomes_are_written_in_batches_of_one_source_and_one_place():
    """One script has one destination."""
    desk = Desk()
    first, second = desk.retry(), desk.retry()
    private = desk.retry(private=True)
    buried, skipped = desk.dead(), desk.skip()
    third = desk.retry()
    await desk.mover.run_once()
    assert desk.server.calls == [
        (Destination.PARKED, [first.entry_id, second.entry_id, third.entry_id], False, "token"),
        (Destination.PARKED, [private.entry_id], True, "token"),
        (Destination.DEAD, [buried.entry_id], False, "token"),
        (None, [(skipped.entry_id, "Unheard")], False, "token"),
    ]
    assert (desk.counts.retried, desk.counts.dead, desk.counts.skipped, len(desk.in_hand)) == (4, {"attempts": 1}, 1, 0)


async def test_a_script_is_given_a_bounded_number_and_a_bounded_size(monkeypatch):
    """Redis does nothing else while it runs; what alone is larger goes alone."""
    monkeypatch.setattr(module, "MOST", 3)
    desk = Desk()
    for _ in range(7):
        desk.release()
    await desk.mover.run_once()
    assert [len(ids) for _, ids in desk.sent] == [3, 3, 1]
    desk.server.calls.clear()
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    for _ in range(2):
        desk.release()
    await desk.mover.run_once()
    assert [len(ids) for _, ids in desk.sent] == [1, 1]


async def test_what_is_in_hand_is_let_go_when_its_move_was_answered_and_not_before():
    """It is beaten until then."""
    desk = Desk()
    desk.retry()
    asked = asyncio.ensure_future(desk.mover.run_once())
    await desk.server.asked.wait()
    assert len(desk.in_hand) == 1
    await asked
    assert len(desk.in_hand) == 0


@pytest.mark.parametrize("answer", [Moved.TAKEN, Moved.GONE])
@pytest.mark.parametrize("outcome", ["retry", "release", "dead", "skip"])
async def test_what_was_another_consumers_at_the_first_try_is_lost_and_nothing_was_written(answer, outcome, caplog):
    """Who lost its lease cannot retry, release or dead-letter."""
    desk = Desk()
    lost, kept = getattr(desk, outcome)(), getattr(desk, outcome)()
    desk.server.answers = {lost.entry_id: answer}
    await desk.mover.run_once()
    assert (lost.lost, kept.lost, desk.counts.lease_lost, len(desk.in_hand)) == (True, False, 1, 0)
    counts = desk.counts
    assert counts.retried + counts.released + counts.skipped + counts.dead.total() == 1
    assert caplog.text.count("is a dead letter now") == (outcome == "dead")


@pytest.mark.parametrize("answer", [Moved.TAKEN, Moved.GONE])
async def test_what_is_gone_when_it_is_sent_again_was_written_by_the_first_try(answer):
    """Only its answer was lost."""
    desk = Desk()
    first = desk.retry()
    desk.server.fails = [BackendUnavailable("no answer")]
    with pytest.raises(BackendUnavailable):
        await desk.mover.run_once()
    assert (len(desk.in_hand), desk.counts.retried) == (1, 0)
    late = desk.retry()  # this one was not part of the first try
    desk.server.answers = {first.entry_id: answer, late.entry_id: answer}
    await desk.mover.run_once()
    assert desk.sent == [(Destination.PARKED, [first.entry_id]), (Destination.PARKED, [first.entry_id, late.entry_id])]
    assert (first.lost, late.lost, desk.counts.retried, desk.counts.lease_lost) == (False, True, 1, 1)
    assert (len(desk.in_hand), desk.parked) == (0, [5.0])


async def test_a_refusal_keeps_everything_for_the_next_pass():
    """Maxmemory, say: nothing is given up."""
    desk = Desk()
    desk.retry()
    desk.dead()
    desk.server.fails = [BackendRefused("full", code="OOM"), BackendRefused("full", code="OOM")]
    with pytest.raises(BackendRefused, match="full"):
        await desk.mover.run_once()
    assert len(desk.in_hand) == 2
    await desk.mover.run_once()
    assert (len(desk.in_hand), desk.counts.retried, desk.counts.dead) == (0, 1, {"attempts": 1})


async def test_one_outcome_that_redis_refuses_for_itself_does_not_keep_back_the_others():
    """It is said, and tried again; those beside it are written."""
    desk = Desk()
    good, bad, better = desk.release(), desk.release(), desk.release()
    wrong = BackendRefused("wrong number of arguments", code="ERR")
    desk.server.fails = [wrong, None, wrong]
    with pytest.raises(BackendRefused, match="wrong number"):
        await desk.mover.run_once()
    assert desk.sent == [(Destination.RETRY, [each.entry_id for each in batch]) for batch in ([good, bad, better], [good], [bad], [better])]
    assert list(desk.in_hand) == [bad]


async def test_what_a_member_of_the_group_knows_waits_for_it():
    """Liveness decides nothing: the registry said so, in the step that would have dropped it."""
    desk = Desk()
    skipped, newer, gone = desk.skip(), desk.newer(), desk.skip()
    desk.server.answers = {skipped.entry_id: Moved.DECLARED, newer.entry_id: Moved.DECLARED}
    await desk.mover.run_once()
    assert (set(desk.in_hand), desk.counts.skipped, desk.counts.dead) == ({skipped, newer}, 1, {})
    assert gone not in desk.in_hand
    desk.server.answers = {}
    await desk.mover.run_once()
    destination, ids, *_ = desk.server.calls[-1]
    assert (destination, set(ids)) == (Destination.PARKED, {skipped.entry_id, newer.entry_id})
    for copy in desk.server.copies:
        original, carried = split(list(copy.fields))
        assert (carried.hops, copy.delay, copy.unless, b"ebreason" in copy.fields) == (1, 5.0, None, False)
        assert original in (skipped.fields, newer.fields)
        assert carried.hopped > 1_700_000_000_000
    assert (len(desk.in_hand), desk.counts.hopped, desk.parked) == (0, 2, [5.0, 5.0])


async def test_what_hops_is_a_first_try_again():
    """That another consumer has it by then is a lost lease, not an answer that was lost."""
    desk = Desk()
    skipped = desk.skip()
    desk.server.answers = {skipped.entry_id: Moved.DECLARED}
    await desk.mover.run_once()
    desk.server.answers = {skipped.entry_id: Moved.TAKEN}
    await desk.mover.run_once()
    assert (desk.counts.hopped, desk.counts.lease_lost, len(desk.in_hand)) == (0, 1, 0)


async def test_what_hopped_for_a_day_is_a_dead_letter_without_a_condition():
    """Else it would be declared for ever."""
    desk = Desk()
    skipped = desk.skip(carried=Carried(entry="7-0"))
    skipped.carried = Carried(entry="7-0", hops=3, hopped=1)
    desk.server.answers = {skipped.entry_id: Moved.DECLARED}
    await desk.mover.run_once()
    desk.server.answers = {}
    await desk.mover.run_once()
    (copy,) = desk.server.copies
    assert (desk.sent[-1][0], copy.unless, desk.counts.dead) == (Destination.DEAD, None, {"unhandled": 1})
    assert copy.fields[list(copy.fields).index(b"ebreason") + 1] == b"unhandled"


async def test_when_the_group_began_anew_it_is_healed_first_and_what_is_in_hand_is_rescued():
    """Without a fence: the old rows are gone, and this is the only copy."""
    desk = Desk()
    retried, released, buried, skipped, newer = desk.retry(), desk.release(), desk.dead(), desk.skip(), desk.newer()
    desk.server.token = "new"
    while len(desk.in_hand):
        await desk.mover.run_once()
    assert set(desk.server.healed) == {"token"}
    found = {}
    for destination, copies in desk.server.rescued:
        for copy in copies:
            found[copy.entry_id] = (destination, copy.delay, copy.unless)
    assert found == {
        retried.entry_id: (Destination.PARKED, 5.0, None),
        released.entry_id: (Destination.RETRY, None, None),
        buried.entry_id: (Destination.DEAD, None, None),
        skipped.entry_id: (Destination.PARKED, 5.0, None),  # a group that was just healed does not know its types yet
        newer.entry_id: (Destination.PARKED, 5.0, None),
    }
    assert (desk.counts.rescued, desk.counts.lease_lost, desk.counts.skipped) == (5, 0, 0)


async def test_what_was_adopted_while_the_group_was_healed_is_sent_again_under_the_new_token():
    """Its row is there, and ours: no second copy is made."""
    desk = Desk()
    adopted, orphan = desk.retry(), desk.retry()
    desk.server.token = "new"
    desk.heals = lambda: setattr(adopted, "token", "new")
    await desk.mover.run_once()
    assert [copy.entry_id for _, copies in desk.server.rescued for copy in copies] == [orphan.entry_id]
    await desk.mover.run_once()
    assert desk.server.calls[-1] == (Destination.PARKED, [adopted.entry_id], False, "new")
    assert (desk.counts.retried, desk.counts.rescued, len(desk.in_hand)) == (2, 1, 0)


@pytest.mark.parametrize("first", ["adopted", "orphan"])
async def test_what_was_adopted_is_not_sent_together_with_what_was_not(first):
    """The group was healed for another outcome of the same pass: under the new token an orphan looks like a lease that was lost."""
    desk = Desk()
    buried = desk.dead()
    found = {name: desk.retry() for name in sorted(["adopted", "orphan"], reverse=first == "orphan")}
    desk.server.token = "new"
    desk.server.answers = {found["orphan"].entry_id: Moved.GONE}
    desk.heals = lambda: setattr(found["adopted"], "token", "new")
    while len(desk.in_hand):
        await desk.mover.run_once()
    rescued = {copy.entry_id for _, copies in desk.server.rescued for copy in copies}
    assert rescued == {buried.entry_id, found["orphan"].entry_id}
    assert (desk.counts.lease_lost, desk.counts.retried) == (0, 2)


async def test_without_a_new_token_nothing_is_rescued_twice():
    """Healing was not done, or not by us: the next pass asks again."""
    desk = Desk()
    desk.retry()
    desk.server.token = "new"

    async def heal(lost):
        desk.server.healed.append(lost)

    desk.membership.heal = heal
    await desk.mover.run_once()
    assert (desk.server.rescued, len(desk.in_hand)) == ([], 1)


async def test_a_rescue_that_is_not_answered_is_made_again():
    """Twice is allowed then, never is not."""
    desk = Desk()
    desk.retry()
    desk.server.token = "new"
    desk.server.fails = [None, BackendUnavailable("no answer")]
    with pytest.raises(BackendUnavailable):
        await desk.mover.run_once()
    assert len(desk.in_hand) == 1
    await desk.mover.run_once()
    assert (len(desk.server.rescued), len(desk.in_hand), desk.counts.rescued) == (1, 0, 1)


@pytest.mark.parametrize("answer", [Moved.TAKEN, Moved.GONE])
@pytest.mark.parametrize("outcome", ["retry", "release", "dead"])
async def test_what_was_cut_and_buried_by_another_is_written_from_the_only_copy_there_is(answer, outcome):
    """The tombstone has no fields."""
    desk = Desk()
    cut = getattr(desk, outcome)(cut=True)
    desk.server.answers = {cut.entry_id: answer}
    await desk.mover.run_once()
    ((destination, (copy,)),) = desk.server.rescued
    assert (destination, copy.entry_id) == (desk.sent[0][0], cut.entry_id)
    assert (len(desk.in_hand), desk.counts.rescued) == (0, 1)


async def test_what_was_cut_is_rescued_although_the_first_rescue_failed():
    """That its row is gone says nothing about a copy."""
    desk = Desk()
    cut = desk.retry(cut=True)
    desk.server.answers = {cut.entry_id: Moved.GONE}
    desk.server.fails = [None, BackendUnavailable("no answer")]
    with pytest.raises(BackendUnavailable):
        await desk.mover.run_once()
    assert (desk.server.rescued, len(desk.in_hand)) == ([], 1)
    await desk.mover.run_once()
    assert (len(desk.server.rescued), len(desk.in_hand)) == (1, 0)


async def test_what_was_cut_and_whose_first_try_was_not_answered_is_rescued_when_its_row_is_gone():
    """Whether the first try was executed or another consumer buried the row nobody can tell."""
    desk = Desk()
    cut = desk.retry(cut=True)
    desk.server.fails = [BackendUnavailable("no answer")]
    with pytest.raises(BackendUnavailable):
        await desk.mover.run_once()
    desk.server.answers = {cut.entry_id: Moved.GONE}
    await desk.mover.run_once()
    assert (len(desk.server.rescued), len(desk.in_hand)) == (1, 0)


async def test_what_is_still_running_at_exit_is_rescued_with_its_history():
    """It may end, or not: nothing in Redis knows it. The same event, of the same origin, with its lost starts."""
    desk = Desk()
    plain = delivery(OrderCreated(order_id="1"), entry_id=b"7-0")
    claimed = delivery(OrderCreated(order_id="2"), claimed=True, count=2, carried=Carried(entry="3-0", attempts=1))
    await desk.mover.rescue([plain, claimed])
    ((destination, copies),) = desk.server.rescued
    assert destination is Destination.RETRY
    assert [split(list(copy.fields)) for copy in copies] == [
        (plain.fields, Carried(entry="7-0")),
        (claimed.fields, Carried(entry="3-0", attempts=1, crashes=1)),
    ]
    assert desk.counts.rescued == 2
    await desk.mover.rescue([])
    assert len(desk.server.rescued) == 1


async def test_flush_returns_when_every_outcome_was_answered():
    """Also those that were not sent yet, and those that hop on the way; with nothing to do at once."""
    desk, passes = Desk(), []
    task = asyncio.ensure_future(desk.mover.run(lambda: passes.append(1)))
    await desk.mover.flush()
    assert desk.server.calls == []
    skipped = desk.skip()
    desk.server.answers = {skipped.entry_id: Moved.DECLARED}
    desk.retry()
    flushing = asyncio.ensure_future(desk.mover.flush())
    await desk.server.asked.wait()
    await asyncio.sleep(0)
    desk.server.answers = {}
    await flushing
    assert (len(desk.in_hand), desk.counts.hopped, desk.counts.retried) == (0, 1, 1)
    for _ in range(50):
        await asyncio.sleep(0)
    rest = len(passes)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(passes) == rest  # at rest nothing turns
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_skipped_type_is_named_once_and_not_for_ever(caplog, monkeypatch):
    """A busy topic is full of others' events, and types are whatever anybody writes."""
    caplog.set_level("INFO")
    monkeypatch.setattr(module, "TYPES_SAID", 2)
    desk = Desk()
    for reason in ("a", "b", "a", "c", "d", "b"):
        each = delivery(OrderCreated(order_id="1"))
        desk.in_hand.take(each)
        desk.mover.add(each, Ended(Ending.NOBODY, f"nobody knows {reason}"), Decision(Outcome.SKIP))
    await desk.mover.run_once()
    assert [caplog.text.count(f"nobody knows {reason}") for reason in "abcd"] == [1, 1, 0, 0]
    assert desk.counts.skipped == 6


async def test_why_an_entry_cannot_be_read_is_logged(caplog):
    """It shows no value, and tells what to mend; an entry without a type has none in the line."""
    desk = Desk()
    each = desk.add(Outcome.DEAD, ending=Ending.UNDECODABLE, reason="undecodable", event_type="")
    await desk.mover.run_once()
    (record,) = caplog.records
    expected = f"orders/charge: entry {each.entry_id.decode()} is a dead letter now (undecodable) after 1 attempts: why"
    assert record.getMessage() == expected


async def test_a_dead_letter_is_logged_without_its_payload(caplog):
    """Where, which type, why, after how many attempts."""
    desk = Desk()
    each = desk.dead(carried=Carried(entry="7-0", attempts=5))
    await desk.mover.run_once()
    (record,) = caplog.records
    expected = f"orders/charge: entry {each.entry_id.decode()} of type 'OrderCreated' is a dead letter now (attempts) after 5 attempts"
    assert record.getMessage() == expected
