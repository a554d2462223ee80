"""Schedules of ordered groups: whatever happens to their owner, no event of a key starts while an earlier one is not settled."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from eventbus import BackendRefused, ConfigurationError, Context, EventBus, Reject, Retry, RetryLater
from eventbus.consuming import Rooms
from eventbus.consuming.lanes import BEHIND
from eventbus.consuming.retaining import EagerSettler, Retainer
from eventbus.consuming.rooms import OrderedRooms
from eventbus.consuming.succession import OwnedFetcher, TakeOver
from eventbus.delivery import Health
from eventbus.observe.health import readiness
from eventbus.streams import Group, OwnedEntryCommands, OwnedGroupCommands, OwnedReader, keys
from tests.support.held import Stop, before
from tests.support.proxy import proxy_to
from tests.support.redis_hands import GROUP, STREAM, copies, read_as, rows, settled, until
from tests.support.workers import Step, worker

OWNER = keys.owner(STREAM, GROUP)


def steps(count, key="k", *, first=0, do="end"):
    """Events of one key, numbered."""
    return [Step(key=key, name=f"{key}{number}", do=do) for number in range(first, first + count)]


def names(lines, word):
    return [line.split()[1] for line in lines if line.startswith(word)]


def ordered(url, handle, *, lease=1.0, claim_interval=0.1, drain=1.0, order="block", retry=None, concurrency=8, prefetch=None, **rooms):
    """A bus whose one subscription is ordered, with other rooms in the places named."""

    class PlantedBus(EventBus):
        pass

    PlantedBus.rooms = replace(Rooms(), ordered=OrderedRooms(**rooms))
    bus = PlantedBus(url, service="billing", lease=lease, claim_interval=claim_interval, drain=drain)
    policy = retry or Retry(backoff=[0.02], jitter=0)
    bus.subscribe(Step, group=GROUP, ordered=order, retry=policy, concurrency=concurrency, prefetch=prefetch)(handle)
    return bus


async def lose(redis):
    """The owner's lease ran out, as a pause of its process would have it."""
    await redis.hdel(OWNER, "consumer")


async def owner_of(redis):
    return await redis.hget(OWNER, "consumer")


async def test_the_events_of_a_killed_owner_go_on_where_it_was_and_in_order(redis_url, redis_client):
    """It had read more than it handled; the next owner takes over all of it before it reads on."""
    async with (
        worker(redis_url, kinds=["step"], ordered=True) as one,
        worker(redis_url, kinds=["step"], ordered=True, claim_interval=60) as two,
        EventBus(redis_url, service="shop") as bus,
    ):
        await until(lambda: owner_of(redis_client))
        owner, other = (one, two) if await owner_of(redis_client) == one.name else (two, one)
        await bus.publish_many([*steps(2), *steps(1, first=2, do="wait"), *steps(4, first=3)])
        await owner.said("started k2")
        assert len(await rows(redis_client)) == 5
        await owner.kill()
        await bus.publish_many(steps(3, first=7))
        await other.said("started k2")
        assert names(owner.lines, "started") == ["k0", "k1", "k2"]
        assert names(other.lines, "started") == ["k2"]  # and nothing behind it
        assert await redis_client.hget(OWNER, "consumer") == other.name


async def test_a_frozen_owner_neither_settles_nor_runs_on_when_it_wakes(redis_url, redis_client):
    """Its handler is cancelled, and what the new owner handled meanwhile stays as it is."""
    async with worker(redis_url, kinds=["step"], ordered=True) as one, EventBus(redis_url, service="shop") as bus:
        await until(lambda: owner_of(redis_client))
        await bus.publish_many([*steps(1, do="wait"), *steps(2, first=1)])
        await one.said("started k0")
        one.stop()
        seen = []

        async def handle(event: Step) -> None:
            seen.append(event.name)

        other = ordered(redis_url, handle)
        async with other, other.consuming():
            await until(lambda: len(seen) == 3)
            await bus.publish_many(steps(2, first=3))
            await until(lambda: settled(redis_client))
            assert seen == ["k0", "k1", "k2", "k3", "k4"]
            one.wake()
            await one.said("cancelled k0")
            await bus.publish_many(steps(1, first=5))
            await until(lambda: len(seen) == 6)
            assert names(one.lines, "started") == ["k0"]
            assert await copies(redis_client, "dead") == await copies(redis_client) == []


