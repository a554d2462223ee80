"""From a publish to Redis: sizes of writes, order, and what is known about an event whose answer did not come."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
from contextlib import asynccontextmanager

import anyio
import pytest

from eventbus import Event, EventBus, Topic
from eventbus.delivery import Placing, Topics
from eventbus.errors import (
    BackendRefused,
    BackendUnavailable,
    ConfigurationError,
    EncodeError,
    EntryIdTooLow,
    LifecycleError,
    PublishIncomplete,
)
from eventbus.publishing import Publisher
from eventbus.publishing.confirmation import TRANSIENT
from eventbus.publishing.sender import CHUNK, CHUNK_BYTES, MOST_WRITES
from eventbus.streams import Address, Connections
from tests.support.entries import SETTINGS
from tests.support.events import OrderCreated, orders

LOST = BackendUnavailable("no answer")
NEVER_SENT = BackendUnavailable("no connection", maybe_executed=False)


def refusal(code):
    return BackendRefused("Redis refused", code=code)


class Server:
    """A wire whose server answers a write with entry ids after a turn of the event loop, or when the test says so."""

    def __init__(self):
        self.writes = []
        self.under_way = []
        self.closed = 0
        self.connected = True
        self.connecting = asyncio.Event()
        self.connecting.set()
        self.asked_to_connect = asyncio.Event()
        self.cannot_connect = None
        self.answers = True
        self.breaks = None

    async def connect(self):
        self.asked_to_connect.set()
        await self.connecting.wait()
        if self.cannot_connect:
            raise self.cannot_connect
        self.connected = True

    def send(self, commands, take):
        if self.breaks:
            self.connected = False
            raise self.breaks
        self.writes.append(list(commands))
        over = asyncio.get_running_loop().create_future()
        self.under_way.append((len(commands), take, over))
        if self.answers:
            asyncio.get_running_loop().call_soon(self.answer, *(b"1-%d" % number for number in range(len(commands))))
        return over

    def answer(self, *replies):
        """Answer the first write that waits, as far as there are replies."""
        count, take, over = self.under_way.pop(0)
        take(list(replies))
        if len(replies) < count:
            self.under_way.insert(0, (count - len(replies), take, over))
        elif not over.done():
            over.set_result(None)

    def lose(self, error):
        """The connection ends with all that is under way."""
        self.connected = False
        for _, _, over in self.under_way:
            if not over.done():
                over.set_exception(error)
        self.under_way.clear()

    async def close(self):
        self.closed += 1
        while self.under_way and not self.under_way[0][2].done():
            await asyncio.wait([self.under_way[0][2]])
        self.connected = False

    def ids(self, *, write):
        """The order ids of one write, as they stand in its commands."""
        return [command.partition(b'"order_id":"')[2].partition(b'"')[0].decode() for command in self.writes[write]]

    @property
    def all_ids(self):
        return [self.ids(write=number) for number in range(len(self.writes))]


async def turns(number=6):
    """Let the event loop turn."""
    for _ in range(number):
        await asyncio.sleep(0)


class Desk:
    """A publisher without Redis."""

    def __init__(self):
        self.publisher = Publisher(Connections(Address.parse("redis://nowhere"), name="test"), SETTINGS, Topics())
        self.server = self.publisher._wire = self.publisher._sender._wire = Server()

    async def publish(self, *events, **options):
        """Publish events, and let the turn of the event loop end."""
        asked = Placing(**{name: options.pop(name) for name in Placing.__annotations__ if name in options}) or None
        confirmations = [self.publisher.publish(event, asked=asked, **options) for event in events]
        await asyncio.sleep(0)
        return confirmations

    async def failure(self, error=BackendUnavailable):
        """What the publisher's loop ends with."""
        with pytest.raises(error) as caught:
            await self.publisher.run_once()
        return caught.value

    def resume(self, *, connected=True):
        """What the loop does when it is started again, in a world where it connects at once."""
        self.server.connected = connected
        self.publisher._sender.resume(lambda: None)
        self.publisher._sender.flush()


@pytest.fixture
async def desk():
    return Desk()


@pytest.fixture
async def slow(desk):
    """A desk whose server answers when the test says so."""
    desk.server.answers = False
    return desk


@asynccontextmanager
async def at_work(body):
    """A loop, for as long as the block lasts."""
    task = asyncio.ensure_future(body(lambda: None))
    await asyncio.sleep(0)
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# -- what travels together


async def test_what_is_published_in_one_turn_of_the_event_loop_is_one_write(desk):
    """One command each would cost fourteen times as much."""
    records = await asyncio.gather(*map(desk.publisher.publish, orders(20)))
    assert [record.entry_id for record in records] == [f"1-{number}" for number in range(20)]
    assert (desk.publisher.counts.published, desk.publisher.counts.writes) == (20, 1)


async def test_whoever_publishes_one_after_the_other_waits_for_no_turn(desk):
    """Nobody would join them: the second is written in the call."""
    await desk.publisher.publish(orders(1)[0])
    await turns()
    desk.publisher.publish(orders(1)[0])
    assert len(desk.server.writes) == 2


