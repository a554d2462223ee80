"""Consumers of other programs, written as tutorials write them, beside ours on one topic; on a real Redis of both ages."""

from __future__ import annotations

import json
import logging

import pytest

from eventbus import Event, EventBus, GroupInUse, Topic
from eventbus.admin.counting import find_unserved
from eventbus.streams import Wire, foreign_silences, keys
from tests.support.redis_hands import expire, read_as, rows, settled, until

COUNT = 40
PLACE = {"stream": "orders", "group": "reports"}


class OrderCreated(Event, topic=Topic("orders", max_len=1)):
    number: int


class Tutorial:
    """redis-py's loop: read, handle, acknowledge. `words=True` sends the commands as ioredis' users write them."""

    def __init__(self, redis, consumer="worker-1", *, words=False):
        self.redis, self.consumer, self.words, self.seen = redis, consumer, words, []

    async def create(self):
        await self.redis.xgroup_create("orders", "reports", id="0", mkstream=True)

    async def read(self, count=10):
        if self.words:
            asked = f"XREADGROUP GROUP reports {self.consumer} COUNT {count} STREAMS orders >"
            reply = await self.redis.execute_command(*asked.split())
        else:
            reply = await self.redis.xreadgroup("reports", self.consumer, {"orders": ">"}, count=count)
        return reply[0][1] if reply else []

    async def handle(self, entries):
        for entry_id, fields in entries:
            self.seen.append(json.loads(fields["data"])["number"])
            if self.words:
                await self.redis.execute_command("XACK", "orders", "reports", entry_id)
            else:
                await self.redis.xack("orders", "reports", entry_id)

    async def run(self):
        while entries := await self.read():
            await self.handle(entries)


def bus_at(url, handled=None):
    bus = EventBus(url, service="billing", lease=1, claim_interval=0.05, drain=1)

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated):
        if handled is not None:
            handled.append(event.number)

    return bus


async def publish(bus, first=0):
    await bus.publish_many([OrderCreated(number=number) for number in range(first, first + COUNT)])


async def oldest(redis):
    return (await redis.xrange("orders", count=1))[0][0]


async def sweeps_and_tidies(bus, redis):
    """Wait until an entry of a dead member of ours was claimed, and that member retired: whoever is next was looked at, too."""
    janitor, consumer = bus.runtime.janitor, bus.consumers[0]
    await until(lambda: settled(redis, stream="orders", group="charge"))
    await redis.xgroup_setid("orders", "charge", "0")  # what is kept is handed over again, some of it to one who dies
    await read_as(redis, "billing.dead", 1, stream="orders", group="charge")
    await expire(redis, "billing.dead", stream="orders", group="charge")
    retired = janitor.counts.retired
    await until(lambda: consumer.counts.claimed and janitor.counts.retired > retired)
    await janitor.run_once()


@pytest.mark.parametrize("words", [False, True])
async def test_a_plain_consumer_and_ours_see_every_event(redis_url, redis_client, words):
    """Each group all of them, in two processes' worth of consumers on each side."""
    ours = []
    one, two = Tutorial(redis_client, words=words), Tutorial(redis_client, "worker-2", words=words)
    await one.create()
    bus = bus_at(redis_url, ours)
    async with bus, bus.consuming():
        await publish(bus)
        await two.handle(await two.read(5))
        await one.run()
        await until(lambda: len(ours) == COUNT)
    assert sorted(ours) == sorted(one.seen + two.seen) == list(range(COUNT))


