"""Executors of lists: each event of a batch has an ending of its own."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from eventbus import Batch, BatchContext, Reject, RetryLater
from eventbus.consuming import batch_executors
from eventbus.consuming.batch_executors import BatchExecutors
from eventbus.consuming.batch_work import BatchWork
from eventbus.delivery import CRASHES, Ended, Ending, Surroundings
from eventbus.errors import ConfigurationError, LifecycleError
from tests.support.entries import delivery, subscription
from tests.support.events import OrderCreated, OrderPaid
from tests.unit.consuming.test_executors import Floor, turns
from tests.unit.consuming.test_executors import Gate as SingleGate

SPENT = Ended(Ending.CRASHED, "spent")


class Gate(SingleGate):
    """Lets everything pass, unless it is told otherwise."""

    def __init__(self):
        super().__init__()
        self.asked_for = []

    async def admit_together(self, batch):
        self.asked_for += batch
        self.asked.set()
        await self.opened.wait()
        return {each: self.refuses for each in batch if each in self.closed and self.refuses}


class BatchFloor(Floor):
    """Executors of batches with the queue and the gate before them and a list behind them."""

    def __init__(self, handler, *, max_size=3, max_wait=0.0, **policy):
        self.gate, self.seen, self.ended, self._more = Gate(), [], [], asyncio.Event()
        batch = Batch(max_size=max_size, max_wait=max_wait)
        self.work = BatchWork(batch, 30.0, lambda: False)
        self.subscription = subscription(handler, batch=batch, **policy)
        self.executors = BatchExecutors(
            subscription=self.subscription,
            around=Surroundings("orders", "charge", None, None),
            work=self.work,
            gate=self.gate,
            finish=self._finish,
            observers=[self.seen.append],
        )

    def of(self, *deliveries):
        """How those ended."""
        ended = dict(self.ended)
        assert len(ended) == len(self.ended), "each is finished once"
        return [ended[each].ending for each in deliveries]


async def test_a_handler_is_given_the_events_of_a_batch_in_order():
    """And each delivery is finished once."""
    seen = []

    async def handler(events: list[OrderCreated], ctx: BatchContext):
        seen.append([event.order_id for event in events])

    floor = BatchFloor(handler)
    async with floor.open():
        put = floor.put("1", "2", "3", "4")
        await floor.after(4)
    assert seen == [["1", "2", "3"], ["4"]]
    assert floor.of(*put) == [Ending.HANDLED] * 4


async def test_what_was_failed_goes_its_own_way_and_the_others_are_acknowledged():
    """An error decides as if it had been raised for this event alone."""
    errors = {"1": ValueError("no"), "2": RetryLater(5), "3": Reject("never"), "4": "it says so"}

    async def handler(events: list[OrderCreated], ctx: BatchContext):
        for event in events:
            if event.order_id in errors:
                ctx.fail(event, errors[event.order_id])

    floor = BatchFloor(handler, max_size=5)
    async with floor.open():
        put = floor.put("1", "2", "3", "4", "5")
        await floor.after(5)
    assert floor.of(*put) == [Ending.RAISED, Ending.LATER, Ending.REJECTED, Ending.RAISED, Ending.HANDLED]
    assert [ended.error for _, ended in floor.ended] == [errors["1"], errors["2"], errors["3"], None, None]
    assert [ended.type for _, ended in floor.ended[:4]] == ["OrderCreated"] * 4
    assert floor.ended[3][1].reason == "it says so"


async def test_a_handler_that_raises_has_failed_every_event_but_those_it_failed_itself():
    """These go the way that was said before."""

    async def handler(events: list[OrderCreated], ctx: BatchContext):
        ctx.fail(events[1], Reject("never"))
        raise RuntimeError("the database is gone")

    floor = BatchFloor(handler)
    async with floor.open():
        put = floor.put("1", "2", "3")
        await floor.after(3)
    assert floor.of(*put) == [Ending.RAISED, Ending.REJECTED, Ending.RAISED]


async def test_what_a_batch_did_is_logged_once_for_the_batch(caplog):
    """With its traceback, without any event's content."""

    async def handler(events: list[OrderCreated]):
        raise RuntimeError("the database is gone")

    floor = BatchFloor(handler)
    async with floor.open():
        floor.put("secret-1", "secret-2", "secret-3")
        await floor.after(3)
    (record,) = caplog.records
    assert "raised for <BatchContext of 3 events of 'orders' for 'charge'>" in record.getMessage()
    assert "secret" not in caplog.text