async def test_a_write_has_a_bounded_number_of_commands_in_order(desk):
    """The first does not wait for the last of thousands."""
    records = await asyncio.gather(*map(desk.publisher.publish, orders(2 * CHUNK + 1)))
    assert [len(write) for write in desk.server.writes] == [CHUNK, CHUNK, 1]
    assert [each for write in desk.server.all_ids for each in write] == [f"o-{n}" for n in range(2 * CHUNK + 1)]
    assert len({record.event_id for record in records}) == len(records)
    assert (desk.publisher.counts.published, desk.publisher.counts.writes) == (2 * CHUNK + 1, 3)


async def test_a_full_write_does_not_wait_for_the_end_of_the_turn(slow):
    """Redis works on it while the rest is encoded."""
    for event in orders(CHUNK):
        slow.publisher.publish(event)
    assert [len(write) for write in slow.server.writes] == [CHUNK]


async def test_few_writes_are_under_way_at_a_time(slow):
    """The others wait here, where they can still be cancelled, and not in a socket."""
    confirmations = await slow.publish(*orders(4 * CHUNK))
    assert len(slow.server.writes) == MOST_WRITES
    slow.server.answer(*[b"1-1"] * CHUNK)
    await turns()
    assert len(slow.server.writes) == MOST_WRITES + 1
    assert [each.done() for each in confirmations] == [True] * CHUNK + [False] * 3 * CHUNK


@pytest.mark.parametrize(("others", "writes"), [(4, 1), (5, 2)])
async def test_while_a_write_is_under_way_the_next_waits_for_half_as_much(slow, others, writes):
    """Or until the first is answered: whoever was waiting for that joins."""
    await slow.publish(*orders(10))
    await slow.publish(*orders(others))
    assert len(slow.server.writes) == writes
    slow.server.answer(*[b"1-1"] * 10)
    await turns()
    assert [len(write) for write in slow.server.writes] == [10, others]


@pytest.mark.parametrize("size", [CHUNK_BYTES // 20, CHUNK_BYTES // 6, CHUNK_BYTES // 2 - 1_000])  # an order holds its id twice
async def test_a_write_ends_before_the_event_that_would_not_fit(desk, size):
    """Large events do not pile up in a socket."""
    await asyncio.gather(*(desk.publisher.publish(OrderCreated(order_id="x" * size)) for _ in range(30)))
    largest = max(map(len, desk.server.writes[0]))
    assert all(sum(map(len, write)) <= CHUNK_BYTES for write in desk.server.writes)
    assert all(sum(map(len, write)) + largest > CHUNK_BYTES for write in desk.server.writes[:-1])
    assert sum(map(len, desk.server.writes)) == 30


async def test_with_nothing_to_write_nothing_is_written(desk):
    """Not even an empty pipeline."""
    desk.publisher._sender.flush()
    assert await desk.publisher.publish_many([]) == []
    assert desk.server.writes == []


async def test_a_publish_that_was_cancelled_before_its_write_is_not_written(desk):
    """The others go on."""
    first, second = map(desk.publisher.publish, orders(2))
    first.cancel()
    assert (await second).entry_id == "1-0"
    assert desk.server.all_ids == [["o-1"]]


async def test_a_publish_that_was_cancelled_under_way_does_not_disturb_the_others(slow):
    """Its answer has nobody to go to."""
    first, second = await slow.publish(*orders(2))
    first.cancel()
    slow.server.answer(b"1-0", b"1-1")
    assert (await second).entry_id == "1-1"


# -- what publish returns


async def by_task(publish, event):
    return await asyncio.create_task(publish(event))


async def by_group(publish, event):
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(publish(event))
    return task.result()


async def by_anyio(publish, event):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(publish, event)
    return await publish(event)


async def by_waiting_for(publish, event):
    return await asyncio.wait_for(publish(event), 5)


@pytest.mark.parametrize("by", [by_task, by_group, by_anyio, by_waiting_for])
async def test_what_publish_returns_is_taken_like_any_coroutine(desk, by):
    """Though it is a future."""
    assert (await by(desk.publisher.publish, *orders(1))).entry_id == "1-0"


@pytest.mark.parametrize("begun", [False, True])
async def test_a_task_that_awaits_a_publish_can_be_cancelled(slow, begun):
    """Before its first step, too."""
    confirmation = slow.publisher.publish(*orders(1))
    task = asyncio.create_task(confirmation)
    if begun:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert confirmation.cancelled()


async def test_a_task_hears_what_a_publish_failed_of(desk):
    """As whoever awaits it."""
    with pytest.raises(EncodeError, match="str is no event"):
        await asyncio.create_task(desk.publisher.publish("no event"))


def test_frameworks_see_an_asynchronous_function():
    """They call it on the event loop, and not in a thread."""
    bus = EventBus("redis://nowhere", service="x")
    asynchronous = inspect.iscoroutinefunction if sys.version_info >= (3, 12) else asyncio.iscoroutinefunction
    assert asynchronous(bus.publish)
    assert inspect.iscoroutinefunction(bus.publish_many)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (OrderCreated, "OrderCreated is a class: publish an instance of it"),
        (orders(1), "list is no event: .* publish_many"),
        ({}, "dict is no event: publish an instance of a class derived from Event$"),
    ],
)
async def test_what_is_no_event_is_told_by_what_it_is(desk, what, said):
    """And what to do about it."""
    with pytest.raises(EncodeError, match=said):
        await desk.publisher.publish(what)


