"""Dead letters on a real Redis: found, shown, redriven once and to one group only, discarded, exported byte by byte."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode, b64encode
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from eventbus import BackendRefused, ConfigurationError, Context, EventBus, LifecycleError, NotFound, Reject, Retry
from eventbus.admin import Admin, Discarded, Filter, Redriven
from eventbus.delivery import split
from eventbus.streams import Address, Connections, keys
from eventbus.streams.packing import packed
from eventbus.testing import running
from tests.support.events import OrderCreated
from tests.support.graveyard import TOMBSTONE, block, bury, letter, make_group
from tests.support.proxy import proxy_to

RETRY = keys.retry("orders", "charge")
DEAD = keys.dead("orders", "charge")


@pytest_asyncio.fixture
async def dead(admin, redis_client):
    """The dead letters of a group that exists."""
    await make_group(redis_client)
    return admin.dead_letters("orders", "charge")


@pytest_asyncio.fixture
async def raw(redis_url):
    """A client that speaks bytes."""
    async with Redis.from_url(redis_url) as client:
        yield client


async def copies(raw, key=RETRY):
    """Names and values in a stream, in order, twins included."""
    return await _flat(raw, key)


async def _flat(raw, key):
    connection = await raw.connection_pool.get_connection()
    try:
        await connection.send_command("XRANGE", key, "-", "+")
        return [fields for _, fields in await connection.read_response(disable_decoding=True)]
    finally:
        await raw.connection_pool.release(connection)


# -- looking


async def test_a_page_describes_dead_letters_without_their_payload(dead, redis_client):
    """Type, event id, why, how often, when, where from; oldest first."""
    first, second = await bury(redis_client, letter(1), letter(2, reason="rejected", attempts=1))
    one, two = await dead.page()
    assert (one.id, one.entry, one.type, one.reason, one.error) == (first, "1-0", "OrderCreated", "attempts", "app.errors.CardDeclined")
    assert (one.attempts, one.deliveries, one.crashes, one.redrives, one.trimmed) == (5, 1, 0, 0, False)
    assert (one.group, one.consumer, one.failed) == ("charge", "billing.host.1.abc", "2026-11-21T07:16:59.123Z")
    assert len(one.event_id) == 36
    assert one.size > 400
    assert (two.id, two.reason, two.attempts) == (second, "rejected", 1)
    assert "9.99" not in repr([one, two])


async def test_pages_go_on_after_an_id_from_either_end(dead, redis_client):
    """Nothing twice, nothing left out."""
    ids = await bury(redis_client, *(letter(number) for number in range(7)))
    assert [each.id for each in await dead.page(count=3)] == ids[:3]
    assert [each.id for each in await dead.page(count=3, after=ids[2])] == ids[3:6]
    assert [each.id for each in await dead.page(count=3, after=ids[5])] == ids[6:]
    assert [each.id for each in await dead.page(count=3, newest=True)] == ids[:3:-1]
    assert [each.id for each in await dead.page(count=9, newest=True, after=ids[4])] == ids[3::-1]


async def test_a_filter_finds_by_type_error_reason_and_time(dead, redis_client):
    """An error's class is found with and without its module; a time means when the event died."""
    await bury(
        redis_client,
        letter(1),
        letter(2, error="builtins.TimeoutError"),
        letter(3, error="builtins.TimeoutError", type="OrderPaid"),
        letter(4, reason="rejected"),
        ids=["1000-0", "2000-0", "2000-1", "3000-0"],
    )

    async def found(**wanted):
        return [each.id for each in await dead.page(Filter(**wanted))]

    assert await found(type="OrderPaid") == ["2000-1"]
    assert await found(error="TimeoutError") == await found(error="builtins.TimeoutError") == ["2000-0", "2000-1"]
    assert await found(error="Error") == []
    assert await found(reason="rejected") == ["3000-0"]
    assert await found(since=datetime.fromtimestamp(2, UTC)) == ["2000-0", "2000-1", "3000-0"]
    assert await found(until=datetime.fromtimestamp(2, UTC)) == ["1000-0"]
    assert await found(since=datetime.fromtimestamp(2, UTC), until=datetime.fromtimestamp(3, UTC), type="OrderCreated") == ["2000-0"]
    assert (await dead.count(), await dead.count(Filter(error="TimeoutError"))) == (4, 2)


