"""What the services write for the demo's audit."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from eventbus import EventBus, Published
from services.demo.audit import Record
from services.demo.reading import Ledgers
from services.ledger import Ledger, audited
from services.shipping.events import OrderShipped

EVENT = OrderShipped(order_id="o-1", customer_id="c-1", tracking="T")
CONTEXT = SimpleNamespace(id="e-1", topic="shipments", type="OrderShipped", group="orders", priority="high", time=datetime.now(UTC))


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "one.jsonl")


def written(tmp_path):
    return Ledgers(tmp_path).new()


def test_a_confirmed_publish_is_a_line(tmp_path, ledger):
    """It is in the file when the call returns."""
    ledger.published(EVENT, Published("e-1", "shipments", "1-0"))
    [record] = written(tmp_path)
    assert record == Record("published", record.at, "e-1", "shipments", "OrderShipped")


async def test_a_handler_that_returned_is_a_line(tmp_path, ledger):
    """It is written afterwards, and says how long the event was under way."""

    async def handler(event, ctx):
        assert written(tmp_path) == []

    await ledger.handled(EVENT, CONTEXT, handler)
    [record] = written(tmp_path)
    assert record == Record("handled", record.at, "e-1", "shipments", "OrderShipped", "orders", record.took, "high")
    assert record.took >= 0


async def test_a_handler_that_raised_is_no_line(tmp_path, ledger):
    """Nothing was handled."""

    async def handler(event, ctx):
        raise ValueError

    with pytest.raises(ValueError):
        await ledger.handled(EVENT, CONTEXT, handler)
    assert written(tmp_path) == []


def test_without_the_variable_a_bus_stays_as_it_is(monkeypatch):
    """A service costs nothing more outside the demo."""
    monkeypatch.delenv("DEMO_LEDGER", raising=False)
    bus = audited(EventBus(service="any"))
    assert (bus.middleware, bus.on_published) == ([], [])
