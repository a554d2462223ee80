"""Who is told of what was published: of everything that Redis confirmed, also where the publish raises."""

from __future__ import annotations

import pytest

from eventbus.delivery import Published, Replicated
from eventbus.errors import BackendRefused, BackendUnavailable, DurabilityNotReached, Failed, PublishIncomplete
from eventbus.publishes import Publishes
from tests.support.events import orders


def confirmed(number):
    return Published(f"event-{number}", "orders", f"{number}-0")


def not_reached(number):
    return DurabilityNotReached("in time", published=confirmed(number), wanted=Replicated(), reached=0)


class Answering:
    """A publisher that answers what it is told to."""

    def __init__(self, answer):
        self.answer = answer

    async def publish(self, *given, **options):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    publish_many = publish


class Bus(Publishes):
    """Notes what its observer is told."""

    def __init__(self, answer):
        super().__init__()
        self.publisher, self.told = Answering(answer), []
        self.on_published.append(lambda event, published: self.told.append((event, published)))

    def _open_publisher(self):
        return self.publisher

    _publisher_here = _open_publisher


async def test_what_was_published_is_told_with_its_confirmation():
    """One event, or each of many."""
    (event,) = orders(1)
    bus = Bus(confirmed(1))
    assert await bus.publish(event) == confirmed(1)
    assert bus.told == [(event, confirmed(1))]
    events, bus = orders(2), Bus([confirmed(1), confirmed(2)])
    assert await bus.publish_many(events) == [confirmed(1), confirmed(2)]
    assert bus.told == list(zip(events, [confirmed(1), confirmed(2)], strict=True))


async def test_a_publish_that_somebody_is_told_of_begins_when_it_is_called_too():
    """A program behaves the same with an onlooker and without."""
    begun = []
    bus = Bus(confirmed(1))
    bus.publisher.publish = lambda event, **_: begun.append(event) or Answering.publish(bus.publisher)
    event = orders(1)[0]
    publishing = bus.publish(event)
    assert begun == [event]
    assert await publishing == confirmed(1)
    assert bus.told == [(event, confirmed(1))]


async def test_an_event_that_is_there_and_not_as_durable_as_was_asked_is_told():
    """Consumers may handle it: an audit would see an event that nobody published."""
    (event,) = orders(1)
    bus = Bus(not_reached(1))
    with pytest.raises(DurabilityNotReached):
        await bus.publish(event)
    assert bus.told == [(event, confirmed(1))]


@pytest.mark.parametrize("error", [BackendRefused("full", code="OOM"), BackendUnavailable("gone")])
async def test_an_event_that_is_not_known_to_be_there_is_not_told(error):
    """Refused, or without an answer."""
    bus = Bus(error)
    with pytest.raises(type(error)):
        await bus.publish(*orders(1))
    assert bus.told == []


async def test_of_an_incomplete_batch_each_event_that_redis_confirmed_is_told_in_order():
    """With its own confirmation, those included whose durability was not reached; and no other."""
    events = orders(6)
    refused = Failed(1, events[1], BackendRefused("full", code="OOM"))
    lost, fragile = Failed(4, events[4], BackendUnavailable("gone")), Failed(2, events[2], not_reached(2))
    bus = Bus(PublishIncomplete(written=[confirmed(0), confirmed(3), confirmed(5)], refused=[refused], unknown=[lost, fragile]))
    with pytest.raises(PublishIncomplete):
        await bus.publish_many(events)
    assert bus.told == [(events[number], confirmed(number)) for number in (0, 2, 3, 5)]
