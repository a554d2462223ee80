"""The conformance fixture on real servers: each entry is handled as the fixture says, skipped, or dead with its raw fields."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest_asyncio
from pydantic import model_validator
from redis.asyncio import Redis

from eventbus import Context, Event, EventBus
from eventbus.delivery import CRASHES, split, timestamp
from eventbus.events import is_attribute
from eventbus.testing import running
from tests.support.conformance import cases, fields_of, kind_of


class Anything(Event, topic="wire", type="OrderCreated", version=999_999_999):
    """An event of whatever JSON there is."""

    content: Any

    @model_validator(mode="before")
    @classmethod
    def _keep(cls, data):
        return {"content": data}


@pytest_asyncio.fixture
async def redis(redis_url):
    """It speaks bytes."""
    async with Redis.from_url(redis_url) as client:
        yield client


async def write(redis, stream, *files):
    """Write the cases of some files; returns each with its entry id."""
    found = []
    for case in (each for file in files for each in cases(file)):
        entry_id = await redis.execute_command("XADD", stream, "*", *fields_of(case))
        found.append((entry_id.decode(), case))
    return found


def fate(case):
    """What becomes of a case in a group that knows `OrderCreated` alone."""
    if kind_of(case) != "decodes":
        return "dead"
    event = case["decodes"]
    if event["type"] != "OrderCreated":
        return "skipped" if is_attribute(event["type"]) else "dead"
    return "dead" if (carried(event).get("crashes") or 0) >= CRASHES else "handled"


def carried(event):
    return event.get("carried", {})


def shown(entry_id, event):
    """What a handler is to be shown of a case; a time that is missing is the entry's."""
    return {
        **{name: event[name] for name in ("data", "id", "type", "key", "headers")},
        "time": event["time"] or "the entry's",
        "entry_id": carried(event).get("entry") or entry_id,
        "causation_id": event.get("causationid"),
        "correlation_id": event.get("correlationid", event["id"]),
        "attempt": carried(event).get("attempts", 0) + 1,
        "replayed": carried(event).get("replayed", False),
    }


def seen_of(data, ctx):
    names = ("id", "type", "key", "headers", "entry_id", "causation_id", "correlation_id", "attempt", "replayed")
    its_own = ctx.entry_id.startswith(f"{ctx.time.timestamp() * 1000:.0f}-")
    return {"data": data, "time": "the entry's" if its_own else timestamp(ctx.time), **{name: getattr(ctx, name) for name in names}}


def in_order(rows):
    """Whatever the order in which several at a time were handled."""
    return sorted(rows, key=partial(json.dumps, sort_keys=True))


def subscriber(url, seen):
    bus = EventBus(url, service="billing")

    @bus.subscribe(Anything, group="g")
    async def handle(event: Anything, ctx: Context):
        seen.append(seen_of(event.content, ctx))

    return bus


async def dead_letters(redis):
    """Original fields, and ours by name."""
    rows = [fields for _, fields in await raw(redis, "{wire}:dead:g")]
    originals = [split(fields)[0] for fields in rows]
    return originals, [
        dict(zip(fields[len(start) :: 2], fields[len(start) + 1 :: 2], strict=True)) for start, fields in zip(originals, rows, strict=True)
    ]


async def raw(redis, stream):
    """Entries as they stand; redis-py's own `xrange` makes a dict of the fields."""
    redis.set_response_callback("XRANGE", lambda reply, **_: reply)
    return await redis.execute_command("XRANGE", stream, "-", "+")


async def test_redis_gives_every_entry_back_as_it_was_written(redis):
    """Order, names that stand twice, bytes that are no text, empty ones."""
    files = ("envelope", "damaged", "foreign", "private")
    written = await write(redis, "wire", *files)
    assert await raw(redis, "wire") == [[entry_id.encode(), fields_of(case)] for entry_id, case in written]


async def test_every_entry_is_handled_as_the_fixture_says_or_skipped_or_dead_with_its_fields_and_a_reason(redis, redis_url):
    """And nothing is left: in the topic, and in the stream that is private to the group."""
    written = await write(redis, "wire", "envelope", "damaged", "foreign") + await write(redis, "{wire}:retry:g", "private")
    seen = []
    async with running(subscriber(redis_url, seen)) as service:
        await service.idle(20)
        counts = service.bus.consumers[0].counts
    fates = {kind: [(entry_id, case) for entry_id, case in written if fate(case) == kind] for kind in ("handled", "skipped", "dead")}
    assert in_order(seen) == in_order(shown(entry_id, case["decodes"]) for entry_id, case in fates["handled"])
    assert (counts.handled, counts.skipped) == (len(fates["handled"]), len(fates["skipped"]))

    originals, blocks = await dead_letters(redis)
    private = {case["name"] for case in cases("private")}
    expected = [split(fields_of(case))[0] if case["name"] in private else fields_of(case) for _, case in fates["dead"]]
    assert sorted(originals) == sorted(expected)
    assert {block[b"ebreason"] for block in blocks} == {b"undecodable", b"crashes"}
    assert all(block[b"ebmessage"] and block[b"ebgroup"] == b"g" for block in blocks)
    assert await redis.xlen("{wire}:retry:g") == 0


async def test_a_history_shows_what_a_handler_is_not_shown(redis, redis_url):
    """The version, and the trace as it was written."""
    written = await write(redis, "wire", "envelope", "damaged")
    async with EventBus(redis_url, service="billing") as bus, bus.history(Anything) as history:
        found = [(history.entry_id, history.envelope) async for _ in history]
    expected = [(entry_id, case["decodes"]) for entry_id, case in written if fate(case) == "handled"]
    assert [entry_id for entry_id, _ in found] == [entry_id for entry_id, _ in expected]
    for (_, envelope), (_, event) in zip(found, expected, strict=True):
        assert (envelope.version, envelope.source) == (event["version"], event["source"])
        assert (envelope.traceparent, envelope.tracestate) == (event.get("traceparent"), event.get("tracestate"))
    assert history.undecodable == sum(kind_of(case) == "refused" for _, case in written)