@pytest.mark.parametrize("outcome", ["success", "failure", "dead letter"])
async def test_what_a_former_owner_still_sends_changes_nothing(redis_url, redis_client, outcome):
    """Its ack, its attempt or its dead letter was on its way when another took the group."""
    stop, seen = Stop(armed=True), []
    room = {"settler": before(EagerSettler, "run_once", stop)} if outcome == "success" else {"mover": before(Retainer, "run_once", stop)}

    async def end(event: Step) -> None:
        if outcome == "failure":
            raise RuntimeError("no")
        if outcome == "dead letter":
            raise Reject("no")

    async def handle(event: Step) -> None:
        seen.append(event.name)

    former, next_ = ordered(redis_url, end, **room), ordered(redis_url, handle)
    async with former, former.consuming():
        await until(lambda: owner_of(redis_client))
        await former.publish_many(steps(3))
        await asyncio.wait_for(stop.reached.wait(), 10)
        await lose(redis_client)
        taken = await redis_client.hget(OWNER, "token")
        async with next_, next_.consuming():
            await until(lambda: len(seen) == 3)
            stop.release()
            await until(lambda: not len(former.consumers[0].in_hand))
            await until(lambda: settled(redis_client))
            assert seen == ["k0", "k1", "k2"]
            assert await redis_client.hget(OWNER, "token") != taken
            assert await copies(redis_client, "dead") == []
            assert await redis_client.hgetall(keys.attempts(STREAM, GROUP)) == {}


async def test_a_read_of_a_former_owner_takes_nothing(redis_url, redis_client):
    """It waited for the server while another took over everything pending: what it brought nobody would see."""
    stop, seen = Stop(), []
    reader = before(OwnedReader, "read", stop)

    async def handle(event: Step) -> None:
        seen.append((event.name, "next"))

    async def old(event: Step) -> None:
        seen.append((event.name, "former"))

    former, next_ = ordered(redis_url, old, lease=60, reader=reader), ordered(redis_url, handle, lease=60)
    async with former, former.consuming():
        await until(lambda: owner_of(redis_client))
        stop.arm()
        await former.publish_many(steps(1))
        await until(stop.reached.is_set)
        await former.publish_many(steps(2, first=1))
        await lose(redis_client)
        async with next_, next_.consuming():
            await until(lambda: len(seen) >= 2)
            stop.release()
            await next_.publish_many(steps(3, first=3))
            await until(lambda: ("k5", "next") in seen)
            assert seen == [(f"k{number}", "next") for number in range(6)]
            await until(lambda: former.consumers[0].membership.token == "")
            assert {row[0] for row in (await rows(redis_client)).values()} <= {next_.consumers[0].commands.consumer}


async def test_a_reply_that_is_parsed_after_the_group_was_given_up_starts_nothing(redis_url, redis_client):
    """A frozen process finds it when it wakes; what it brings is pending for the next owner."""
    stop, seen = Stop(), []

    class Late(OwnedReader):
        async def read(self, count, take, *, few):
            batches = []
            brought = await super().read(count, batches.append, few=few)
            if brought:
                await stop.passing()
            for batch in batches:
                take(batch)
            return brought

    async def handle(event: Step) -> None:
        seen.append(("next", event.name))

    async def old(event: Step) -> None:
        seen.append(("former", event.name))

    former, next_ = ordered(redis_url, old, reader=Late), ordered(redis_url, handle)
    async with former, former.consuming():
        await until(lambda: owner_of(redis_client))
        stop.arm()
        await former.publish_many(steps(2))
        await stop.reached.wait()
        await lose(redis_client)
        async with next_, next_.consuming():
            await until(lambda: len(seen) == 2)
            await until(lambda: not former.consumers[0].membership.token)
            stop.release()
            await until(lambda: health_of(former) == Health.STANDBY)
            assert not len(former.consumers[0].in_hand)
    assert seen == [("next", "k0"), ("next", "k1")]


