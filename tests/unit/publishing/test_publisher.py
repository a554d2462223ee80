"""From a queue to Redis: sizes of writes, order, and what is known about an event whose answer did not come."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from eventbus.delivery import Topics
from eventbus.errors import BackendRefused, BackendUnavailable, ConfigurationError, LifecycleError, PublishIncomplete
from eventbus.publishing import Publisher
from eventbus.publishing.publisher import CHUNK, CHUNK_BYTES, TRANSIENT
from eventbus.streams import Address, Connections
from tests.support.entries import SETTINGS
from tests.support.events import OrderCreated, orders

LOST = BackendUnavailable("no answer")
NEVER_SENT = BackendUnavailable("no connection", maybe_executed=False)


def refusal(code):
    return BackendRefused("Redis refused", code=code)


class Server:
    """A wire whose server answers each command with an entry id, unless it was told otherwise."""

    def __init__(self):
        self.writes = []
        self.answers = []
        self.closed = 0
        self.connected = True
        self.connecting = None
        self.hanging = None
        self.asked = asyncio.Event()

    def answer(self, *replies, then=None):
        """Answer one write with these replies, and then fail."""
        self.answers.append((replies, then))

    async def connect(self):
        self.asked.set()
        await self.connecting.wait()
        self.connected = True

    async def call(self, commands, *, into):
        self.writes.append(list(commands))
        replies, error = self.answers.pop(0) if self.answers else ([b"1-%d" % number for number in range(len(commands))], None)
        if self.hanging:
            for reply in replies[: self.hangs_after]:
                into.append(reply)
            self.asked.set()
            await self.hanging.wait()
        self.asked.set()
        for reply in replies[len(into) :]:
            into.append(reply)
        if error:
            raise error

    hangs_after = 0

    async def close(self):
        self.closed += 1

    def ids(self, *, write):
        """The order ids of one write, as they stand in its commands."""
        return [command.partition(b'"order_id":"')[2].partition(b'"')[0].decode() for command in self.writes[write]]


class Desk:
    """A publisher without Redis."""

    def __init__(self):
        self.publisher = Publisher(Connections(Address.parse("redis://nowhere"), name="test"), SETTINGS, Topics())
        self.server = self.publisher._wire = Server()

    async def publish(self, *events, **options):
        """Start to publish; the tasks have queued their events."""
        tasks = [asyncio.ensure_future(self.publisher.publish(event, **options)) for event in events]
        await asyncio.sleep(0)
        return tasks


@asynccontextmanager
async def at_work(body):
    """A loop, for as long as the block lasts."""
    task = asyncio.ensure_future(body(lambda: None))
    await asyncio.sleep(0)
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# -- the size of a write


async def test_a_write_has_a_bounded_number_of_commands_in_order():
    """The first does not wait for the last of thousands."""
    desk = Desk()
    tasks = await desk.publish(*orders(2 * CHUNK + 1))
    for _ in range(3):
        await desk.publisher.run_once()
    assert [len(write) for write in desk.server.writes] == [CHUNK, CHUNK, 1]
    assert [each for write in range(3) for each in desk.server.ids(write=write)] == [f"o-{n}" for n in range(2 * CHUNK + 1)]
    records = await asyncio.gather(*tasks)
    assert len({record.event_id for record in records}) == len(records)
    assert (desk.publisher.counts.published, desk.publisher.counts.writes) == (2 * CHUNK + 1, 3)


async def test_an_answer_is_handed_out_as_it_comes():
    """Whoever awaits the first does not wait for the last, nor for the publisher's turn."""
    desk = Desk()
    desk.server.hanging, desk.server.hangs_after = asyncio.Event(), 2
    tasks = await desk.publish(*orders(3))
    write = asyncio.ensure_future(desk.publisher.run_once())
    await desk.server.asked.wait()
    assert [(await task).entry_id for task in tasks[:2]] == ["1-0", "1-1"]
    assert not tasks[2].done()
    desk.server.hanging.set()
    await write
    assert (await tasks[2]).entry_id == "1-2"


