"""Standing executors: what a task per event would give is kept, and what it would cost is not paid."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import asynccontextmanager
from functools import partial

import pytest

from eventbus.consuming.executors import Executors
from eventbus.consuming.runs import Run
from eventbus.consuming.work import Work
from eventbus.delivery import Ended, Ending, Surroundings
from eventbus.errors import Reject, RetryLater
from tests.support.entries import delivery, subscription
from tests.support.events import OrderCreated, OrderPaid


class Gate:
    """Lets everything pass, unless it is told otherwise."""

    def __init__(self):
        self.closed, self.aside, self.refuses = set(), set(), None
        self.asked, self.opened = asyncio.Event(), asyncio.Event()
        self.left = []

    def passes(self, each, now):
        return each not in self.closed

    def puts_aside(self, each, again):
        self.again = again
        return each in self.aside

    def take_back(self, each):
        return each in self.aside and not self.aside.discard(each)

    def clear(self):
        taken, self.aside = list(self.aside), set()
        return taken

    async def admit(self, each):
        self.asked.set()
        await self.opened.wait()
        return self.refuses

    def leave(self, each):
        self.left.append(each)


class Floor:
    """Executors with the queue and the gate before them and a list behind them."""

    def __init__(self, handler, concurrency=1, **policy):
        self.work, self.gate, self.seen = Work(), Gate(), []
        self.ended, self._more = [], asyncio.Event()
        self.subscription = subscription(handler, concurrency=concurrency, **policy)
        self.executors = Executors(
            subscription=self.subscription,
            around=Surroundings("orders", "charge", None, None),
            work=self.work,
            gate=self.gate,
            finish=self._finish,
            observers=[self.seen.append],
        )

    def _finish(self, finished, ended):
        self.ended.append((finished, ended))
        self._more.set()

    def put(self, *ids):
        put = [delivery(OrderCreated(order_id=each)) for each in ids]
        self.work.put(put)
        return put

    async def after(self, count):
        """The endings, once there are so many."""
        while len(self.ended) < count:
            self._more.clear()
            await self._more.wait()
        return [ended.ending for _, ended in self.ended]

    @asynccontextmanager
    async def open(self):
        standing = asyncio.Event()
        task = asyncio.ensure_future(self.executors.run(standing.set))
        await standing.wait()
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert self.executors.running == 0


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_each_delivery_is_handled_and_finished_once():
    """In order, where one runs at a time."""
    seen = []

    async def handler(event: OrderCreated):
        seen.append(event.order_id)

    floor = Floor(handler)
    async with floor.open():
        put = floor.put("1", "2", "3")
        assert await floor.after(3) == [Ending.HANDLED] * 3
    assert seen == ["1", "2", "3"]
    assert [finished for finished, _ in floor.ended] == put


async def test_never_more_run_than_the_concurrency_allows_and_never_fewer_than_there_is_work():
    """Also after handlers left context variables behind, whose executors were replaced."""
    variable = contextvars.ContextVar("variable")
    release, started = asyncio.Semaphore(0), asyncio.Semaphore(0)
    running, most = 0, 0

    async def handler(event: OrderCreated):
        nonlocal running, most
        running += 1
        most = max(most, running)
        variable.set(event.order_id)
        started.release()
        await release.acquire()
        running -= 1

    floor = Floor(handler, concurrency=3)
    async with floor.open() as task:
        floor.put(*map(str, range(12)))
        for done in range(0, 12, 3):
            for _ in range(3):
                await started.acquire()
            await turns()
            assert (running, floor.executors.running) == (3, 3)
            for _ in range(3):
                release.release()
            await floor.after(done + 3)
        assert not task.done()
    assert most == 3


async def test_no_event_sees_a_context_variable_of_an_earlier_one():
    """Set, changed or deleted; each begins with what held when the executors were started."""
    outer, inner = contextvars.ContextVar("outer"), contextvars.ContextVar("inner", default=None)
    outer.set("service")
    seen = []

    async def handler(event: OrderCreated):
        seen.append((outer.get(), inner.get()))
        outer.set(event.order_id)
        inner.set(event.order_id)

    floor = Floor(handler)
    async with floor.open():
        floor.put("1", "2", "3")
        await floor.after(3)
    assert seen == [("service", None)] * 3


async def test_a_context_variable_that_cannot_be_compared_is_one_that_was_set():
    """Arrays answer with arrays, and raise when asked for a truth."""

    class Array:
        def __eq__(self, other):
            raise ValueError("ambiguous")

        __hash__ = None

    variable = contextvars.ContextVar("variable")
    variable.set(first := Array())
    seen = []

    async def handler(event: OrderCreated):
        seen.append(variable.get())
        variable.set(Array())

    floor = Floor(handler)
    async with floor.open():
        floor.put("1", "2", "3")
        await floor.after(3)
    assert [each is first for each in seen] == [True] * 3


async def test_a_handler_that_leaves_no_variable_behind_keeps_its_executor():
    """That is what makes them cheap."""
    tasks = set()

    async def handler(event: OrderCreated):
        tasks.add(asyncio.current_task())

    floor = Floor(handler)
    async with floor.open():
        floor.put(*map(str, range(10)))
        await floor.after(10)
    assert len(tasks) == 1


async def test_a_handler_that_raises_is_a_failed_event_and_nothing_else(caplog):
    """Said with its traceback, the handler's name and the event's id; the reason holds no message of it."""

    async def handler(event: OrderCreated):
        if event.order_id == "bad":
            raise RuntimeError("no money")

    floor = Floor(handler)
    async with floor.open():
        floor.put("bad", "good")
        assert await floor.after(2) == [Ending.RAISED, Ending.HANDLED]
    assert floor.ended[0][1].reason == "its handler raised"
    (record,) = caplog.records
    assert record.exc_info[1].args == ("no money",)
    assert record.eventbus["event_id"] in record.getMessage()
    assert f"handler {handler.__module__}.{handler.__qualname__} raised" in record.getMessage()


async def test_a_handlers_own_cancellation_is_its_failure_and_does_not_end_its_executor():
    """An inner task was cancelled: nobody asked the executor to stop."""

    async def handler(event: OrderCreated):
        if event.order_id == "inner":
            inner = asyncio.ensure_future(asyncio.Event().wait())
            await asyncio.sleep(0)
            inner.cancel()
            await inner
        if event.order_id == "own":
            raise asyncio.CancelledError

    floor = Floor(handler)
    async with floor.open():
        floor.put("inner", "own", "good")
        assert await floor.after(3) == [Ending.RAISED, Ending.RAISED, Ending.HANDLED]


@pytest.mark.parametrize("swallows", [False, True])
async def test_cutting_ends_what_runs_and_what_never_started_and_executors_go_on(swallows):
    """A handler that swallows its cancellation has no success either."""
    started = asyncio.Semaphore(0)

    async def handler(event: OrderCreated):
        if event.order_id == "after":
            return
        if event.order_id == "own":
            raise asyncio.CancelledError
        started.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not swallows:
                raise

    floor = Floor(handler, concurrency=2)
    async with floor.open():
        put = floor.put("1", "2", "waiting")
        for _ in range(2):
            await started.acquire()
        idle = asyncio.ensure_future(floor.executors.wait_until_idle())
        await turns()
        assert not idle.done()
        floor.executors.cancel()
        assert [finished for finished, _ in floor.ended] == put[2:]
        await idle
        assert await floor.after(3) == [Ending.STOPPED] * 3
        assert len({ended.reason for _, ended in floor.ended}) == 2
        # Both executors still stand, and nothing of the cancellation is left: one of a handler's own is its failure.
        floor.put("own", "own", "after", "after")
        endings = await floor.after(7)
        assert sorted(ending.name for ending in endings[3:]) == ["HANDLED", "HANDLED", "RAISED", "RAISED"]


async def test_a_thread_cannot_be_cut_and_its_own_end_decides():
    """What it did is done: its success is one."""
    started, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def handler(event: OrderCreated):
        loop.call_soon_threadsafe(started.set)
        release.wait(30)

    floor = Floor(handler)
    async with floor.open():
        floor.put("1")
        await started.wait()
        floor.executors.cancel()
        await turns()
        assert (floor.ended, floor.executors.running) == ([], 1)
        release.set()
        assert await floor.after(1) == [Ending.HANDLED]


async def test_ending_the_executors_ends_their_handlers_without_an_ending():
    """Nobody decided about those events: they stay pending."""
    started, cancelled = asyncio.Event(), []

    async def handler(event: OrderCreated):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(event.order_id)
            raise

    floor = Floor(handler)
    async with floor.open():
        floor.put("1")
        await started.wait()
    assert (cancelled, floor.ended) == (["1"], [])


async def test_what_is_not_for_a_handler_is_finished_with_the_reason():
    """Another type, and an entry that is none."""

    async def handler(event: OrderCreated): ...

    floor = Floor(handler)
    async with floor.open():
        floor.work.put([delivery(OrderPaid(order_id="1")), delivery()])
        assert await floor.after(2) == [Ending.NOBODY, Ending.UNDECODABLE]
    assert "OrderPaid" in floor.ended[0][1].reason
    assert "foreign=" in floor.ended[1][1].reason


async def test_idle_executors_are_not_waited_for():
    """Nothing runs."""

    async def handler(event: OrderCreated): ...

    floor = Floor(handler, concurrency=4)
    async with floor.open():
        await floor.executors.wait_until_idle()
        assert floor.executors.running == 0


async def test_what_the_gate_refuses_is_never_run():
    """It is finished as the gate says, and leaves it."""
    ran = []

    async def handler(event: OrderCreated):
        ran.append(event)

    floor = Floor(handler)
    floor.gate.refuses = Ended(Ending.CRASHED, "too often")
    async with floor.open():
        (put,) = floor.put("1")
        floor.gate.closed.add(put)
        floor.gate.opened.set()
        await floor.after(1)
    assert (ran, floor.ended, floor.gate.left) == ([], [(put, floor.gate.refuses)], [put])


@pytest.mark.parametrize("closed", [False, True])
async def test_what_is_for_no_handler_here_asks_nobody_at_the_gate(closed):
    """It starts nothing, so that it costs no start and needs no lease; its data is not looked at."""

    async def handler(event: OrderCreated): ...

    floor = Floor(handler)
    async with floor.open():
        other = delivery(OrderPaid(order_id="1"))
        if closed:
            floor.gate.closed.add(other)
        floor.work.put([other])
        assert await floor.after(1) == [Ending.NOBODY]
    assert not floor.gate.asked.is_set()
    assert floor.gate.left == ([other] if closed else [])


async def test_what_cannot_be_read_is_counted_as_a_start_before_anybody_tries():
    """Reading it may be what takes the process down."""

    async def handler(event: OrderCreated): ...

    floor = Floor(handler)
    async with floor.open():
        damaged = delivery()
        floor.gate.closed.add(damaged)
        floor.work.put([damaged])
        await floor.gate.asked.wait()
        assert floor.ended == []
        floor.gate.opened.set()
        assert await floor.after(1) == [Ending.UNDECODABLE]


async def test_a_defect_in_reading_an_envelope_ends_no_executor(monkeypatch):
    """Neither before the gate nor behind it."""
    from eventbus.delivery import resolution

    async def handler(event: OrderCreated): ...

    floor = Floor(handler)
    async with floor.open() as task:
        (put,) = floor.put("1")
        floor.gate.closed.add(put)
        floor.gate.opened.set()
        with monkeypatch.context() as patch:
            patch.setattr(resolution.Envelope, "parse", lambda fields: {}["defect"])
            async with asyncio.timeout(5):
                assert await floor.after(1) == [Ending.UNDECODABLE]
        floor.put("2")
        assert await floor.after(2) == [Ending.UNDECODABLE, Ending.HANDLED]
        assert not task.done()


async def test_what_waits_at_the_gate_has_not_started_and_starts_when_it_is_let_in():
    """Nothing of it is decoded before."""
    ran = []

    async def handler(event: OrderCreated):
        ran.append(event.order_id)

    floor = Floor(handler)
    async with floor.open():
        (put,) = floor.put("1")
        floor.gate.closed.add(put)
        await floor.gate.asked.wait()
        assert (floor.executors.running, floor.executors.busy(), ran) == (0, [], [])
        floor.gate.opened.set()
        assert await floor.after(1) == [Ending.HANDLED]
    assert (ran, floor.gate.left) == (["1"], [put])


async def test_releasing_what_waits_reaches_the_queue_and_the_gate_and_leaves_alone_what_runs():
    """What never started goes to others at once; handlers get the drain."""
    started, release = asyncio.Event(), asyncio.Event()

    async def handler(event: OrderCreated):
        started.set()
        await release.wait()

    floor = Floor(handler, concurrency=2)
    async with floor.open():
        (running,) = floor.put("running")
        await started.wait()
        at_the_gate, queued = floor.put("at the gate", "queued")
        floor.gate.closed.add(at_the_gate)
        await floor.gate.asked.wait()
        floor.executors.release_waiting()
        await floor.after(2)
        assert {id(each): ended.ending for each, ended in floor.ended} == {id(queued): Ending.STOPPED, id(at_the_gate): Ending.STOPPED}
        assert floor.executors.running == 1
        release.set()
        assert (await floor.after(3))[-1] is Ending.HANDLED
        assert floor.ended[-1][0] is running
        floor.put("after")  # both executors still stand
        assert (await floor.after(4))[-1] is Ending.HANDLED


async def test_a_delivery_that_is_let_in_in_the_moment_it_is_released_has_one_ending():
    """The gate opened, and before the executor went on the shutdown began."""
    ran = []

    async def handler(event: OrderCreated):
        ran.append(event)

    floor = Floor(handler)
    async with floor.open():
        (put,) = floor.put("1")
        floor.gate.closed.add(put)
        await floor.gate.asked.wait()
        floor.gate.opened.set()
        floor.executors.release_waiting()
        assert await floor.after(1) == [Ending.STOPPED]
        floor.put("2")
        assert await floor.after(2) == [Ending.STOPPED, Ending.HANDLED]
    assert [event.order_id for event in ran] == ["2"]


@pytest.mark.parametrize("where", ["queue", "gate", "handler"])
async def test_a_lost_delivery_ends_wherever_it_is(where):
    """It is another consumer's now: it does not start, and does not go on."""
    started = asyncio.Event()

    async def handler(event: OrderCreated):
        started.set()
        if event.order_id != "after":
            await asyncio.Event().wait()

    floor = Floor(handler)
    async with floor.open():
        put = floor.put("first", "queued") if where == "queue" else floor.put("lost")
        lost = put[-1]
        if where == "gate":
            floor.gate.closed.add(lost)
            await floor.gate.asked.wait()
        else:
            await started.wait()
        floor.executors.lose(lost)
        await floor.after(1)
        assert [(each, ended.ending) for each, ended in floor.ended] == [(lost, Ending.LOST)]
        floor.executors.cancel()
        floor.put("after")
        await floor.after(len(put) + 1)
        assert floor.ended[-1][1].ending is Ending.HANDLED


