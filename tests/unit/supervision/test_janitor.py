"""Tidying: what is done every interval, and what is said about it, not more than once an hour."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from eventbus.delivery import Topics
from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.events import Topic
from eventbus.streams import Trimmed, keys
from eventbus.supervision import janitor as module
from eventbus.supervision.janitor import Janitor
from tests.support.entries import SETTINGS

NOTHING = Trimmed(0, 0, 0, None, (), ())
DAY = 86_400


class Wire:
    """Groups of one topic, and when each was last served: in days before now, or as it stands in Redis."""

    def __init__(self, **served):
        self.served, self.asked = served, 0
        self.levels, self.lengths, self.written, self.fails = [], {}, [], None

    async def one(self, *words):  # noqa: PLR0911 - an answer for each command
        match words:
            case ("TIME",):
                return [b"1700000000", b"5"]
            case ("ZRANGE", _, 0, -1):
                return self.levels
            case ("ZADD", *words):
                self.written.append(tuple(words))
                if self.fails:
                    raise self.fails
                return 1
            case ("XLEN", key):
                return self.lengths.get(key, 0)
            case ("XINFO", "GROUPS", _) | ("XREVRANGE", *_):
                return []
            case ("SMEMBERS", _):
                self.asked += 1
                return sorted(name.encode() for name in self.served)
            case ("HGET", key, "served"):
                (days,) = [days for name, days in self.served.items() if key == keys.group("test:orders", name).encode()]
                return b"%d" % int((1_700_000_000 - days * DAY) * 1000) if isinstance(days, float) else days
        raise AssertionError(words)


class Commands:
    def __init__(self, *, retired=(), mended=0, fails=None):
        self.retired, self.mended, self.fails, self.silence = list(retired), mended, fails, []

    async def retire(self, *, silence):
        self.silence.append(silence)
        if self.fails:
            raise self.fails
        return self.retired

    async def mend_due(self):
        return self.mended


def consumer(topic="orders", **going):
    return SimpleNamespace(subscription=Named(topic), commands=Commands(**going), membership=SimpleNamespace(lease=20.0))


class Named(SimpleNamespace):
    def __init__(self, topic):
        super().__init__(topic=topic)

    def __str__(self):
        return f"{self.topic}/charge"


class House:
    """A janitor with everything around it: trims answer what they are told, by stream."""

    def __init__(self, monkeypatch, *consumers, wire=None, topics=("orders",)):
        self.known = Topics()
        for topic in topics:
            self.known.register(topic)
        self.wire, self.trims, self.answers, self.now = wire or Wire(), [], {}, 5.0
        monkeypatch.setattr(module, "trim", self._trim)
        monkeypatch.setattr(module.anyio, "current_time", lambda: self.now)
        self.janitor = Janitor(self.wire, replace(SETTINGS, prefix="test:"), self.known)
        self.janitor.consumers = consumers

    async def _trim(self, wire, stream, **limits):
        self.trims.append((stream, limits))
        answer = self.answers.get(stream, NOTHING)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_every_topic_that_is_consumed_is_trimmed_as_it_declares(monkeypatch):
    """Under its whole name; once, however many groups this bus has on it."""
    limited = Topic("orders", max_len=7, max_age=60)
    house = House(monkeypatch, consumer(), consumer(), consumer("sensors"), topics=(limited, "sensors", "elsewhere"))
    await house.janitor.run_once()
    assert house.trims == [
        ("test:orders", {"max_len": 7, "max_age": 60.0, "hard": False}),
        ("test:sensors", {"max_len": 10_000, "max_age": None, "hard": False}),
    ]


async def test_a_topic_that_is_only_published_to_is_trimmed_where_it_has_a_hard_cap(monkeypatch):
    """Nobody else may be there to do it."""
    house = House(monkeypatch, topics=(Topic("orders", max_len=7, hard=True), "sensors"))
    await house.janitor.run_once()
    assert house.trims == [("test:orders", {"max_len": 7, "max_age": None, "hard": True})]


async def test_what_is_done_is_counted(monkeypatch, caplog):
    """Retired consumers, mended due times, trimmed entries."""
    house = House(monkeypatch, consumer(retired=["one", "two"], mended=3), consumer("sensors"), topics=("orders", "sensors"))
    house.answers = {"test:orders": replace(NOTHING, settled=40), "test:sensors": replace(NOTHING, settled=2)}
    for _ in range(2):
        await house.janitor.run_once()
    counts = house.janitor.counts
    assert (counts.trimmed, counts.cut, counts.retired, counts.mended) == (84, 0, 4, 6)
    assert caplog.text.count("orders/charge: 3 parked events had lost their due times; they are due now") == 2
    assert house.janitor.consumers[0].commands.silence == [60.0, 60.0]  # three leases of the group


async def test_what_a_hard_cap_cut_is_counted_and_said_every_time(monkeypatch, caplog):
    """Events are lost: that is no reminder."""
    house = House(monkeypatch, consumer())
    house.answers = {"test:orders": replace(NOTHING, settled=3, unsettled=5, holding=("charge", "ship"))}
    for _ in range(2):
        await house.janitor.run_once()
    assert (house.janitor.counts.trimmed, house.janitor.counts.cut) == (6, 10)
    expected = "topic 'orders': its hard cap cut 5 entries that were not settled by every group; furthest behind: charge, ship"
    assert caplog.text.count(expected) == 2


async def test_groups_that_are_missing_are_named_once_an_hour(monkeypatch, caplog):
    """Others that go missing meanwhile are named at once."""
    house = House(monkeypatch, consumer())
    words = "topic 'orders' is not trimmed: groups %s are gone from it; serve them, or `eventbus groups abandon`"
    told = []
    for seconds, missing in ((0, ("a",)), (1, ("a",)), (3598, ("a",)), (1, ("a",)), (0, ("a", "b")), (1, ("a", "b"))):
        house.now += seconds
        house.answers = {"test:orders": replace(NOTHING, missing=missing)}
        await house.janitor.run_once()
        told.append(caplog.text.count(words % ", ".join(missing)))
    assert told == [1, 1, 1, 2, 1, 1]


async def test_groups_that_nobody_served_for_a_day_are_named_once_an_hour(monkeypatch, caplog):
    """They hold back trimming. One that never said when it was served is not blamed."""
    house = House(monkeypatch, consumer(), wire=Wire(fresh=0.99, old=1.0, older=12.3, unknown=None))
    told = []
    for seconds in (0, 1, 3598, 1):
        house.now += seconds
        await house.janitor.run_once()
        told.append(caplog.text.count("nobody has served it for"))
    assert told == [2, 2, 2, 4]
    assert "group 'older' holds back the trimming of topic 'orders': nobody has served it for 12.3 days" in caplog.text
    assert "'fresh'" not in caplog.text
    assert "'unknown'" not in caplog.text
    assert house.wire.asked == 4  # for ours and for those of other programs; nothing in between


async def test_a_heartbeat_that_another_hand_wrote_does_not_end_the_tidying(monkeypatch, caplog):
    """The others are named all the same."""
    wire = Wire(odd=b"yesterday", old=2.0)
    await House(monkeypatch, consumer(), wire=wire).janitor.run_once()
    assert "group 'old' holds back the trimming" in caplog.text
    assert "'odd'" not in caplog.text


async def test_what_is_refused_for_one_does_not_keep_the_others_from_it(monkeypatch):
    """A lost group, a key of another kind: said by the supervisor, after everything else was done."""
    gone, wrong = BackendRefused("no such group", code="NOGROUP"), BackendRefused("no stream", code="WRONGTYPE")
    house = House(monkeypatch, consumer(fails=gone), consumer("sensors", retired=["one"]), topics=("orders", "sensors"))
    house.answers = {"test:orders": wrong, "test:sensors": replace(NOTHING, settled=2)}
    with pytest.raises(BackendRefused, match="no such group"):
        await house.janitor.run_once()
    assert (house.janitor.counts.retired, house.janitor.counts.trimmed) == (1, 2)


async def test_without_redis_a_pass_ends_at_once(monkeypatch):
    """The supervisor waits for it."""
    house = House(monkeypatch, consumer(fails=BackendUnavailable("gone")), consumer("sensors"), topics=("orders", "sensors"))
    with pytest.raises(BackendUnavailable):
        await house.janitor.run_once()
    assert (house.trims, house.janitor.consumers[1].commands.silence) == ([], [])


async def test_a_pass_comes_every_claim_interval_more_or_less(monkeypatch):
    """The members of a group do not tidy at one moment."""
    slept, passes = [], []

    async def sleep(seconds):
        slept.append(seconds)
        await asyncio.sleep(0)

    house = House(monkeypatch)
    monkeypatch.setattr(module.anyio, "sleep", sleep)
    task = asyncio.ensure_future(house.janitor.run(lambda: passes.append(1)))
    while len(passes) < 20:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert 4 <= min(slept) < max(slept) <= 6


async def test_every_priority_is_trimmed_by_itself(monkeypatch, caplog):
    """To the same limits; what is said names it."""
    topic = Topic("orders", max_len=7, priorities=("high", "normal"))
    house = House(monkeypatch, consumer(), topics=(topic,))
    house.wire.levels = [b"high", b"normal"]
    house.answers = {"{test:orders}:p:high": replace(NOTHING, unsettled=1), "test:orders": BackendRefused("no stream", code="WRONGTYPE")}
    with pytest.raises(BackendRefused):
        await house.janitor.run_once()
    limits = {"max_len": 7, "max_age": None, "hard": False}
    assert house.trims == [("{test:orders}:p:high", limits), ("test:orders", limits)]
    assert "topic 'orders' (priority 'high'): its hard cap cut 1 entries" in caplog.text


@pytest.mark.parametrize("fails", [None, BackendRefused("used memory > maxmemory", code="OOM")])
async def test_priorities_that_nobody_wrote_down_are_written_down(monkeypatch, fails):
    """Only those that are missing; where memory is short, the next pass tries again."""
    house = House(monkeypatch, topics=(Topic("orders", priorities=("high", "normal", "low")), "sensors"))
    house.wire.levels, house.wire.fails = [b"normal"], fails
    await house.janitor.run_once()
    assert house.wire.written == [("{test:orders}:levels", 0, "high", 2, "low")]


async def test_priorities_that_are_not_declared_here_are_named_once_an_hour_while_something_waits(monkeypatch, caplog):
    """Nobody reads them in this process, which would be silent."""
    house = House(monkeypatch, consumer(), topics=("orders",))
    house.wire.levels = [b"high", b"normal", b"low"]
    told = []
    for waiting, seconds in (({}, 0), ({"high": 2, "normal": 1}, 0), ({"high": 2}, 3598), ({"high": 2}, 3)):
        house.wire.lengths = {keys.level("test:orders", name): count for name, count in waiting.items()}
        house.now += seconds
        await house.janitor.run_once()
        told.append(
            caplog.text.count(
                "topic 'orders' has priorities that are not declared here, and whose events this process does not read: high;"
            )
        )
    assert told == [0, 1, 1, 2]