async def test_a_read_that_is_executed_late_on_a_lost_connection_takes_nothing(redis_url, redis_client):
    """The walk of the new connection found nothing of it: what it brought would be handled after later ones."""
    stop, seen, brought = Stop(), [], []

    class Late(OwnedReader):
        async def connect(self):
            await super().connect()
            connections.append(self)

    async def handle(event: Step) -> None:
        seen.append(event.name)

    connections = []
    bus = ordered(redis_url, handle, reader=Late, recovery=before(TakeOver, "run_once", stop))
    async with bus, bus.consuming():
        (consumer,) = bus.consumers
        await until(lambda: consumer.membership.reading)
        (reader,) = connections
        epoch, reading = consumer.membership.token, consumer.membership.reading
        await bus.publish_many(steps(1))
        await until(lambda: seen == ["k0"])
        consumer.fetcher.walk_again()  # as after a lost connection
        await until(lambda: consumer.membership.reading != reading)
        stop.arm()
        consumer.fetcher.walk_again()
        await stop.reached.wait()  # nobody reads
        await bus.publish_many(steps(1, first=1))
        late = OwnedReader(bus.runtime.connections, consumer.commands.group, consumer.commands.consumer)
        late.epoch, late.reading = epoch, reading
        with pytest.raises(BackendRefused, match="a later reading"):
            await late.read(10, brought.append, few=0)
        await late.close()
        assert await rows(redis_client) == {}
        stop.release()
        await until(lambda: seen == ["k0", "k1"])
        assert (brought, reader.epoch) == ([], epoch)


async def test_after_a_lost_reply_what_it_brought_is_handled_before_anything_later(redis_url, redis_client):
    """It is found among what is pending, before the next read."""
    seen = []

    async def handle(event: Step) -> None:
        seen.append(event.name)

    async with proxy_to(redis_url) as proxy:
        bus = ordered(proxy.url, handle)
        async with bus, bus.consuming(), EventBus(redis_url, service="shop") as shop:
            await until(lambda: owner_of(redis_client))
            await shop.publish_many(steps(1))
            await until(lambda: seen == ["k0"])
            proxy.lose_reply(to=b"{errands}:owner:charge", containing=b'"k1"')
            await shop.publish_many(steps(4, first=1))
            await asyncio.wait_for(proxy.lost.wait(), 10)
            await shop.publish_many(steps(4, first=5))
            await until(lambda: len(seen) == 9)
            assert seen == [f"k{number}" for number in range(9)]


async def test_a_hand_over_at_the_end_of_a_process_loses_no_order_and_takes_no_lease(redis_url, redis_client):
    """What never started stays where it is; one who stands by is woken, whatever its interval."""
    seen, running = [], asyncio.Event()

    async def first(event: Step) -> None:
        seen.append(("a", event.name))
        running.set()
        await asyncio.sleep(0.05)

    async def second(event: Step) -> None:
        seen.append(("b", event.name))

    a, b = ordered(redis_url, first, lease=600, prefetch=2), ordered(redis_url, second, lease=600, claim_interval=300)
    async with b, AsyncExitStack() as later:
        async with a, a.consuming():
            await until(lambda: owner_of(redis_client))
            await later.enter_async_context(b.consuming())
            await until(lambda: health_of(b) == Health.STANDBY)
            await b.publish_many(steps(30))  # more than it reads ahead
            await running.wait()
        await until(lambda: len({name for _, name in seen}) == 30)
        await until(lambda: settled(redis_client))
    assert [name for _, name in seen] == [f"k{number}" for number in range(30)]
    assert {who for who, _ in seen} == {"a", "b"}


def health_of(bus):
    (found,) = [loop.health for loop in bus.loops if loop.name.startswith("fetching")]
    return found