async def ends_otherwise(event: OrderCreated, *, raises, started):
    started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if raises is not None:
            raise raises from None


async def test_a_handler_that_was_asked_to_stop_has_no_success_and_no_failure_of_its_own():
    """Whatever it makes of its cancellation, the reason it was asked for decides."""
    floors = []
    for raises in (None, RuntimeError("at the end"), Reject("no"), RetryLater(1)):
        started = asyncio.Event()
        floor = Floor(partial(ends_otherwise, raises=raises, started=started))
        async with floor.open():
            (put,) = floor.put("1")
            await started.wait()
            floor.executors.lose(put)
            await floor.after(1)
        floors.append(floor)
    assert [floor.ended[0][1].ending for floor in floors] == [Ending.LOST] * 4


async def test_of_two_reasons_to_stop_the_first_counts():
    """Its lease was lost; that the drain ended too makes it nobody's to release."""
    started = asyncio.Event()

    async def handler(event: OrderCreated):
        started.set()
        await asyncio.Event().wait()

    floor = Floor(handler)
    async with floor.open():
        (put,) = floor.put("1")
        await started.wait()
        floor.executors.lose(put)
        floor.executors.cancel()
        assert await floor.after(1) == [Ending.LOST]


async def test_a_handler_beyond_its_timeout_is_cancelled_and_has_failed_with_a_timeout():
    """Its policy decides about a TimeoutError; the executor goes on."""

    async def handler(event: OrderCreated):
        if event.order_id == "slow":
            await asyncio.Event().wait()

    floor = Floor(handler, timeout=0.02)
    async with floor.open():
        floor.put("slow", "quick")
        assert await floor.after(2) == [Ending.TIMED_OUT, Ending.HANDLED]
    ended = floor.ended[0][1]
    assert (type(ended.error), str(ended.error), ended.type) == (TimeoutError, "the handler did not end within 0.02 s", "OrderCreated")