async def test_what_is_no_event_leaves_the_batch_and_the_others_are_handled():
    """Garbage between good ones, and a type that nobody here handles."""
    seen = []

    async def handler(events: list[OrderCreated]):
        seen.extend(event.order_id for event in events)

    floor = BatchFloor(handler)
    put = [delivery(OrderCreated(order_id="1")), delivery(), delivery(OrderPaid(order_id="2"))]
    async with floor.open():
        floor.work.put(put)
        await floor.after(3)
    assert seen == ["1"]
    assert floor.of(*put) == [Ending.HANDLED, Ending.UNDECODABLE, Ending.NOBODY]


async def test_a_handler_is_not_called_for_a_batch_of_nothing():
    """Where none of its entries is an event."""
    called = []

    async def handler(events: list[OrderCreated]):
        called.append(events)

    floor = BatchFloor(handler)
    put = [delivery(), delivery()]
    async with floor.open():
        floor.work.put(put)
        assert await floor.after(2) == [Ending.UNDECODABLE] * 2
        await turns()
    assert called == []


@pytest.mark.parametrize("enabled", [True, False])
async def test_nothing_is_collected_while_a_batch_is_decoded_and_handled_in_one_turn(enabled, monkeypatch):
    """It would be looked at again and again, and lives until the batch ends. A program that collects by itself goes on to.

    What suspends is collected as usual from there on, and so is everything once the loop has turned.
    """
    seen, resolve = [], batch_executors.resolve

    def looking(*arguments):
        seen.append(gc.isenabled())
        return resolve(*arguments)

    async def handler(events: list[OrderCreated]):
        seen.append(gc.isenabled())
        await asyncio.sleep(0)
        seen.append(gc.isenabled())

    monkeypatch.setattr(batch_executors, "resolve", looking)
    floor = BatchFloor(handler)
    (gc.enable if enabled else gc.disable)()
    try:
        async with floor.open():
            floor.put("1", "2")
            await floor.after(2)
            floor.put("3")
            await floor.after(3)
            seen.append(gc.isenabled())
    finally:
        gc.enable()
    assert seen == [False, False, False, enabled, False, False, enabled, enabled]


async def test_what_was_handled_without_suspending_is_let_go_of_before_anything_is_collected():
    """Else the collector would look through it after all."""
    alive: list[weakref.ref[object]] = []

    async def handler(events: list[OrderCreated]):
        alive.extend(weakref.ref(event) for event in events)

    floor = BatchFloor(handler)
    found: list[object] = []

    def look(phase: str, _: object) -> None:
        if phase == "start" and not found:
            found.extend(each() for each in alive)

    async with floor.open():
        floor.put("1", "2", "3")
        await floor.after(3)
        gc.callbacks.append(look)
        gc.collect()
        gc.callbacks.remove(look)
    assert found == [None] * 3


async def test_all_of_a_batch_pass_the_gate_before_any_starts():
    """Those that need asking, asked for once; what may not start leaves the batch."""
    seen = []

    async def handler(events: list[OrderCreated]):
        seen.append([event.order_id for event in events])

    floor = BatchFloor(handler)
    put = floor.put("1", "2", "3")
    floor.gate.closed, floor.gate.refuses = {put[1]}, SPENT
    async with floor.open():
        await floor.gate.asked.wait()
        await turns()
        assert (seen, floor.ended, floor.executors.running) == ([], [], 0)
        floor.gate.opened.set()
        await floor.after(3)
    assert seen == [["1", "3"]]
    assert floor.of(*put) == [Ending.HANDLED, Ending.CRASHED, Ending.HANDLED]
    assert floor.gate.left == [put[1]]


async def test_what_is_for_no_handler_here_is_not_asked_for():
    """It starts nothing, and costs no start."""

    async def handler(events: list[OrderCreated]): ...

    floor = BatchFloor(handler, max_size=2)
    put = [delivery(OrderPaid(order_id="1"), claimed=True), delivery(OrderCreated(order_id="2"), claimed=True)]
    floor.gate.closed = set(put)
    floor.gate.opened.set()
    async with floor.open():
        floor.work.put(put)
        assert await floor.after(2) == [Ending.NOBODY, Ending.HANDLED]
    assert floor.gate.asked_for == put[1:]


