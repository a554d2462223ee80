"""Rounds of XADD and WAIT: who shares one, what is written again, and what is known when the durability is not reached."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest

from eventbus import Replicated
from eventbus.delivery import Topics
from eventbus.errors import BackendRefused, BackendUnavailable, ConfigurationError, DurabilityNotReached, PublishIncomplete
from eventbus.publishing import Publisher, durable
from eventbus.publishing.durable import MARGIN, ROUND, ROUND_BYTES, ROUND_COMMANDS
from eventbus.streams import Address, Connections
from eventbus.streams.wire import ANSWER_TIMEOUT
from tests.support.entries import SETTINGS
from tests.support.events import OrderCreated, orders

LOST = BackendUnavailable("no answer")
NEVER_SENT = BackendUnavailable("no connection", maybe_executed=False)
MODERN = b"redis_version:7.2.0\r\naof_enabled:1\r\n"
NO_FILE = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."
KINDS = ["fsync", Replicated(2)]


def refusal(code, text="Redis refused"):
    return BackendRefused(text, code=code)


class Server:
    """A wire whose server answers each XADD with an entry id and each WAIT as it was told."""

    def __init__(self, reached):
        self.greetings = []
        self.reached = reached
        self.writes = []
        self.waits = []
        self.timeouts = []
        self.answers = []
        self.info = MODERN
        self.looks = 0
        self.closed = 0
        self.connected = False
        self.failing = None
        self.connecting = None
        self.hanging = None
        self.asked = asyncio.Event()

    def answer(self, *replies, then=None):
        """Answer one write with these replies, and then fail."""
        self.answers.append((replies, then))

    async def connect(self):
        self.asked.set()
        if self.failing:
            raise self.failing
        if self.connecting:
            await self.connecting.wait()
        self.connected = True

    async def one(self, *words):
        assert words == ("INFO",)
        self.looks += 1
        return self.info

    async def call(self, commands, *, timeout, into):
        assert self.connected
        *written, wait = commands
        self.writes.append(written)
        self.waits.append(words(wait))
        self.timeouts.append(timeout)
        ids = [b"%d-%d" % (len(self.writes), number) for number in range(len(written))]
        replies, error = self.answers.pop(0) if self.answers else ((*ids, self.reached), None)
        if self.hanging:
            into.extend(replies[: self.hangs_after])
            self.asked.set()
            await self.hanging.wait()
            del into[:]
        self.asked.set()
        into.extend(replies)
        if error:
            self.connected = False
            raise error

    hangs_after = 0

    async def close(self):
        self.closed += 1
        self.connected = False

    def ids(self, *, write):
        """The order ids of one write, as they stand in its commands."""
        return [command.partition(b'"order_id":"')[2].partition(b'"')[0].decode() for command in self.writes[write]]


def words(command):
    return [word.decode() for word in command.split(b"\r\n")[2::2]]


class Desk:
    """A publisher without Redis, whose lanes run when the test says so."""

    def __init__(self, monkeypatch, reached):
        self.servers = {}
        self.started = {}
        monkeypatch.setattr(durable, "Wire", lambda connections, doing: self.servers.setdefault(doing, Server(reached)))
        connections = Connections(Address.parse("redis://nowhere"), name="test")
        self.publisher = Publisher(connections, SETTINGS, Topics(), self.started.__setitem__)
        self.durability = "fsync"

    @property
    def lane(self):
        return self.publisher.durable.lanes[self.durability]

    @property
    def server(self):
        return self.lane._wire

    async def publish(self, *events, **options):
        """Start to publish; the tasks have queued their events."""
        options.setdefault("durability", self.durability)
        tasks = [asyncio.ensure_future(self.publisher.publish(event, **options)) for event in events]
        await asyncio.sleep(0)
        return tasks


@pytest.fixture
async def desk(monkeypatch):
    """A desk for "fsync", whose server has reached it."""
    return Desk(monkeypatch, [1, 0])


@pytest.fixture
async def replicas(monkeypatch):
    """A desk for two replicas, whose server has none."""
    desk = Desk(monkeypatch, 0)
    desk.durability = Replicated(2)
    return desk


@asynccontextmanager
async def at_work(body):
    """A loop, for as long as the block lasts."""
    task = asyncio.ensure_future(body(lambda: None))
    await asyncio.sleep(0)
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# -- what is sent


async def test_publishes_of_one_turn_share_one_pipeline_with_one_wait_behind_them(desk):
    """WAITAOF counts the writes of its own connection that came before it."""
    tasks = await desk.publish(*orders(3), timeout=1)
    await desk.lane.run_once()
    assert desk.server.ids(write=0) == ["o-0", "o-1", "o-2"]
    ((name, local, copies, milliseconds),) = desk.server.waits
    assert (name, local, copies) == ("WAITAOF", "1", "0")
    assert 1_000 * (1 - MARGIN) - 100 < int(milliseconds) <= 1_000 * (1 - MARGIN)
    assert [(await task).entry_id for task in tasks] == ["1-0", "1-1", "1-2"]
    assert not desk.publisher._sender._queue  # the ordinary publisher saw none of it


async def test_replicas_are_waited_for_by_their_number(replicas):
    """`Replicated(2)` is WAIT 2."""
    (task,) = await replicas.publish(*orders(1), timeout=1)
    replicas.server.answer(b"7-0", 2)
    await replicas.lane.run_once()
    assert replicas.server.waits[0][:2] == ["WAIT", "2"]
    assert replicas.server.looks == 0  # every server knows WAIT
    assert (await task).entry_id == "7-0"


@pytest.mark.parametrize(
    ("timeout", "least", "most"), [(0, 1, 1), (0.01, 1, 5), (1, 700, 850), (60, 2_000, 2_000), (float("inf"), 2_000, 2_000)]
)
async def test_a_wait_lasts_until_shortly_before_the_deadline_and_a_round_at_most_and_never_for_ever(desk, timeout, least, most):
    """WAIT 0 would never end; one without bound would keep every later publish from being written."""
    await desk.publish(*orders(1), timeout=timeout)
    await desk.lane.run_once()
    assert least <= int(desk.server.waits[0][3]) <= most
    assert desk.server.timeouts[0] == pytest.approx(int(desk.server.waits[0][3]) / 1_000 + ANSWER_TIMEOUT, abs=0.01)
    assert pytest.approx(2) == ROUND


async def test_a_wait_ends_before_the_first_deadline_of_those_that_share_it(desk):
    """It would learn too late what was reached."""
    await desk.publish(OrderCreated(order_id="long"), timeout=60)
    await desk.publish(OrderCreated(order_id="short"), timeout=0.5)
    await desk.lane.run_once()
    assert int(desk.server.waits[0][3]) <= 500 * (1 - MARGIN)


async def test_a_round_has_a_bounded_number_of_commands_and_bytes(desk):
    """In order."""
    await desk.publish(*orders(ROUND_COMMANDS + 1))
    await desk.publish(*(OrderCreated(order_id="x" * (ROUND_BYTES // 20)) for _ in range(11)))  # an order holds its id twice
    for _ in range(3):
        await desk.lane.run_once()
    assert [len(write) for write in desk.server.writes] == [ROUND_COMMANDS, 10, 2]
    assert desk.server.ids(write=1)[0] == f"o-{ROUND_COMMANDS}"
    assert sum(map(len, desk.server.writes[1])) <= ROUND_BYTES
    await desk.publisher.abandon()


async def test_each_durability_has_a_lane_of_its_own(desk):
    """A WAIT that does not come through holds up those who wait for the same, and nobody else."""
    await desk.publish(*orders(2))
    await desk.publish(*orders(1), durability=Replicated(1))
    await desk.publish(*orders(1), durability=Replicated(2))
    assert list(desk.started) == ["publishing durably (fsync)", "publishing durably (1 replica)", "publishing durably (2 replicas)"]
    assert list(desk.servers) == list(desk.started)
    await desk.publisher.abandon()


async def test_a_lane_gets_nothing_of_the_context_it_was_started_in(desk):
    """It outlives the handler that published first."""
    whose = ContextVar("whose", default="nobody's")
    seen = []
    desk.publisher.durable.start = lambda _name, _body: seen.append(whose.get())
    whose.set("the first publisher's")
    await desk.publish(*orders(1))
    assert seen == ["nobody's"]
    await desk.publisher.abandon()


# -- reached, or not yet


async def test_what_is_not_reached_is_waited_for_again_and_not_written_again(replicas):
    """The next WAIT of this connection counts it too, with what is new."""
    (first,) = await replicas.publish(OrderCreated(order_id="first"))
    await replicas.lane.run_once()
    (second,) = await replicas.publish(OrderCreated(order_id="second"))
    await replicas.lane.run_once()
    await replicas.lane.run_once()
    assert [replicas.server.ids(write=number) for number in range(3)] == [["first"], ["second"], []]
    assert not first.done()
    replicas.server.reached = 2
    await replicas.lane.run_once()
    assert [(await first).entry_id, (await second).entry_id] == ["1-0", "2-0"]
    assert replicas.publisher.counts.published == 2


async def test_more_copies_than_asked_for_are_enough(replicas):
    """WAIT answers how many there are."""
    (task,) = await replicas.publish(*orders(1))
    replicas.server.reached = 5
    await replicas.lane.run_once()
    await task


async def test_what_is_not_reached_in_time_says_what_is_known(replicas):
    """The event is in Redis."""
    event = OrderCreated(order_id="1")
    (task,) = await replicas.publish(event, timeout=0)
    replicas.server.answer(b"7-0", 1)
    await replicas.lane.run_once()
    with pytest.raises(DurabilityNotReached) as caught:
        await task
    error = caught.value
    assert (error.published.topic, error.published.entry_id, error.event_id) == ("orders", "7-0", error.published.event_id)
    assert (error.wanted, error.reached) == (Replicated(2), 1)
    for part in (error.event_id, "'orders' as 7-0", "did not reach 2 replicas, its time was over: 1 confirmed it", "exists on the primary"):
        assert part in str(error)
    assert "safe to publish again" in str(error)
    assert replicas.publisher.counts.given_up == 1


async def test_an_fsync_that_does_not_come_names_the_setting_that_may_be_the_reason(desk):
    """Redis does not tell `appendfsync` to those who may not ask for it."""
    (task,) = await desk.publish(*orders(1), timeout=0)
    desk.server.answer(b"7-0", [0, 0])
    await desk.lane.run_once()
    with pytest.raises(DurabilityNotReached, match="did not reach fsync.*with `appendfsync no` none ever is") as caught:
        await task
    assert (caught.value.wanted, caught.value.reached) == ("fsync", 0)


async def test_only_those_whose_time_is_over_are_given_up(replicas):
    """The others wait on."""
    (long,) = await replicas.publish(OrderCreated(order_id="long"), timeout=60)
    (short,) = await replicas.publish(OrderCreated(order_id="short"), timeout=0)
    await replicas.lane.run_once()
    with pytest.raises(DurabilityNotReached):
        await short
    assert not long.done()
    replicas.server.reached = 2
    await replicas.lane.run_once()
    assert (await long).entry_id == "1-0"


async def test_a_cancelled_publish_is_not_written_or_no_longer_waited_for(replicas):
    """Whether it was sent or not."""
    (unsent,) = await replicas.publish(OrderCreated(order_id="unsent"))
    unsent.cancel()
    (sent,) = await replicas.publish(OrderCreated(order_id="sent"))
    await replicas.lane.run_once()
    sent.cancel()
    await asyncio.gather(sent, unsent, return_exceptions=True)
    await replicas.lane.run_once()
    assert replicas.server.ids(write=0) == ["sent"]
    assert len(replicas.server.writes) == 1


# -- answers that are lost or refusals


@pytest.mark.parametrize("durability", KINDS)
async def test_what_a_lost_connection_wrote_is_written_again_before_it_is_waited_for(desk, durability):
    """On another connection WAIT would count nothing of it, and answer at once."""
    desk.durability = durability
    full = [1, 0] if durability == "fsync" else 2
    none = [0, 0] if durability == "fsync" else 0
    (old,) = await desk.publish(OrderCreated(order_id="old"))
    desk.server.answer(b"7-0", none)
    await desk.lane.run_once()
    (heard, unheard) = await desk.publish(OrderCreated(order_id="heard"), OrderCreated(order_id="unheard"))
    desk.server.answer(b"7-1", then=LOST)
    with pytest.raises(BackendUnavailable):
        await desk.lane.run_once()
    assert not desk.server.connected
    desk.server.reached = full
    await desk.lane.run_once()
    assert desk.server.ids(write=2) == ["old", "heard", "unheard"]
    assert [(await task).entry_id for task in (old, heard, unheard)] == ["3-0", "3-1", "3-2"]
    assert {command.partition(b"\r\nid\r\n")[2][:43] for command in desk.server.writes[0]} <= {
        command.partition(b"\r\nid\r\n")[2][:43] for command in desk.server.writes[2]
    }


async def test_what_was_written_is_written_again_when_its_connection_is_lost_between_two_rounds(replicas):
    """The next WAIT would be the first of its connection, and count replicas that know nothing of the event."""
    (task,) = await replicas.publish(*orders(1), timeout=1)
    await replicas.lane.run_once()  # no replica yet
    replicas.server.connected = False
    replicas.server.reached = 2
    await replicas.lane.run_once()
    assert [replicas.server.ids(write=write) for write in (0, 1)] == [["o-0"], ["o-0"]]
    assert (await task).entry_id == "2-0"


async def test_copies_of_what_a_lost_connection_wrote_are_counted_anew(replicas):
    """Another primary may answer now, whose replicas have none of it."""
    (task,) = await replicas.publish(*orders(1))
    replicas.server.answer(b"7-0", 1)
    await replicas.lane.run_once()
    replicas.server.answer(then=LOST)
    with pytest.raises(BackendUnavailable):
        await replicas.lane.run_once()
    await replicas.publisher.abandon()
    with pytest.raises(DurabilityNotReached, match="0 confirmed it") as caught:
        await task
    assert caught.value.reached == 0


@pytest.mark.parametrize(
    ("replies", "error", "kind", "maybe"),
    [
        ((), NEVER_SENT, BackendUnavailable, False),
        ((), LOST, BackendUnavailable, True),
        ((b"7-0",), LOST, DurabilityNotReached, None),
    ],
)
async def test_what_is_known_at_the_end_is_what_the_primary_last_said(desk, replies, error, kind, maybe):
    """Not written, unknown, or written and no more."""
    (task,) = await desk.publish(*orders(1))
    desk.server.answer(*replies, then=error)
    with pytest.raises(BackendUnavailable):
        await desk.lane.run_once()
    await desk.publisher.abandon()
    with pytest.raises(kind, match="the bus was closed.*the last try failed: no") as caught:
        await task
    assert getattr(caught.value, "maybe_executed", None) is maybe


async def test_without_a_connection_nothing_is_written(desk):
    """It is tried again until the deadline."""
    (task,) = await desk.publish(*orders(1))
    desk.server.failing = NEVER_SENT
    with pytest.raises(BackendUnavailable):
        await desk.lane.run_once()
    await desk.publisher.abandon()
    with pytest.raises(BackendUnavailable, match="it was not written"):
        await task


async def test_a_refusal_of_one_event_is_no_matter_of_its_neighbours(desk):
    """Each answer goes to its own event."""
    one, two, three = await desk.publish(*orders(3))
    desk.server.answer(b"7-0", refusal("WRONGTYPE"), b"7-1", [1, 0])
    await desk.lane.run_once()
    assert [(await one).entry_id, (await three).entry_id] == ["7-0", "7-1"]
    with pytest.raises(BackendRefused, match="topic 'orders'"):
        await two
    assert (desk.publisher.counts.published, desk.publisher.counts.refused, desk.server.closed) == (2, 1, 0)


@pytest.mark.parametrize(("first", "kind"), [((), BackendUnavailable), ((b"7-0",), DurabilityNotReached)])
async def test_a_refusal_after_an_earlier_try_does_not_say_that_nothing_was_written(desk, first, kind):
    """The first try may have been, or was."""
    (task,) = await desk.publish(*orders(1))
    desk.server.answer(*first, then=LOST)
    with pytest.raises(BackendUnavailable):
        await desk.lane.run_once()
    desk.server.answer(refusal("OOM"), [1, 0])
    await desk.lane.run_once()
    with pytest.raises(kind):
        await task


async def test_a_passing_refusal_is_tried_again_on_a_new_connection_with_all_that_is_not_durable(replicas):
    """What the old connection wrote can be waited for there alone."""
    written, refused = await replicas.publish(*orders(2))
    replicas.server.answer(b"7-0", refusal("READONLY"), 0)
    with pytest.raises(BackendRefused):
        await replicas.lane.run_once()
    assert replicas.server.closed == 1
    replicas.server.reached = 2
    await replicas.lane.run_once()
    assert replicas.server.ids(write=1) == ["o-0", "o-1"]
    await asyncio.gather(written, refused)


async def test_a_primary_that_is_demoted_under_the_wait_gets_the_event_again(replicas):
    """It may forget what it confirmed."""
    (task,) = await replicas.publish(*orders(1))
    replicas.server.answer(b"7-0", refusal("UNBLOCKED"))
    with pytest.raises(BackendRefused):
        await replicas.lane.run_once()
    assert (replicas.server.closed, task.done()) == (1, False)
    replicas.server.reached = 2
    await replicas.lane.run_once()
    assert (await task).entry_id == "2-0"


async def test_a_server_whose_file_was_switched_off_meanwhile_has_written_the_event_and_says_so(desk):
    """The next publish is refused before it is written; once the file is on again, it is not."""
    (task,) = await desk.publish(*orders(1))
    desk.server.answer(b"7-0", refusal("ERR", NO_FILE))
    await desk.lane.run_once()
    with pytest.raises(DurabilityNotReached, match="append-only file is off: set `appendonly yes`.*cannot be used when numlocal") as caught:
        await task
    assert caught.value.published.entry_id == "7-0"
    desk.server.info = MODERN.replace(b"aof_enabled:1", b"aof_enabled:0")
    (task,) = await desk.publish(*orders(1))
    await desk.lane.run_once()
    with pytest.raises(ConfigurationError, match="append-only file is off: set `appendonly yes`; nothing was written"):
        await task
    assert len(desk.server.writes) == 1
    desk.server.info = MODERN
    (task,) = await desk.publish(*orders(1))
    await desk.lane.run_once()
    assert (await task).entry_id == "2-0"
    assert (desk.server.looks, desk.server.closed) == (3, 0)


# -- what a server can do


@pytest.mark.parametrize(
    ("info", "found"),
    [
        (b"redis_version:6.2.14\r\naof_enabled:1\r\n", "this Redis is 6.2.14"),
        (b"redis_version:7.0.15\r\naof_enabled:1\r\n", "this Redis is 7.0.15"),
    ],
)
async def test_a_server_that_cannot_is_refused_before_anything_is_written(desk, info, found):
    """By its version, with the remedy."""
    (task,) = await desk.publish(*orders(1))
    desk.server.info = info
    await desk.lane.run_once()
    with pytest.raises(ConfigurationError, match="needs WAITAOF of Redis 7.2") as caught:
        await task
    assert found in str(caught.value)
    assert "appendfsync always" in str(caught.value)
    assert desk.server.writes == []


async def test_a_server_is_asked_once_a_connection(desk):
    """Another server may answer on the next."""
    for _ in range(3):
        await desk.publish(*orders(1))
        await desk.lane.run_once()
    assert desk.server.looks == 1
    (task,) = await desk.publish(*orders(1))
    desk.server.answer(then=LOST)
    with pytest.raises(BackendUnavailable):
        await desk.lane.run_once()
    desk.server.info = b"redis_version:7.0.15\r\n"
    await desk.lane.run_once()
    assert desk.server.looks == 2
    with pytest.raises(BackendUnavailable, match="it may or may not have been written"):
        await task


@pytest.mark.parametrize("durability", ["", "disk", True, 1, ["fsync"], Replicated])
async def test_what_is_no_durability_is_refused_by_its_value(desk, durability):
    """Nothing is queued."""
    with pytest.raises(ConfigurationError, match='durability=.*give "fsync" or Replicated'):
        await desk.publisher.publish(orders(1)[0], durability=durability)
    assert desk.started == {}


@pytest.mark.parametrize("replicas", [0, -1, True, 1.0, "1", None])
def test_a_number_of_replicas_is_a_whole_number_from_1(replicas):
    """Zero replicas would be no durability under the name of one."""
    with pytest.raises(ConfigurationError, match="at least 1"):
        Replicated(replicas)


# -- time


async def given_up(desk, task):
    async with at_work(desk.publisher.sweep):
        with pytest.raises((BackendUnavailable, DurabilityNotReached), match="its time was over") as caught:
            await task
    return caught.value


@pytest.mark.parametrize(("heard", "kind"), [(0, BackendUnavailable), (1, DurabilityNotReached)])
async def test_a_server_that_hangs_does_not_keep_a_publish_beyond_its_time(desk, heard, kind):
    """What came of the answers counts."""
    (task,) = await desk.publish(OrderCreated(order_id="under way"), timeout=0.01)
    desk.server.hanging, desk.server.hangs_after = asyncio.Event(), heard
    async with at_work(desk.lane.run):
        await desk.server.asked.wait()
        (waiting,) = await desk.publish(OrderCreated(order_id="waiting"), timeout=0.01)
        error = await given_up(desk, task)
        assert type(error) is kind
        assert heard or error.maybe_executed
        error = await given_up(desk, waiting)
        assert not error.maybe_executed
    assert desk.publisher.counts.given_up == 2
    assert len(desk.server.writes) == 1


@pytest.mark.parametrize("others", [[], ["other"]])
async def test_what_was_given_up_or_cancelled_while_it_connected_is_never_written(desk, others):
    """It stands in no later write either, and the others do."""
    (late,) = await desk.publish(OrderCreated(order_id="late"), timeout=0.01)
    (cancelled,) = await desk.publish(OrderCreated(order_id="cancelled"))
    tasks = await desk.publish(*(OrderCreated(order_id=other) for other in others))
    desk.server.connecting = asyncio.Event()
    async with at_work(desk.lane.run):
        await desk.server.asked.wait()
        assert not (await given_up(desk, late)).maybe_executed
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        desk.server.connecting.set()
        await asyncio.gather(*tasks)
        await asyncio.gather(*await desk.publish(OrderCreated(order_id="later")))
    writes = [desk.server.ids(write=number) for number in range(len(desk.server.writes))]
    assert writes == [*([others] if others else []), ["later"]]


async def test_a_lane_that_was_ended_in_mid_round_begins_with_that_round_again(desk):
    """The events are still awaited."""
    tasks = await desk.publish(*orders(2))
    desk.server.hanging, desk.server.hangs_after = asyncio.Event(), 1
    async with at_work(desk.lane.run):
        await desk.server.asked.wait()
        tasks += await desk.publish(OrderCreated(order_id="later"))
    desk.server.hanging = None
    async with at_work(desk.lane.run):
        await asyncio.gather(*tasks)
    assert desk.server.ids(write=1) == ["o-0", "o-1", "later"]


async def test_closing_waits_for_what_is_not_durable_yet(desk):
    """Whoever published before gets an answer."""
    (task,) = await desk.publish(*orders(1))
    desk.server.hanging = asyncio.Event()
    async with at_work(desk.lane.run):
        await desk.server.asked.wait()
        closing = asyncio.ensure_future(desk.publisher.close())
        await asyncio.sleep(0)
        assert not closing.done()
        desk.server.hanging.set()
        await closing
        await task


async def test_abandoning_answers_everything_that_waits_and_disconnects(replicas):
    """Nobody waits for ever."""
    (written,) = await replicas.publish(*orders(1))
    await replicas.lane.run_once()
    (queued,) = await replicas.publish(*orders(1))
    await replicas.publisher.abandon()
    answers = await asyncio.gather(written, queued, return_exceptions=True)
    assert [type(answer) for answer in answers] == [DurabilityNotReached, BackendUnavailable]
    assert replicas.server.closed == 1
    await replicas.publisher.close()


# -- batches


async def test_an_incomplete_batch_counts_what_is_written_and_not_durable_among_the_unknown(replicas):
    """It is safe to publish again, as these are."""
    events = orders(3)
    batch = asyncio.ensure_future(replicas.publisher.publish_many(events, durability=Replicated(2), timeout=0))
    await asyncio.sleep(0)
    replicas.server.answer(b"7-0", refusal("OOM"), b"7-1", 1)
    await replicas.lane.run_once()
    with pytest.raises(PublishIncomplete) as caught:
        await batch
    assert caught.value.written == ()
    assert [failed.index for failed in caught.value.refused] == [1]
    assert [(failed.index, type(failed.error)) for failed in caught.value.unknown] == [(0, DurabilityNotReached), (2, DurabilityNotReached)]


async def test_a_batch_for_a_server_that_cannot_is_refused_as_a_whole(desk):
    """One error says it for all of them."""
    batch = asyncio.ensure_future(desk.publisher.publish_many(orders(3), durability="fsync"))
    await asyncio.sleep(0)
    desk.server.info = b"redis_version:7.0.15\r\n"
    await desk.lane.run_once()
    with pytest.raises(ConfigurationError):
        await batch


async def test_a_batch_whose_server_cannot_any_more_says_which_events_were_written(desk):
    """The rest was refused."""
    batch = asyncio.ensure_future(desk.publisher.publish_many(orders(ROUND_COMMANDS + 1), durability="fsync"))
    await asyncio.sleep(0)
    desk.server.answer(*([b"7-0"] * ROUND_COMMANDS), refusal("ERR", NO_FILE))
    await desk.lane.run_once()
    desk.server.info = MODERN.replace(b"aof_enabled:1", b"aof_enabled:0")
    await desk.lane.run_once()
    with pytest.raises(PublishIncomplete) as caught:
        await batch
    assert len(caught.value.unknown) == ROUND_COMMANDS
    assert [failed.index for failed in caught.value.refused] == [ROUND_COMMANDS]


async def test_an_empty_batch_starts_nothing(desk):
    """Not even a lane."""
    assert await desk.publisher.publish_many([], durability="fsync") == []
    assert desk.started == {}
