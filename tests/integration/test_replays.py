"""Replays on a real Redis: copied once and to one group only, whatever is interrupted; nothing else moves."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from eventbus import BackendRefused, ConfigurationError, Context, EventBus, NotFound, Reject, ReplayUnfinished, Topic
from eventbus.admin import Admin, Filter, Lag
from eventbus.delivery import split
from eventbus.events import encode
from eventbus.streams import Address, Connections, Group, keys
from eventbus.streams.replays import ReplayCommands
from eventbus.testing import running
from tests.support.commands import Command
from tests.support.events import OrderCreated
from tests.support.graveyard import make_group
from tests.support.proxy import proxy_to

RETRY = keys.retry("orders", "charge")
REPLAY = keys.replay("orders", "charge")


@pytest_asyncio.fixture
async def raw(redis_url):
    """A client that speaks bytes."""
    async with Redis.from_url(redis_url) as client:
        yield client


async def publish(client, *ids, stream="orders"):
    """Entries with these ids."""
    pipeline = client.pipeline(transaction=False)
    for each in ids:
        pipeline.execute_command("XADD", stream, each, *encode(OrderCreated(order_id=f"o-{each}"), source="/shop"))
    await pipeline.execute()


async def handled(client, *ids, group="charge"):
    """A group whose members were given entries with these ids, and settled them."""
    await make_group(client, group)
    await publish(client, *ids)
    await settle(client, group=group)


async def settle(client, *, group="charge"):
    """Give a group all there is on the topic, and settle it."""
    for _, rows in await client.xreadgroup(group, "me", {"orders": ">"}):
        await client.xack("orders", group, *(entry_id for entry_id, _ in rows))


def ids(count, begin=1):
    return [f"{number}-0" for number in range(begin, begin + count)]


async def copied(raw, key=RETRY):
    """The origins of the copies in a private stream, in their order."""
    found = []
    for _, fields in await raw.xrange(key):
        _, carried = split([part for pair in fields.items() for part in pair])
        assert carried.replayed
        found.append(carried.entry)
    return found


async def everything(raw):
    """All keys with their whole content."""
    return {key: await raw.dump(key) for key in await raw.keys("*")}


async def place(client, group="charge"):
    """What Redis knows about a group's place on the topic, consumers apart."""
    (found,) = [row for row in await client.xinfo_groups("orders") if row["name"] == group]
    return found["last-delivered-id"], found["pending"], found.get("entries-read")


async def interrupted(admin, *, rate, from_="0"):
    """A replay that was cancelled after its first step."""
    began = asyncio.Event()
    task = asyncio.create_task(admin.replay("orders", "charge", from_=from_, rate=rate, progress=lambda _: began.set()))
    await began.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# -- what is copied


async def test_a_range_is_copied_into_the_private_stream_of_one_group(admin, redis_client, raw):
    """Both ends included, marked, with the original fields; the topic and the groups stand where they stood."""
    await handled(redis_client, *ids(9))
    await make_group(redis_client, "notify")
    before = [await place(redis_client, group) for group in ("charge", "notify")], await raw.dump("orders")
    found = await admin.replay("orders", "charge", from_="3", to="5-0")
    assert (found.copied, found.begin, found.until, found.kept_from) == (3, "3-0", "5-0", "1-0")
    assert (found.waiting, found.pending, found.unread, found.cut, found.resumed, found.repeated) == (3, 0, Lag(0), None, False, False)
    assert await copied(raw) == ["3-0", "4-0", "5-0"]
    ((_, fields), *_) = await raw.xrange(RETRY)
    (_, original) = (await raw.xrange("orders", "3-0", "3-0"))[0]
    assert fields == {**original, b"ebentry": b"3-0", b"ebreplayed": b"1"}
    assert await redis_client.xlen(keys.retry("orders", "notify")) == 0
    assert ([await place(redis_client, group) for group in ("charge", "notify")], await raw.dump("orders")) == before


async def test_times_are_ends_too(admin, redis_client, raw):
    """By the millisecond, both included."""
    await handled(redis_client, "1000-0", "2000-0", "2000-7", "2001-0")

    def at(milliseconds):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)

    await admin.replay("orders", "charge", from_=at(1000.5), to=at(2000.9))
    assert await copied(raw) == ["2000-0", "2000-7"]


