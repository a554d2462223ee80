"""5. Settings: the argument, else the variable `EVENTBUS_…`, else the default."""

import pytest

from eventbus import ConfigurationError, Event, EventBus, LifecycleError
from eventbus.testing import running


class OrderCreated(Event, topic="orders"):
    order_id: str


def test_an_argument_counts_more_than_a_variable_and_a_variable_more_than_the_default(monkeypatch):
    """Code decides what it must; everything else can be set where the service runs."""
    monkeypatch.setenv("EVENTBUS_URL", "redis://elsewhere:6379")
    monkeypatch.setenv("EVENTBUS_DRAIN", "10")
    settings = EventBus("embedded://", service="billing").settings()

    assert settings.url == "embedded://"
    assert settings.drain == 10
    assert settings.concurrency == 32


def test_a_bus_never_guesses_where_redis_is(monkeypatch):
    """No url is an error that says what to do, not a server in memory that forgets your events."""
    monkeypatch.delenv("EVENTBUS_URL", raising=False)
    with pytest.raises(ConfigurationError, match="to try things out without a server use 'embedded://'"):
        EventBus(service="billing").settings()


def test_a_wrong_value_is_named(monkeypatch):
    """An argument is checked when the bus is made, a variable when it is read."""
    with pytest.raises(ConfigurationError, match="drain=-1: a number of seconds above 0"):
        EventBus("embedded://", service="billing", drain=-1)

    monkeypatch.setenv("EVENTBUS_CONCURRENCY", "many")
    with pytest.raises(ConfigurationError, match="EVENTBUS_CONCURRENCY='many'"):
        EventBus("embedded://", service="billing").settings()


async def test_a_prefix_keeps_environments_apart():
    """Two environments on one Redis: the topic's name stays, the stream's name gets the prefix."""
    staging = EventBus("embedded://", service="shop", prefix="staging.")
    production = EventBus("embedded://", service="shop")
    for bus in (staging, production):

        @bus.subscribe(OrderCreated, group="charge")
        async def charge(event: OrderCreated) -> None: ...

    async with running(staging) as in_staging, running(production) as in_production:
        published = await staging.publish(OrderCreated(order_id="o-1"))
        await in_staging.idle()
        await in_production.idle()
        assert staging.subscriptions[0].stream == "staging.orders"

    assert published.topic == "orders"
    assert len(in_staging.handled(OrderCreated)) == 1
    assert in_production.handled(OrderCreated) == []


async def test_a_bus_is_opened_once_and_used_while_it_is_open():
    """Making a bus connects to nothing, so modules may make one. Using it needs `async with` or `open()`."""
    bus = EventBus("embedded://", service="billing")
    assert bus.subscriptions == ()

    async with bus:
        with pytest.raises(LifecycleError, match="open it once, and share the object"):
            await bus.open()
    assert "closed" in repr(bus)