async def test_a_dead_letter_is_shown_whole_with_its_original_fields(dead, redis_client):
    """What was published, apart from what was written about it."""
    fields = letter(1)
    (dead_id,) = await bury(redis_client, fields)
    entry = await dead.show(dead_id)
    assert list(entry.fields) + list(entry.block) == fields
    assert entry.block[0] == b"ebentry"
    assert entry.traceback.startswith("Traceback")
    assert entry.letter == (await dead.page())[0]
    assert (await dead.latest()).letter.id == dead_id
    assert await dead.show("1-0") is None
    with pytest.raises(ConfigurationError, match="looks like 1763709419123-0"):
        await dead.show("newest")


async def test_nothing_dead_is_an_empty_page_and_an_unknown_group_is_told_apart(admin, dead):
    """No dead letters is good news; no group is a typing error."""
    assert (await dead.page(), await dead.count(), await dead.latest(), await dead.known()) == ([], 0, None, True)
    assert not await admin.dead_letters("orders", "chrage").known()


# -- redriving


async def test_a_redrive_reaches_only_the_failing_group_and_begins_its_history_anew(dead, redis_client, raw):
    """The copy stands in the group's private stream; the topic and other groups see nothing."""
    await make_group(redis_client, "notify")
    fields = letter(1, crashes="2", hops="3", hopped="99", redrives="1", deliveries="4")
    at = fields.index(b"ebentry")
    (dead_id,) = await bury(redis_client, fields)
    assert await dead.redrive(dead_id) == Redriven(done=1)
    ((*copy,),) = await copies(raw)
    assert copy == [*fields[:at], b"ebentry", b"1-0", b"ebredrives", b"2"]
    assert (await redis_client.xlen(DEAD), await redis_client.xlen("orders")) == (0, 0)
    assert await redis_client.xlen(keys.retry("orders", "notify")) == 0
    read = await redis_client.xreadgroup("charge", "me", {RETRY: ">"})
    assert read[0][1][0][1]["partitionkey"] == "o-1"


async def test_a_second_redrive_of_the_same_dead_letter_finds_nothing(dead, redis_client):
    """Not an error, and said by id."""
    one, two = await bury(redis_client, letter(1), letter(2))
    assert await dead.redrive([one, one]) == Redriven(done=1)
    assert await dead.redrive([one, two]) == Redriven(done=1, missing=(one,))
    assert await redis_client.xlen(RETRY) == 2


async def test_a_redrive_whose_answer_is_lost_is_not_doubled(redis_client, redis_url):
    """Sent again on a new connection, it finds its work done and says so; what never was is still missing."""
    await make_group(redis_client)
    ids = await bury(redis_client, *(letter(number) for number in range(10)))
    async with proxy_to(redis_url) as proxy, Admin(Connections(Address.parse(proxy.url), name="tests")) as admin:
        dead = admin.dead_letters("orders", "charge")
        await dead.redrive(ids[0])  # the script is known to the server from here on
        proxy.lose_reply(to=ids[1].encode(), containing=b"*9\r\n")
        assert await dead.redrive([*ids[1:], "1-1"]) == Redriven(done=9, missing=("1-1",))
        assert proxy.lost.is_set()
    assert (await redis_client.xlen(RETRY), await redis_client.xlen(DEAD)) == (10, 0)


async def test_a_discard_whose_answer_is_lost_counts_what_it_did(redis_client, redis_url):
    """XDEL answers 0 the second time."""
    await make_group(redis_client)
    ids = await bury(redis_client, *(letter(number) for number in range(3)))
    async with proxy_to(redis_url) as proxy, Admin(Connections(Address.parse(proxy.url), name="tests")) as admin:
        proxy.lose_reply(to=b"XDEL")
        assert await admin.dead_letters("orders", "charge").discard(ids) == Discarded(done=3)
        assert proxy.lost.is_set()


async def test_two_redrives_at_once_redrive_each_dead_letter_once(connections, redis_client):
    """Together they did all of it; neither did any of it twice."""
    await make_group(redis_client)
    await bury(redis_client, *(letter(number) for number in range(600)))
    async with Admin(connections) as one, Admin(connections) as two:
        await asyncio.gather(one.now(), two.now())  # both are connected, so that they run side by side
        found = await asyncio.gather(*(admin.dead_letters("orders", "charge").redrive(Filter()) for admin in (one, two)))
    assert sum(each.done for each in found) == 600
    assert any(each.missing for each in found)  # they met
    assert (await redis_client.xlen(RETRY), await redis_client.xlen(DEAD)) == (600, 0)