async def test_the_wait_at_the_gate_is_no_part_of_the_timeout():
    """It is the handler's time."""

    async def handler(event: OrderCreated): ...

    floor = Floor(handler, timeout=0.01)
    async with floor.open():
        (put,) = floor.put("1")
        floor.gate.closed.add(put)
        await floor.gate.asked.wait()
        await asyncio.sleep(0.05)  # several looks of the watcher: time itself is what is tested
        assert floor.ended == []
        floor.gate.opened.set()
        assert await floor.after(1) == [Ending.HANDLED]


async def test_a_thread_beyond_its_timeout_is_said_once_and_its_own_end_decides(caplog):
    """Nothing can stop it."""
    release, loop = threading.Event(), asyncio.get_running_loop()

    def handler(event: OrderCreated):
        release.wait(30)

    floor = Floor(handler, timeout=0.01)
    async with floor.open():
        floor.put("1")
        loop.call_later(0.1, release.set)
        assert await floor.after(1) == [Ending.HANDLED]
    (record,) = caplog.records
    assert record.getMessage().endswith("runs in a thread for more than its timeout of 0.01 s; its own end decides")


@pytest.mark.parametrize(
    ("signal", "ending"), [(RetryLater(5), Ending.LATER), (RetryLater(0, count=False), Ending.LATER), (Reject("bad"), Ending.REJECTED)]
)
async def test_a_handlers_signals_are_endings_of_their_own_and_nothing_is_logged(signal, ending, caplog):
    """They are decisions, not failures."""

    async def handler(event: OrderCreated):
        raise signal

    floor = Floor(handler)
    async with floor.open():
        floor.put("1")
        assert await floor.after(1) == [ending]
    ended = floor.ended[0][1]
    assert (ended.error, ended.type, caplog.text) == (signal, "OrderCreated", "")


