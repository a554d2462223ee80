"""What nobody should ever have written to a topic: a dead letter with its raw fields and a reason, and nothing stops."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest
from redis.asyncio import Redis

from eventbus import Context, Event, EventBus, Flat, JsonField
from eventbus.observe.logging import ConsoleFormatter, JsonFormatter
from eventbus.testing import running

RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys, or what forges a line. A line feed ends one."""

CLEAR = b"\x1b[2J\x1b]0;owned\x07\x9b31m\r\n" + "\u009b31m\u202e\u2028".encode()
FIRST = {"specversion": "1.0", "id": "e-1", "type": "Order", "source": "/s", "data": '{"name":"x"}'}


class Order(Event, topic="orders"):
    name: str
    count: int = 0


def entry(**changes):
    """An entry as a publisher of ours writes it, but for what is said."""
    parts = {**FIRST, **changes}
    return [each if isinstance(each, bytes) else each.encode() for pair in parts.items() if pair[1] is not None for each in pair]


NO_READER = "the entry has no field 'payload'; Order cannot be read: "

BAD = {
    "fits no reader": ([b"something", b"else"], NO_READER + "name: missing"),
    "wrong field type": ([b"name", b"x", b"count", b"many"], NO_READER + "count: int_parsing"),
    "wrong type in JSON": ([b"payload", b'{"name":1}'], "Order cannot be read: name: string_type; Order cannot be read: name: missing"),
    "wrong type in data": (entry(data='{"name":"x","count":"many"}'), "Order cannot be read: count: int_parsing"),
    "invalid UTF-8": ([b"name", b"\xff\xfe", b"\xc3\x28", b""], NO_READER + "UnicodeDecodeError"),
    "invalid UTF-8 in data": (entry(data=b'{"name":"\xff"}'), "Order cannot be read: data: json_invalid"),
    "invalid UTF-8 in an attribute": (entry(traceparent=b"\xff"), "the entry's attributes are not UTF-8"),
    "duplicate fields": ([*entry(data="[]"), *entry()], "Order cannot be read: data: model_type"),
    "duplicate names": ([b"count", b"x", b"name", b"x", b"count", b"1"], NO_READER + "count: int_parsing"),
    "10,000 fields": ([part for n in range(10_000) for part in (b"f%d" % n, CLEAR)], NO_READER + "UnicodeDecodeError"),
    "10,000 texts": ([part for n in range(10_000) for part in (b"f%d" % n, b"x")], NO_READER + "name: missing"),
    "10,000 attributes": ([*entry(data=""), *(b"x" for _ in range(20_000))], "Order cannot be read: data: json_invalid"),
    "empty data": (entry(data=""), "Order cannot be read: data: json_invalid"),
    "no data": (entry(data=None), "the entry has no data"),
    "empty names and values": ([b"", b"", b"", b""], NO_READER + "name: missing"),
    "control characters": (entry(id=CLEAR[:12], source=CLEAR[:12], time=CLEAR[:12]), "the entry's time is not RFC 3339"),
    "a type that is no event's": (entry(type=None), "the entry has no type"),
    "a newer version": (entry(dataversion="7", subject=CLEAR[:12]), "'Order' has version 7, this program knows up to 1"),
    "a type with control characters": (entry(type=b"Order\x1b[31m\r\n"), "the entry's type has control characters"),
    "deep JSON": (entry(data="[" * 100_000), "Order cannot be read: data: json_invalid"),
    "fields of ours": ([b"ebentry", b"1-1", b"ebrest", b'["AA=="]', b"ebgroup", CLEAR], NO_READER + "UnicodeDecodeError"),
}  # fmt: skip
READERS = [JsonField(Order, "payload"), Flat(Order)]


@pytest.fixture
async def raw(redis_url):
    """A client that hides nothing of what Redis answers: of names that stand twice both are there."""
    async with Redis.from_url(redis_url) as redis:
        redis.response_callbacks.clear()
        yield redis


@pytest.fixture
def lines(monkeypatch):
    """What both kinds of logs say."""
    streams = io.StringIO(), io.StringIO()
    handlers = [logging.StreamHandler(stream) for stream in streams]
    logger = logging.getLogger("eventbus")
    for handler, formatter in zip(handlers, (ConsoleFormatter(), JsonFormatter()), strict=True):
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lambda: [stream.getvalue().splitlines() for stream in streams]
    for handler in handlers:
        logger.removeHandler(handler)


def bus_at(url, foreign=READERS):
    bus = EventBus(url, service="billing")

    @bus.subscribe(Order, group="charge", foreign=foreign)
    async def charge(event: Order, ctx: Context):
        ctx.log.info("%s %s %s %s", ctx.id, ctx.key, ctx.headers, ctx.correlation_id)

    return bus


async def dead(bus, group="charge"):
    return [each async for each in bus.admin.dead_letters("orders", group).entries()]