async def test_a_filter_redrives_what_it_means(dead, redis_client):
    """And leaves the others."""
    await bury(
        redis_client, *(letter(number, error="builtins.TimeoutError" if number % 2 else "builtins.ValueError") for number in range(20))
    )
    assert await dead.redrive(Filter(error="TimeoutError")) == Redriven(done=10)
    assert [each.error for each in await dead.page()] == ["builtins.ValueError"] * 10


async def test_what_dies_while_a_redrive_runs_stays_dead(dead, redis_client, monkeypatch):
    """An event that fails again at once is not redriven for ever."""
    monkeypatch.setattr("eventbus.admin.dead_letters.PAGE", 3)
    await bury(redis_client, *(letter(number) for number in range(10)))
    again = []

    async def dies_again():
        again.extend(await bury(redis_client, letter(99)))

    tasks = []
    found = await dead.redrive(
        Filter(), rate=10, progress=lambda _: tasks.append(asyncio.ensure_future(dies_again())) if len(tasks) < 30 else None
    )
    await asyncio.gather(*tasks)
    assert found == Redriven(done=10)
    assert [each.id for each in await dead.page()] == again
    assert len(again) == 5


async def test_a_redrive_goes_on_through_a_short_outage(redis_client, redis_url, monkeypatch):
    """Whatever command it hits after the first; nothing is doubled."""
    monkeypatch.setattr("eventbus.admin.dead_letters.PAGE", 20)
    await make_group(redis_client)
    ids = await bury(redis_client, *(letter(number) for number in range(100)))
    cuts = []

    def cut(_):
        cuts.append(1)
        proxy.cut()

    async with proxy_to(redis_url) as proxy, Admin(Connections(Address.parse(proxy.url), name="tests")) as admin:
        assert (await admin.dead_letters("orders", "charge").redrive(Filter(), rate=200, progress=cut)).done == len(ids)
    assert len(cuts) > 1
    assert (await redis_client.xlen(RETRY), await redis_client.xlen(DEAD)) == (100, 0)


async def test_a_dry_run_says_what_would_become_of_each_and_writes_nothing(dead, redis_client):
    """The same script, asked only to look."""
    ids = await bury(redis_client, letter(1), TOMBSTONE, letter(2))
    seen = []
    assert await dead.redrive(Filter(), dry_run=True, progress=seen.append) == Redriven(done=2, tombstones=(ids[1],), dry_run=True)
    assert await dead.discard(Filter(), dry_run=True) == Discarded(done=3, dry_run=True)
    assert (await redis_client.xlen(DEAD), await redis_client.xlen(RETRY), len(seen)) == (3, 0, 1)


async def test_a_tombstone_and_an_entry_too_large_are_named_and_skipped(dead, redis_client, raw):
    """There is nothing to redrive in the one; the other does not fit into a script, and is exported."""
    large = [b"%d" % number for number in range(8_000)]
    ids = await bury(redis_client, letter(1), TOMBSTONE, [*large, *block("3-0")], letter(4))
    assert await dead.redrive(Filter()) == Redriven(done=2, tombstones=(ids[1],), large=(ids[2],))
    assert [each.trimmed for each in await dead.page()] == [True, False]
    assert (await dead.show(ids[2])).fields == large


async def test_an_entry_that_was_packed_is_redriven_with_all_its_fields(dead, redis_client, raw):
    """What a script could not write as fields of its own travels along, and is shown and exported as it was."""
    original = [b"\xff%d" % number for number in range(9_000)]
    fields = packed([*original, *block("3-0")])
    (dead_id,) = await bury(redis_client, fields)
    entry = await dead.show(dead_id)
    assert list(entry.fields) == original
    (line,) = [json.loads(line) async for line in dead.export()]
    assert [b64decode(part["name_base64"]) for part in line["fields"]] == original[::2]
    assert await dead.redrive(dead_id) == Redriven(done=1)
    (copy,) = await copies(raw)
    found, carried = split(copy)
    assert found == original
    assert (carried.entry, carried.redrives, carried.attempts) == ("3-0", 1, 0)