async def test_an_observer_is_told_of_each_run_and_of_nothing_else():
    """What never reached a handler is no run."""

    async def handler(event: OrderCreated):
        if event.order_id == "bad":
            raise RuntimeError

    floor = Floor(handler)
    async with floor.open():
        floor.put("good", "bad")
        floor.work.put([delivery(OrderPaid(order_id="1")), delivery()])
        await floor.after(4)
    assert [(each.type, each.ending) for each in floor.seen] == [("OrderCreated", Ending.HANDLED), ("OrderCreated", Ending.RAISED)]
    for each in floor.seen:
        assert each.subscription is floor.subscription
        assert each.seconds >= 0
        assert each.latency >= 0


async def test_an_observer_that_raises_harms_neither_the_event_nor_the_others(caplog):
    """An onlooker."""

    async def handler(event: OrderCreated): ...

    def fails(handled):
        raise RuntimeError("no metrics today")

    floor = Floor(handler)
    floor.executors._observers = [fails, floor.seen.append]
    async with floor.open():
        floor.put("1", "2")
        assert await floor.after(2) == [Ending.HANDLED] * 2
    assert len(floor.seen) == 2
    assert caplog.text.count("an observer raised") == 2


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
async def test_a_handler_may_end_the_program(end):
    """It is the one thing that is not its own affair. The event has no ending: it stays pending."""
    ran = asyncio.Event()

    async def handler(event: OrderCreated):
        ran.set()
        raise end

    floor = Floor(handler)
    (put,) = floor.put("1")
    run = floor.executors._execute(Run(asyncio.current_task()), put)
    with pytest.raises(end):
        await run
    assert ran.is_set()
    assert floor.ended == []