async def test_who_stands_by_is_ready_and_takes_over_from_a_dead_owner_when_its_lease_is_over(redis_url, redis_client):
    """It asks again when the lease runs out, whatever its interval."""
    seen = []

    async def handle(event: Step) -> None:
        seen.append(event.name)

    bus = ordered(redis_url, handle, claim_interval=300)
    async with bus:
        async with bus.consuming():
            pass
        await redis_client.hset(
            OWNER, mapping={"consumer": "dead", "token": "gone", "lease": 1000, "until": await now(redis_client) + 1000}
        )
        async with bus.consuming():
            await until(lambda: health_of(bus) == Health.STANDBY)
            assert readiness(bus).ready
            await bus.publish_many(steps(2))
            await until(lambda: seen == ["k0", "k1"])
            assert health_of(bus) == Health.RUNNING


async def now(redis):
    seconds, micro = await redis.time()
    return seconds * 1000 + micro // 1000


async def test_an_owner_that_dies_while_it_takes_over_leaves_everything_to_the_next(redis_url, redis_client):
    """It had taken one page of the rows of the dead; the next one takes them from both, in order."""
    seen = []

    async def handle(event: Step) -> None:
        seen.append(event.name)

    bus, group = ordered(redis_url, handle), Group(STREAM, GROUP)
    async with bus:
        async with bus.consuming():
            await until(lambda: owner_of(redis_client))
        await bus.publish_many(steps(6))
        assert len(await read_as(redis_client, "dead", 4)) == 4
        token = await redis_client.hget(keys.group(STREAM, GROUP), "token")
        assert (await OwnedGroupCommands(bus.runtime.wire, group, "dying").take("epoch", lease=1, token=token, latest=0)).taken
        taking = OwnedEntryCommands(bus.runtime.wire, group, "dying")
        page = await taking.take_over("epoch", "reading", private=False, after=b"", most=2, now="", begins=True)
        assert [owner for owner, _ in (await rows(redis_client)).values()] == ["dying", "dying", "dead", "dead"]
        assert page.cursor
        async with bus.consuming():
            await until(lambda: len(seen) == 6)
    assert seen == [f"k{number}" for number in range(6)]


@pytest.mark.parametrize("order", ["block", "overtake"])
async def test_a_failed_event_holds_up_its_key_or_is_overtaken_and_no_other_key_waits(redis_url, redis_client, order):
    """As the subscription says."""
    seen = []

    async def handle(event: Step, ctx: Context) -> None:
        seen.append((event.name, ctx.attempt))
        if event.name == "k0" and ctx.attempt < 3:
            await until(lambda: ("j2", 1) in seen)
            raise RuntimeError("no")

    bus = ordered(redis_url, handle, order=order, retry=Retry(attempts=3, backoff=[0.05], jitter=0))
    async with bus, bus.consuming():
        await bus.publish_many([*steps(3), *steps(3, key="j")])
        await until(lambda: len(seen) == 8)
        await until(lambda: settled(redis_client))
    of_key = [(name, attempt) for name, attempt in seen if name.startswith("k")]
    if order == "block":
        assert of_key == [("k0", 1), ("k0", 2), ("k0", 3), ("k1", 1), ("k2", 1)]
    else:
        assert of_key == [("k0", 1), ("k1", 1), ("k2", 1), ("k0", 2), ("k0", 3)]
    assert await redis_client.hgetall(keys.attempts(STREAM, GROUP)) == {}


@pytest.mark.parametrize("error", [RuntimeError("no"), Reject("no")], ids=["attempts are spent", "rejected"])
async def test_a_dead_letter_lets_its_key_go_on(redis_url, redis_client, error):
    """It is said where it went; what follows is handled."""
    seen = []

    async def handle(event: Step) -> None:
        seen.append(event.name)
        if event.name == "k0":
            raise error

    bus = ordered(redis_url, handle, retry=Retry(attempts=2, backoff=[0.01]))
    async with bus, bus.consuming():
        await bus.publish_many(steps(2))
        await until(lambda: seen[-1:] == ["k1"])
        await until(lambda: settled(redis_client))
        assert list(map(name_of_step, await copies(redis_client, "dead"))) == ["k0"]
        assert await redis_client.hgetall(keys.attempts(STREAM, GROUP)) == {}


