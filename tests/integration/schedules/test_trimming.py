"""Schedules of trimming: groups that come, go back or fall behind while a topic is cut."""

from __future__ import annotations

import asyncio

import pytest

from eventbus import Context, Event, Retry, Topic
from eventbus.streams import Address, Connections, Wire, keys, trim
from tests.support.held import planted
from tests.support.redis_hands import GROUP, STREAM, copies, expire, read_as, settled, until


class Note(Event, topic=Topic(STREAM, max_len=1)):
    """An event of a topic that keeps one settled entry."""

    name: str


class Capped(Event, topic=Topic(STREAM, max_len=100, hard=True)):
    """An event of a topic with a hard cap."""

    name: str


def serving(url, seen, group=GROUP, kind=Note, **options):
    bus = planted(url, **options)

    @bus.subscribe(kind, group=group)
    async def note(event: kind) -> None:
        seen.append(event.name)

    return bus


def notes(count):
    return [Note(name=f"n-{number}") for number in range(count)]


class Between:
    """A wire on which something happens after the groups were listed, before the script is sent."""

    def __init__(self, wire, happen):
        self._wire = wire
        self._happen = happen

    async def one(self, *words):
        reply = await self._wire.one(*words)
        if words[0] == "SMEMBERS" and self._happen is not None:
            happen, self._happen = self._happen, None
            await happen()
        return reply


@pytest.mark.promise(1)
@pytest.mark.parametrize("ours", [True, False], ids=["of eventbus", "of another program"])
async def test_a_group_created_during_a_trim_finds_its_whole_backlog(redis_url, redis_client, ours):
    """Everything was settled when the trim began: the step that cuts looks at the groups itself."""
    seen, late = [], []
    bus, newcomer = serving(redis_url, seen, claim_interval=60), serving(redis_url, late, "late")  # it trims by itself, else

    async def come():
        await redis_client.xgroup_create(STREAM, "late", "0")
        if ours:
            await redis_client.sadd(keys.groups(STREAM), "late")

    async with bus, newcomer:
        async with bus.consuming():
            await bus.publish_many(notes(300))
            await until(lambda: settled(redis_client))
        wire = Wire(Connections(Address.parse(redis_url), name="janitor"), "trimming")
        trimmed = await trim(Between(wire, come), STREAM, max_len=1, max_age=None, hard=False, exact=True)
        await wire.close()
        assert (trimmed.settled, trimmed.left) == (0, 300)
        async with newcomer.consuming():
            await until(lambda: settled(redis_client, group="late"))
    assert sorted(late) == sorted(note.name for note in notes(300))


@pytest.mark.promise(1)
async def test_a_group_that_was_set_back_is_trimmed_only_up_to_where_it_stands_now(redis_url, redis_client):
    """What is pending lies behind it: the smaller of the two counts."""
    seen = []
    bus = serving(redis_url, seen)
    async with bus:
        async with bus.consuming():
            records = await bus.publish_many(notes(4))
            await until(lambda: settled(redis_client))
        pending = await bus.publish(Note(name="pending"))
        assert await read_as(redis_client, "dead", 1) == [pending.entry_id]
        await redis_client.xgroup_setid(STREAM, GROUP, records[1].entry_id)
        seen.clear()
        trimmed = await bus.admin.trim(STREAM, max_len=0, exact=True)
        assert (trimmed.watermark, trimmed.left) == (records[1].entry_id, 4)  # that entry itself may stay
        async with bus.consuming():
            await until(lambda: len(seen) == 3)
    assert seen[:3] == ["n-2", "n-3", "pending"]


@pytest.mark.promise(1)
async def test_nothing_pending_is_trimmed_whatever_else_was_settled(redis_url, redis_client):
    """Ids are compared as numbers: 9-0 comes before 10-0."""
    seen = []
    bus = serving(redis_url, seen)
    async with bus:
        async with bus.consuming():
            pass
        fields = {"specversion": "1.0", "id": "x", "type": "Note", "source": "/shop"}
        for entry_id in ("8-0", "9-0", "10-0", "11-0", "100-0"):
            await redis_client.xadd(STREAM, {**fields, "data": f'{{"name":"{entry_id}"}}'}, id=entry_id)
        assert await read_as(redis_client, "settles", 1) == ["8-0"]
        assert await read_as(redis_client, "dead", 1) == ["9-0"]
        assert len(await read_as(redis_client, "settles", 9)) == 3
        await redis_client.xack(STREAM, GROUP, "8-0", "10-0", "11-0", "100-0")
        trimmed = await bus.admin.trim(STREAM, max_len=0, exact=True)
        assert (trimmed.watermark, trimmed.settled, trimmed.left) == ("9-0", 1, 4)
        await redis_client.execute_command("XCLAIM", STREAM, GROUP, "dead", 0, "9-0", "IDLE", 60_000, "JUSTID")
        async with bus.consuming():
            await until(lambda: settled(redis_client))
    assert seen == ["9-0"]


@pytest.mark.promise(8)
async def test_what_a_hard_cap_cuts_while_it_is_pending_leaves_a_tombstone_and_a_count(redis_url, redis_client, caplog):
    """The worker that held it is dead, and so is its payload: that is said, counted and kept."""
    seen = []
    bus = serving(redis_url, seen, kind=Capped)
    async with bus:
        async with bus.consuming():
            pass
        cut = await bus.publish(Capped(name="cut"))
        await read_as(redis_client, "dead", 1)
        await expire(redis_client, "dead")
        await bus.publish_many([Capped(name=f"n-{number}") for number in range(300)])
        await bus._runtime.janitor.run_once()
        assert bus._runtime.janitor.counts.cut > 0
        assert int(await redis_client.hget(keys.group(STREAM, GROUP), "cut")) == bus._runtime.janitor.counts.cut
        await redis_client.execute_command("XTRIM", STREAM, "MAXLEN", "=", 100)  # to the entry, not to the node
        async with bus.consuming():
            await until(lambda: bus.consumers[0].counts.trimmed)
            await until(lambda: settled(redis_client))
            assert bus.consumers[0].counts.trimmed == 1
    (tombstone,) = await copies(redis_client, "dead")
    assert (tombstone["ebentry"], tombstone["ebreason"], tombstone["ebconsumer"]) == (cut.entry_id, "trimmed", "dead")
    assert "its hard cap cut" in caplog.text
    assert f"entry {cut.entry_id} was cut from the stream while it was pending" in caplog.text


@pytest.mark.promise(1)
async def test_an_event_cut_from_the_stream_under_its_running_handler_is_still_retried(redis_url, redis_client):
    """What this process holds is all there is of it: its failure writes the bytes it read."""
    started, fail, attempts = asyncio.Event(), asyncio.Event(), []
    bus = planted(redis_url)

    @bus.subscribe(Note, group=GROUP, retry=Retry(backoff=[0.01]))
    async def note(event: Note, ctx: Context) -> None:
        attempts.append((event.name, ctx.attempt))
        if ctx.attempt == 1:
            started.set()
            await fail.wait()
            raise RuntimeError("no money")

    async with bus, bus.consuming():
        await bus.publish(Note(name="only"))
        await until(started.is_set)
        await redis_client.execute_command("XTRIM", STREAM, "MAXLEN", "=", 0)
        await bus.consumers[0].beat.run_once()
        fail.set()
        await until(lambda: len(attempts) == 2)
        await until(lambda: settled(redis_client))
    assert attempts == [("only", 1), ("only", 2)]