async def test_one_event_in_place_of_many_is_told(desk):
    """It is iterable: its fields would be taken for events."""
    with pytest.raises(EncodeError, match="publish_many takes several events: give it a list, or this OrderCreated to publish"):
        await desk.publisher.publish_many(*orders(1))


async def test_a_task_shows_that_it_publishes(desk):
    """In the debugger, and where tasks are left over."""
    task = asyncio.create_task(desk.publisher.publish(*orders(1)))
    assert "coro=<publish()>" in repr(task)
    await task


async def test_what_is_wrong_with_one_event_is_no_matter_of_the_others(desk):
    """A gather hears it in its place."""
    answers = await asyncio.gather(*map(desk.publisher.publish, [*orders(1), "no event", *orders(1)]), return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["Published", "EncodeError", "Published"]


# -- answers


async def test_an_answer_is_handed_out_as_it_comes(slow):
    """Whoever awaits the first does not wait for the last."""
    first, second, third = await slow.publish(*orders(3))
    slow.server.answer(b"1-0", b"1-1")
    assert [(await each).entry_id for each in (first, second)] == ["1-0", "1-1"]
    assert not third.done()
    slow.server.answer(b"1-2")
    assert (await third).entry_id == "1-2"


async def test_each_answer_goes_to_its_own_event(slow):
    """A refusal of one is no matter of its neighbours."""
    confirmations = await slow.publish(*orders(3))
    slow.server.answer(b"7-0", refusal("OOM"), b"7-1")
    one, two, three = await asyncio.gather(*confirmations, return_exceptions=True)
    assert (one.entry_id, three.entry_id) == ("7-0", "7-1")
    assert (type(two), two.code) == (BackendRefused, "OOM")
    assert "topic 'orders'" in str(two)
    assert (slow.publisher.counts.published, slow.publisher.counts.refused, slow.server.closed) == (2, 1, 0)


async def test_the_loop_hears_of_each_write_that_went_well(desk):
    """Its supervisor forgets earlier failures then, and not before."""
    heard = []
    task = asyncio.ensure_future(desk.publisher.run(lambda: heard.append(1)))
    await turns()
    assert heard == []
    await desk.publisher.publish(*orders(1))
    await turns()
    assert heard == [1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("code", sorted(TRANSIENT))
async def test_a_passing_refusal_is_tried_again_on_a_new_connection(slow, code):
    """A demoted primary keeps its connections; a new one finds the new primary."""
    confirmations = await slow.publish(*orders(3))
    slow.server.answer(b"7-0", refusal(code), b"7-1")
    await turns()
    assert (await slow.failure(BackendRefused)).code == code
    assert (slow.server.closed, slow.publisher.counts.retries) == (1, 1)
    assert [each.done() for each in confirmations] == [True, False, True]
    slow.server.answers = True
    async with at_work(slow.publisher.run):
        assert [(await each).entry_id for each in confirmations] == ["7-0", "1-0", "7-1"]
    assert slow.server.ids(write=1) == ["o-1"]


async def test_what_is_under_way_ends_before_a_connection_is_given_up(slow):
    """Else it would be written twice; and the order is kept."""
    confirmations = await slow.publish(*orders(CHUNK + 300))
    slow.server.answer(refusal("READONLY"), *[b"7-0"] * (CHUNK - 1))
    await turns()
    failing = asyncio.ensure_future(slow.failure(BackendRefused))
    await turns()
    assert not failing.done()
    slow.server.answer(*[b"8-0"] * 299, refusal("READONLY"))
    await failing
    slow.resume()
    assert slow.server.ids(write=2) == ["o-0", f"o-{CHUNK + 299}"]
    slow.server.answer(b"9-0", b"9-1")
    assert len(await asyncio.gather(*confirmations)) == CHUNK + 300


async def test_while_something_failed_nothing_else_is_written(slow):
    """It would come before what was published earlier."""
    await slow.publish(*orders(1))
    slow.server.answer(refusal("BUSY"))
    await turns()
    await slow.publish(*orders(2))
    assert slow.server.all_ids == [["o-0"]]
    await slow.failure(BackendRefused)
    slow.resume()
    assert slow.server.all_ids == [["o-0"], ["o-0", "o-0", "o-1"]]
    await slow.publisher.abandon()


async def test_what_is_tried_again_comes_before_what_was_published_since(slow):
    """Answers that still came count; the rest keeps its order."""
    confirmations = await slow.publish(*orders(5))
    confirmations += await slow.publish(OrderCreated(order_id="later"))
    slow.server.answer(b"7-0", refusal("BUSY"), b"7-1")
    slow.server.lose(LOST)
    await turns()
    await slow.failure()
    slow.server.answers = True
    slow.resume()
    assert len(await asyncio.gather(*confirmations)) == 6
    assert slow.server.all_ids[1] == ["o-1", "o-3", "o-4", "later"]


async def test_writes_that_were_lost_keep_their_place_before_what_waited_behind_them(slow):
    """As long as they are tried."""
    confirmations = await slow.publish(*orders(2 * CHUNK + 2))
    for tries in range(1, 4):
        slow.server.lose(LOST)
        await turns()
        await slow.failure()
        assert slow.publisher.counts.retries == tries
        slow.resume()
        assert [each for write in slow.server.all_ids[-2:] for each in write] == [f"o-{number}" for number in range(2 * CHUNK)]
    for size in (CHUNK, CHUNK, 2):
        slow.server.answer(*[b"1-1"] * size)
        await turns()
    assert len(await asyncio.gather(*confirmations)) == 2 * CHUNK + 2


async def test_a_connection_that_is_found_lost_when_something_is_to_be_written_is_a_failure(desk):
    """With the backoff of one: a server that accepts and hangs up is not asked without end."""
    desk.server.breaks = NEVER_SENT
    (confirmation,) = await desk.publish(*orders(1))
    assert await desk.failure() is NEVER_SENT
    desk.server.breaks = None
    desk.resume()
    assert (await confirmation).entry_id == "1-0"
    assert not confirmation.maybe_written


async def test_a_write_that_raises_whatever_it_may_is_tried_again(desk):
    """What of it was sent nobody knows."""
    desk.server.breaks = RuntimeError("the transport is closing")
    (confirmation,) = await desk.publish(*orders(1))
    assert "RuntimeError" in str(await desk.failure())
    desk.server.breaks = None
    desk.resume()
    assert (await confirmation).entry_id == "1-0"
    assert confirmation.maybe_written


async def test_what_is_under_way_when_the_loop_is_ended_is_answered_all_the_same(slow):
    """The loop only connects."""
    async with at_work(slow.publisher.run):
        confirmations = await slow.publish(*orders(2))
    slow.server.answer(b"1-0", b"1-1")
    assert [(await each).entry_id for each in confirmations] == ["1-0", "1-1"]


async def test_the_loop_is_well_again_though_nobody_publishes_any_more(desk):
    """Else a service that gets no work before it is ready would never be."""
    heard = []
    desk.server.cannot_connect, desk.server.connected = NEVER_SENT, False
    (confirmation,) = await desk.publish(*orders(1), timeout=0)
    with pytest.raises(BackendUnavailable):
        await desk.publisher.run(lambda: heard.append(1))
    confirmation.cancel()
    desk.publisher._sender.give_up(0, "its time was over")
    desk.server.cannot_connect = None
    task = asyncio.ensure_future(desk.publisher.run(lambda: heard.append(1)))
    await turns()
    assert heard == [1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_refusal_of_what_was_cancelled_does_not_disturb_the_others(slow):
    """Its answer has nobody to go to."""
    first, second = await slow.publish(*orders(2))
    first.cancel()
    slow.server.answer(refusal("OOM"), b"1-1")
    assert (await second).entry_id == "1-1"


async def test_what_was_refused_and_has_no_time_is_given_up_while_a_later_write_is_under_way(slow):
    """It was not written, and nobody waits for its neighbours."""
    (first,) = await slow.publish(*orders(1), timeout=0)
    others = await slow.publish(*orders(CHUNK + 298))
    slow.server.answer(refusal("BUSY"), *[b"7-0"] * (CHUNK - 1))
    await turns()
    async with at_work(slow.publisher.sweep):
        with pytest.raises(BackendUnavailable, match="its time was over") as caught:
            await asyncio.wait_for(first, 1)
    assert not caught.value.maybe_executed
    await slow.publisher.abandon()
    await asyncio.gather(*others, return_exceptions=True)


async def test_what_was_refused_in_a_write_that_is_not_over_is_given_up_as_not_written(slow):
    """Its neighbours have no answer yet."""
    first, second = slow.publisher.publish(*orders(1), timeout=0), slow.publisher.publish(*orders(1))
    await turns()
    slow.server.answer(refusal("BUSY"))
    async with at_work(slow.publisher.sweep):
        with pytest.raises(BackendUnavailable, match="it was not written"):
            await asyncio.wait_for(first, 1)
    assert not second.done()


async def test_the_order_is_kept_when_the_connection_is_found_lost(desk):
    """More waits than one write takes."""
    desk.server.connected = False
    confirmations = await desk.publish(*orders(CHUNK + 2))
    desk.server.breaks = NEVER_SENT
    desk.resume()
    await desk.failure()
    desk.server.breaks = None
    desk.resume()
    await asyncio.gather(*confirmations)
    assert [each for write in desk.server.all_ids for each in write] == [f"o-{n}" for n in range(CHUNK + 2)]


@pytest.mark.parametrize("over", ["answered", "lost", "under way"])
async def test_abandoning_leaves_nothing_to_be_waited_for(slow, over):
    """Whatever the moment: the event loop has no error to tell, either."""
    errors = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    confirmations = await slow.publish(*orders(2))
    if over == "answered":
        slow.server.answer(b"1-0", b"1-1")
    elif over == "lost":
        slow.server.lose(LOST)
    await slow.publisher.abandon()
    await turns()
    assert slow.publisher._sender.empty.is_set()
    assert errors == []
    await asyncio.gather(*confirmations, return_exceptions=True)


async def test_a_write_without_an_end_is_no_success(slow):
    """Health is what the last write says."""
    heard = []
    slow.publisher._sender.resume(lambda: heard.append(1))
    confirmations = await slow.publish(*orders(1))
    slow.server.lose(LOST)
    await turns()
    assert heard == []
    await slow.publisher.abandon()
    await asyncio.gather(*confirmations, return_exceptions=True)


async def test_after_a_crowd_two_travel_together(slow):
    """Only who was alone the last time is not waited for."""
    for size in (1, 10):
        await slow.publish(*orders(size))
        for write in list(slow.server.under_way):
            slow.server.answer(*[b"1-1"] * write[0])
        await turns()
    before = len(slow.server.writes)
    await slow.publish(*orders(2))
    assert [len(write) for write in slow.server.writes[before:]] == [2]
    await slow.publisher.abandon()


async def test_what_waits_is_written_though_whoever_is_told_of_success_fails(slow):
    """A logging filter may raise."""
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)

    def alive():
        raise ValueError("a filter")

    slow.publisher._sender.resume(alive)
    confirmations = [*await slow.publish(*orders(10)), *await slow.publish(*orders(1))]
    slow.server.answer(*[b"1-1"] * 10)
    await turns()
    assert len(slow.server.writes) == 2
    await slow.publisher.abandon()
    await asyncio.gather(*confirmations, return_exceptions=True)


async def test_a_task_that_was_cancelled_at_once_publishes_nothing_later(slow):
    """It waited for a connection."""
    slow.server.connected = False
    task = asyncio.create_task(slow.publisher.publish(*orders(1)))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    slow.resume()
    await turns()
    assert slow.server.writes == []


async def test_two_tasks_may_await_one_publish(desk):
    """As two may await one future."""
    confirmation = desk.publisher.publish(*orders(1))
    tasks = [asyncio.create_task(confirmation) for _ in range(2)]
    assert [record.entry_id for record in await asyncio.gather(*tasks)] == ["1-0", "1-0"]


async def test_whatever_an_event_raises_is_heard_where_the_publish_is_awaited(desk):
    """A gather hears it in its place."""
    wrong = desk.publisher.publish(*orders(1), headers=["no mapping"])
    answers = await asyncio.gather(wrong, desk.publisher.publish(*orders(1)), return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["AttributeError", "Published"]


async def test_callbacks_have_none_of_the_publishers_context(desk):
    """The supervisor's logs would name somebody's request."""
    request, heard = contextvars.ContextVar("request", default="none"), []
    desk.publisher._sender.resume(lambda: heard.append(request.get()))
    request.set("somebody's")
    await desk.publisher.publish(*orders(1))
    await turns()
    assert heard == ["none"]


# -- what is known at the end


async def given_up(desk, confirmation):
    """End the publisher and return what the publish raised."""
    await desk.publisher.abandon()
    with pytest.raises((BackendUnavailable, BackendRefused)) as caught:
        await confirmation
    return caught.value


async def fail_with(desk, error):
    """One try fails with this error."""
    if error is NEVER_SENT:
        desk.server.cannot_connect, desk.server.connected = error, False
        desk.resume(connected=False)
        await desk.failure(type(error))
        desk.server.cannot_connect = None
        return
    desk.resume()
    if isinstance(error, BackendRefused):
        desk.server.answer(error)
    else:
        desk.server.lose(error)
    await turns()


@pytest.mark.parametrize(
    ("tries", "maybe"),
    [
        ([], False),
        ([NEVER_SENT], False),
        ([LOST], True),
        ([LOST, NEVER_SENT], True),
        ([NEVER_SENT, LOST], True),
        ([refusal("BUSY")], False),
        ([LOST, refusal("BUSY")], True),
        ([refusal("BUSY"), NEVER_SENT], False),
    ],
)
async def test_an_event_may_have_been_written_once_one_try_reached_redis_without_an_answer(slow, tries, maybe):
    """A later try that certainly failed does not change that; the error carries the id and the last reason."""
    slow.server.connected = False
    (confirmation,) = await slow.publish(OrderCreated(order_id="1"))
    for error in tries:
        await fail_with(slow, error)
    error = await given_up(slow, confirmation)
    assert (type(error), error.maybe_executed) == (BackendUnavailable, maybe)
    assert ("it may or may not have been written" in str(error)) is maybe
    assert ("it was not written" in str(error)) is not maybe
    assert error.event_id in str(error)
    assert not tries or str(tries[-1]) in str(error)


async def test_a_refusal_after_a_lost_answer_leaves_it_unknown(slow):
    """The second try was refused; the first may have been executed."""
    (confirmation,) = await slow.publish(*orders(1))
    slow.server.lose(LOST)
    await turns()
    slow.resume()
    slow.server.answer(refusal("OOM"))
    with pytest.raises(BackendUnavailable, match="an earlier try had no answer: it may or may not") as caught:
        await confirmation
    assert caught.value.maybe_executed
    assert (slow.publisher.counts.refused, slow.publisher.counts.given_up) == (1, 1)


@pytest.mark.parametrize("sent", [False, True])
async def test_a_publish_is_given_up_when_its_time_is_over(slow, sent):
    """Where it is under way nobody knows; where it waited it was not written, and never will be."""
    await slow.publish(*[OrderCreated(order_id="neighbour")] * 3)
    (waiting,) = await slow.publish(OrderCreated(order_id="waiting"), timeout=0)
    if sent:
        slow.server.answer(b"1-0", b"1-1", b"1-2")
        await turns()
    async with at_work(slow.publisher.sweep):
        with pytest.raises(BackendUnavailable, match="its time was over") as caught:
            await waiting
    assert caught.value.maybe_executed is sent
    assert slow.publisher.counts.given_up == 1
    slow.server.answer(*[b"1-0"] * len(slow.server.writes[-1]))
    await turns()
    assert [["waiting"] in slow.server.all_ids, slow.publisher._sender.empty.is_set()] == [sent, True]


async def test_each_is_given_up_in_its_own_time(slow):
    """Whatever the order in which they were published, waiting or under way."""
    timeouts = [30, 10, 20, 40]
    confirmations = [slow.publisher.publish(event, timeout=timeout) for event, timeout in zip(orders(4), timeouts, strict=True)]
    await turns()
    (waiting,) = await slow.publish(*orders(1), timeout=25)
    everything, published = [*confirmations, waiting], min(each.until for each in confirmations) - 10
    for after, gone in ((5, []), (15, [10]), (22, [10, 20]), (27, [10, 20, 25]), (35, [10, 20, 25, 30]), (45, [10, 20, 25, 30, 40])):
        slow.publisher._sender.give_up(published + after, "its time was over")
        assert sorted(round(each.until - published) for each in everything if each.done()) == gone
    await asyncio.gather(*everything, return_exceptions=True)


async def test_what_is_under_way_and_has_time_is_known_to_be_refused(slow):
    """That others were given up says nothing about it."""
    first, second = slow.publisher.publish(*orders(1), timeout=0), slow.publisher.publish(*orders(1))
    await turns()
    async with at_work(slow.publisher.sweep):
        await asyncio.gather(first, return_exceptions=True)
    slow.server.answer(b"1-0", refusal("OOM"))
    with pytest.raises(BackendRefused):
        await second


@pytest.mark.parametrize("others", [[], ["other"]])
async def test_what_was_given_up_or_cancelled_while_it_connected_is_never_written(desk, others):
    """It stands in no later write either, and the others do."""
    desk.server.connected = False
    desk.server.connecting.clear()
    async with at_work(desk.publisher.run):
        (given_up,) = await desk.publish(OrderCreated(order_id="given up"), timeout=0)
        (cancelled,) = await desk.publish(OrderCreated(order_id="cancelled"))
        confirmations = await desk.publish(*(OrderCreated(order_id=other) for other in others))
        await desk.server.asked_to_connect.wait()
        async with at_work(desk.publisher.sweep):
            with pytest.raises(BackendUnavailable, match="it was not written"):
                await given_up
        cancelled.cancel()
        desk.server.connecting.set()
        await asyncio.gather(*confirmations)
        await turns()
        await desk.publisher.publish(OrderCreated(order_id="later"))
    assert desk.server.all_ids == [*([others] if others else []), ["later"]]


async def test_a_write_that_was_under_way_when_the_bus_was_closed_may_have_been_written(slow):
    """It may stand in Redis already, and nobody will hear of it."""
    (confirmation,) = await slow.publish(*orders(1))
    error = await given_up(slow, confirmation)
    assert error.maybe_executed
    assert "the bus was closed: it may or may not have been written" in str(error)


async def test_what_was_answered_before_the_bus_was_closed_keeps_its_answer(slow):
    """A part of the replies had come."""
    first, second, third = await slow.publish(*orders(3))
    slow.server.answer(b"7-0", refusal("OOM"))
    assert (await given_up(slow, third)).maybe_executed
    assert (await first).entry_id == "7-0"
    with pytest.raises(BackendRefused):
        await second
    assert slow.publisher.counts.published == 1


async def test_what_waited_for_a_connection_when_the_bus_was_closed_was_not_written(desk):
    """It never left."""
    desk.server.connected = False
    desk.server.connecting.clear()
    async with at_work(desk.publisher.run):
        (confirmation,) = await desk.publish(*orders(1))
        await desk.server.asked_to_connect.wait()
    error = await given_up(desk, confirmation)
    assert not error.maybe_executed
    assert "the bus was closed: it was not written" in str(error)


@pytest.mark.parametrize("timeout", [None, -1, -0.001, float("nan"), True, "3", [1]])
async def test_a_timeout_that_is_none_is_refused_before_anything_is_queued(desk, timeout):
    """By its value; what waits for ever, or gives up at once, is somebody's mistake."""
    for publish, what in ((desk.publisher.publish, orders(1)[0]), (desk.publisher.publish_many, orders(2))):
        with pytest.raises(ConfigurationError, match="timeout=.*: give a number of seconds, 0 or more") as caught:
            await asyncio.wait_for(publish(what, timeout=timeout), 1)
        assert f"timeout={timeout!r}" in str(caught.value)
    await turns()
    assert desk.server.writes == []


@pytest.mark.parametrize("timeout", [5, 0.5, float("inf"), 10**400])
async def test_any_other_number_of_seconds_is_a_timeout(desk, timeout):
    """However large."""
    assert (await desk.publisher.publish(orders(1)[0], timeout=timeout)).entry_id == "1-0"


# -- batches


async def test_a_batch_returns_its_records_in_order(desk):
    """One for each event."""
    records = await desk.publisher.publish_many(orders(CHUNK + 1))
    assert [record.entry_id for record in records] == [*(f"1-{number}" for number in range(CHUNK)), "1-0"]


async def test_an_incomplete_batch_tells_written_refused_and_unknown_apart(slow):
    """With the place of each event, which is safe to publish again."""
    events = orders(4)
    batch = asyncio.ensure_future(slow.publisher.publish_many(events))
    await turns()
    slow.server.answer(b"7-0", refusal("OOM"))
    slow.server.lose(LOST)
    await turns()
    slow.resume()
    slow.server.answer(b"7-1")
    await slow.publisher.abandon()
    with pytest.raises(PublishIncomplete) as caught:
        await batch
    error = caught.value
    assert [record.entry_id for record in error.written] == ["7-0", "7-1"]
    assert [(failed.index, failed.event, type(failed.error)) for failed in error.refused] == [(1, events[1], BackendRefused)]
    assert [(failed.index, failed.event, type(failed.error)) for failed in error.unknown] == [(3, events[3], BackendUnavailable)]
    assert "2 events were written, 1 were not, 1 are unknown; the first that failed is number 1" in str(error)


async def test_a_batch_that_was_under_way_when_the_bus_was_closed_is_unknown(slow):
    """What was sent may have been executed; what was not sent was not."""
    batch = asyncio.ensure_future(slow.publisher.publish_many(orders(MOST_WRITES * CHUNK + 1)))
    await turns()
    await slow.publisher.abandon()
    with pytest.raises(PublishIncomplete) as caught:
        await batch
    assert [failed.index for failed in caught.value.unknown] == list(range(MOST_WRITES * CHUNK))
    assert [failed.index for failed in caught.value.refused] == [MOST_WRITES * CHUNK]


async def test_a_batch_that_was_cancelled_writes_no_more(slow):
    """What was not sent yet stays unsent."""
    batch = asyncio.ensure_future(slow.publisher.publish_many(orders(3 * CHUNK)))
    await turns()
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    for _ in range(MOST_WRITES):
        slow.server.answer(*[b"1-1"] * CHUNK)
        await turns()
    assert [len(write) for write in slow.server.writes] == [CHUNK] * MOST_WRITES
    assert slow.publisher._sender.empty.is_set()


# -- the end


async def test_closing_waits_for_what_is_under_way_and_refuses_what_comes_after(slow):
    """Whoever published before gets an answer."""
    (confirmation,) = await slow.publish(*orders(1))
    closing = asyncio.ensure_future(slow.publisher.close())
    await turns()
    with pytest.raises(LifecycleError, match="the bus is closed"):
        await slow.publisher.publish(OrderCreated(order_id="late"))
    assert not closing.done()
    slow.server.answer(b"1-0")
    await closing
    assert (await confirmation).entry_id == "1-0"


async def test_closing_does_not_wait_for_what_was_given_up_without_a_connection(desk):
    """There may never be one again."""
    desk.server.connected = False
    (confirmation,) = await desk.publish(*orders(1), timeout=0)
    closing = asyncio.ensure_future(desk.publisher.close())
    async with at_work(desk.publisher.sweep):
        await asyncio.gather(confirmation, return_exceptions=True)
    async with asyncio.timeout(5):
        await closing
    assert desk.publisher._sender.empty.is_set()
    assert desk.server.writes == []


async def test_closing_does_not_wait_for_what_was_cancelled_without_a_connection(desk):
    """Nobody wants its answer."""
    desk.server.connected = False
    for confirmation in await desk.publish(*orders(3)):
        confirmation.cancel()
    async with at_work(desk.publisher.sweep), asyncio.timeout(5):  # close() itself would wait for ten
        await desk.publisher.close()
    assert desk.publisher._sender.empty.is_set()
    assert desk.server.writes == []


async def test_abandoning_answers_everything_that_waits_and_disconnects(desk):
    """Nobody waits for ever."""
    desk.server.connected = False
    confirmations = await desk.publish(*orders(3))
    await desk.publisher.abandon()
    answers = await asyncio.gather(*confirmations, return_exceptions=True)
    assert [type(answer) for answer in answers] == [BackendUnavailable] * 3
    assert desk.server.closed == 1
    assert desk.server.writes == []
    await desk.publisher.close()


async def test_topics_that_are_made_up_for_ever_are_not_kept_for_ever(desk, monkeypatch):
    """What is packed once for each of them is made again."""
    monkeypatch.setattr("eventbus.publishing.publisher.MOST_WRITINGS", 3)
    confirmations = [each for number in range(10) for each in await desk.publish(*orders(1), topic=f"t-{number % 5}")]
    assert [(await each).topic for each in confirmations] == [f"t-{number % 5}" for number in range(10)]
    assert len(desk.publisher._writings) <= 3


@pytest.mark.parametrize("topic", [["orders"], {}, 7])
async def test_what_is_no_topic_is_refused_as_such(desk, topic):
    """Also what no dictionary takes."""
    with pytest.raises(ConfigurationError):
        await desk.publisher.publish(*orders(1), topic=topic)


class Tasked(Event, topic=Topic("tasks", priorities=("high", "normal", "low"))):
    """An event of a topic with priorities."""

    name: str


@pytest.mark.parametrize(
    ("priority", "stream"), [("high", "{tasks}:p:high"), ("low", "{tasks}:p:low"), ("normal", "tasks"), (None, "tasks")]
)
async def test_a_priority_is_a_stream_beside_the_topics(desk, priority, stream):
    """Normal, and none at all, is the topic's own."""
    (confirmation,) = await desk.publish(Tasked(name="a"), priority=priority)
    assert (await confirmation).topic == "tasks"
    assert desk.server.writes[0][0].split(b"\r\n")[4] == stream.encode()


async def test_what_is_published_with_different_priorities_in_one_turn_is_one_write(desk):
    """Each in its own stream."""
    confirmations = [desk.publisher.publish(Tasked(name="a"), asked=Placing(priority=each)) for each in ("high", "low", "normal", "high")]
    await asyncio.gather(*confirmations)
    assert [command.split(b"\r\n")[4] for command in desk.server.writes[0]] == [
        b"{tasks}:p:high",
        b"{tasks}:p:low",
        b"tasks",
        b"{tasks}:p:high",
    ]


@pytest.mark.parametrize("priority", ["urgent", "", 7])
async def test_an_unknown_priority_is_heard_where_the_publish_is_awaited(desk, priority):
    """Nothing is written."""
    confirmation = desk.publisher.publish(Tasked(name="a"), asked=Placing(priority=priority))
    with pytest.raises(ConfigurationError, match="'high', 'normal', 'low'"):
        await confirmation
    with pytest.raises(ConfigurationError, match="has no priorities"):
        await desk.publisher.publish_many(orders(2), asked=Placing(priority="high"))
    assert desk.server.writes == []


class Told:
    """A new connection, which notes what it is greeted with."""

    def __init__(self):
        self.words = []

    async def one(self, *words):
        self.words.append(words[:2])


async def test_a_script_goes_along_with_the_first_publish_that_needs_it_and_its_hash_with_the_others(slow):
    """A server executes the commands of a connection in order."""
    confirmations = await slow.publish(*orders(3), idempotency_key="k")
    words = [command.split(b"\r\n")[2] for command in slow.server.writes[0]]
    assert words == [b"EVAL", b"EVALSHA", b"EVALSHA"]
    slow.server.answer(*[[b"5-0", b"e-1", 0]] * 3)
    assert [(await each).entry_id for each in confirmations] == ["5-0"] * 3


async def test_a_new_connection_learns_the_script_only_where_one_was_needed(desk):
    """Whoever publishes plainly sends nothing for it."""
    told = Told()
    await desk.publisher._greet(told)
    assert told.words == []
    await desk.publish(*orders(1), idempotency_key="k")
    await desk.publisher._greet(told)
    assert told.words == [("SCRIPT", "LOAD")]


async def test_an_answer_says_what_is_stored_and_until_when_it_is_held(slow):
    """The first one's event id and time, whoever asks."""
    first, second = await slow.publish(*orders(2), delay=60)
    slow.server.answer([b"5-0", b"e-1", 1_893_456_000_123], [b"6-0", b"e-2", 0])
    told = await first
    assert (told.event_id, told.entry_id, told.due.isoformat()) == ("e-1", "5-0", "2030-01-01T00:00:00.123000+00:00")
    assert (await second).due is None


async def test_an_entry_id_that_is_too_low_is_an_error_of_its_own(slow):
    """It says the last."""
    (confirmation,) = await slow.publish(*orders(1), entry_id="5-0")
    slow.server.answer(BackendRefused("publishing at x: Redis refused: IDTOOLOW 7-3", code="IDTOOLOW"))
    with pytest.raises(EntryIdTooLow, match="topic 'orders'") as caught:
        await confirmation
    assert caught.value.last == "7-3"


async def test_who_promotes_hears_of_a_topic_before_anything_is_scheduled_there(desk):
    """And of nothing else."""
    heard = []
    desk.publisher.scheduling = heard.append
    await desk.publish(*orders(2), delay=60)
    await desk.publish(*orders(1), idempotency_key="k")
    assert heard == ["orders", "orders"]


@pytest.mark.parametrize("wrong", [{"delay": float("nan")}, {"entry_id": "0-0"}, {"idempotency_key": ""}, {"idempotency_window": 1}])
async def test_what_is_asked_for_wrongly_is_heard_where_the_publish_is_awaited(desk, wrong):
    """Nothing is queued."""
    (confirmation,) = await desk.publish(*orders(1), **wrong)
    with pytest.raises(ConfigurationError):
        await confirmation
    with pytest.raises(ConfigurationError):
        await desk.publisher.publish_many(orders(2), asked=Placing(**wrong))
    assert desk.server.writes == []
