"""10. Batches: a handler takes a list of events, where many together cost less than each alone.

A database takes a hundred rows in one statement nearly as fast as one. `batch=Batch(max_size=100, max_wait=0.2)` gives
the handler lists: a full one at once, else what came until the first of them has waited long enough. Each event keeps its
own ending: a handler may fail single ones, and the others are acknowledged.
"""

import pytest

from eventbus import Batch, BatchContext, ConfigurationError, Event, EventBus, Reject, Retry
from eventbus.testing import running


class SensorReading(Event, topic="sensors", key="sensor_id"):
    sensor_id: str
    celsius: float


class SensorLost(Event, topic="sensors", key="sensor_id"):
    sensor_id: str


class TemperatureAlert(Event, topic="alerts", key="sensor_id"):
    sensor_id: str


def readings(count: int) -> list[SensorReading]:
    return [SensorReading(sensor_id=f"s-{number}", celsius=20 + number) for number in range(count)]


async def test_a_handler_takes_lists():
    """Of so many at most, and of fewer when no more came in time."""
    bus = EventBus("embedded://", service="climate")
    table, sizes = {}, []

    @bus.subscribe(SensorReading, group="store", batch=Batch(max_size=10, max_wait=0.1))
    async def store(events: list[SensorReading]) -> None:
        table.update({event.sensor_id: event.celsius for event in events})
        sizes.append(len(events))

    async with running(bus) as run:
        await bus.publish_many(readings(25))
        await run.idle()

    assert len(table) == len(run.handled(SensorReading)) == 25
    assert max(sizes) == 10


async def test_a_handler_may_fail_single_events():
    """An exception does what it would have done had the handler of that one event raised it; the others are done."""
    bus = EventBus("embedded://", service="climate")
    stored = []

    @bus.subscribe(SensorReading, group="store", batch=Batch(max_size=4, max_wait=0.1), retry=Retry(backoff=[0.05]))
    async def store(events: list[SensorReading], ctx: BatchContext) -> None:
        for event in events:
            if event.celsius > 100:
                ctx.fail(event, Reject("no room is that hot"))  # a dead letter, now
            elif event.sensor_id == "s-1" and ctx.of(event).attempt == 1:
                ctx.fail(event, TimeoutError("the row was locked"))  # handled again, as the retry policy says
            else:
                stored.append(event.sensor_id)

    async with running(bus) as run:
        await bus.publish_many([*readings(3), SensorReading(sensor_id="s-3", celsius=500)])
        await run.idle()
        (letter,) = await bus.admin.dead_letters("sensors", "store").page()

    assert sorted(stored) == ["s-0", "s-1", "s-2"]
    assert (letter.reason, letter.message) == ("rejected", "no room is that hot")


async def test_a_handler_that_raises_fails_its_whole_batch(caplog):
    """Every event of it is handled again and counted: where you know which one it was, fail that one."""
    bus = EventBus("embedded://", service="climate")
    attempts = []

    @bus.subscribe(SensorReading, group="store", batch=Batch(max_size=3, max_wait=0.1), retry=Retry(backoff=[0.05], jitter=0))
    async def store(events: list[SensorReading], ctx: BatchContext) -> None:
        attempts.extend((event.sensor_id, ctx.of(event).attempt) for event in events)
        if ctx.of(events[0]).attempt == 1:
            raise ConnectionError("the database is away")

    async with running(bus) as run:
        await bus.publish_many(readings(3))
        await run.idle()

    assert sorted(attempts) == [(f"s-{number}", attempt) for number in range(3) for attempt in (1, 2)]
    assert caplog.text.count("the database is away\n") == 1  # logged once for the batch


async def test_each_event_has_its_own_circumstances():
    """`ctx.of(event)` is its context: id, attempt, headers, and a `publish` that names it as the cause."""
    bus = EventBus("embedded://", service="climate")
    causes = {}

    @bus.subscribe(SensorReading, group="watch", batch=Batch(max_size=5, max_wait=0.1))
    async def watch(events: list[SensorReading], ctx: BatchContext) -> None:
        for event in events:
            if event.celsius > 22:
                await ctx.of(event).publish(TemperatureAlert(sensor_id=event.sensor_id))

    @bus.subscribe(TemperatureAlert, group="ring", batch=Batch(max_wait=0))
    async def ring(events: list[TemperatureAlert], ctx: BatchContext) -> None:
        causes.update({event.sensor_id: ctx.of(event).causation_id for event in events})

    async with running(bus) as run:
        published = await bus.publish_many(readings(5))
        await run.idle()

    assert causes == {"s-3": published[3].event_id, "s-4": published[4].event_id}


async def test_events_of_several_classes_come_in_one_list():
    """In the order they were published, as far as they were read together."""
    bus = EventBus("embedded://", service="climate")
    seen = []

    @bus.subscribe(SensorReading | SensorLost, group="log", batch=Batch(max_size=2, max_wait=5))
    async def log(events: list[SensorReading | SensorLost]) -> None:
        seen.append([type(event).__name__ for event in events])

    async with running(bus) as run:
        await bus.publish_many([*readings(1), SensorLost(sensor_id="s-0")])
        await run.idle()

    assert seen == [["SensorReading", "SensorLost"]]


async def test_a_synchronous_handler_takes_its_list_in_a_thread():
    """A database driver that blocks may block."""
    bus = EventBus("embedded://", service="climate")
    stored = []

    @bus.subscribe(SensorReading, group="store", batch=Batch(max_size=5, max_wait=0.1))
    def store(events: list[SensorReading]) -> None:
        stored.extend(event.sensor_id for event in events)

    async with running(bus) as run:
        await bus.publish_many(readings(5))
        await run.idle()

    assert len(stored) == 5


async def test_middleware_sees_the_list():
    """It is called once for the batch, with the list and the batch's context; the bus's own too."""
    sizes = []

    async def measure(events, ctx, call_next):
        await call_next(events, ctx)
        sizes.append((len(events), len(ctx.remaining)))  # given, and not failed

    bus = EventBus("embedded://", service="climate", middleware=[measure])

    @bus.subscribe(SensorReading, group="store", batch=Batch(max_size=3, max_wait=5), retry=Retry(attempts=1))
    async def store(events: list[SensorReading], ctx: BatchContext) -> None:
        ctx.fail(events[0], "this one")

    async with running(bus) as run:
        await bus.publish_many(readings(3))
        await run.idle()

    assert sizes == [(3, 2)]


def wrong_handlers() -> list:
    async def one(event: SensorReading) -> None: ...
    async def many(events: list[SensorReading]) -> None: ...

    return [
        (one, Batch(), r"write `event: list\[SensorReading\]`, or leave out batch="),
        (many, None, r"write `events: SensorReading`, or subscribe with batch=Batch\(\)"),
    ]


@pytest.mark.parametrize(("handler", "batch", "remedy"), wrong_handlers())
async def test_what_a_handler_is_annotated_with_must_be_what_it_is_given(handler, batch, remedy):
    """The error says what to write."""
    bus = EventBus("embedded://", service="climate")
    bus.subscribe(SensorReading, group="store", batch=batch)(handler)
    with pytest.raises(ConfigurationError, match=remedy):
        await bus.open()