async def test_what_the_group_was_not_given_yet_is_left_to_come_by_itself(admin, redis_client, raw):
    """Copied too, it would be handled twice. How much it is, is said."""
    await handled(redis_client, *ids(3))
    await publish(redis_client, *ids(4, 4))
    found = await admin.replay("orders", "charge", from_="2-0")
    assert (found.copied, found.until, found.unread) == (2, "3-0", Lag(4))
    found = await admin.replay("orders", "charge", from_="5-0", to="6-0")
    assert (found.copied, found.unread) == (0, Lag(2))
    assert await copied(raw) == ["2-0", "3-0"]


async def test_what_is_pending_in_the_group_is_passed_over_and_told(admin, redis_client, raw):
    """Its consumer, or who takes it over, handles it anyway."""
    await make_group(redis_client)
    await publish(redis_client, *ids(5))
    await redis_client.xreadgroup("charge", "me", {"orders": ">"})
    await redis_client.xack("orders", "charge", "1-0", "3-0", "4-0")
    found = await admin.replay("orders", "charge", from_="0", dry_run=True)
    assert (found.copied, found.pending) == (3, 2)
    found = await admin.replay("orders", "charge", from_="0")
    assert (found.copied, found.pending) == (3, 2)
    assert await copied(raw) == ["1-0", "3-0", "4-0"]


async def test_what_is_published_while_a_replay_runs_is_not_copied(admin, redis_client, raw):
    """The end is fixed when it begins."""
    await handled(redis_client, *ids(20))
    tasks = []

    def publishes(_):
        if not tasks:
            tasks.append(asyncio.ensure_future(more()))

    async def more():
        await publish(redis_client, "30-0")
        await settle(redis_client)

    found = await admin.replay("orders", "charge", from_="0", rate=50, progress=publishes)
    await asyncio.gather(*tasks)
    assert (found.copied, found.until) == (20, "20-0")
    assert await copied(raw) == ids(20)


async def test_entries_of_other_programs_are_copied_as_they_are_and_one_too_large_is_named(admin, redis_client, raw):
    """Twins, our own names and bytes that are no text; more than 3,900 fields do not fit into a script."""
    await make_group(redis_client)
    evil = [b"ebentry", b"mine", b"twin", b"1", b"twin", b"2", b"\xff", b"\x00"]
    large = [b"%d" % number for number in range(8_000)]
    await raw.execute_command("XADD", "orders", "1-0", *evil)
    await raw.execute_command("XADD", "orders", "2-0", *large)
    await settle(raw)
    assert (await admin.replay("orders", "charge", from_="0", dry_run=True)).large == ("2-0",)
    found = await admin.replay("orders", "charge", from_="0")
    assert (found.copied, found.large) == (1, ("2-0",))
    connection = await raw.connection_pool.get_connection()
    try:
        await connection.send_command("XRANGE", RETRY, "-", "+")
        ((_, fields),) = await connection.read_response(disable_decoding=True)
    finally:
        await raw.connection_pool.release(connection)
    assert fields == [*evil, b"ebentry", b"1-0", b"ebreplayed", b"1"]


# -- what is no longer kept


async def test_a_range_of_which_a_part_is_trimmed_is_replayed_and_says_what_is_missing(admin, redis_client, raw):
    """How many were removed from the topic is told where the server knows it."""
    await handled(redis_client, *ids(10))
    await redis_client.xtrim("orders", minid="5-0", approximate=False)
    for dry_run in (True, False):
        found = await admin.replay("orders", "charge", from_="3-0", dry_run=dry_run)
        assert (found.copied, found.incomplete, found.kept_from) == (6, True, "5-0")
        assert found.removed in (4, None)  # 6.2 does not say
    assert await copied(raw) == ids(6, 5)
    assert not (await admin.replay("orders", "charge", from_="5-0")).incomplete


async def test_a_range_of_which_nothing_is_kept_is_refused(admin, redis_client, raw):
    """It says where what is kept begins; nothing is written."""
    await handled(redis_client, *ids(10))
    await redis_client.xtrim("orders", minid="5-0", approximate=False)
    before = await everything(raw)
    with pytest.raises(NotFound, match=r"there is no entry up to 4-\d+ in topic 'orders' any more: what is kept begins with 5-0 \(1970-"):
        await admin.replay("orders", "charge", from_="1", to="4")
    await redis_client.xtrim("orders", maxlen=0, approximate=False)
    with pytest.raises(NotFound, match="there is no entry left in topic 'orders'"):
        await admin.replay("orders", "charge", from_="0")
    assert (await everything(raw)).keys() == before.keys()