async def test_bad_entries_are_dead_letters_and_what_stands_behind_them_is_handled(redis_url, raw, lines, run):
    """Each with its raw fields, byte for byte, and its reason; logs and terminals are not told anything they would obey."""
    bus = bus_at(redis_url)
    async with running(bus) as going:
        for number, (fields, _) in enumerate(BAD.values()):
            await raw.execute_command("XADD", "orders", "*", *fields)
            await raw.execute_command("XADD", "orders", "*", *entry(id=f"good-{number}", data=f'{{"name":"{number}"}}'))
        await going.idle(timeout=20)
        found = await dead(bus)
    assert sorted(int(order.name) for order in going.handled(Order)) == list(range(len(BAD)))
    by_message = sorted((each.letter.message, list(each.fields)) for each in found)
    assert by_message == sorted((reason, fields) for fields, reason in BAD.values())
    assert {each.letter.reason for each in found} == {"undecodable", "newer"}

    shown = [each for each in found if RAW.search(b"".join(each.fields).decode(errors="replace"))][:4]
    console, documents = lines()
    assert len(console) == len(documents) >= 2 * len(BAD)
    assert not [line for line in console + documents if RAW.search(line)]
    assert all(json.loads(line)["ts"] for line in documents)
    for ended in [
        await run("dead", "list", "orders", "charge"),
        await run("dead", "list", "orders", "charge", "--output", "json"),
        await run("tail", "orders", "--from", "0", "--count", str(2 * len(BAD))),
        await run("tail", "orders", "--from", "0", "--count", str(2 * len(BAD)), "--output", "json"),
        await run("info", "orders"),
        *[await run("dead", "show", "orders", "charge", each.letter.id) for each in shown],
        *[await run("dead", "show", "orders", "charge", each.letter.id, "--output", "json") for each in shown],
    ]:
        assert ended.code == 0
        assert not RAW.search(ended.out + ended.err)


async def test_a_type_with_marks_that_reorder_text_is_one_that_nobody_handles(redis_url, raw, lines, run):
    """Skipped and counted, as any type that the group does not know; where it is named it is escaped."""
    bus = bus_at(redis_url)
    async with running(bus) as going:
        await raw.execute_command("XADD", "orders", "*", *entry(type="Order\u202e\u2028", data=""))
        await going.idle()
        assert (bus.consumers[0].counts.skipped, await dead(bus)) == (1, [])
    said = [line for part in lines() for line in part if "no handler of this group names type" in line]
    assert len(said) == 2
    tail = await run("tail", "orders", "--from", "0", "--count", "1")
    assert not RAW.search("".join(said) + tail.out)
    assert "Order\\" in tail.out


@pytest.mark.parametrize("forged", ["", "x", "00-0-0-00", "00-" + "0" * 32 + "-" + "0" * 16 + "-ff", "\u202e00-\x1b[2J", "9" * 10_000])
async def test_a_forged_traceparent_is_nobodys_trace_and_holds_up_no_event(redis_url, raw, lines, run, forged):
    """What carries no trace that anybody could follow is no reason to lose an event: it is handled, and the forgery escaped."""
    bus = bus_at(redis_url)
    async with running(bus) as going:
        await raw.execute_command("XADD", "orders", "*", *entry(traceparent=forged, tracestate=forged, tenant=forged, correlationid=forged))
        await going.idle()
    assert [order.name for order in going.handled(Order)] == ["x"]
    tail = await run("tail", "orders", "--from", "0", "--count", "1", "--output", "json")
    assert json.loads(tail.out)["attributes"]["traceparent"] == forged
    assert not [line for part in (*lines(), tail.out.splitlines()) for line in part if RAW.search(line)]


async def test_mixed_layouts_stand_side_by_side_in_one_stream(redis_url, raw):
    """Each entry for itself; a group without readers has those of other programs among its dead letters."""
    bus = bus_at(redis_url)

    @bus.subscribe(Order, group="plain")
    async def plain(event: Order): ...

    layouts = [entry(), [b"payload", b'{"name":"json"}'], [b"name", b"flat", b"count", b"3"], [b"x", b"y"]]
    async with running(bus) as going:
        for fields in layouts:
            await raw.execute_command("XADD", "orders", "*", *fields)
        await going.idle()
        (unread,), refused = await dead(bus), await dead(bus, "plain")
    assert sorted(order.name for order in going.handled(Order)) == ["flat", "json", "x", "x"]
    assert unread.fields == layouts[3]
    assert [each.fields for each in refused] == layouts[1:]
    assert {each.letter.message for each in refused} == {"the entry has no specversion field; subscribe with foreign=Flat(…) to read such"}


async def test_a_redriven_bad_entry_that_a_reader_can_read_by_now_is_handled(redis_url, raw):
    """Its raw fields were kept: the program was wrong about them, and has been mended."""
    async with running(bus_at(redis_url, foreign=None)) as going:
        await raw.execute_command("XADD", "orders", "*", b"name", b"o-1")
        await going.idle()
    async with running(bus_at(redis_url)) as going:
        letters = going.bus.admin.dead_letters("orders", "charge")
        await letters.redrive([each.id for each in await letters.page()])
        await going.idle()
    assert [order.name for order in going.handled(Order)] == ["o-1"]