async def test_fields_of_a_publisher_that_are_called_like_ours_are_redriven_as_they_were(dead, redis_client, raw):
    """Ours stand last."""
    theirs = [b"ebentry", b"mine", b"a", b"1", b"ebredrives", b"7", b"a", b"ebentry"]
    await bury(redis_client, [*theirs, *block("3-0")])
    assert await dead.redrive(Filter()) == Redriven(done=1)
    assert await copies(raw) == [[*theirs, b"ebentry", b"3-0", b"ebredrives", b"1"]]


async def test_a_dead_letter_without_a_history_is_redriven_whole(dead, redis_client, raw):
    """Somebody wrote it by hand."""
    (dead_id,) = await bury(redis_client, [b"a", b"1"])
    (found,) = await dead.page()
    assert (found.id, found.reason, found.entry, found.trimmed) == (dead_id, "", "", False)
    assert await dead.redrive(Filter()) == Redriven(done=1)
    assert await copies(raw) == [[b"a", b"1", b"ebentry", b"", b"ebredrives", b"1"]]


async def test_a_group_that_nobody_would_read_is_not_redriven_to(admin, redis_client):
    """It was abandoned: the entries would wait where nobody looks."""
    await bury(redis_client, letter(1))
    with pytest.raises(NotFound, match="nobody would handle"):
        await admin.dead_letters("orders", "charge").redrive(Filter())
    assert await redis_client.xlen(DEAD) == 1
    assert not await redis_client.exists(RETRY)


async def test_at_maxmemory_a_redrive_is_refused_and_changes_nothing(own_server):
    """XADD stands first."""
    server = own_server()
    async with (
        Redis.from_url(server.url, decode_responses=True) as client,
        Admin(Connections(Address.parse(server.url), name="t")) as admin,
    ):
        await make_group(client)
        await bury(client, letter(1))
        await client.config_set("maxmemory", 1)
        with pytest.raises(BackendRefused) as refused:
            await admin.dead_letters("orders", "charge").redrive(Filter())
        await client.config_set("maxmemory", 0)
        assert refused.value.code == "OOM"
        assert (await client.xlen(DEAD), await client.xlen(RETRY)) == (1, 0)
        assert (await admin.dead_letters("orders", "charge").redrive(Filter())).done == 1


async def test_ten_thousand_dead_letters_are_redriven_with_progress(dead, redis_client):
    """In batches, each of them told."""
    await bury(redis_client, *(letter(number) for number in range(10_000)))
    seen = []
    assert await dead.redrive(Filter(), progress=seen.append) == Redriven(done=10_000)
    assert [each.done for each in seen] == list(range(200, 10_001, 200))
    assert (await redis_client.xlen(DEAD), await redis_client.xlen(RETRY)) == (0, 10_000)


async def test_a_rate_spreads_a_redrive_over_its_time(dead, redis_client):
    """Handlers see a flow: no batch comes before its share of the time."""
    await bury(redis_client, *(letter(number) for number in range(60)))
    seen = []
    began = time.monotonic()
    await dead.redrive(Filter(), rate=100, progress=lambda so_far: seen.append((so_far.done, time.monotonic() - began)))
    assert [done for done, _ in seen] == [20, 40, 60]
    assert all(passed >= (done - 20) / 100 for done, passed in seen)
    for rate in (0, -1, float("inf"), float("nan"), True):
        with pytest.raises(ConfigurationError, match="rate"):
            await dead.redrive(Filter(), rate=rate)


async def test_a_redrive_that_is_cancelled_goes_on_where_it_stopped(dead, redis_client):
    """What was redriven stays so, the rest stays dead."""
    await bury(redis_client, *(letter(number) for number in range(20)))
    began = asyncio.Event()
    task = asyncio.create_task(dead.redrive(Filter(), rate=10, progress=lambda _: began.set()))
    await began.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    left = await redis_client.xlen(DEAD)
    assert 0 < left < 20
    assert (await dead.redrive(Filter())).done == left
    assert await redis_client.xlen(RETRY) == 20


