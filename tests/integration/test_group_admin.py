"""Whole groups on a real Redis: described, renamed when idle, given up when nobody serves them; topics trimmed by hand."""

from __future__ import annotations

import math

import pytest
from redis.asyncio import Redis

from eventbus import BackendRefused, ConfigurationError, EventBus, GroupInUse, NotFound
from eventbus.admin import Admin, Filter, Lag, Owed
from eventbus.streams import Address, Connections, keys
from eventbus.testing import running
from tests.support.events import OrderCreated
from tests.support.graveyard import bury, heartbeat, letter, make_group
from tests.support.proxy import proxy_to
from tests.support.redis_hands import until

RETRY = keys.retry("orders", "charge")


async def fill(redis, count, stream="orders"):
    """Write entries 1-0, 2-0 and so on."""
    pipeline = redis.pipeline(transaction=False)
    for number in range(1, count + 1):
        pipeline.xadd(stream, {"n": number}, id=f"{number}-0")
    await pipeline.execute()


async def read(redis, count, group="charge", *, settle=True, stays=False):
    """Have a consumer read entries; it leaves unless it owes some, or stays."""
    rows = await redis.xreadgroup(group, "gone", {"orders": ">"}, count=count)
    if settle:
        await redis.xack("orders", group, *(entry_id for entry_id, _ in rows[0][1]))
        if not stays:
            await redis.xgroup_delconsumer("orders", group, "gone")


async def park(redis, group="charge", due=0):
    copy = await redis.xadd(keys.parked("orders", group), {"n": 1})
    await redis.zadd(keys.due("orders", group), {copy: due})


async def snapshot(redis):
    """Every key and what it holds."""
    names = sorted(await redis.keys())
    return {name: await _content(redis, name) for name in names}


async def _content(redis, name):
    match await redis.type(name):
        case "stream":
            groups = [{k: row[k] for k in ("name", "pending", "last-delivered-id")} for row in await redis.xinfo_groups(name)]
            return (await redis.xrange(name), groups)
        case "hash":
            return await redis.hgetall(name)
        case "set":
            return await redis.smembers(name)
        case "zset":
            return await redis.zrange(name, 0, -1, withscores=True)


# -- groups


async def groups(admin):
    return (await admin.topic("orders")).groups


async def test_a_group_is_described_with_what_waits_what_is_dead_and_who_serves_it(admin, redis_client):
    """Parked, due, dead letters, living members, when it was last served, what a hard cap cut."""
    await make_group(redis_client)
    await bury(redis_client, letter(1), letter(2))
    await park(redis_client, due=1)
    await park(redis_client, due=99_999_999_999_999)
    await heartbeat(redis_client, age=5)
    await heartbeat(redis_client, name="billing.host.2.def", age=31)
    await redis_client.hset(keys.group("orders", "charge"), "cut", 7)
    await redis_client.hset(keys.members("orders", "charge"), "foreign", "?")
    (group,) = await groups(admin)
    assert (group.parked, group.due, group.dead, group.living, group.cut) == (2, 1, 2, 1, 7)
    assert 0 <= group.served < 60
    await redis_client.xgroup_create("orders", "stranger")
    stranger = {each.name: each for each in await groups(admin)}["stranger"]
    assert (stranger.parked, stranger.dead, stranger.living, stranger.served) == (0, 0, 0, None)
    assert await admin.topic("payments") is None


# -- renaming