async def test_nothing_is_trimmed_that_it_was_not_given_or_has_not_acknowledged(redis_url, redis_client):
    """Though our groups have settled all of it, and the topic is to keep one entry. A hard cap alone asks nobody."""
    reports = Tutorial(redis_client)
    await reports.create()
    bus = bus_at(redis_url)
    async with bus, bus.consuming():
        await publish(bus)
        await until(lambda: settled(redis_client, stream="orders", group="charge"))
        entries = await reports.read(10)
        for step, (settled_until, left) in enumerate({5: COUNT - 5, 10: COUNT - 10}.items()):
            await reports.handle(entries[5 * step : settled_until])
            trimmed = await bus.admin.trim("orders", max_len=1, exact=True)
            assert trimmed.holding == ("reports",)
            assert left <= trimmed.left <= left + 1  # the last one that was given may stand: nobody was given what follows
        assert [json.loads(fields["data"])["number"] for _, fields in await redis_client.xrange("orders")][-30:] == list(range(10, COUNT))
        await bus.admin.trim("orders", max_len=3, hard=True, exact=True)
        assert await redis_client.xlen("orders") == 3


async def test_its_group_stands_beside_ours_in_every_view(redis_url, redis_client, run):
    """With what it owes, and that it is none of ours."""
    reports = Tutorial(redis_client)
    await reports.create()
    bus = bus_at(redis_url)
    async with bus, bus.consuming():
        await publish(bus)
        await until(lambda: settled(redis_client, stream="orders", group="charge"))
        await reports.read(4)
        groups = {group.name: group for group in (await bus.admin.topic("orders")).groups}
        assert (groups["reports"].ours, groups["charge"].ours) == (False, True)
        assert (groups["reports"].pending, groups["reports"].lag.entries) == (4, COUNT - 4)
        assert [(each.name, each.pending) for each in groups["reports"].consumers] == [("worker-1", 4)]
        info, listed = await run("info", "orders"), await run("groups", "list", "orders")
        pending = await run("pending", "orders", "reports")
    rows_of = [line.split() for line in info.out.splitlines() if line.startswith("reports")]
    assert [row[:3] for row in rows_of] == [["reports", str(COUNT - 4), "4"], ["reports", "worker-1", "4"]]
    assert "reports" in listed.out
    assert "another program" not in listed.err  # it was here a moment ago
    assert pending.out.count("worker-1") == 4


async def test_it_is_never_disturbed(redis_url, redis_client, monkeypatch):
    """What it holds beyond any lease stays its own, its idle consumers stay, and nothing of ours is made for it."""
    monkeypatch.setattr("eventbus.supervision.janitor.SILENCE", 0.1)  # leases, after which a consumer without entries is retired
    reports, idle = Tutorial(redis_client), Tutorial(redis_client, "worker-2")
    await reports.create()
    bus = bus_at(redis_url)
    async with bus, bus.consuming():
        await publish(bus)
        await idle.handle(await idle.read(1))
        held = [entry_id for entry_id, _ in await reports.read(3)]
        await redis_client.execute_command("XCLAIM", "orders", "reports", "worker-1", 0, *held, "IDLE", 3_600_000, "JUSTID")
        before = await rows(redis_client, **PLACE)
        assert sorted(before) == held
        await sweeps_and_tidies(bus, redis_client)
        assert await rows(redis_client, **PLACE) == before == dict.fromkeys(held, ("worker-1", 1))
        assert {row["name"] for row in await redis_client.xinfo_consumers("orders", "reports")} == {"worker-1", "worker-2"}
    assert not await redis_client.keys("{orders}:*:reports")
    assert await redis_client.smembers(keys.groups("orders")) == {"charge"}


async def test_its_group_is_not_made_anew_where_it_is_gone(redis_url, redis_client):
    """Ours are healed; whether another program wants its own again is its own affair."""
    reports = Tutorial(redis_client)
    await reports.create()
    handled = []
    bus = bus_at(redis_url, handled)
    async with bus, bus.consuming():
        await publish(bus)
        await until(lambda: len(handled) == COUNT)
        await redis_client.xgroup_destroy("orders", "reports")
        await redis_client.xgroup_destroy("orders", "charge")
        await publish(bus, first=COUNT)
        await until(lambda: {*range(2 * COUNT)} <= {*handled})
        assert [group["name"] for group in await redis_client.xinfo_groups("orders")] == ["charge"]