async def test_what_is_cut_while_a_replay_runs_is_told(admin, redis_client, raw):
    """Trimming does not wait for replays: what it took before it was copied is not passed over in silence."""
    await handled(redis_client, *ids(10))
    tasks = []

    def trims(so_far):
        if so_far.copied == 4:
            tasks.append(asyncio.ensure_future(redis_client.xtrim("orders", minid="8-0", approximate=False)))

    found = await admin.replay("orders", "charge", from_="0", rate=10, progress=trims)
    await asyncio.gather(*tasks)
    assert (found.copied, found.cut, found.incomplete) == (7, ("5-0", "8-0"), True)
    assert await copied(raw) == [*ids(4), *ids(3, 8)]


async def test_a_replay_whose_rest_is_cut_ends_and_says_so(admin, redis_client, raw):
    """Where nothing is left it does not wait for ever."""
    await handled(redis_client, *ids(6))
    tasks = []

    def trims(so_far):
        if so_far.copied == 2:
            tasks.append(asyncio.ensure_future(redis_client.xtrim("orders", maxlen=0, approximate=False)))

    found = await admin.replay("orders", "charge", from_="0", rate=5, progress=trims)
    await asyncio.gather(*tasks)
    assert (found.copied, found.cut) == (2, ("3-0", "6-0"))


# -- once


async def test_a_replay_that_is_cancelled_goes_on_where_it_was(admin, redis_client, raw):
    """With the same range, or by `resume_replay`."""
    await handled(redis_client, *ids(30))
    for _ in range(2):
        await interrupted(admin, rate=25)
    unfinished = await admin.unfinished_replay("orders", "charge")
    assert (0 < unfinished.copied < 30, unfinished.resumed) == (True, True)
    would = await admin.resume_replay("orders", "charge", dry_run=True)
    assert (would.copied, would.dry_run, would.resumed) == (30, True, True)
    found = await admin.resume_replay("orders", "charge")
    assert (found.copied, found.resumed) == (30, True)
    assert await copied(raw) == ids(30)
    assert await admin.unfinished_replay("orders", "charge") is None
    with pytest.raises(NotFound, match="no unfinished replay"):
        await admin.resume_replay("orders", "charge")


@pytest.mark.parametrize("lost", ["begin", "a step", "the last step"])
async def test_an_answer_that_is_lost_doubles_nothing(redis_client, redis_url, raw, lost):
    """The cursor moved in the step that copied."""
    await handled(redis_client, *ids(450))
    async with proxy_to(redis_url) as proxy, Admin(Connections(Address.parse(proxy.url), name="tests")) as admin:
        steps = []

        def lose(so_far):
            steps.append(so_far.copied)
            if so_far.copied == {"a step": 200, "the last step": 400}.get(lost):
                proxy.lose_reply(to=REPLAY.encode())

        if lost == "begin":
            proxy.lose_reply(to=b"cutfrom", containing=b":1")
        found = await admin.replay("orders", "charge", from_="0", progress=lose)
        assert proxy.lost.is_set()
    assert (found.copied, len(steps) >= 2) == (450, True)
    assert await copied(raw) == ids(450)


async def test_a_replay_that_was_done_is_not_done_again_unless_it_is_meant(admin, redis_client, raw):
    """Who was killed before the answer came asks again, and is told."""
    await handled(redis_client, *ids(3))
    first = await admin.replay("orders", "charge", from_="0")
    again = await admin.replay("orders", "charge", from_="0")
    assert (again.repeated, again.copied, again.until) == (True, first.copied, "3-0")
    assert await copied(raw) == ids(3)
    assert 80_000 < await redis_client.ttl(REPLAY) <= 86_400
    assert (await admin.replay("orders", "charge", from_="2-0", dry_run=True)).copied == 2
    await interrupted(admin, rate=0.1, from_="2-0")
    assert await redis_client.ttl(REPLAY) == -1  # what is unfinished is not forgotten
    assert (await admin.resume_replay("orders", "charge")).copied == 2
    assert (await admin.replay("orders", "charge", from_="2-0", anew=True)).copied == 2
    assert await copied(raw) == [*ids(3), *ids(2, 2), *ids(2, 2)]


