"""Standing executors: what a task per event would give is kept, and what it would cost is not paid."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import asynccontextmanager

import pytest

from eventbus.consuming.executors import Executors
from eventbus.consuming.work import Work
from eventbus.delivery import Ending, Surroundings
from tests.support.entries import delivery, subscription
from tests.support.events import OrderCreated, OrderPaid


class Floor:
    """Executors with the queue before them and a list behind them."""

    def __init__(self, handler, concurrency=1):
        self.work, self.ended, self._more = Work(), [], asyncio.Event()
        compiled = subscription(handler, concurrency=concurrency)
        self.executors = Executors(compiled, Surroundings("orders", "charge", None, None), self.work, self._finish)

    def _finish(self, finished, ending, reason):
        self.ended.append((finished, ending, reason))
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
        return [ending for _, ending, _ in self.ended]

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
    assert [finished for finished, *_ in floor.ended] == put


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
    assert floor.ended[0][2] == "its handler raised"
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
        floor.executors.cut()
        assert [finished for finished, *_ in floor.ended] == put[2:]
        await idle
        assert await floor.after(3) == [Ending.CUT] * 3
        assert len({reason for _, _, reason in floor.ended}) == 2
        # Both executors still stand, and nothing of the cancellation is left: one of a handler's own is its failure.
        floor.put("own", "own", "after", "after")
        endings = await floor.after(7)
        assert sorted(ending.name for ending in endings[3:]) == ["HANDLED", "HANDLED", "RAISED", "RAISED"]


async def test_cutting_does_not_wait_for_a_thread():
    """It cannot be stopped; what it still does is nobody's success."""
    started, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def handler(event: OrderCreated):
        loop.call_soon_threadsafe(started.set)
        release.wait(30)

    floor = Floor(handler)
    async with floor.open():
        floor.put("1")
        await started.wait()
        floor.executors.cut()
        assert await floor.after(1) == [Ending.CUT]
        release.set()


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
    assert "OrderPaid" in floor.ended[0][2]
    assert "foreign=" in floor.ended[1][2]


async def test_idle_executors_are_not_waited_for():
    """Nothing runs."""

    async def handler(event: OrderCreated): ...

    floor = Floor(handler, concurrency=4)
    async with floor.open():
        await floor.executors.wait_until_idle()
        assert floor.executors.running == 0
