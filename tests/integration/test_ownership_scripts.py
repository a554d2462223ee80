"""The scripts by which a group is owned: one owner at a time, and nothing is done under an epoch that is over."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from eventbus.delivery import Carried
from eventbus.errors import BackendRefused
from eventbus.streams import (
    Address,
    Connections,
    Copy,
    Destination,
    Group,
    GroupCommands,
    Member,
    OwnedEntryCommands,
    OwnedGroupCommands,
    OwnedReader,
    keys,
)
from eventbus.streams.scripts import run_script
from tests.support.bench import KEY, MEMBER, NOW, bench_at

LEASE = 10.0


@pytest_asyncio.fixture
async def bench(redis_url):
    async with bench_at(redis_url) as bench:
        yield bench


@pytest.fixture
def group(bench):
    """The commands about the group of some consumer."""
    return lambda consumer="me": OwnedGroupCommands(bench.wire, KEY, consumer)


@pytest.fixture
def entries(bench):
    """The commands about its entries of some consumer."""
    return lambda consumer="me": OwnedEntryCommands(bench.wire, KEY, consumer)


@pytest.fixture
def take(bench, group):
    """Take the group."""

    async def taken(epoch="one", *, consumer="me", latest=1e11, token=""):
        return await group(consumer).take(epoch, lease=LEASE, token=token or bench.token, latest=latest)

    return taken


async def read(bench, epoch="one", reading="r", *, consumer="me", count=10):
    """Read as an owner; returns the ids that came."""
    names, arguments = (KEY.stream, KEY.private, KEY.owner), (KEY.name, consumer, epoch, reading, count)
    return await run_script(bench.wire, "read_owned", names, arguments)


async def over(bench):
    """The owner's lease is over."""
    await bench.do("HSET", KEY.owner, "until", 1)


class TestOwning:
    async def test_a_group_without_an_owner_is_taken(self, bench, take):
        taken = await take()
        assert (taken.taken, taken.owner, taken.left) == (True, "me", LEASE)
        assert await bench.do("HMGET", KEY.owner, "consumer", "token") == [b"me", b"one"]

    async def test_an_owned_one_is_not(self, bench, take):
        await take()
        other = await take("two", consumer="other")
        assert (other.taken, other.owner) == (False, "me")
        assert 0 < other.left <= LEASE
        assert await bench.do("HGET", KEY.owner, "token") == b"one"

    async def test_one_whose_lease_is_over_is(self, bench, take):
        await take()
        await over(bench)
        assert (await take("two", consumer="other")).taken

    async def test_but_not_when_the_question_was_held_up(self, bench, take):
        """The owner could not renew either."""
        await take()
        await over(bench)
        other = await take("two", consumer="other", latest=1.0)
        assert (other.taken, other.left) == (False, 0.0)

    async def test_whoever_owned_it_takes_it_under_a_new_epoch(self, bench, take, entries):
        """What it held under the old one it has given up."""
        await take("one")
        assert (await take("two")).taken
        assert (await entries().renew("one"), await entries().renew("two")) == (False, True)

    async def test_a_lost_group_is_not_taken(self, take):
        taken = await take(token="another")
        assert (taken.taken, taken.regrouped) == (False, True)

    async def test_a_group_that_is_made_anew_has_no_owner(self, bench, take, group):
        """The epoch guards against a lost group as the token does."""
        await take()
        await bench.do("HSET", keys.attempts(KEY.stream, KEY.name), "1-0", 2)
        await bench.do("XGROUP", "DESTROY", KEY.stream, KEY.name)
        await bench.groups.ensure(MEMBER, start="0", lost=bench.token)
        assert await bench.do("EXISTS", KEY.owner, keys.attempts(KEY.stream, KEY.name)) == 0

    async def test_a_renewal_lasts_for_a_lease_even_where_it_was_over(self, bench, take, entries):
        await take()
        await over(bench)
        assert await entries().renew("one")
        seconds, _ = await bench.do("TIME")
        assert int(await bench.do("HGET", KEY.owner, "until")) / 1000 > int(seconds) + LEASE - 2

    async def test_what_is_given_up_is_free_and_wakes_one_who_stands_by(self, bench, take, group):
        await take()
        assert await group().release("one", silence=5)
        assert await bench.do("EXISTS", KEY.owner) == 0
        assert await bench.do("LLEN", KEY.free) == 1
        assert 0 < await bench.do("PTTL", KEY.free) <= 5000
        assert (await take("two", consumer="other")).taken
        assert await bench.do("EXISTS", KEY.free) == 0

    async def test_what_is_anothers_is_not_given_up(self, bench, take, group):
        await take("two", consumer="other")
        assert not await group().release("one", silence=5)
        assert await bench.do("HGET", KEY.owner, "token") == b"two"

    async def test_at_maxmemory_a_group_can_be_taken_renewed_read_and_given_up(self, bench, take, group, entries):
        """Who could free memory must be able to work."""
        await bench.add("1-0")
        await bench.do("CONFIG", "SET", "maxmemory", "1")
        try:
            with pytest.raises(BackendRefused, match="OOM"):
                await bench.do("HSET", "some", "field", "value")
            assert (await take()).taken
            assert await entries().renew("one")
            assert await entries().take_over("one", "r", private=False, after=b"", most=10, now=NOW, begins=True)
            assert (await read(bench))[0][0][0] == b"1-0"
            assert await entries().count_attempts([(b"1-0", 1, 1)], private=False, token="one") == 1
            assert await entries().ack([b"1-0"], private=False, token="one") == 1
            assert await group().release("one", silence=5)
        finally:
            await bench.do("CONFIG", "SET", "maxmemory", "0")