async def test_a_redriven_batch_stops_at_its_bytes_and_the_rest_follows(dead, redis_client, monkeypatch):
    """Large payloads do not hold up the server: every call does at least one."""
    monkeypatch.setattr("eventbus.streams.dead_letters.REDRIVE_BYTES", 1500)
    await bury(redis_client, *(letter(number) for number in range(9)))
    before = (await redis_client.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)
    assert await dead.redrive(Filter()) == Redriven(done=9)
    assert (await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"] - before >= 3
    assert await redis_client.xlen(RETRY) == 9


# -- discarding, exporting


async def test_discarding_deletes_what_is_meant_and_says_what_was_not_there(admin, dead, redis_client):
    """By ids and by filter, also for a group that was abandoned."""
    ids = await bury(redis_client, *(letter(number, reason="rejected" if number < 2 else "attempts") for number in range(5)))
    assert await dead.discard([ids[4], "1-0"]) == Discarded(done=1, missing=("1-0",))
    assert await dead.discard(Filter(reason="rejected")) == Discarded(done=2)
    assert [each.id for each in await dead.page()] == ids[2:4]
    await redis_client.delete(keys.group("orders", "charge"), keys.groups("orders"))
    assert await dead.discard(Filter()) == Discarded(done=2)


async def test_an_export_gives_every_byte_back(dead, redis_client):
    """In order, twins and bytes that are no UTF-8 included; what is ours stands apart."""
    evil = [b"\xff\x00name", b"\xfe" * 3, b"twin", b"1", b"twin", b"2", b"", b"", "é\u2028".encode(), b"\x1b[2J", bytes(range(256)), b"x"]
    letters = [[*evil, *block("3-0", message="no \x9b")], letter(1), TOMBSTONE]
    ids = await bury(redis_client, *letters)
    lines = [line async for line in dead.export()]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    documents = [json.loads(line) for line in lines]
    assert [document["id"] for document in documents] == ids
    assert [restored(document["fields"]) + restored(document["block"]) for document in documents] == letters
    assert documents[0]["fields"][0] == {"name_base64": b64encode(b"\xff\x00name").decode(), "value_base64": "/v7+"}
    assert [document["topic"] for document in documents] == ["orders"] * 3
    (named,) = [json.loads(line) async for line in dead.export(Filter(reason="attempts", type="OrderCreated", since=None))][1:]
    assert named == documents[1]
    (one,) = [line async for line in dead.export(ids[1])]
    assert one == lines[1]
    assert await redis_client.xlen(DEAD) == 3
    with pytest.raises(NotFound, match="no dead letter 1-0"):
        [line async for line in dead.export("1-0")]


def restored(parts):
    """Names and values from an export."""
    flat = []
    for part in parts:
        for label in ("name", "value"):
            flat.append(part[label].encode() if label in part else b64decode(part[f"{label}_base64"]))
    return flat


# -- with a bus


async def test_what_a_bus_put_aside_is_redriven_to_the_handler_that_failed_and_to_no_other(redis_url):
    """With the same event id, and attempts that begin anew; the other group had its own copy, and handled it."""
    bus = EventBus(redis_url, service="billing")
    broken, charged, notified = [True], [], []

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(attempts=2, backoff=[0.01]))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        charged.append((ctx.id, ctx.attempt))
        if broken:
            raise TimeoutError("no card")

    @bus.subscribe(OrderCreated, group="notify")
    async def notify(event: OrderCreated) -> None:
        notified.append(event.order_id)

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
        dead = bus.admin.dead_letters("orders", "charge")
        (found,) = await dead.page(Filter(error="TimeoutError", reason="attempts", type="OrderCreated"))
        assert (found.attempts, found.message, found.redrives) == (2, "no card", 0)
        assert found.consumer.startswith("billing.")
        assert "raise TimeoutError" in (await dead.show(found.id)).traceback
        broken.clear()
        assert (await dead.redrive(found.id)).done == 1
        await run.idle()
        assert await dead.count() == 0
    assert charged == [(found.event_id, 1), (found.event_id, 2), (found.event_id, 1)]
    assert notified == ["o-1"]


async def test_what_fails_again_after_a_redrive_says_how_often_it_came_back(redis_url):
    """Two redrives, and a new history each time."""
    bus = EventBus(redis_url, service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        raise Reject("never")

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
        dead = bus.admin.dead_letters("orders", "charge")
        for times in (1, 2):
            assert (await dead.redrive(Filter())).done == 1
            await run.idle()
            (found,) = await dead.page()
            assert (found.redrives, found.attempts, found.reason) == (times, 1, "rejected")


async def test_a_bus_that_is_not_open_has_no_admin(redis_url):
    """And one that was closed has a new one when it opens again."""
    bus = EventBus(redis_url, service="billing")
    with pytest.raises(LifecycleError):
        _ = bus.admin
    for _ in range(2):
        async with bus:
            assert await bus.admin.topics() == []
            assert bus.admin is bus.admin