def name_of_step(fields):
    return Step.model_validate_json(fields["data"]).name


async def test_a_handler_that_puts_its_event_off_holds_up_its_key(redis_url, redis_client):
    seen = []

    async def handle(event: Step, ctx: Context) -> None:
        seen.append((event.name, ctx.attempt))
        if len(seen) == 1:
            raise RetryLater(0.05)

    bus = ordered(redis_url, handle)
    async with bus, bus.consuming():
        await bus.publish_many(steps(2))
        await until(lambda: len(seen) == 3)
    assert seen == [("k0", 1), ("k0", 2), ("k1", 1)]


async def test_attempts_outlive_the_owner_that_counted_them(redis_url, redis_client):
    """The next owner goes on counting: an event that always fails is a dead letter after as many runs as ever."""
    seen = []

    async def handle(event: Step, ctx: Context) -> None:
        seen.append((event.name, ctx.attempt))
        if event.name == "k0":
            raise RuntimeError("no")

    async with worker(redis_url, kinds=["step"], ordered=True, backoff=[60.0]) as one, EventBus(redis_url, service="shop") as bus:
        await until(lambda: owner_of(redis_client))
        await bus.publish_many([*steps(1, do="raise"), *steps(1, first=1)])
        await until(lambda: redis_client.hlen(keys.attempts(STREAM, GROUP)))
        await one.kill()
    other = ordered(redis_url, handle, retry=Retry(attempts=3, backoff=[0.01]))
    async with other, other.consuming():
        await until(lambda: seen[-1:] == [("k1", 1)])
    assert seen == [("k0", 2), ("k0", 3), ("k1", 1)]


async def test_what_waits_for_its_next_attempt_when_the_process_ends_is_left_to_the_next_owner_in_its_place(redis_url, redis_client):
    """The drain does not wait for it."""
    seen, failed = [], asyncio.Event()

    async def fail(event: Step) -> None:
        failed.set()
        raise RuntimeError("no")

    async def handle(event: Step, ctx: Context) -> None:
        seen.append((event.name, ctx.attempt))

    one, two = ordered(redis_url, fail, lease=600, drain=600, retry=Retry(backoff=[600])), ordered(redis_url, handle, lease=600)
    async with one, one.consuming():
        await one.publish_many(steps(2))
        await failed.wait()
    async with two, two.consuming():
        await until(lambda: len(seen) == 2)
    assert seen == [("k0", 2), ("k1", 1)]


@pytest.mark.parametrize("how", ["the server is flushed", "the group is destroyed", "the topic is deleted", "the group's hash is deleted"])
async def test_after_the_group_was_lost_the_events_in_hand_are_handled_and_in_order(redis_url, redis_client, how, caplog):
    """What ran is cancelled, since another may own the group by now; nothing that only this process held is lost."""
    seen, cancelled, hold = [], [], asyncio.Event()

    async def handle(event: Step) -> None:
        seen.append(event.name)
        if not cancelled and event.name == "k1":
            try:
                await hold.wait()
            except asyncio.CancelledError:
                cancelled.append(event.name)
                raise

    bus = ordered(redis_url, handle)
    async with bus, bus.consuming():
        await bus.publish_many(steps(5))
        await until(lambda: seen == ["k0", "k1"])
        match how:
            case "the server is flushed":
                await redis_client.flushall()
            case "the group is destroyed":
                await redis_client.xgroup_destroy(STREAM, GROUP)
            case "the topic is deleted":
                await redis_client.delete(STREAM)
            case _:
                await redis_client.delete(keys.group(STREAM, GROUP))
        await until(lambda: cancelled)
        await until(lambda: seen[-1] == "k4")
        await bus.publish_many(steps(2, first=5))
        await until(lambda: seen[-1] == "k6")
        await until(lambda: settled(redis_client))
    again = seen[2:]
    assert [name for name in again if name != "k0"] == ["k1", "k2", "k3", "k4", "k5", "k6"]
    assert "was lost in Redis" in caplog.text