class TestFence:
    """Nothing is settled, read, counted or taken under an epoch that is over."""

    @pytest.fixture
    async def _given(self, bench, take):
        await take("two", consumer="other")
        await bench.give("1-0")

    @pytest.mark.usefixtures("_given")
    async def test_an_acknowledgement_does_nothing(self, bench, entries):
        assert await entries().ack([b"1-0"], private=False, token="one") is None
        assert await bench.rows() == {"1-0": ("me", 1)}

    @pytest.mark.usefixtures("_given")
    @pytest.mark.parametrize("destination", list(Destination))
    async def test_a_move_does_nothing(self, bench, entries, destination):
        assert await entries().move([Copy(b"1-0", [b"a", b"b"])], destination, private=False, token="one") is None
        assert await bench.stream(getattr(keys, destination.value)(KEY.stream, KEY.name)) == []
        assert await bench.rows() == {"1-0": ("me", 1)}

    @pytest.mark.usefixtures("_given")
    async def test_nothing_is_dropped_marked_renewed_or_counted(self, bench, entries):
        me = entries()
        assert await me.drop([(b"1-0", "Unknown")], private=False, token="one") is None
        assert await me.mark([(b"1-0", 1)], private=False, token="one") is None
        assert await me.beat([b"1-0"], private=False, token="one") is None
        assert await me.count_attempts([(b"1-0", 1, 1)], private=False, token="one") is None
        assert await bench.rows() == {"1-0": ("me", 1)}
        assert await bench.do("EXISTS", keys.attempts(KEY.stream, KEY.name)) == 0

    @pytest.mark.usefixtures("_given")
    async def test_nothing_is_taken_over_or_read(self, bench, entries):
        await bench.add("2-0")
        assert await entries().take_over("one", "r", private=False, after=b"", most=10, now=NOW, begins=True) is None
        assert await read(bench) == -1
        assert await bench.rows() == {"1-0": ("me", 1)}

    async def test_of_an_earlier_reading_nothing_is_read_either(self, bench, take, entries):
        await take()
        await bench.add("1-0")
        for reading in ("early", "late"):
            await entries().take_over("one", reading, private=False, after=b"", most=10, now=NOW, begins=True)
        assert await read(bench, reading="early") == -2
        assert await bench.rows() == {}
        assert (await read(bench, reading="late"))[0][0][0] == b"1-0"


class TestTakingOver:
    async def test_what_is_pending_is_taken_in_order_whoever_has_it_and_keeps_its_counts(self, bench, take, entries):
        await take()
        await bench.give("1-0", to="other", count=2)
        await bench.give("2-0", to="third")
        await bench.give("10-0", to="me")
        page = await entries().take_over("one", "r", private=False, after=b"", most=2, now=NOW, begins=True)
        assert [(row[0], row[2]) for row in page.entries] == [(b"1-0", 2), (b"2-0", 1)]
        rest = await entries().take_over("one", "r", private=False, after=page.cursor, most=2, now=NOW, begins=False)
        assert ([row[0] for row in rest.entries], rest.cursor) == ([b"10-0"], b"")
        assert await bench.rows() == {"1-0": ("me", 2), "2-0": ("me", 1), "10-0": ("me", 1)}

    async def test_attempts_come_with_their_entries_and_go_with_their_settlement(self, bench, take, entries):
        await take()
        await bench.give("1-0", "2-0", "3-0")
        attempts = [(b"1-0", 1, 1), (b"2-0", 2, 1), (b"3-0", 3, 1)]
        assert await entries().count_attempts(attempts, private=False, token="one") == 3
        page = await entries().take_over("one", "r", private=False, after=b"", most=9, now=NOW, begins=True)
        assert [row[3] for row in page.entries] == [1, 2, 3]
        await entries().ack([b"1-0"], private=False, token="one")
        await entries().move([Copy(b"2-0", [b"a", b"b"])], Destination.DEAD, private=False, token="one")
        await entries().drop([(b"3-0", "Unknown")], private=False, token="one")
        assert await bench.do("EXISTS", keys.attempts(KEY.stream, KEY.name)) == 0

    async def test_those_of_the_private_stream_are_kept_apart(self, bench, take, entries):
        await take()
        await bench.give("1-0")
        await bench.give("1-0", private=True)
        await entries().count_attempts([(b"1-0", 4, 1)], private=True, token="one")
        for private, attempts in ((False, 0), (True, 4)):
            page = await entries().take_over("one", "r", private=private, after=b"", most=9, now=NOW, begins=False)
            assert [row[3] for row in page.entries] == [attempts]
        await entries().ack([b"1-0"], private=True, token="one")
        assert await bench.do("EXISTS", keys.attempts(KEY.private, KEY.name)) == 0

    async def test_what_was_settled_meanwhile_leaves_no_attempts_behind(self, bench, take, entries):
        """The call may be one that was sent again."""
        await take()
        assert await entries().count_attempts([(b"1-0", 1, 1)], private=False, token="one") == 0
        assert await bench.do("EXISTS", keys.attempts(KEY.stream, KEY.name)) == 0

    async def test_a_start_whose_handler_failed_is_taken_back(self, bench, take, entries):
        await take()
        await bench.give("1-0", count=2)
        await entries().mark([(b"1-0", 2)], private=False, token="one")
        assert await bench.rows() == {"1-0": ("me", 3)}
        await entries().count_attempts([(b"1-0", 1, 2)], private=False, token="one")
        assert await bench.rows() == {"1-0": ("me", 2)}

    async def test_an_entry_that_was_cut_becomes_a_tombstone(self, bench, take, entries):
        await take()
        await bench.give("1-0", "2-0", to="other")
        await bench.do("XDEL", KEY.stream, "1-0")
        page = await entries().take_over("one", "r", private=False, after=b"", most=9, now=NOW, begins=True)
        assert ([row[0] for row in page.entries], page.cut) == ([b"2-0"], [b"1-0"])
        assert await bench.rows() == {"2-0": ("me", 1)}
        assert len(await bench.stream(KEY.dead)) == 1

    async def test_what_somebody_else_has_is_seen(self, bench, entries):
        assert not await entries().foreign_rows()
        await bench.give("1-0")
        assert not await entries().foreign_rows()
        await bench.give("2-0", to="other", private=True)
        assert await entries().foreign_rows()