async def test_what_executors_held_when_they_failed_starts_again_with_the_next():
    """Nobody else could take it: it is in hand, and its lease is renewed. Its start is counted first then."""
    runs = []

    async def handler(event: OrderCreated):
        runs.append(event.order_id)

    floor = Floor(handler, concurrency=2)
    finish, failures = floor.executors._end, [RuntimeError("a defect")]

    def failing(finished, ended):
        if failures:
            raise failures.pop()
        finish(finished, ended)

    floor.executors._end = failing
    (one,) = floor.put("o-1")
    with pytest.RaisesGroup(RuntimeError):
        await floor.executors.run(lambda: None)
    assert (floor.ended, one.claimed) == ([], False)
    async with floor.open():
        assert await floor.after(1) == [Ending.HANDLED]
    assert (runs, one.claimed) == (["o-1", "o-1"], True)


async def test_what_waits_for_its_last_start_occupies_no_executor_and_comes_before_what_waits():
    """A long handler at its last start, perhaps of another subscription, must not stop this one."""

    async def handler(event: OrderCreated):
        pass

    floor = Floor(handler, concurrency=1)
    async with floor.open():
        (last,) = waiting = floor.put("last")
        floor.gate.closed.update(waiting)
        floor.gate.aside.update(waiting)
        floor.put("other")
        assert await floor.after(1) == [Ending.HANDLED]
        assert floor.ended[0][0] is not last
        assert floor.executors.running == 0
        floor.gate.closed.clear()
        floor.gate.again(last)
        await floor.after(2)
        assert floor.ended[1][0] is last