async def test_one_that_stopped_for_ever_is_named_with_the_command_that_removes_it(redis_url, redis_client, run, monkeypatch, caplog):
    """In `groups list`, in the janitor's log, by the metric; `groups abandon` refuses, since nobody can tell who uses it."""
    for place in ("cli.group_changes", "supervision.janitor", "admin.counting"):
        monkeypatch.setattr(f"eventbus.{place}.UNSERVED", 0.0)  # a day
    reports = Tutorial(redis_client)
    await reports.create()
    bus = bus_at(redis_url)
    async with bus, bus.consuming():
        await publish(bus)
        await until(lambda: settled(redis_client, stream="orders", group="charge"))
        await reports.handle(await reports.read(10))

        listed = await run("groups", "list", "orders")
        assert "group 'reports' of another program on topic 'orders' is behind" in listed.err
        assert listed.err.strip().endswith("XGROUP DESTROY orders reports")
        with caplog.at_level(logging.WARNING, "eventbus.supervision"):
            bus.runtime.janitor._said.clear()
            await bus.runtime.janitor.run_once()
        assert "group 'reports' of another program holds back the trimming of topic 'orders'" in caplog.text
        wire = Wire(bus.runtime.connections, "test")
        found = await find_unserved(wire, bus.subscriptions[0])
        assert [(each.topic, each.group) for each in found] == [("orders", "reports")]

        with pytest.raises(GroupInUse, match="remove it by XGROUP DESTROY orders reports$"):
            await bus.admin.abandon_group("orders", "reports")
        await redis_client.execute_command("XGROUP DESTROY", "orders", "reports")
        assert "another program" not in (await run("groups", "list", "orders")).err
        assert await foreign_silences(wire, "orders") == {}
        await bus.admin.trim("orders", max_len=1, exact=True)
        assert await redis_client.xlen("orders") <= 2
        await wire.close()


async def test_only_groups_that_are_behind_are_silent(redis_url, redis_client, connections):
    """One that has everything holds back nothing, however long it has not asked; one without consumers gave no sign ever."""
    wire = Wire(connections, "test")
    assert await foreign_silences(wire, "orders") == {}
    for name in ("never read", "reads", "has all", b"\xff"):
        await redis_client.xgroup_create("orders", name, id="0", mkstream=True)
    assert await foreign_silences(wire, "orders") == {}
    await redis_client.sadd(keys.groups("orders"), "reads too")
    await redis_client.xgroup_create("orders", "reads too", id="0")
    for number in range(3):
        await redis_client.xadd("orders", {"n": number})
    await read_as(redis_client, "me", 1, stream="orders", group="reads")
    await read_as(redis_client, "me", 3, stream="orders", group="has all")
    found = await foreign_silences(wire, "orders")
    assert sorted(found) == [r"\xff", "has all", "never read", "reads"]
    await redis_client.xack("orders", "has all", *await rows(redis_client, stream="orders", group="has all"))
    found = await foreign_silences(wire, "orders")
    assert (found["never read"], found[r"\xff"]) == (None, None)
    assert 0 <= found["reads"] < 60
    assert "has all" not in found
    await wire.close()


class Removing:
    """Removes a group behind the back of who looks at its consumers."""

    def __init__(self, wire, redis, group):
        self.wire, self.redis, self.group = wire, redis, group

    async def one(self, *command):
        if command[:2] == ("XINFO", "CONSUMERS"):
            await self.redis.execute_command("XGROUP DESTROY", "orders", self.group)
        return await self.wire.one(*command)


async def test_a_group_that_is_removed_while_it_is_looked_at_holds_up_no_count(redis_url, redis_client, connections):
    """A broadcast's goes with its process: what else is counted of the topic is counted all the same."""
    wire = Wire(connections, "test")
    await redis_client.xadd("orders", {"n": 1})
    for name in ("gone", "stays"):
        await redis_client.xgroup_create("orders", name, id="0")
    assert await foreign_silences(Removing(wire, redis_client, "gone"), "orders") == {"stays": None}
    await wire.close()