async def test_what_hops_is_promoted_for_the_owner_to_read_it(bench, take, entries):
    """It alone reads, by a script that checks that it does: the script that promotes gives nothing to anybody."""
    await take()
    await bench.declared(Known=1)
    await bench.park(carried=Carried(entry="1-0", hops=1, hopped=1), type="Known")
    promoted = await entries().promote({"Known": 1}, count=10, credit=10, unhandled=1e11, now=NOW)
    assert (promoted.promoted, list(promoted.given)) == (1, [])
    assert await bench.rows(private=True) == {}
    assert len(await bench.stream(KEY.private)) == 1


class TestKinds:
    async def test_members_that_order_and_members_that_do_not_are_kept_apart(self, bench):
        """While one of them lives; a new token then ends whatever the others still hold."""
        ordering = Member("billing", 10.0, {"Known": 1}, b'{"pid":7,"lease":10.0}', ordered=True)
        await bench.groups.announce(MEMBER, token=bench.token)
        new = GroupCommands(bench.wire, KEY, "new")
        with pytest.raises(BackendRefused, match="me") as caught:
            await new.ensure(ordering, start="0")
        assert caught.value.code == "ORDERED"
        await bench.do("DEL", KEY.members)
        ensured = await new.ensure(ordering, start="0")
        assert (ensured.token != bench.token, ensured.created) == (True, False)
        assert await bench.do("HGET", KEY.hash, "ordered") == b"1"
        await new.announce(ordering, token=ensured.token)
        with pytest.raises(BackendRefused, match="new"):
            await GroupCommands(bench.wire, KEY, "plain").ensure(MEMBER, start="0")

    async def test_a_group_that_changed_its_kind_in_its_first_lease_is_not_taken_for_one_that_redis_forgot(self, bench):
        """It began behind what was there: who then loses its ownership, and looks at the group, handles none of that again."""
        young = Group("orders", "young")
        await bench.add("1-0", "2-0")
        plain, owner = GroupCommands(bench.wire, young, "plain"), GroupCommands(bench.wire, young, "owner")
        await plain.ensure(MEMBER, start="$")
        ordering = Member("billing", 10.0, {"Known": 1}, b'{"pid":7,"lease":10.0}', ordered=True)
        ensured = await owner.ensure(ordering, start="$")
        assert (await owner.ensure(ordering, start="0", lost=ensured.token)).token == ensured.token
        assert (await owner.bookmark()).at == (2, 0)


async def test_a_reader_without_entries_waits_and_is_woken_by_one(bench, take, entries, redis_url):
    """What it waits for it does not take: another read does."""
    await take()
    await entries().take_over("one", "r", private=False, after=b"", most=9, now=NOW, begins=True)
    reader, brought = OwnedReader(Connections(Address.parse(redis_url), name="test"), KEY, "me"), []
    reader.epoch, reader.reading = "one", "r"
    try:
        waiting = asyncio.ensure_future(reader.read(10, brought.append, few=0))
        while not any(b"cmd=xread" in line for line in (await bench.do("CLIENT", "LIST")).splitlines()):
            await asyncio.sleep(0)
        await bench.add("1-0")
        assert (await waiting, brought) == (0, [])
        assert await reader.read(10, brought.append, few=0) == 1
    finally:
        await reader.close()
    assert [entry_id for entry_id, _ in brought[0].entries] == [b"1-0"]