async def test_a_renamed_group_goes_on_where_it_stood_with_its_dead_letters(admin, redis_client):
    """Position, lag, dead letters, types, lease and watermark move along; the token is new; the old one is gone."""
    await fill(redis_client, 5)
    await make_group(redis_client, lease=42.0)
    await redis_client.hset(keys.group("orders", "charge"), mapping={"watermark": "2-0", "begun": "token-1", "begunat": 1})
    await read(redis_client, 3)
    (dead_id,) = await bury(redis_client, letter(1))
    await redis_client.zadd(keys.done("orders", "charge"), {"an event": 1})
    await redis_client.hset(keys.doing("orders", "charge"), "another", "orders 1-0 gone")
    await heartbeat(redis_client, age=43, lease=42.0)
    lag_before, known_before = (await groups(admin))[0].lag, (await redis_client.xinfo_groups("orders"))[0].get("lag")
    await admin.rename_group("orders", "charge", "billing")
    (group,) = await groups(admin)
    assert (group.name, group.last_delivered, group.lag, group.dead, group.ours) == ("billing", "3-0", lag_before, 1, True)
    assert (await redis_client.xinfo_groups("orders"))[0].get("lag") == known_before  # from 7.0 on it is not NULL
    about = await redis_client.hgetall(keys.group("orders", "billing"))
    assert (about["lease"], about["watermark"], about["service"]) == ("42000", "2-0", "billing")
    assert not {"begun", "begunat"} & set(about)  # its place is known
    assert about["token"] != "token-1"
    assert await redis_client.hgetall(keys.types("orders", "billing")) == {"OrderCreated": "1"}
    assert await redis_client.zrange(keys.done("orders", "billing"), 0, -1) == ["an event"]
    assert not await redis_client.exists(keys.doing("orders", "billing"))  # nothing is
    assert await redis_client.smembers(keys.groups("orders")) == {"billing"}
    assert await redis_client.keys("*charge*") == []
    assert (await admin.dead_letters("orders", "billing").redrive(dead_id)).done == 1
    private = keys.retry("orders", "billing")
    rows = await redis_client.xreadgroup("billing", "me", {"orders": ">", private: ">"})
    assert {stream: len(entries) for stream, entries in rows} == {"orders": 2, private: 1}


async def owes_pending(redis):
    await read(redis, 2, settle=False)
    await redis.hset(keys.group("orders", "charge"), "lease", 0)  # its consumer is long gone
    return "2 pending"


async def owes_retry(redis):
    await redis.xadd(RETRY, {"n": 1})
    return "1 in its retry stream"


async def owes_parked(redis):
    await park(redis)
    return "1 parked"


async def owes_a_due_time(redis):
    await redis.zadd(keys.due("orders", "charge"), {"1-0": 1})
    return "1 parked"


async def has_a_living_member(redis):
    await heartbeat(redis, age=20)
    return "billing.host.1.abc lives"


async def has_a_member_with_a_longer_lease(redis):
    await heartbeat(redis, age=100, lease=120)
    return "billing.host.1.abc lives"


async def has_a_reader_without_heartbeat(redis):
    await read(redis, 1, stays=True)
    return "gone lives"


async def has_lost_its_place(redis):
    await redis.xgroup_destroy("orders", "charge")
    return "lost its place"


async def new_one_exists(redis):
    await redis.xgroup_create("orders", "billing")
    return "has a group 'billing' already"


async def new_one_has_dead_letters(redis):
    await bury(redis, letter(1), group="billing")
    return "or dead letters of one"


async def is_foreign(redis):
    await redis.srem(keys.groups("orders"), "charge")
    return "not made by eventbus"


@pytest.mark.parametrize(
    "trouble",
    [
        owes_pending,
        owes_retry,
        owes_parked,
        owes_a_due_time,
        has_a_living_member,
        has_a_member_with_a_longer_lease,
        has_a_reader_without_heartbeat,
        has_lost_its_place,
        new_one_exists,
        new_one_has_dead_letters,
        is_foreign,
    ],
    ids=lambda trouble: trouble.__name__,
)
async def test_a_group_that_is_in_use_is_not_renamed(admin, redis_client, trouble):
    """Nothing changes, and the sentence says what is in the way."""
    await fill(redis_client, 3)
    await make_group(redis_client)
    said = await trouble(redis_client)
    before = await snapshot(redis_client)
    with pytest.raises(GroupInUse, match=said):
        await admin.rename_group("orders", "charge", "billing")
    assert await snapshot(redis_client) == before


async def test_a_group_that_is_not_there_is_not_renamed(admin, redis_client):
    """Nor one whose new name is no name."""
    with pytest.raises(NotFound, match="'charge' of topic 'orders'"):
        await admin.rename_group("orders", "charge", "billing")
    with pytest.raises(ConfigurationError, match="group"):
        await admin.rename_group("orders", "charge", "bil{ling}")
    assert await redis_client.dbsize() == 0


async def test_a_renaming_whose_answer_is_lost_is_done_once(redis_client, redis_url):
    """Sent again, it knows its own token."""
    await make_group(redis_client)
    async with proxy_to(redis_url) as proxy, Admin(Connections(Address.parse(proxy.url), name="tests")) as admin:
        with pytest.raises(NotFound):
            await admin.rename_group("orders", "nobody", "else")  # the script is known to the server from here on
        proxy.lose_reply(to=b"charge")
        await admin.rename_group("orders", "charge", "billing")
        assert proxy.lost.is_set()
        assert [each.name for each in await groups(admin)] == ["billing"]


