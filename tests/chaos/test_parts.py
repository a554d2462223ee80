"""The rig's own parts: a schedule repeats by its seed, and each link does to replies what it is told."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Cut
from redis.exceptions import TimeoutError as Silent

from eventbus.streams import Address
from tests.chaos.faults import KINDS, Menu, Planner
from tests.chaos.points import POINTS, deck
from tests.chaos.proxy import Link, _Pair

MENU = Menu(60, 3.0, ["w0", "w1", "w2"], ["p0"], dict.fromkeys(KINDS, 3), poison=2)


class TestPlanner:
    def test_a_seed_repeats_its_schedule(self):
        assert Planner(MENU, "7").plan() == Planner(MENU, "7").plan()
        assert Planner(MENU, "7").plan() != Planner(MENU, "8").plan()

    def test_every_kind_comes_as_often_as_ordered_within_the_time(self):
        plan = Planner(MENU, "7").plan()
        assert {kind: sum(fault.kind == kind for fault in plan) for kind in KINDS} == MENU.counts
        assert all(0 <= fault.at < MENU.seconds for fault in plan)

    def test_pauses_last_for_two_to_five_leases(self):
        pauses = [fault.seconds for fault in Planner(MENU, "7").plan() if fault.kind == "pause"]
        assert all(2 * MENU.lease <= seconds <= 5 * MENU.lease for seconds in pauses)

    def test_every_point_is_in_the_deck_once(self):
        assert sorted(point.partition(":")[0] for point in deck("7")) == sorted(POINTS)


@pytest_asyncio.fixture
async def link(redis_url, tmp_path):
    link = Link(tmp_path / "link.sock", Address.parse(redis_url))
    await link.open()
    yield link
    await link.close()
    await asyncio.sleep(0)


@pytest_asyncio.fixture
async def client(link):
    async with Redis.from_url(link.url, socket_timeout=1.0, retry=Retry(NoBackoff(), 0), single_connection_client=True) as client:
        yield client


class TestLink:
    async def test_lets_everything_through(self, client):
        assert await client.set("a", "x" * 100_000)
        assert len(await client.get("a")) == 100_000

    async def test_loses_a_reply_after_the_command_was_executed(self, link, client, redis_client):
        sprung = []
        link.trap("drop", (b"SET",), lambda: sprung.append(True))
        with pytest.raises(Cut):
            await client.set("a", "1")
        assert (sprung, await redis_client.get("a")) == ([True], "1")

    async def test_cuts_before_the_command_is_sent(self, link, client, redis_client):
        link.trap("cut", (b"SET",), lambda: None)
        with pytest.raises(Cut):
            await client.set("a", "1")
        assert await redis_client.get("a") is None

    async def test_swallows_what_is_said(self, link, client, redis_client):
        link.swallows = True
        with pytest.raises(Silent):
            await client.set("a", "1")
        assert (link.hits, await redis_client.get("a")) == (1, None)

    async def test_splits_replies_and_they_are_whole(self, link, client):
        await client.set("a", "x" * 1_000)
        link.splits = True
        assert await client.get("a") == b"x" * 1_000
        assert link.hits >= 1

    async def test_delays_replies_in_their_order(self, link, client):
        link.late_by = 0.1
        began = asyncio.get_running_loop().time()
        pipe = client.pipeline(transaction=False)
        assert await pipe.set("a", "1").get("a").execute() == [True, b"1"]
        assert asyncio.get_running_loop().time() - began >= 0.09

    async def test_what_comes_at_the_end_of_a_delay_keeps_its_order(self, link):
        """It waits for the same moment as what was delayed: the timers of one moment may ring in any order."""
        sent, last = [], asyncio.Event()

        class Client(asyncio.Transport):
            def write(self, data):
                sent.append(data)
                if data == b"99":
                    last.set()

            def is_closing(self):
                return False

        pair = _Pair(link, Client())
        link.late_by = 0.01
        pair.reply(b"0")
        link.late_by = 0.0
        for number in range(1, 100):
            pair.reply(b"%d" % number)
        await last.wait()
        await asyncio.sleep(0)
        assert [each for each in sent if each] == [b"%d" % number for number in range(100)]