async def test_what_waits_at_the_gate_is_released_as_a_whole_at_a_shutdown():
    """And so is what still waits for company."""

    async def handler(events: list[OrderCreated]): ...

    floor = BatchFloor(handler, max_wait=60)
    put = floor.put("1", "2", "3", "4")
    floor.gate.closed = {put[0]}
    async with floor.open():
        await floor.gate.asked.wait()
        floor.executors.release_waiting()
        assert await floor.after(4) == [Ending.STOPPED] * 4
        floor.gate.opened.set()
        floor.put("5", "6", "7")
        await floor.after(7)
    assert floor.of(*put) == [Ending.STOPPED] * 4


async def test_a_batch_that_is_cancelled_by_the_shutdown_has_no_success_and_no_failure():
    """Whatever it said of its events, or made of its cancellation."""
    started = asyncio.Event()

    async def handler(events: list[OrderCreated], ctx: BatchContext):
        ctx.fail(events[0], "it says so")
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ctx.fail(events[1], "too late")

    floor = BatchFloor(handler)
    async with floor.open():
        floor.put("1", "2", "3")
        await started.wait()
        floor.executors.cancel()
        assert await floor.after(3) == [Ending.STOPPED] * 3


async def test_a_lost_lease_takes_one_event_out_and_the_batch_goes_on():
    """Its success acks still; see `decide` for its failure."""
    started, go_on = asyncio.Event(), asyncio.Event()

    async def handler(events: list[OrderCreated]):
        started.set()
        await go_on.wait()

    floor = BatchFloor(handler)
    async with floor.open():
        put = floor.put("1", "2", "3")
        await started.wait()
        put[0].lost = True
        floor.executors.lose(put[0])
        await turns()
        assert floor.ended == []
        go_on.set()
        assert await floor.after(3) == [Ending.HANDLED] * 3


async def test_a_batch_whose_leases_are_all_lost_is_cancelled():
    """Nothing is left that it could be run for."""
    started = asyncio.Event()

    async def handler(events: list[OrderCreated]):
        started.set()
        await asyncio.Event().wait()

    floor = BatchFloor(handler)
    async with floor.open():
        put = floor.put("1", "2", "3")
        await started.wait()
        for each in put:
            each.lost = True
            floor.executors.lose(each)
        assert await floor.after(3) == [Ending.LOST] * 3


async def test_what_waits_for_company_and_is_lost_does_not_start():
    """The others do."""
    seen = []

    async def handler(events: list[OrderCreated]):
        seen.append([event.order_id for event in events])

    floor = BatchFloor(handler, max_wait=60)
    async with floor.open():
        put = floor.put("1", "2")
        put[0].lost = True
        floor.executors.lose(put[0])
        put += floor.put("3", "4")
        await floor.after(4)
    assert seen == [["2", "3", "4"]]
    assert floor.of(*put) == [Ending.LOST, *[Ending.HANDLED] * 3]


async def test_at_its_timeout_a_batch_is_cancelled_and_every_event_has_timed_out():
    """With the type of each, for its dead letter."""

    async def handler(events: list[OrderCreated]):
        await asyncio.Event().wait()

    floor = BatchFloor(handler, timeout=0.01)
    async with floor.open():
        floor.put("1", "2", "3")
        assert await floor.after(3) == [Ending.TIMED_OUT] * 3
    assert {ended.type for _, ended in floor.ended} == {"OrderCreated"}


async def test_a_synchronous_handler_runs_in_a_thread_and_may_fail_events():
    """One thread for the whole batch, which cannot be cancelled."""
    threads, started, go_on = [], asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def handler(events: list[OrderCreated], *, ctx: BatchContext):
        threads.append(threading.current_thread())
        loop.call_soon_threadsafe(started.set)
        go_on.wait()
        ctx.fail(events[0], ValueError("no"))

    floor = BatchFloor(handler)
    async with floor.open():
        put = floor.put("1", "2", "3")
        await started.wait()
        floor.executors.cancel()
        go_on.set()
        await floor.after(3)
    assert floor.of(*put) == [Ending.RAISED, Ending.HANDLED, Ending.HANDLED]
    assert threads != [threading.main_thread()]


async def test_an_entry_at_its_last_start_runs_alone():
    """Or waits aside until it is its turn, while others run."""
    seen = []

    async def handler(events: list[OrderCreated]):
        seen.append([event.order_id for event in events])

    floor = BatchFloor(handler, max_wait=60)
    last = delivery(OrderCreated(order_id="last"), claimed=True, count=CRASHES)
    floor.gate.closed, floor.gate.aside = {last}, {last}
    floor.gate.opened.set()
    async with floor.open():
        floor.work.put([last])
        floor.put("1", "2", "3")
        await floor.after(3)
        assert seen == [["1", "2", "3"]]
        floor.gate.aside.clear()
        floor.gate.again(last)
        await floor.after(4)
    assert seen[1:] == [["last"]]