@pytest.mark.parametrize("ours", [True, False], ids=["one that orders", "one that does not"])
async def test_members_that_order_and_members_that_do_not_are_kept_apart(redis_url, ours):
    """Together they would break the order; which one came first is not asked."""

    async def handle(event: Step) -> None: ...

    def bus_of(order):
        bus = EventBus(redis_url, service="billing", lease=1)
        bus.subscribe(Step, group=GROUP, ordered=order)(handle)
        return bus

    one, two = bus_of(ours), bus_of(not ours)
    async with one, one.consuming():
        await until(lambda: all(each.health is not Health.STARTING for each in one.loops if "heartbeat" in each.name))
        async with two:
            with pytest.raises(ConfigurationError, match="they would break the order"):
                async with two.consuming():
                    pass
    async with two, two.consuming():
        pass


async def test_a_group_whose_members_are_gone_may_be_ordered_from_now_on(redis_url, redis_client):
    """What its plain members left pending is handled first."""
    seen = []

    async def handle(event: Step) -> None:
        seen.append(event.name)

    plain = EventBus(redis_url, service="billing", lease=1)
    plain.subscribe(Step, group=GROUP)(handle)
    async with plain, plain.consuming():
        pass
    async with plain:
        await plain.publish_many(steps(4))
    assert len(await read_as(redis_client, "dead", 2)) == 2
    bus = ordered(redis_url, handle)
    async with bus, bus.consuming():
        await until(lambda: len(seen) == 4)
    assert seen == ["k0", "k1", "k2", "k3"]


async def test_a_key_that_is_held_up_for_long_stops_the_reading_in_the_end_and_that_is_said_once(redis_url, redis_client, caplog):
    """So many wait beside what is read ahead anyway; the other keys go on until then."""
    seen, failed = [], asyncio.Event()

    async def handle(event: Step) -> None:
        seen.append(event.name)
        if event.key == "k":
            failed.set()
            raise RuntimeError("no")

    bus = ordered(redis_url, handle, retry=Retry(backoff=[600]))
    async with bus, bus.consuming():
        await bus.publish_many(steps(1))
        await failed.wait()
        await bus.publish_many([*steps(900, first=1), *steps(50, key="j")])
        await until(lambda: len(seen) == 51)
        await bus.publish_many([*steps(2000, first=901), *steps(50, first=50, key="j")])
        await until(lambda: "nothing more is read" in caplog.text)
        assert len(bus.consumers[0].in_hand) < BEHIND + 200
    assert caplog.text.count("nothing more is read") == 1


async def test_what_somebody_gave_to_another_consumer_by_hand_is_taken_over(redis_url, redis_client):
    """No lease of an entry runs out in an ordered group; the owner looks for them."""
    stop, seen = Stop(), []

    async def handle(event: Step) -> None:
        seen.append(event.name)

    bus = ordered(redis_url, handle, reader=before(OwnedReader, "read", stop))
    async with bus, bus.consuming():
        await bus.publish_many(steps(1))
        await until(lambda: seen == ["k0"])
        stop.arm()
        await bus.publish_many(steps(1, first=1))
        await stop.reached.wait()
        await read_as(redis_client, "hand", 1)
        stop.release()
        await until(lambda: seen == ["k0", "k1"])


async def test_a_run_that_failed_is_no_lost_start_when_its_owner_dies_later(redis_url, redis_client):
    """The counts of starts are of those that were lost with their process."""
    async with worker(redis_url, kinds=["step"], ordered=True) as one, EventBus(redis_url, service="shop") as bus:
        await until(lambda: owner_of(redis_client))
        await bus.publish_many(steps(1, do="wait"))
        await one.said("started k0")
        await one.kill()  # an unmarked start, which is not counted
    failed = asyncio.Event()

    async def fail(event: Step) -> None:
        if len(runs) == 1:
            failed.set()
        runs.append(event.name)
        raise RuntimeError("no")

    runs = []
    other = ordered(redis_url, fail, retry=Retry(backoff=[0.01, 600], jitter=0))
    async with other, other.consuming():
        await failed.wait()
        await until(lambda: redis_client.hvals(keys.attempts(STREAM, GROUP)))
        await until(lambda: other.consumers[0].counts.retried == 2)
        ((_, count),) = (await rows(redis_client)).values()
        assert count == 1