@pytest.mark.parametrize("size", [CHUNK_BYTES // 20, CHUNK_BYTES // 6, CHUNK_BYTES // 2 - 1_000])  # an order holds its id twice
async def test_a_write_ends_before_the_event_that_would_not_fit(size):
    """Large events do not pile up in memory."""
    desk = Desk()
    tasks = await desk.publish(*(OrderCreated(order_id="x" * size) for _ in range(30)))
    while not all(task.done() for task in tasks):
        await desk.publisher.run_once()
        await asyncio.sleep(0)
    largest = max(map(len, desk.server.writes[0]))
    assert all(sum(map(len, write)) <= CHUNK_BYTES for write in desk.server.writes)
    assert all(sum(map(len, write)) + largest > CHUNK_BYTES for write in desk.server.writes[:-1])
    assert sum(map(len, desk.server.writes)) == 30


async def test_with_nothing_to_write_nothing_is_written():
    """Not even an empty pipeline."""
    desk = Desk()
    await desk.publisher.run_once()
    assert await desk.publisher.publish_many([]) == []
    assert desk.server.writes == []


async def test_a_publish_that_was_cancelled_before_its_write_is_not_written():
    """The others go on."""
    desk = Desk()
    first, second = await desk.publish(*orders(2))
    first.cancel()
    await asyncio.sleep(0)
    await desk.publisher.run_once()
    assert desk.server.ids(write=0) == ["o-1"]
    assert (await second).entry_id == "1-0"


async def test_a_publish_that_was_cancelled_under_way_does_not_disturb_the_others():
    """Its answer has nobody to go to."""
    desk = Desk()
    desk.server.hanging = asyncio.Event()
    first, second = await desk.publish(*orders(2))
    async with at_work(desk.publisher.run):
        await desk.server.asked.wait()
        first.cancel()
        desk.server.hanging.set()
        assert (await second).entry_id == "1-1"


# -- answers


async def test_each_answer_goes_to_its_own_event():
    """A refusal of one is no matter of its neighbours."""
    desk = Desk()
    tasks = await desk.publish(*orders(3))
    desk.server.answer(b"7-0", refusal("OOM"), b"7-1")
    await desk.publisher.run_once()
    one, two, three = await asyncio.gather(*tasks, return_exceptions=True)
    assert (one.entry_id, three.entry_id) == ("7-0", "7-1")
    assert (type(two), two.code) == (BackendRefused, "OOM")
    assert "topic 'orders'" in str(two)
    assert (desk.publisher.counts.published, desk.publisher.counts.refused, desk.server.closed) == (2, 1, 0)


@pytest.mark.parametrize("code", sorted(TRANSIENT))
async def test_a_passing_refusal_is_tried_again_on_a_new_connection(code):
    """A demoted primary keeps its connections; a new one finds the new primary."""
    desk = Desk()
    tasks = await desk.publish(*orders(3))
    desk.server.answer(b"7-0", refusal(code), b"7-1")
    with pytest.raises(BackendRefused) as caught:
        await desk.publisher.run_once()
    assert (caught.value.code, desk.server.closed) == (code, 1)
    assert [task.done() for task in tasks] == [False] * 3  # two of them have their answers and not had their turn
    await desk.publisher.run_once()
    assert desk.server.ids(write=1) == ["o-1"]
    assert [(await task).entry_id for task in tasks] == ["7-0", "1-0", "7-1"]


async def test_what_is_tried_again_comes_before_what_was_published_since():
    """Answers that still came count; the rest keeps its order."""
    desk = Desk()
    tasks = await desk.publish(*orders(5))
    desk.server.answer(b"7-0", refusal("BUSY"), b"7-1", then=LOST)
    tasks += await desk.publish(OrderCreated(order_id="later"))
    with pytest.raises(BackendUnavailable):
        await desk.publisher.run_once()
    await desk.publisher.run_once()
    assert desk.server.ids(write=1)[:3] == ["o-1", "o-3", "o-4"]
    assert len(await asyncio.gather(*tasks)) == 6


async def test_a_batch_that_was_lost_keeps_its_place_before_what_waited_behind_it():
    """As long as it is tried."""
    desk = Desk()
    tasks = await desk.publish(*orders(CHUNK + 2))
    for _ in range(3):
        desk.server.answer(then=LOST)
        with pytest.raises(BackendUnavailable):
            await desk.publisher.run_once()
    for _ in range(2):
        await desk.publisher.run_once()
    assert desk.server.ids(write=3) + desk.server.ids(write=4) == [f"o-{number}" for number in range(CHUNK + 2)]
    assert desk.publisher.counts.retries == 3
    await asyncio.gather(*tasks)


async def test_a_loop_that_was_ended_in_mid_write_begins_with_that_write_again():
    """The events are still awaited."""
    desk = Desk()
    desk.server.hanging = asyncio.Event()
    tasks = await desk.publish(*orders(2))
    async with at_work(desk.publisher.run):
        await desk.server.asked.wait()
        tasks += await desk.publish(OrderCreated(order_id="later"))
    desk.server.hanging = None
    async with at_work(desk.publisher.run):
        await asyncio.gather(*tasks)
    assert desk.server.ids(write=1) == ["o-0", "o-1", "later"]


# -- what is known at the end


async def given_up(desk, task):
    """End the publisher and return what the publish raised."""
    await desk.publisher.abandon()
    with pytest.raises((BackendUnavailable, BackendRefused)) as caught:
        await task
    return caught.value


@pytest.mark.parametrize(
    ("tries", "maybe"),
    [
        ([], False),
        ([NEVER_SENT], False),
        ([LOST], True),
        ([LOST, NEVER_SENT], True),
        ([NEVER_SENT, LOST], True),
        ([refusal("NOAUTH")], False),
        ([LOST, refusal("NOAUTH")], True),
    ],
)
async def test_an_event_may_have_been_written_once_one_try_reached_redis_without_an_answer(tries, maybe):
    """A later try that certainly failed does not change that; the error carries the id and the last reason."""
    desk, event = Desk(), OrderCreated(order_id="1")
    (task,) = await desk.publish(event)
    for error in tries:
        desk.server.answer(then=error)
        with pytest.raises(type(error)):
            await desk.publisher.run_once()
    error = await given_up(desk, task)
    assert (type(error), error.maybe_executed) == (BackendUnavailable, maybe)
    assert ("it may or may not have been written" in str(error)) is maybe
    assert ("it was not written" in str(error)) is not maybe
    assert error.event_id in str(error)
    assert not tries or str(tries[-1]) in str(error)


async def test_what_was_answered_with_a_passing_refusal_was_not_written():
    """It is an answer."""
    desk = Desk()
    (task,) = await desk.publish(*orders(1))
    desk.server.answer(refusal("READONLY"))
    with pytest.raises(BackendRefused):
        await desk.publisher.run_once()
    error = await given_up(desk, task)
    assert not error.maybe_executed
    assert "Redis refused" in str(error)


async def test_a_refusal_after_a_lost_answer_leaves_it_unknown():
    """The second try was refused; the first may have been executed."""
    desk = Desk()
    (task,) = await desk.publish(*orders(1))
    desk.server.answer(then=LOST)
    with pytest.raises(BackendUnavailable):
        await desk.publisher.run_once()
    desk.server.answer(refusal("OOM"))
    await desk.publisher.run_once()
    with pytest.raises(BackendUnavailable, match="an earlier try had no answer: it may or may not") as caught:
        await task
    assert caught.value.maybe_executed


@pytest.mark.parametrize("sent", [False, True])
async def test_a_publish_is_given_up_when_its_time_is_over(sent):
    """Where it is under way nobody knows; where it waited it was not written, and never will be."""
    desk = Desk()
    desk.server.hanging = asyncio.Event()
    async with at_work(desk.publisher.run):
        (before,) = await desk.publish(OrderCreated(order_id="before"), timeout=0 if sent else 3600)
        await desk.server.asked.wait()
        (waiting,) = await desk.publish(OrderCreated(order_id="waiting"), timeout=3600 if sent else 0)
        task = before if sent else waiting
        async with at_work(desk.publisher.sweep):
            with pytest.raises(BackendUnavailable, match="its time was over") as caught:
                await task
        assert caught.value.maybe_executed is sent
        assert desk.publisher.counts.given_up == 1
        desk.server.hanging.set()
        await (waiting if sent else before)
    assert [desk.server.ids(write=number) for number in range(len(desk.server.writes))] == (
        [["before"], ["waiting"]] if sent else [["before"]]
    )


@pytest.mark.parametrize("others", [[], ["other"]])
async def test_what_was_given_up_or_cancelled_while_it_connected_is_never_written(others):
    """It stands in no later write either, and the others do."""
    desk = Desk()
    desk.server.connected, desk.server.connecting = False, asyncio.Event()
    async with at_work(desk.publisher.run):
        (given_up,) = await desk.publish(OrderCreated(order_id="given up"), timeout=0)
        (cancelled,) = await desk.publish(OrderCreated(order_id="cancelled"))
        tasks = await desk.publish(*(OrderCreated(order_id=other) for other in others))
        await desk.server.asked.wait()
        async with at_work(desk.publisher.sweep):
            with pytest.raises(BackendUnavailable, match="it was not written"):
                await given_up
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        desk.server.connecting.set()
        await asyncio.gather(*tasks)
        await asyncio.gather(*await desk.publish(OrderCreated(order_id="later")))
    writes = [desk.server.ids(write=number) for number in range(len(desk.server.writes))]
    assert writes == [*([others] if others else []), ["later"]]


async def under_way(desk, *events):
    """Publish, and end the loop when the write is under way."""
    tasks = await desk.publish(*events)
    async with at_work(desk.publisher.run):
        await desk.server.asked.wait()
    return tasks


async def test_a_write_that_was_under_way_when_the_bus_was_closed_may_have_been_written():
    """It may stand in Redis already, and nobody will hear of it."""
    desk = Desk()
    desk.server.hanging = asyncio.Event()
    (task,) = await under_way(desk, *orders(1))
    error = await given_up(desk, task)
    assert error.maybe_executed
    assert "the bus was closed: it may or may not have been written" in str(error)


async def test_what_was_answered_before_the_write_was_ended_keeps_its_answer():
    """A part of the replies had come."""
    desk = Desk()
    desk.server.hanging, desk.server.hangs_after = asyncio.Event(), 2
    desk.server.answer(b"7-0", refusal("OOM"))
    first, second, third = await under_way(desk, *orders(3))
    assert (await given_up(desk, third)).maybe_executed
    assert (await first).entry_id == "7-0"
    with pytest.raises(BackendRefused):
        await second
    assert desk.publisher.counts.published == 1


async def test_what_waited_for_a_connection_when_the_bus_was_closed_was_not_written():
    """It never left."""
    desk = Desk()
    desk.server.connected, desk.server.connecting = False, asyncio.Event()
    (task,) = await under_way(desk, *orders(1))
    error = await given_up(desk, task)
    assert not error.maybe_executed
    assert "the bus was closed: it was not written" in str(error)


@pytest.mark.parametrize("timeout", [None, -1, -0.001, float("nan"), True, "3", [1]])
async def test_a_timeout_that_is_none_is_refused_before_anything_is_queued(timeout):
    """By its value; what waits for ever, or gives up at once, is somebody's mistake."""
    desk = Desk()
    for publish, what in ((desk.publisher.publish, orders(1)[0]), (desk.publisher.publish_many, orders(2))):
        with pytest.raises(ConfigurationError, match="timeout=.*: give a number of seconds, 0 or more") as caught:
            await asyncio.wait_for(publish(what, timeout=timeout), 1)
        assert f"timeout={timeout!r}" in str(caught.value)
    await desk.publisher.run_once()
    assert desk.server.writes == []


@pytest.mark.parametrize("timeout", [5, 0.5, float("inf"), 10**400])
async def test_any_other_number_of_seconds_is_a_timeout(timeout):
    """However large."""
    desk = Desk()
    async with at_work(desk.publisher.run):
        assert (await desk.publisher.publish(orders(1)[0], timeout=timeout)).entry_id == "1-0"


# -- batches


async def test_a_batch_returns_its_records_in_order():
    """One for each event."""
    desk = Desk()
    async with at_work(desk.publisher.run):
        records = await desk.publisher.publish_many(orders(CHUNK + 1))
    assert [record.entry_id for record in records] == [*(f"1-{number}" for number in range(CHUNK)), "1-0"]


async def test_an_incomplete_batch_tells_written_refused_and_unknown_apart():
    """With the place of each event, which is safe to publish again."""
    desk, events = Desk(), orders(4)
    batch = asyncio.ensure_future(desk.publisher.publish_many(events))
    await asyncio.sleep(0)
    desk.server.answer(b"7-0", refusal("OOM"), then=LOST)
    with pytest.raises(BackendUnavailable):
        await desk.publisher.run_once()
    desk.server.answer(b"7-1", then=NEVER_SENT)
    with pytest.raises(BackendUnavailable):
        await desk.publisher.run_once()
    await desk.publisher.abandon()
    with pytest.raises(PublishIncomplete) as caught:
        await batch
    error = caught.value
    assert [record.entry_id for record in error.written] == ["7-0", "7-1"]
    assert [(failed.index, failed.event, type(failed.error)) for failed in error.refused] == [(1, events[1], BackendRefused)]
    assert [(failed.index, failed.event, type(failed.error)) for failed in error.unknown] == [(3, events[3], BackendUnavailable)]
    assert "2 events were written, 1 were refused, 1 are unknown; the first that failed is number 1" in str(error)


async def test_a_batch_that_was_under_way_when_the_bus_was_closed_is_unknown():
    """Its first write may have been executed, its second was not sent."""
    desk = Desk()
    desk.server.hanging = asyncio.Event()
    batch = asyncio.ensure_future(desk.publisher.publish_many(orders(CHUNK + 1)))
    await asyncio.sleep(0)
    async with at_work(desk.publisher.run):
        await desk.server.asked.wait()
    await desk.publisher.abandon()
    with pytest.raises(PublishIncomplete) as caught:
        await batch
    assert [failed.index for failed in caught.value.unknown] == list(range(CHUNK))
    assert [failed.index for failed in caught.value.refused] == [CHUNK]


async def test_a_batch_that_was_cancelled_writes_no_more():
    """What was not sent yet stays unsent."""
    desk = Desk()
    batch = asyncio.ensure_future(desk.publisher.publish_many(orders(CHUNK + 1)))
    await asyncio.sleep(0)
    await desk.publisher.run_once()
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    await desk.publisher.run_once()
    assert [len(write) for write in desk.server.writes] == [CHUNK]


# -- the end


async def test_closing_waits_for_what_is_under_way_and_refuses_what_comes_after():
    """Whoever published before gets an answer."""
    desk = Desk()
    desk.server.hanging = asyncio.Event()
    async with at_work(desk.publisher.run):
        (task,) = await desk.publish(*orders(1))
        await desk.server.asked.wait()
        closing = asyncio.ensure_future(desk.publisher.close())
        await asyncio.sleep(0)
        with pytest.raises(LifecycleError, match="the bus is closed"):
            await desk.publisher.publish(OrderCreated(order_id="late"))
        assert not closing.done()
        desk.server.hanging.set()
        await closing
        assert (await task).entry_id == "1-0"


async def test_abandoning_answers_everything_that_waits_and_disconnects():
    """Nobody waits for ever."""
    desk = Desk()
    tasks = await desk.publish(*orders(3))
    await desk.publisher.abandon()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [BackendUnavailable] * 3
    assert desk.server.closed == 1
    assert desk.server.writes == []
    await desk.publisher.close()


async def test_topics_that_are_made_up_for_ever_are_not_kept_for_ever(monkeypatch):
    """What is packed once for each of them is made again."""
    monkeypatch.setattr("eventbus.publishing.publisher.MOST_WRITINGS", 3)
    desk = Desk()
    tasks = [each for number in range(10) for each in await desk.publish(*orders(1), topic=f"t-{number % 5}")]
    await desk.publisher.run_once()
    assert [(await task).topic for task in tasks] == [f"t-{number % 5}" for number in range(10)]
    assert len(desk.publisher._writings) <= 3


@pytest.mark.parametrize("topic", [["orders"], {}, 7])
async def test_what_is_no_topic_is_refused_as_such(topic):
    """Also what no dictionary takes."""
    with pytest.raises(ConfigurationError):
        await Desk().publisher.publish(*orders(1), topic=topic)