async def test_another_range_waits_for_the_one_that_is_unfinished(admin, redis_client, raw):
    """Or takes its place, when that is asked for; who was at it is told."""
    await handled(redis_client, *ids(20))
    began = asyncio.Event()
    task = asyncio.create_task(admin.replay("orders", "charge", from_="0", rate=5, progress=lambda _: began.set()))
    await began.wait()
    before = await redis_client.hgetall(REPLAY)
    with pytest.raises(ReplayUnfinished, match=r"unfinished replay, from 0-0 to what was the end, begun at 20.*, 1 copied: resume it"):
        await admin.replay("orders", "charge", from_="5-0")
    assert (await redis_client.hgetall(REPLAY))["id"] == before["id"]
    found = await admin.replay("orders", "charge", from_="18-0", anew=True)
    assert (found.copied, found.resumed) == (3, False)
    with pytest.raises(ReplayUnfinished, match="was given up"):
        await task
    assert (await copied(raw))[-3:] == ids(3, 18)


async def test_two_who_replay_one_range_at_once_copy_it_once(connections, redis_client, raw):
    """They share the work; both learn what came of all of it."""
    await handled(redis_client, *ids(900))
    async with Admin(connections) as one, Admin(connections) as two:
        await asyncio.gather(one.now(), two.now())  # both are connected, so that they run side by side
        found = await asyncio.gather(*(admin.replay("orders", "charge", from_="0") for admin in (one, two)))
    assert [each.copied for each in found] == [900, 900]
    assert await copied(raw) == ids(900)


async def test_who_begins_second_finds_the_first(connections, redis_client):
    """Both saw that nothing stood there: the look and the note are two steps, the note looks again."""
    async with Admin(connections) as admin:
        commands = ReplayCommands(admin._wire, Group("orders", "charge"))
        first, second = [{"id": name, "copied": "0"} for name in ("one", "two")]
        assert await commands.begin(first, instead_of="")
        assert not await commands.begin(second, instead_of="")
        assert (await commands.noted())["id"] == "one"
        assert await commands.begin(second, instead_of="one")
        assert (await commands.noted())["id"] == "two"


async def test_a_command_that_is_killed_goes_on_where_it_was(redis_client, redis_url, raw, tmp_path):
    """Kill -9, twice; then --resume. Nothing is copied twice, nothing is left out."""
    await handled(redis_client, *ids(2_000))
    for _ in range(2):
        before = await redis_client.xlen(RETRY)
        replay = ("replay", "orders", "charge", "--from", "0", "--rate", "300", "--ahead", "0", "--yes")
        command = await Command.start(*replay, cwd=tmp_path, url=redis_url)
        while await redis_client.xlen(RETRY) == before:
            await redis_client.xread({RETRY: "$"}, block=1_000)
        await command.kill()
    assert 0 < await redis_client.xlen(RETRY) < 2_000
    command = await Command.start("replay", "orders", "charge", "--resume", "--ahead", "0", "--yes", cwd=tmp_path, url=redis_url)
    ended = await command.ended()
    assert (ended.code, ended.out) == (0, "replayed 2000 entries to group charge, 0-0 to 2000-0\n"), ended
    assert await copied(raw) == ids(2_000)


# -- gently


async def test_a_dry_run_writes_nothing(admin, redis_client, raw):
    """Every key is as it was, to the byte."""
    await handled(redis_client, *ids(300))
    await publish(redis_client, "301-0")
    before = await everything(raw)
    found = await admin.replay("orders", "charge", from_="100-0", dry_run=True)
    assert (found.copied, found.unread, found.dry_run) == (201, Lag(1), True)
    assert await everything(raw) == before


async def test_a_replay_waits_while_the_group_is_behind_with_what_was_copied(admin, redis_client, raw):
    """So that it fills neither the server nor the way of what else is to be handled again."""
    await handled(redis_client, *ids(50))
    most = []

    async def settles():
        settled = 0
        while settled < 50:
            for _, rows in await redis_client.xreadgroup("charge", "me", {RETRY: ">"}, count=3, block=1_000):
                most.append(await redis_client.xlen(RETRY))
                await redis_client.xack(RETRY, "charge", *(entry_id for entry_id, _ in rows))
                await redis_client.xdel(RETRY, *(entry_id for entry_id, _ in rows))
                settled += len(rows)

    found, _ = await asyncio.gather(admin.replay("orders", "charge", from_="0", ahead=10), settles())
    assert (found.copied, max(most)) == (50, 10)