async def test_observers_are_told_of_each_event():
    """With the time that the whole batch took: a batch of three counts three."""

    async def handler(events: list[OrderCreated], ctx: BatchContext):
        ctx.fail(events[2], "no")

    floor = BatchFloor(handler)
    async with floor.open():
        floor.put("1", "2", "3")
        await floor.after(3)
    assert [(told.type, told.ending) for told in floor.seen] == [
        ("OrderCreated", Ending.HANDLED),
        ("OrderCreated", Ending.HANDLED),
        ("OrderCreated", Ending.RAISED),
    ]
    assert all(told.latency is not None for told in floor.seen)


async def test_equal_events_are_told_apart_by_identity_and_strangers_are_refused():
    """A copy stands for none of them."""
    refused = []

    async def handler(events: list[OrderCreated], ctx: BatchContext):
        assert events[0] == events[1]
        ctx.fail(events[1], "this one")
        for stranger in (events[0].model_copy(), OrderPaid(order_id="1")):
            with pytest.raises(ConfigurationError, match="none of the batch's events") as caught:
                ctx.fail(stranger, "no")
            refused.append(str(caught.value))
        with pytest.raises(ConfigurationError, match="give an exception or a text"):
            ctx.fail(events[0], None)

    floor = BatchFloor(handler, max_size=2)
    async with floor.open():
        put = floor.put("1", "1")
        await floor.after(2)
    assert floor.of(*put) == [Ending.HANDLED, Ending.RAISED]
    assert len(refused) == 2


async def test_a_failure_after_the_end_is_refused():
    """What was left running cannot change what was decided."""
    kept = []

    async def handler(events: list[OrderCreated], ctx: BatchContext):
        kept.extend((events[0], ctx))

    floor = BatchFloor(handler, max_size=1)
    async with floor.open():
        floor.put("1")
        await floor.after(1)
    event, ctx = kept
    with pytest.raises(LifecycleError, match="after the handler had ended"):
        ctx.fail(event, "too late")


async def test_what_a_handler_does_to_its_list_changes_nothing():
    """It is its own."""

    async def handler(events: list[OrderCreated], ctx: BatchContext):
        events.reverse()
        ctx.fail(events.pop(), "the first one")
        events.clear()

    floor = BatchFloor(handler)
    async with floor.open():
        put = floor.put("1", "2", "3")
        await floor.after(3)
    assert floor.of(*put) == [Ending.RAISED, Ending.HANDLED, Ending.HANDLED]


async def test_middleware_is_called_once_for_a_batch_with_the_list_and_its_context():
    """One that was written for one event is told where to look."""
    seen = []

    async def noting(events, ctx, call_next):
        with pytest.raises(AttributeError, match=r"a batch has no 'id': each of its events has, in ctx\.of\(event\)\.id"):
            _ = ctx.id
        with pytest.raises(AttributeError, match="a batch has no 'colour'"):
            _ = ctx.colour
        await call_next(events, ctx)
        seen.append(([ctx.of(event).attempt for event in events], ctx.remaining, ctx.topic, ctx.group, ctx.state))

    async def handler(events: list[OrderCreated], ctx: BatchContext):
        ctx.fail(events[0], "no")

    floor = BatchFloor(handler, middleware=[noting])
    async with floor.open():
        floor.put("1", "2")
        await floor.after(2)
    assert seen == [([1, 1], [OrderCreated(order_id="2")], "orders", "charge", None)]


async def test_what_a_batch_had_left_when_its_executors_failed_starts_again_with_the_next(monkeypatch):
    """What left the batch before that is finished; nothing is finished twice."""
    seen = []

    async def handler(events: list[OrderCreated]):
        seen.append([event.order_id for event in events])

    floor = BatchFloor(handler)
    finish = floor.executors._finish

    def failing(finished, ended):
        if finished is put[1]:
            raise RuntimeError("a defect")
        finish(finished, ended)

    def broken(batch, ended):
        raise RuntimeError("another")

    monkeypatch.setattr(floor.executors, "_finish", failing)
    monkeypatch.setattr(floor.executors, "_end", broken)
    put = floor.put("1", "2", "3")
    with pytest.RaisesGroup(RuntimeError):
        await floor.executors.run(lambda: None)
    monkeypatch.undo()
    async with floor.open():
        await floor.after(3)
    assert seen == [["1", "2", "3"], ["2", "3"]]
    assert [each.claimed for each in put] == [False, True, True]