@pytest.mark.parametrize("what", ["renaming", "abandoning", "a dry run"])
async def test_at_maxmemory_nothing_becomes_of_a_group(own_server, what):
    """Heartbeats are refused then, and a read that finds nothing leaves no trace: a served group looks like one that is not."""
    server = own_server()
    async with (
        Redis.from_url(server.url, decode_responses=True) as client,
        Admin(Connections(Address.parse(server.url), name="t")) as admin,
    ):
        await make_group(client)
        await bury(client, letter(1))
        before = await snapshot(client)
        await client.config_set("maxmemory", 1)
        if what == "renaming":
            with pytest.raises(BackendRefused) as refused:
                await admin.rename_group("orders", "charge", "billing")
            assert refused.value.code == "OOM"
        else:
            with pytest.raises(GroupInUse, match="heartbeats are refused and nobody can tell who lives: free memory"):
                await admin.abandon_group("orders", "charge", dry_run=what == "a dry run")
        assert await snapshot(client) == before
        with pytest.raises(NotFound):
            await admin.abandon_group("orders", "nobody")
        await client.config_set("maxmemory", 0)
        assert (await admin.abandon_group("orders", "charge")).dead == 1


async def test_a_group_that_is_served_at_maxmemory_is_not_given_up(own_server):
    """After a lease without a heartbeat and without an entry nothing in Redis says that it lives."""
    server = own_server()
    bus, seen = EventBus(server.url, service="billing", lease=1.0, claim_interval=0.2), []

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        seen.append(event.order_id)

    async with Redis.from_url(server.url) as client, bus, bus.consuming():
        await bus.publish_many([OrderCreated(order_id="1"), OrderCreated(order_id="2")])
        await until(lambda: len(seen) == 2)
        await client.config_set("maxmemory", 1)
        await until(lambda: seems_dead(bus, server))
        with pytest.raises(GroupInUse):
            await bus.admin.abandon_group("orders", "charge")
        await client.config_set("maxmemory", 0)
        await until(lambda: beats_again(bus))
        with pytest.raises(GroupInUse, match="lives"):
            await bus.admin.abandon_group("orders", "charge")
        assert (seen, bus.consumers[0].counts.regrouped) == (["1", "2"], 0)


async def seems_dead(bus, server):
    """For a lease there was no heartbeat, and no read that left a trace; from 7.2 on every read leaves one."""
    (group,) = (await bus.admin.topic("orders")).groups
    return not group.living and (server.version >= (7, 2) or min(consumer.idle for consumer in group.consumers) > 1.0)


async def beats_again(bus):
    (group,) = (await bus.admin.topic("orders")).groups
    return group.living


# -- abandoning


async def test_an_abandoned_group_says_what_it_owed_keeps_its_dead_letters_and_frees_the_topic(admin, redis_client):
    """Everything else of it is gone; trimming is not held back any more."""
    await fill(redis_client, 10)
    await make_group(redis_client)
    await make_group(redis_client, "notify")
    await read(redis_client, 10, "notify")
    await read(redis_client, 2)
    await read(redis_client, 3, settle=False)
    await redis_client.hset(keys.group("orders", "charge"), "lease", 0)
    await bury(redis_client, letter(1), letter(2))
    await park(redis_client)
    await redis_client.xadd(RETRY, {"n": 1})
    await redis_client.zadd(keys.done("orders", "charge"), {"an event": 1})
    await redis_client.hset(keys.doing("orders", "charge"), "another", "orders 1-0 gone")
    before = await snapshot(redis_client)
    owed = Owed(pending=3, unread=Lag(5), retry=1, parked=1, dead=2)
    assert await admin.abandon_group("orders", "charge", dry_run=True) == owed
    assert await snapshot(redis_client) == before
    assert (await admin.trim("orders", max_len=1, exact=True)).left == 8
    assert await admin.abandon_group("orders", "charge") == owed
    assert await redis_client.keys("*charge*") == [keys.dead("orders", "charge")]
    assert await redis_client.smembers(keys.groups("orders")) == {"notify"}
    assert [each.name for each in await groups(admin)] == ["notify"]
    assert (await admin.trim("orders", max_len=1, exact=True)).left == 1
    assert [each.entry for each in await admin.dead_letters("orders", "charge").page()] == ["1-0", "2-0"]
    with pytest.raises(NotFound, match="nobody would handle"):
        await admin.dead_letters("orders", "charge").redrive(Filter())
    with pytest.raises(NotFound, match="no group 'charge'"):
        await admin.abandon_group("orders", "charge")


