"""17. Foreign producers and consumers: a topic is a stream, and anybody may write to it and read from it.

What other programs write has no envelope: no id, no type, no version. A reader says what their entries look like, and
makes events of them. What other programs read is theirs: their groups stand beside ours and are left alone.

`redis` in these tests is a plain client, as any tutorial uses it.
"""

import json
from decimal import Decimal
from typing import Literal

import pytest
from redis.asyncio import Redis

from eventbus import Debezium, Event, EventBus, Flat, ForeignReader, JsonField, Value
from eventbus.testing import running


class OrderCreated(Event, topic="orders"):
    order_id: str
    total: Decimal
    express: bool = False
    coupon: str | None = None
    lines: tuple[str, ...] = ()


@pytest.fixture
def bus(redis_url):
    return EventBus(redis_url, service="billing")


@pytest.fixture
async def redis(redis_url):
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        yield redis


async def test_a_flat_dict_as_tutorials_write_it_is_read_by_its_fields(bus, redis):
    """A field for each value, and all of them texts: the event class says what they are. The handler sees no difference."""

    @bus.subscribe(OrderCreated, group="charge", foreign=Flat(OrderCreated))
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        await redis.xadd("orders", {"order_id": "ord_123", "total": "99.99"})
        await redis.xadd("orders", {"order_id": "ord_124", "total": "5", "express": "True", "lines": json.dumps(["tea", "cup"])})
        await run.idle()

    assert run.handled(OrderCreated) == [
        OrderCreated(order_id="ord_123", total=Decimal("99.99")),
        OrderCreated(order_id="ord_124", total=Decimal(5), express=True, lines=("tea", "cup")),
    ]


async def test_one_field_of_json_holds_the_event(bus, redis):
    """The other usual way: the whole event in one field, whatever that is called."""

    @bus.subscribe(OrderCreated, group="charge", foreign=JsonField(OrderCreated, "payload"))
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        await redis.xadd("orders", {"event": "order_created", "payload": '{"order_id": "ord_123", "total": "99.99"}'})
        await run.idle()

    assert run.handled(OrderCreated) == [OrderCreated(order_id="ord_123", total=Decimal("99.99"))]


class Customer(Value):
    id: int
    email: str | None = None


class CustomerChanged(Event, topic="shop.inventory.customers"):
    op: Literal["c", "r", "u", "d"]  # created, read by the snapshot, updated, deleted
    before: Customer | None = None
    after: Customer | None = None


async def test_changes_of_a_table_come_from_debezium(bus, redis):
    """The event class takes of a change what it declares. The tombstone after a deletion says nothing, and is skipped."""
    emails = {}

    @bus.subscribe(CustomerChanged, group="mailing", foreign=Debezium(CustomerChanged))
    async def follow(event: CustomerChanged) -> None:
        match event:
            case CustomerChanged(op="d", before=Customer(id=gone)):
                del emails[gone]
            case CustomerChanged(after=Customer(id=there, email=email)):
                emails[there] = email

    def change(op, before, after):
        return json.dumps({"before": before, "after": after, "op": op, "ts_ms": 1767225600000, "source": {"table": "customers"}})

    anne, bert = {"id": 1, "email": "anne@example.com"}, {"id": 2, "email": "bert@example.com"}
    async with running(bus) as run:
        for key, value in [
            ('{"id":1}', change("r", None, anne)),
            ('{"id":2}', change("c", None, bert)),
            ('{"id":1}', change("u", anne, anne | {"email": "a@example.com"})),
            ('{"id":2}', change("d", bert, None)),
            ('{"id":2}', "default"),
        ]:
            await redis.xadd("shop.inventory.customers", {key: value})  # its format "compact"; "extended" is read as well
            await run.idle()

    assert emails == {1: "a@example.com"}


async def test_several_layouts_may_be_mixed_in_one_stream(bus, redis):
    """Our own entries are always read. Of several readers the first that can read an entry does, so that the choosiest comes first."""

    @bus.subscribe(OrderCreated, group="charge", foreign=[JsonField(OrderCreated, "payload"), Flat(OrderCreated)])
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="ours", total=Decimal(1)))
        await redis.xadd("orders", {"payload": '{"order_id": "json", "total": 2}'})
        await redis.xadd("orders", {"order_id": "flat", "total": "3"})
        await run.idle()

    assert sorted(event.order_id for event in run.handled(OrderCreated)) == ["flat", "json", "ours"]


async def test_a_layout_of_ones_own_takes_a_class_with_one_method(bus, redis):
    """A class with one method, from names and values as they stand in Redis to an event."""

    class Pipes(ForeignReader):
        def read(self, fields):
            order_id, total = fields[1].decode().split("|")
            return OrderCreated(order_id=order_id, total=Decimal(total))

    @bus.subscribe(OrderCreated, group="charge", foreign=Pipes(OrderCreated))
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        await redis.xadd("orders", {"line": "ord_123|99.99"})
        await run.idle()

    assert run.handled(OrderCreated) == [OrderCreated(order_id="ord_123", total=Decimal("99.99"))]


async def test_what_no_reader_can_read_is_a_dead_letter_with_its_raw_fields(bus, redis):
    """At once and once, with the reason, which shows no value. Nothing stops: what stands behind it is handled."""

    @bus.subscribe(OrderCreated, group="charge", foreign=Flat(OrderCreated))
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        await redis.xadd("orders", {"order_id": "ord_123", "total": "a lot"})
        await redis.xadd("orders", {"order_id": "ord_124", "total": "1"})
        await run.idle()
        dead = await bus.admin.dead_letters("orders", "charge").latest()

    assert [event.order_id for event in run.handled(OrderCreated)] == ["ord_124"]
    assert (dead.letter.reason, dead.letter.message) == ("undecodable", "OrderCreated cannot be read: total: decimal_parsing")
    assert dead.fields == [b"order_id", b"ord_123", b"total", b"a lot"]


async def test_tails_and_histories_take_the_same_readers(bus, redis):
    """What cannot be read is logged, counted and passed over there."""
    await redis.xadd("orders", {"order_id": "ord_123", "total": "99.99"})
    await redis.xadd("orders", {"something": "else"})

    async with bus:
        history = bus.history(OrderCreated, foreign=Flat(OrderCreated))
        assert [event.order_id async for event in history] == ["ord_123"]
        assert history.undecodable == 1


async def test_a_plain_consumer_works_beside_ours(bus, redis):
    """Its group is its own: nothing of it is claimed, retried or retired, and no entry is trimmed before it was acknowledged there."""
    await redis.xgroup_create("orders", "reports", id="0", mkstream=True)

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        await bus.publish_many([OrderCreated(order_id=f"ord_{number}", total=Decimal(1)) for number in range(10)])
        await run.idle()

        [[_, entries]] = await redis.xreadgroup("reports", "worker-1", {"orders": ">"}, count=4)
        assert json.loads(entries[0][1]["data"])["order_id"] == "ord_0"  # an envelope is one field per attribute
        await redis.xack("orders", "reports", *[entry_id for entry_id, _ in entries[:3]])

        await bus.admin.trim("orders", max_len=0, exact=True)
        assert [entry_id for entry_id, _ in await redis.xrange("orders", count=1)] == [entries[3][0]]
        reports = next(group for group in (await bus.admin.topic("orders")).groups if group.name == "reports")
        assert (reports.ours, reports.pending, reports.lag.entries) == (False, 1, 6)
