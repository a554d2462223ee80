"""The Redis users that the guide to production names: what they may do is all that is needed, and no more than is said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis
from redis.exceptions import NoPermissionError

from eventbus import BackendRefused, Batch, Context, Event, EventBus, Retry, Topic
from eventbus.observe.prometheus import instrument
from eventbus.streams import keys
from eventbus.testing import running
from tests.support.pages import ROOT
from tests.support.redis_hands import copies, expire, read_as, until

PAGE = ROOT / "docs" / "howto" / "production.md"
HIGH = keys.level("orders", "high")


class OrderCreated(Event, topic=Topic("orders", priorities=("high", "normal"), max_len=3), key="order_id"):
    order_id: str
    fails: bool = False


class InvoiceWritten(Event, topic="invoices"):
    order_id: str


def documented():
    """The page's users: name to the rules that make it."""
    return {name: rules.split() for name, rules in re.findall(r"^    user (\S+) (.+)$", PAGE.read_text(), re.MULTILINE)}


@dataclass
class Users:
    """A server that has the users of the page."""

    url: str

    def of(self, name):
        """The url for one of them."""
        return self.url.replace("unix://", f"unix://{name}:change-me@")

    def refused(self):
        """What the server refused anybody, by its own log."""
        with Redis.from_url(self.url, decode_responses=True) as client:
            return [(each["username"], each["object"]) for each in client.acl_log()]


@pytest.fixture
def users(redis_url):
    with Redis.from_url(redis_url) as client:
        client.acl_log_reset()
        for name, rules in documented().items():
            client.execute_command("ACL", "SETUSER", name, *rules)
        yield Users(redis_url)
        client.acl_deluser(*documented())


def bus_of(users, name):
    return EventBus(users.of(name), service="shop", lease=1, claim_interval=0.1)


async def test_a_publisher_needs_no_more_than_to_write(users, redis_client):
    """And can do no more: it reads nothing, not even its own topic."""
    async with bus_of(users, "shop-publisher") as bus:
        await bus.publish(OrderCreated(order_id="o-1"), priority="high")
        await bus.publish_many([OrderCreated(order_id="o-2"), OrderCreated(order_id="o-3")])
        with pytest.raises(BackendRefused, match="NOPERM"):
            await bus.publish(InvoiceWritten(order_id="o-1"))
    assert await redis_client.xlen("orders") == 2
    assert users.refused() == [("shop-publisher", "invoices")]
    with Redis.from_url(users.of("shop-publisher")) as client, pytest.raises(NoPermissionError):
        client.xrange("orders")


async def test_what_is_scheduled_or_published_once_needs_scripts(users, redis_client):
    """Delays and keys, and the promotion of what is due."""
    async with bus_of(users, "shop-scheduler") as bus:
        imported = OrderCreated(order_id="o-0")
        for _ in range(2):
            await bus.publish(imported, entry_id="1-1", topic="orders")
        for _ in range(2):
            await bus.publish(OrderCreated(order_id="o-1"), idempotency_key="webhook-77")
        later = await bus.publish(OrderCreated(order_id="o-2"), delay=timedelta(hours=1))
        assert await bus.cancel_scheduled(later.event_id, topic=OrderCreated)
        await bus.publish(OrderCreated(order_id="o-3"), delay=0.01)
        await until(lambda: arrived(redis_client, 3))
    assert users.refused() == []
    with Redis.from_url(users.of("shop-scheduler")) as client, pytest.raises(NoPermissionError):
        client.xrange("invoices")


async def arrived(redis_client, count):
    return await redis_client.xlen("orders") == count


async def test_a_worker_of_every_pattern_needs_no_more(users, redis_client):
    """Plain, batches, once, in order, to everybody: with retries, dead letters, take-overs, trimming and metrics."""
    bus = bus_of(users, "billing-worker")
    seen: list[str] = []

    async def handle(event: OrderCreated, ctx: Context) -> None:
        if event.fails:
            raise ValueError("it fails")
        await ctx.publish(InvoiceWritten(order_id=event.order_id))

    async def note(events: list[InvoiceWritten]) -> None:
        seen.extend(event.order_id for event in events)

    async def follow(event: InvoiceWritten) -> None: ...

    retry = Retry(attempts=2, backoff=[0.01])
    bus.subscribe(OrderCreated, group="charge", retry=retry)(handle)
    bus.subscribe(OrderCreated, group="once", retry=retry, idempotent=True)(handle)
    bus.subscribe(InvoiceWritten, group="batches", batch=Batch())(note)
    bus.subscribe(InvoiceWritten, group="ordered", ordered=True)(follow)
    bus.subscribe(InvoiceWritten, group="everybody", broadcast=True)(follow)
    instrument(bus, CollectorRegistry())
    async with running(bus) as run:
        for number in range(5):
            await bus.publish(OrderCreated(order_id=f"o-{number}", fails=number == 3), priority="high" if number else "normal")
        await bus.publish(OrderCreated(order_id="later"), delay=0.01)
        await run.idle()
    async with bus:
        await bus.publish(OrderCreated(order_id="taken"))
    assert await read_as(redis_client, "died", 1, stream="orders", group="charge")
    assert await expire(redis_client, "died", stream="orders", group="charge") == 1
    async with running(bus) as run:
        await run.idle()
    assert seen.count("taken") == 2  # of "charge", which took it over, and of "once"
    assert len(await copies(redis_client, "dead", stream=HIGH, group="charge")) == 1
    assert users.refused() == []
    with Redis.from_url(users.of("billing-worker")) as client, pytest.raises(NoPermissionError):
        client.xrange("salaries")


async def test_an_operator_may_look_trim_redrive_replay_and_give_up(users, run, redis_client):
    """Every command of the command line that looks or changes."""
    bus = EventBus(users.url, service="shop")

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(attempts=1))
    async def charge(event: OrderCreated) -> None:
        if event.fails:
            raise ValueError("it fails")

    async with running(bus) as service:
        await bus.publish_many([OrderCreated(order_id=f"o-{number}", fails=number == 3) for number in range(5)])
        await bus.publish(OrderCreated(order_id="later"), delay=60)
        await service.idle()
        (waits,) = (await bus.admin.scheduled("orders")).events
    for command in (
        "info",
        "info orders",
        "pending orders charge",
        "scheduled orders",
        f"scheduled orders --cancel {waits.event_id}",
        "tail orders --from 1h --count 1",
        "publish orders --type Other {}",
        "publish orders --type Other {} --idempotency-key k",
        "dead list orders",
        "dead list orders charge",
        "dead show orders charge",
        "dead export orders charge",
        "dead redrive orders charge --all --yes",
        "dead discard orders charge --reason attempts --yes",
        "replay orders charge --from 1h --ahead 0 --yes",
        "trim orders --max-len 1 --exact",
        "groups list",
        "groups abandon orders charge --yes",
    ):
        ended = await run(*command.split(), url=users.of("operator"))
        assert ended.code == 0, (command, ended)
    assert users.refused() == []
