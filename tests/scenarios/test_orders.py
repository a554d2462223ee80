"""Orders that recover, that do not, and that are redriven, while a worker is killed."""

from __future__ import annotations

from itertools import count

from eventbus.admin import Filter
from scenarios import orders
from tests.support.crew import crew, until


async def test_what_can_recover_is_charged_once_and_the_rest_is_dead_until_its_cause_is_mended(url, tmp_path, monkeypatch):
    """Busy and flaky banks delay an order; a closed one and one that does not exist end it in the dead letters."""
    monkeypatch.setattr(orders, "DATABASE", tmp_path / "orders.sqlite3")
    placed, ids, batches = [], {}, count()

    async def more_orders() -> set[str]:
        new = orders.orders(20, first=1 + 20 * next(batches))
        records = await workers.bus.publish_many(new)
        placed.extend(new)
        ids.update({order.order_id: record.event_id for order, record in zip(new, records, strict=True)})
        await until(lambda: {order_id for order_id, *_ in orders.charges()} & {order.order_id for order in new})
        return {ids[order_id] for order_id, *_ in orders.charges()}

    def of(*banks):
        return sorted((order.order_id, order.bank, order.total) for order in placed if order.bank in banks)

    async with crew("orders", url, tmp_path) as workers:
        dead = workers.bus.admin.dead_letters("orders", "charge")
        await workers.joined("orders", "charge")
        await workers.lose_one("orders", group="charge", work=more_orders)
        await workers.settled("orders")

        assert sorted(orders.charges()) == of("steady", "busy", "flaky")
        assert await dead.count(Filter(reason="rejected")) == len(of("unheard-of"))
        assert await dead.count(Filter(reason="attempts", error="BankUnreachable")) == len(of("closed"))

        orders.mend("closed")
        assert await orders.redrive(workers.bus) == len(of("closed"))
        await workers.settled("orders")
        await workers.leave()
        assert [letter.reason for letter in await dead.page()] == ["rejected"] * len(of("unheard-of"))

    assert sorted(orders.charges()) == of(*orders.BANKS)