async def test_a_lost_group_can_be_abandoned_and_what_it_had_not_read_is_unknown(admin, redis_client):
    """Redis does not have it any more, and it stopped all trimming."""
    await fill(redis_client, 3)
    await make_group(redis_client)
    await redis_client.xgroup_destroy("orders", "charge")
    assert (await admin.topic("orders")).lost_groups == ("charge",)
    assert (await admin.trim("orders", max_len=1)).missing == ("charge",)
    assert await admin.abandon_group("orders", "charge") == Owed(0, None, 0, 0, 0)
    assert (await admin.topic("orders")).lost_groups == ()
    await make_group(redis_client)
    await redis_client.delete("orders")
    assert await admin.abandon_group("orders", "charge") == Owed(0, None, 0, 0, 0)
    assert await redis_client.dbsize() == 0


async def test_an_unread_backlog_that_redis_does_not_know_is_counted(admin, redis_client):
    """An entry was deleted that the group was not given; 6.2 never knows."""
    await fill(redis_client, 9)
    await make_group(redis_client, start="3-0")
    await redis_client.xdel("orders", "5-0")
    assert (await admin.abandon_group("orders", "charge")).unread == Lag(5)


@pytest.mark.parametrize(
    "trouble",
    [has_a_living_member, has_a_member_with_a_longer_lease, has_a_reader_without_heartbeat, is_foreign],
    ids=lambda trouble: trouble.__name__,
)
async def test_a_group_that_is_served_is_not_abandoned(admin, redis_client, trouble):
    """Nothing changes, and the sentence names who serves it."""
    await fill(redis_client, 3)
    await make_group(redis_client)
    said = await trouble(redis_client)
    before = await snapshot(redis_client)
    for dry_run in (True, False):
        with pytest.raises(GroupInUse, match=said):
            await admin.abandon_group("orders", "charge", dry_run=dry_run)
    assert await snapshot(redis_client) == before


async def test_an_abandoning_whose_answer_is_lost_still_says_what_was_owed(redis_client, redis_url):
    """The second call finds nothing; the first had looked."""
    await fill(redis_client, 4)
    await make_group(redis_client)
    async with proxy_to(redis_url) as proxy, Admin(Connections(Address.parse(proxy.url), name="tests")) as admin:
        await admin.abandon_group("orders", "charge", dry_run=True)
        proxy.lose_reply(to=b"$1\r\n0\r\n", containing=b"*7")
        assert (await admin.abandon_group("orders", "charge")).unread == Lag(4)
        assert proxy.lost.is_set()
    assert await redis_client.keys() == ["orders"]


# -- trimming


@pytest.mark.parametrize(
    ("limits", "settled", "unsettled"),
    [
        ({"max_len": 4}, 4, 0),
        ({"max_len": 8}, 2, 0),
        ({"max_len": 0}, 4, 0),
        ({"max_len": 100}, 0, 0),
        ({"max_age": 0.0}, 4, 0),
        ({"max_age": 1e10}, 0, 0),
        ({"max_len": 8, "max_age": 0.0}, 4, 0),
        ({"max_len": 3, "hard": True}, 4, 3),
        ({"max_age": 0.0, "hard": True}, 4, 6),
    ],
)
async def test_a_dry_run_says_what_an_exact_trim_then_removes(admin, redis_client, limits, settled, unsettled):
    """Up to the smallest pending entry; with a hard cap beyond it. A dry run writes nothing at all."""
    await fill(redis_client, 10)
    await make_group(redis_client)
    await make_group(redis_client, "notify", start="9-0")
    await read(redis_client, 4)
    await read(redis_client, 2, settle=False)
    before = await snapshot(redis_client)
    planned = await admin.trim("orders", **limits, dry_run=True)
    assert (planned.settled, planned.unsettled, planned.left) == (settled, unsettled, 10 - settled - unsettled)
    assert (planned.watermark, planned.holding, planned.missing) == ("5-0", ("charge",), ())
    assert await snapshot(redis_client) == before
    assert await admin.trim("orders", **limits, exact=True) == planned