@pytest.mark.parametrize("how", ["lost", "released"])
async def test_what_waits_for_its_last_start_can_be_given_up(how):
    """Its lease is lost, or the process ends."""

    async def handler(event: OrderCreated):
        pass

    floor = Floor(handler, concurrency=1)
    async with floor.open():
        (last,) = floor.put("last")
        floor.gate.closed.add(last)
        floor.gate.aside.add(last)
        while not len(floor.gate.left):
            await asyncio.sleep(0)
        if how == "lost":
            floor.executors.lose(last)
        else:
            floor.executors.release_waiting()
        assert [(each, ended.ending) for each, ended in floor.ended] == [(last, Ending.LOST if how == "lost" else Ending.STOPPED)]


async def test_a_cancel_that_comes_when_the_handler_is_gone_ends_nothing():
    """A timer or a watchdog that a handler left behind: its task is an executor, which stands idle by then."""
    tasks = []

    async def handler(event: OrderCreated):
        tasks.append(asyncio.current_task())

    floor = Floor(handler, concurrency=1)
    async with floor.open():
        for number in range(3):
            floor.put(str(number))
            assert await floor.after(number + 1) == [Ending.HANDLED] * (number + 1)
            await asyncio.sleep(0)
            tasks[-1].cancel("left behind")
            await asyncio.sleep(0)
        floor.put("last")
        await floor.after(4)
        assert len(set(tasks)) == 1
        assert not tasks[0].cancelling()


async def test_executors_that_end_by_themselves_have_failed():
    """A loop that returns has done its work, and is not started again: what is in hand would stay there for ever."""

    async def handler(event: OrderCreated):
        pass

    async def ends():
        raise asyncio.CancelledError

    floor = Floor(handler, concurrency=2)
    floor.executors._next = lambda run: ends()
    with pytest.raises(RuntimeError, match="by themselves"):
        await floor.executors.run(lambda: None)