async def test_whoever_still_runs_something_does_not_take_the_group_again(redis_url, redis_client):
    """It would run beside it, and what ends as lost would be nobody's."""
    seen, cancelled, end = [], asyncio.Event(), asyncio.Event()

    async def handle(event: Step) -> None:
        seen.append(event.name)
        try:
            await asyncio.sleep(0 if cancelled.is_set() else 3600)
        except asyncio.CancelledError:
            cancelled.set()
            await end.wait()  # it takes its time

    class Counting(OwnedFetcher):
        async def _stand_by(self):
            await super()._stand_by()
            passes.append(self)

    passes = []
    bus = ordered(redis_url, handle, fetcher=Counting)
    async with bus, bus.consuming():
        await bus.publish_many(steps(2))
        await until(lambda: seen == ["k0"])
        (consumer,) = bus.consumers
        epoch = await redis_client.hget(OWNER, "token")
        consumer.membership.resign(consumer.membership.token)
        await cancelled.wait()
        passes.clear()
        await until(lambda: len(passes) > 2)
        assert await redis_client.hget(OWNER, "token") == epoch
        end.set()
        await until(lambda: seen == ["k0", "k0", "k1"])
        assert await redis_client.hget(OWNER, "token") != epoch


async def test_what_is_settled_while_a_walk_is_on_its_way_back_is_not_run_again(redis_url, redis_client):
    """The walk saw it pending; it was in hand then."""
    stop, seen, go = Stop(), [], asyncio.Event()

    class Late(OwnedEntryCommands):
        async def take_over(self, *arguments, **rest):
            page = await super().take_over(*arguments, **rest)
            await stop.passing()
            return page

    async def handle(event: Step) -> None:
        seen.append(event.name)
        if event.name == "k0":
            await go.wait()

    bus = ordered(redis_url, handle, entries=Late)
    async with bus, bus.consuming():
        await until(lambda: bus.consumers[0].membership.reading)
        await bus.publish_many(steps(1))
        await until(lambda: seen == ["k0"])
        stop.arm()
        bus.consumers[0].fetcher.walk_again()
        await asyncio.wait_for(stop.reached.wait(), 10)
        go.set()
        await until(lambda: not len(bus.consumers[0].in_hand))
        stop.release()
        await bus.publish_many(steps(1, first=1))
        await until(lambda: seen[-1] == "k1")
        assert bus.consumers[0].counts.lease_lost == 0  # nor taken in hand
    assert seen == ["k0", "k1"]


@pytest.mark.parametrize("how", ["flushed", "deleted"])
async def test_what_a_process_holds_of_a_lost_group_when_it_ends_is_written_again(redis_url, redis_client, how):
    """What never started, and what was cancelled: left in its place it would be nowhere."""
    started, lasting = [], asyncio.Event()

    async def handle(event: Step) -> None:
        started.append(event.name)
        await lasting.wait()

    bus = ordered(redis_url, handle, lease=60, drain=0.05)
    async with bus, bus.consuming():
        await bus.publish_many(steps(3))
        await until(lambda: len(bus.consumers[0].in_hand) == 3 and started)
        if how == "flushed":
            await redis_client.flushall()
        else:
            await redis_client.delete(STREAM)
    assert started == ["k0"]
    assert [Step.model_validate_json(fields["data"]).name for fields in await copies(redis_client)] == ["k0", "k1", "k2"]


async def test_what_a_process_holds_when_it_ends_is_left_in_its_place_where_the_group_stands(redis_url, redis_client):
    """Pending, for the next owner, and nowhere else."""
    started, lasting = [], asyncio.Event()

    async def handle(event: Step) -> None:
        started.append(event.name)
        await lasting.wait()

    bus = ordered(redis_url, handle, lease=60, drain=0.05)
    async with bus, bus.consuming():
        await bus.publish_many(steps(3))
        await until(lambda: len(bus.consumers[0].in_hand) == 3 and started)
    assert len(await rows(redis_client)) == 3
    assert await copies(redis_client) == []