async def test_a_dry_run_knows_that_a_group_that_is_new_stops_trimming(admin, redis_client):
    """For its first lease, where it did not begin at the beginning."""
    await fill(redis_client, 10)
    await make_group(redis_client, start="9-0")
    seconds, _ = await redis_client.time()
    await redis_client.hset(keys.group("orders", "charge"), mapping={"begun": "token-1", "begunat": seconds * 1000})
    for limits in ({"max_len": 1}, {"max_len": 1, "hard": True}):
        planned = await admin.trim("orders", **limits, dry_run=True)
        assert await admin.trim("orders", **limits, exact=True) == planned
        assert (planned.settled == 0) == ("hard" not in limits)


async def test_a_watermark_that_is_settled_itself_counts_as_settled_under_a_hard_cap(admin, redis_client):
    """Nothing is called lost that every group has handled."""
    await fill(redis_client, 5)
    await make_group(redis_client)
    await read(redis_client, 5)
    planned = await admin.trim("orders", max_len=0, hard=True, dry_run=True)
    assert (planned.settled, planned.unsettled, planned.left) == (5, 0, 0)
    assert await admin.trim("orders", max_len=0, hard=True, exact=True) == planned


async def test_a_topic_without_groups_is_trimmed_by_a_hard_cap_only(admin, redis_client):
    """Nothing of it is settled."""
    await fill(redis_client, 5)
    assert (await admin.trim("orders", max_len=1, dry_run=True)).settled == 0
    assert (await admin.trim("orders", max_len=1, exact=True)).left == 5
    planned = await admin.trim("orders", max_len=1, hard=True, dry_run=True)
    assert (planned.settled, planned.unsettled, planned.left, planned.watermark) == (0, 4, 1, None)
    assert await admin.trim("orders", max_len=1, hard=True, exact=True) == planned


async def test_trimming_needs_a_topic_and_a_limit(admin, redis_client):
    """A typing error does not look like an empty topic; no limit is no wish."""
    with pytest.raises(NotFound, match="no topic 'orders'"):
        await admin.trim("orders", max_len=1)
    for wrong in ({}, {"max_len": -1}, {"max_age": -1.0}, {"max_age": math.nan}, {"max_len": True}):
        with pytest.raises(ConfigurationError, match="trim: "):
            await admin.trim("orders", **wrong)


# -- with a bus


async def test_a_group_of_a_bus_is_renamed_once_the_bus_has_left(admin, redis_url):
    """Under its new name it goes on with what was published meanwhile, and sees nothing twice."""

    def service(group):
        bus, seen = EventBus(redis_url, service="billing"), []

        @bus.subscribe(OrderCreated, group=group)
        async def handle(event: OrderCreated) -> None:
            seen.append(event.order_id)

        return bus, seen

    old, seen = service("charge")
    async with running(old) as run:
        await old.publish(OrderCreated(order_id="o-1"))
        await run.idle()
        assert [(each.name, each.living) for each in await groups(admin)] == [("charge", 1)]
        with pytest.raises(GroupInUse, match=r"billing\..* lives"):
            await admin.rename_group("orders", "charge", "billing-charge")
        with pytest.raises(GroupInUse, match=r"billing\..* lives"):
            await admin.abandon_group("orders", "charge")
    async with EventBus(redis_url, service="shop") as shop:
        await shop.publish(OrderCreated(order_id="o-2"))
    await admin.rename_group("orders", "charge", "billing-charge")
    new, seen_then = service("billing-charge")
    async with running(new) as run:
        await run.idle()
    assert (seen, seen_then) == (["o-1"], ["o-2"])
    assert [each.name for each in await groups(admin)] == ["billing-charge"]
    assert await admin.abandon_group("orders", "billing-charge") == Owed(0, Lag(0), 0, 0, 0)


async def test_a_group_that_was_abandoned_begins_as_a_new_one(admin, redis_url):
    """Nothing of the old one is taken up again."""
    bus, seen = EventBus(redis_url, service="billing"), []

    @bus.subscribe(OrderCreated, group="charge", start="latest")
    async def handle(event: OrderCreated) -> None:
        seen.append(event.order_id)

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
    async with bus:
        await bus.publish(OrderCreated(order_id="o-2"))
        assert (await bus.admin.abandon_group("orders", "charge")).unread == Lag(1)
    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-3"))
        await run.idle()
    assert seen == ["o-1", "o-3"]