async def test_a_rate_spreads_a_replay_over_its_time(admin, redis_client):
    """No step comes before its share of the time."""
    await handled(redis_client, *ids(60))
    seen, began = [], time.monotonic()
    await admin.replay(
        "orders", "charge", from_="0", rate=100, progress=lambda so_far: seen.append((so_far.copied, time.monotonic() - began))
    )
    assert [done for done, _ in seen] == [20, 40, 60]
    assert all(passed >= (done - 20) / 100 for done, passed in seen)


async def test_a_step_stops_at_its_bytes_and_the_rest_follows(admin, redis_client, raw, monkeypatch):
    """Large payloads do not hold up the server: every step does at least one."""
    monkeypatch.setattr("eventbus.streams.replays.STEP_BYTES", 300)
    await handled(redis_client, *ids(9))
    seen = []
    found = await admin.replay("orders", "charge", from_="0", progress=lambda so_far: seen.append(so_far.copied))
    assert (found.copied, len(seen) >= 3) == (9, True)
    assert await copied(raw) == ids(9)


async def test_at_maxmemory_a_replay_is_refused_and_changes_nothing(own_server):
    """When it begins, and in the middle; afterwards it goes on."""
    server = own_server()
    async with (
        Redis.from_url(server.url, decode_responses=True) as client,
        Redis.from_url(server.url) as raw,
        Admin(Connections(Address.parse(server.url), name="t")) as admin,
    ):
        await handled(client, *ids(10))
        for begins in (True, False):
            before = await everything(raw)
            await client.config_set("maxmemory", 1)
            with pytest.raises(BackendRefused) as refused:
                await admin.replay("orders", "charge", from_="0")
            await client.config_set("maxmemory", 0)
            assert (refused.value.code, await everything(raw)) == ("OOM", before)
            if begins:
                await interrupted(admin, rate=0.1)
        assert (await admin.replay("orders", "charge", from_="0")).copied == 10
        assert await copied(raw) == ids(10)


@pytest.mark.parametrize("noted", [{"id": "x"}, {"id": b"\xff", "cursor": "5"}, {"done": "1"}], ids=range(3))
async def test_what_another_hand_noted_is_no_replay(admin, redis_client, noted):
    """The next one takes its place."""
    await handled(redis_client, *ids(3))
    await redis_client.hset(keys.replay("orders", "charge"), mapping=noted)
    assert await admin.unfinished_replay("orders", "charge") is None
    with pytest.raises(NotFound, match="no unfinished replay"):
        await admin.resume_replay("orders", "charge")
    assert (await admin.replay("orders", "charge", from_="0")).copied == 3


# -- whom it is for


async def test_what_is_not_there_is_refused(admin, redis_client, raw):
    """No topic, no group, another program's, one that lost its place; nothing is written."""
    with pytest.raises(NotFound, match="there is no topic 'orders'"):
        await admin.replay("orders", "charge", from_="0")
    await handled(redis_client, *ids(3))
    await redis_client.xgroup_create("orders", "theirs", "0")
    before = (await everything(raw)).keys()
    for group in ("chrage", "theirs"):
        with pytest.raises(NotFound, match=f"no group '{group}' of topic 'orders' that eventbus made"):
            await admin.replay("orders", group, from_="0")
    await redis_client.xgroup_destroy("orders", "charge")
    for dry_run in (True, False):
        with pytest.raises(NotFound, match="there is no place of group 'charge' of topic 'orders' in Redis, which lost it"):
            await admin.replay("orders", "charge", from_="0", dry_run=dry_run)
    assert (await everything(raw)).keys() == before


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("abandoned", NotFound, "abandoned meanwhile"),
        ("place", NotFound, "which lost it"),
        ("noted", ReplayUnfinished, "was given up"),
    ],
)
async def test_a_group_that_goes_while_a_replay_runs_ends_it(admin, redis_client, what, error, said):
    """Nothing more is written."""
    await handled(redis_client, *ids(20))
    tasks = []

    async def go():
        if what == "abandoned":
            await redis_client.delete(keys.group("orders", "charge"), keys.groups("orders"))
        elif what == "place":
            await redis_client.xgroup_destroy("orders", "charge")
        else:
            await redis_client.delete(REPLAY)

    with pytest.raises(error, match=said):
        await admin.replay("orders", "charge", from_="0", rate=10, progress=lambda _: tasks or tasks.append(asyncio.ensure_future(go())))
    await asyncio.gather(*tasks)
    assert 0 < await redis_client.xlen(RETRY) < 20


