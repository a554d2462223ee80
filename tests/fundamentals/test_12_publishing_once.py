"""12. Publishing once, and under ids of one's own: for what must not stand twice, and for what comes from elsewhere."""

from typing import Literal, cast

import pytest

from eventbus import ConfigurationError, EntryIdTooLow, Event, EventBus


class PaymentReceived(Event, topic="payments", key="account"):
    account: str
    cents: int


async def length(bus: EventBus) -> int:
    """How many events the topic has."""
    info = await bus.admin.topic("payments")
    return info.length if info else 0


async def test_a_key_makes_two_publishes_one():
    """The second one is told of the first: a webhook that the bank sends twice is one event."""
    async with EventBus("embedded://", service="bank") as bus:
        first = await bus.publish(PaymentReceived(account="a-1", cents=100), idempotency_key="webhook-77")
        second = await bus.publish(PaymentReceived(account="a-1", cents=100), idempotency_key="webhook-77")

        assert second == first
        assert await length(bus) == 1


async def test_an_events_own_id_is_a_key():
    """With True the same object is stored once, however often it is published: after a lost answer, or by a loop that tries again."""
    event = PaymentReceived(account="a-1", cents=100)
    async with EventBus("embedded://", service="bank") as bus:
        first = await bus.publish(event, idempotency_key=True)

        assert await bus.publish(event, idempotency_key=True) == first
        assert await length(bus) == 1


async def test_a_batch_may_be_published_again_as_a_whole():
    """What was stored of it is not stored again; the records are those of the first time."""
    events = [PaymentReceived(account=f"a-{number}", cents=100) for number in range(3)]
    async with EventBus("embedded://", service="bank") as bus:
        await bus.publish(events[0], idempotency_key=True)
        records = await bus.publish_many(events, idempotency_key=True)

        assert await bus.publish_many(events, idempotency_key=True) == records
        assert await length(bus) == 3


async def test_a_batch_has_no_key_in_common():
    """All but one of its events would be taken for copies of it: refused, and nothing is written."""
    async with EventBus("embedded://", service="bank") as bus:
        with pytest.raises(ConfigurationError, match="give True"):
            await bus.publish_many([PaymentReceived(account="a-1", cents=100)], idempotency_key=cast("Literal[True]", "k"))
        assert await length(bus) == 0


async def test_a_key_is_remembered_for_a_window():
    """A day, unless it is said; then it may be used again."""
    async with EventBus("embedded://", service="bank") as bus:
        published = await bus.publish(PaymentReceived(account="a-1", cents=100), idempotency_key="k", idempotency_window=3600)

    assert published.topic == "payments"


async def test_an_entry_may_have_an_id_of_its_own():
    """For imports and change data: the position there is the entry's id here, and the order is kept."""
    async with EventBus("embedded://", service="import") as bus:
        published = await bus.publish(PaymentReceived(account="a-1", cents=100), entry_id="1526919030474-55")

        assert published.entry_id == "1526919030474-55"


async def test_an_id_that_is_not_above_the_last_one_says_which_that_is():
    """So an import knows where to go on. The very same event under its own id is no error: it is there already."""
    event = PaymentReceived(account="a-1", cents=100)
    async with EventBus("embedded://", service="import") as bus:
        first = await bus.publish(event, entry_id="1526919030474-55")
        assert await bus.publish(event, entry_id="1526919030474-55") == first

        with pytest.raises(EntryIdTooLow) as caught:
            await bus.publish(PaymentReceived(account="a-2", cents=200), entry_id="1526919030474-12")

    assert caught.value.last == "1526919030474-55"


@pytest.mark.parametrize(
    "asked", [{"idempotency_key": "k" * 513}, {"idempotency_key": ""}, {"entry_id": "0-0"}, {"idempotency_window": 60}]
)
async def test_what_cannot_be_meant_is_refused(asked):
    """A key of more than 512 bytes or none, an id that no entry has, a window of nothing."""
    async with EventBus("embedded://", service="bank") as bus:
        with pytest.raises(ConfigurationError):
            await bus.publish(PaymentReceived(account="a-1", cents=100), **asked)
