"""14. Handling again what was handled already: replays.

A handler had a bug for two hours, a new projection is to be filled, a service lost its database: the events are still in
the topic, as long as it is not trimmed. A replay hands a range of them to one group again. No other group notices, the
group's place on the topic does not move, and what is published meanwhile is handled beside it.
"""

from datetime import UTC, datetime

import pytest

from eventbus import ConfigurationError, Context, Event, EventBus, NotFound, Retry
from eventbus.testing import running


class OrderCreated(Event, topic="orders"):
    order_id: str


async def test_a_range_is_handled_again_by_one_group_which_can_tell():
    """`ctx.replayed` says so, for handlers that must not send a second e-mail. Event id and entry id are the original ones."""
    bus = EventBus("embedded://", service="billing")
    charged, notified = [], []

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated, ctx: Context) -> None:
        charged.append((event.order_id, ctx.entry_id, ctx.replayed))

    @bus.subscribe(OrderCreated, group="notify")
    async def notify(event: OrderCreated) -> None:
        notified.append(event.order_id)

    async with running(bus) as run:
        first, second, third = [await bus.publish(OrderCreated(order_id=f"o-{number}")) for number in (1, 2, 3)]
        await run.idle()

        replayed = await bus.admin.replay("orders", "charge", from_=second.entry_id, to=third.entry_id)
        await run.idle()

    assert replayed.copied == 2
    assert charged == [
        ("o-1", first.entry_id, False),
        ("o-2", second.entry_id, False),
        ("o-3", third.entry_id, False),
        ("o-2", second.entry_id, True),
        ("o-3", third.entry_id, True),
    ]
    assert notified == ["o-1", "o-2", "o-3"]


async def test_a_range_may_be_given_in_times_and_a_dry_run_says_what_it_holds():
    """Times have a zone. Without `to` it goes up to the topic's last entry; without `dry_run` the copies are made."""
    bus = EventBus("embedded://", service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        before = datetime.now(UTC)
        await bus.publish_many([OrderCreated(order_id=f"o-{number}") for number in range(10)])
        await run.idle()

        would = await bus.admin.replay("orders", "charge", from_=before, dry_run=True)
        assert (would.copied, would.dry_run) == (10, True)
        assert len(run.handled(OrderCreated)) == 10

        done = await bus.admin.replay("orders", "charge", from_=before, rate=1_000)
        await run.idle()
        assert done.copied == 10
        assert len(run.handled(OrderCreated)) == 20


async def test_a_replay_that_is_asked_for_twice_is_done_once():
    """Whoever does not know whether it came to its end asks again. `anew=True` means it."""
    bus = EventBus("embedded://", service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()

        assert not (await bus.admin.replay("orders", "charge", from_="0")).repeated
        again = await bus.admin.replay("orders", "charge", from_="0")
        assert (again.repeated, again.copied) == (True, 1)  # what the first one did
        await bus.admin.replay("orders", "charge", from_="0", anew=True)
        await run.idle()

    assert len(run.handled(OrderCreated)) == 3


async def test_a_replayed_event_is_retried_as_any_other():
    """Its attempts begin anew, and it stays a replayed one."""
    bus = EventBus("embedded://", service="billing")
    runs = []

    @bus.subscribe(OrderCreated, group="charge", retry=Retry(attempts=2, backoff=[0]))
    async def charge(event: OrderCreated, ctx: Context) -> None:
        runs.append((ctx.attempt, ctx.replayed))
        if len(runs) == 2:
            raise ConnectionError("the bank does not answer")

    async with running(bus) as run:
        await bus.publish(OrderCreated(order_id="o-1"))
        await run.idle()
        await bus.admin.replay("orders", "charge", from_="0")
        await run.idle()

    assert runs == [(1, False), (1, True), (2, True)]


async def test_what_is_no_longer_kept_is_said():
    """Trimming took some of it: the rest is replayed. Trimming took all of it: nothing is done."""
    bus = EventBus("embedded://", service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus) as run:
        published = [await bus.publish(OrderCreated(order_id=f"o-{number}")) for number in range(4)]
        await run.idle()
        await bus.admin.trim("orders", max_len=1, exact=True)

        replayed = await bus.admin.replay("orders", "charge", from_=published[0].entry_id)
        assert (replayed.copied, replayed.incomplete, replayed.kept_from) == (1, True, published[3].entry_id)

        with pytest.raises(NotFound, match="what is kept begins with"):
            await bus.admin.replay("orders", "charge", from_=published[0].entry_id, to=published[2].entry_id)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"from_": "yesterday"}, "from_ 'yesterday': give an entry id such as '1763709419123-0', or a datetime with its zone"),
        ({"from_": datetime(2026, 11, 21)}, "from_ 2026-11-21T00:00:00: the time has no zone"),  # noqa: DTZ001 - that is what is wrong
        ({"from_": "2-0", "to": "1-0"}, "from_ '2-0' is after to '1-0'"),
        ({"from_": "9999999999999-0"}, "from_ 9999999999999-0 is in the future"),
        ({"from_": "0", "rate": 0}, "rate 0: give entries a second"),
    ],
)
async def test_a_range_that_makes_no_sense_is_refused(wrong, said):
    """Before anything is written."""
    bus = EventBus("embedded://", service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None: ...

    async with running(bus):
        with pytest.raises(ConfigurationError, match=said):
            await bus.admin.replay("orders", "charge", **wrong)
        with pytest.raises(NotFound, match="there is no group 'chrage' of topic 'orders' that eventbus made"):
            await bus.admin.replay("orders", "chrage", from_="0")