async def test_an_abandoned_group_leaves_no_replay_and_a_renamed_one_takes_it_along(admin, redis_client):
    """Its range is one of the topic, whatever the group is called."""
    await handled(redis_client, *ids(3))
    await admin.replay("orders", "charge", from_="0")
    await redis_client.xtrim(RETRY, maxlen=0, approximate=False)
    await redis_client.xgroup_delconsumer("orders", "charge", "me")
    await admin.rename_group("orders", "charge", "billing")
    assert (await admin.replay("orders", "billing", from_="0")).repeated
    assert not await redis_client.exists(REPLAY)
    await admin.abandon_group("orders", "billing")
    assert not await redis_client.exists(keys.replay("orders", "billing"))


async def test_the_stream_of_a_priority_is_replayed_by_its_name(admin, redis_client, raw):
    """To the group's private stream of that priority. A topic that declares priorities is not replayed by halves."""
    high = keys.level("orders", "high")
    await make_group(redis_client, stream=high)
    await publish(redis_client, *ids(3), stream=high)
    await redis_client.xreadgroup("charge", "me", {high: ">"}, noack=True)
    assert (await admin.replay("orders", "charge", from_="0", priority="high")).copied == 3
    assert await copied(raw, keys.retry(high, "charge")) == ids(3)
    topic = Topic("orders", priorities=("high", "normal"))
    for priority in (None, "low"):
        with pytest.raises(ConfigurationError, match="say which is replayed"):
            await admin.replay(topic, "charge", from_="0", priority=priority)
    assert (await admin.replay(topic, "charge", from_="0", priority="high")).repeated


@pytest.mark.parametrize("ahead", [0, -1, 1.5, True])
async def test_a_bound_that_is_none_is_refused(admin, ahead):
    """Before anything is asked."""
    with pytest.raises(ConfigurationError, match="ahead"):
        await admin.replay("orders", "charge", from_="0", ahead=ahead)


# -- with a bus


async def test_a_replayed_event_stays_one_through_the_dead_letters(redis_url):
    """And is handled by its group alone, with its own event id and entry id."""
    bus = EventBus(redis_url, service="billing")
    runs, others = [], []

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(_: OrderCreated, ctx: Context) -> None:
        runs.append((ctx.id, ctx.entry_id, ctx.attempt, ctx.replayed))
        if len(runs) == 2:
            raise Reject

    @bus.subscribe(OrderCreated, group="notify")
    async def notify(_: OrderCreated, ctx: Context) -> None:
        others.append(ctx.replayed)

    async with running(bus) as run:
        published = await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
        await bus.admin.replay("orders", "charge", from_="0")
        await run.idle()
        assert (await bus.admin.dead_letters("orders", "charge").redrive(Filter())).done == 1
        await run.idle()
    mine = (published.event_id, published.entry_id, 1)
    assert runs == [(*mine, False), (*mine, True), (*mine, True)]
    assert others == [False]


async def test_a_replay_beside_living_traffic_handles_all_of_both(redis_url):
    """Nothing of the one is lost for the other."""
    bus = EventBus(redis_url, service="billing")
    live, again = [], []

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated, ctx: Context) -> None:
        (again if ctx.replayed else live).append(event.order_id)

    async with running(bus) as run:
        old = await bus.publish_many([OrderCreated(order_id=f"old-{number}") for number in range(500)])
        await run.idle()
        fresh = [OrderCreated(order_id=f"new-{number}") for number in range(500)]
        replay = bus.admin.replay("orders", "charge", from_="0", to=old[-1].entry_id, ahead=50)
        found, _ = await asyncio.gather(replay, bus.publish_many(fresh))
        await run.idle()
    assert found.copied == len(again)
    assert sorted(again) == sorted(f"old-{number}" for number in range(500))
    assert len(set(live)) == len(live) == 1_000
