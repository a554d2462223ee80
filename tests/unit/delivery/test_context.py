"""What a handler learns about its event, and what it publishes carries on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from eventbus.delivery import Context, Delivery, Placing, Published, Surroundings
from eventbus.events import Envelope, Event


class Happened(Event, topic="happenings"):
    pass


class Publisher:
    """Keeps what was published."""

    def __init__(self):
        self.calls = []

    async def __call__(self, event, **options):
        self.calls.append((event, options))
        return Published("id", "topic", "1-0")


PUBLISHER = Publisher()


def context(*attributes, envelope=True, entry_id=b"1700000000000-5"):
    fields = [b"specversion", b"1.0", b"id", b"e-1", b"type", b"Happened", b"source", b"/shop", b"data", b"{}", *attributes]
    around = Surroundings("happenings", "audit", PUBLISHER, {"db": 1})
    found = Envelope.parse(fields) if envelope else None
    return Context(around, Delivery(entry_id, fields, private=False, token="t"), found, "Happened")


def test_everything_an_envelope_says_is_shown():
    """And what the process knows beside it."""
    ctx = context(
        *(b"time", b"2026-11-21T07:16:59.123Z", b"partitionkey", b"k-1", b"tenant", b"acme"),
        *(b"correlationid", b"c-1", b"causationid", b"c-2"),
    )
    assert (ctx.id, ctx.type, ctx.topic, ctx.group, ctx.entry_id, ctx.attempt) == (
        "e-1",
        "Happened",
        "happenings",
        "audit",
        "1700000000000-5",
        1,
    )
    assert (ctx.time, ctx.key, dict(ctx.headers)) == (datetime(2026, 11, 21, 7, 16, 59, 123_000, tzinfo=UTC), "k-1", {"tenant": "acme"})
    assert (ctx.correlation_id, ctx.causation_id, ctx.state) == ("c-1", "c-2", {"db": 1})


def test_the_first_event_of_a_chain_is_its_own_correlation():
    """Nothing caused it."""
    ctx = context()
    assert (ctx.correlation_id, ctx.causation_id, ctx.key, dict(ctx.headers)) == ("e-1", None, None, {})


def test_without_a_time_of_its_own_an_event_has_that_of_its_entry():
    """In UTC, to the millisecond."""
    assert context().time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_an_entry_without_envelope_is_known_by_its_place():
    """Stable over deliveries, unlike an id made at parse time."""
    ctx = context(envelope=False)
    assert (ctx.id, ctx.correlation_id, ctx.causation_id, ctx.key) == ("happenings/1700000000000-5",) * 2 + (None, None)
    assert (dict(ctx.headers), ctx.time) == ({}, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC))


async def test_what_a_handler_publishes_names_its_cause_and_its_chain():
    """Unless it says otherwise; the other arguments are passed on."""
    ctx, event = context(b"correlationid", b"c-1"), Happened()
    assert await ctx.publish(event) == Published("id", "topic", "1-0")
    own = {"tenant": "acme", "correlationid": "mine"}
    await ctx.publish(event, topic="elsewhere", headers=own, timeout=1, durability="fsync", priority="high", delay=60)
    chain = {"correlationid": "c-1", "causationid": "e-1"}
    nothing, asked = dict.fromkeys(Placing.__annotations__), {"priority": "high", "delay": 60}
    assert PUBLISHER.calls == [
        (event, {**nothing, "topic": None, "headers": chain, "timeout": 10.0, "durability": None}),
        (event, {**nothing, **asked, "topic": "elsewhere", "headers": {"causationid": "e-1", **own}, "timeout": 1, "durability": "fsync"}),
    ]


def test_records_of_its_log_say_which_event_they_are_about(caplog):
    """As fields, for whoever searches."""
    with caplog.at_level("INFO"):
        context().log.info("done")
    (record,) = caplog.records
    assert record.name == "eventbus.handler"
    assert record.eventbus == {"topic": "happenings", "group": "audit", "event_id": "e-1", "type": "Happened"}


def test_its_repr_names_the_event_without_its_content():
    """It ends up in tracebacks."""
    assert repr(context(b"tenant", b"s3cret")) == "<Context Happened e-1 of 'happenings' for 'audit'>"


@pytest.mark.parametrize("name", ["id", "type", "topic", "group", "entry_id", "attempt", "time", "key", "headers", "log", "state", "other"])
def test_nothing_of_it_can_be_set(name):
    """It says what is; what handlers share is the state."""
    with pytest.raises(AttributeError):
        setattr(context(), name, None)
