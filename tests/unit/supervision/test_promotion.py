"""When scheduled events are looked at, and what wakes whoever looks: without Redis, and without waiting."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import anyio
import pytest

from eventbus.delivery import Topics
from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.streams import Address, Connections, keys
from eventbus.supervision import Promotion
from tests.support.entries import SETTINGS

NOTHING_DUE = [0, -1, 0, [], b"0-0", 0]
HOUR = 3_600_000


class Server:
    """A wire that answers as it was told to, one answer a script; after the last nothing is scheduled."""

    def __init__(self):
        self.scripts = []
        self.answers = []
        self.questions = []
        self.found = {}
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def one(self, *words):
        self.scripts.append(words[3])
        self.asked.set()
        answer = self.answers.pop(0) if self.answers else NOTHING_DUE
        await self.may_answer.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def call(self, commands):
        self.questions.append(len(commands))
        return [self.found.get(command.split(b"\r\n")[4].decode(), 0) for command in commands]


class Reader:
    """A wire whose reads end when something is scheduled."""

    def __init__(self):
        self.reads = []
        self.reading = asyncio.Event()
        self.woken = asyncio.Queue()
        self.closed = 0
        self.read = asyncio.Condition()

    async def one(self, *words, timeout):
        self.reads.append(words[words.index("STREAMS") + 1 :])
        self.reading.set()
        return await self.woken.get()

    async def close(self):
        self.closed += 1


class Desk:
    """A promotion without Redis."""

    def __init__(self):
        self.server, self.reader, self.topics = Server(), Reader(), Topics()
        connections = Connections(Address.parse("redis://nowhere"), name="test")
        self.promotion = Promotion(connections, self.server, SETTINGS, self.topics)
        self.promotion._reader = self.reader

    def wake(self, stream, entry_id):
        """Something is scheduled before all else."""
        self.reader.woken.put_nowait([[keys.scheduled_wake(stream).encode(), [[entry_id, [b"due", b"1"]]]]])

    @asynccontextmanager
    async def at_work(self):
        """Both loops."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.promotion.run, lambda: None)
            tasks.start_soon(self.promotion.listen, lambda: None)
            yield
            tasks.cancel_scope.cancel()

    async def scripts(self, number):
        """Wait until so many were sent."""
        while len(self.server.scripts) < number:
            self.server.asked.clear()
            await self.server.asked.wait()


@pytest.fixture
async def desk():
    return Desk()


async def test_what_is_heard_while_a_script_is_under_way_is_not_forgotten_for_its_answer(desk):
    """The answer was made before: it says that nothing is due for an hour."""
    desk.server.answers = [[0, HOUR, 0, [], b"5-0", 0], [0, HOUR, 0, [], b"5-0", 0], [0, HOUR, 0, [], b"6-0", 0]]
    desk.promotion.watch("orders")
    async with desk.at_work():
        await desk.reader.reading.wait()
        desk.server.may_answer.clear()
        desk.promotion._watched["orders"].due = 0
        desk.promotion._wake.set()
        await desk.scripts(2)
        desk.wake("orders", b"6-0")
        while desk.promotion._watched["orders"].woken != "6-0":
            await asyncio.sleep(0)
        desk.server.may_answer.set()
        await desk.scripts(3)


async def test_a_wake_is_waited_for_from_the_id_that_a_script_saw(desk):
    """Never from whatever is the last when the read comes: it would miss what is scheduled between the two."""
    desk.server.answers = [[0, HOUR, 0, [], b"5-0", 0]]
    desk.promotion.watch("orders")
    async with desk.at_work():
        await desk.reader.reading.wait()
    assert desk.reader.reads == [("{orders}:scheduled:wake", "5-0")]


async def test_a_topic_more_is_waited_for_at_once(desk):
    """The read under way, which does not name it, is given up with its connection."""
    desk.promotion.watch("orders")
    async with desk.at_work():
        await desk.reader.reading.wait()
        desk.reader.reading.clear()
        desk.promotion.watch("accounts")
        await desk.reader.reading.wait()
    assert desk.reader.closed == 1
    assert desk.reader.reads[-1] == ("{orders}:scheduled:wake", "{accounts}:scheduled:wake", "0-0", "0-0")


async def test_what_is_due_is_promoted_until_nothing_is(desk):
    """Window after window, without a pause; a priority that was met is known in the next."""
    desk.server.answers = [[200, 0, 0, [], b"0-0", 0], [0, 0, 0, [b"high"], b"0-0", 0], [7, HOUR, 2, [], b"0-0", 0]]
    desk.promotion.watch("orders")
    await desk.promotion.run_once()
    assert len(desk.server.scripts) == 3
    assert desk.promotion._watched["orders"].priorities == {"normal", "high"}
    assert (desk.promotion.counts.promoted, desk.promotion.counts.missing) == (207, 2)


async def test_topics_without_anything_scheduled_are_asked_about_in_one_write(desk):
    """Those where something is are watched from then on."""
    for name in ("orders", "accounts", "tasks"):
        desk.topics.register(name)
    desk.server.found = {keys.scheduled_due("accounts"): 1}
    await desk.promotion.run_once()
    await desk.promotion.run_once()
    assert desk.server.questions == [3]
    assert list(desk.promotion._watched) == ["accounts"]
    assert desk.server.scripts == ["{accounts}:scheduled"]


async def test_a_refusal_for_one_topic_does_not_keep_the_others(desk):
    """It is raised when all had their turn, and says which it was; that topic is looked at again as soon as the loop is started again."""
    desk.server.answers = [BackendRefused("a string", code="WRONGTYPE"), [1, -1, 0, [], b"0-0", 0], NOTHING_DUE]
    desk.promotion.watch("wrong")
    desk.promotion.watch("orders")
    with pytest.raises(BackendRefused, match="what is due on 'wrong': a string"):
        await desk.promotion.run_once()
    assert desk.promotion.counts.promoted == 1
    await desk.promotion.run_once()
    assert desk.server.scripts == ["{wrong}:scheduled", "{orders}:scheduled", "{wrong}:scheduled"]


async def test_after_an_outage_what_is_due_is_looked_at_at_once(desk):
    """Not a `claim_interval` later."""
    desk.server.answers = [BackendUnavailable("no answer")]
    desk.promotion.watch("orders")
    with pytest.raises(BackendUnavailable):
        await desk.promotion.run_once()
    await desk.promotion.run_once()
    assert len(desk.server.scripts) == 2
