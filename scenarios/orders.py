"""Orders that are charged, by banks that are busy, that fail now and then, and that are closed until somebody mends them.

Promised: what can recover is tried again, when the bank says so or by the retry policy; what cannot is put aside at once,
with its reason; nothing is lost, and other orders do not wait for either. Redriven after the cause is mended, an order is
as new. Charging is keyed by the order, so that a charge whose worker died is not made twice.

Look at the three endings of `charge`, at the redrive, and at `eventbus dead list orders charge` on a Redis of your own.
"""

import asyncio
import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from decimal import Decimal
from pathlib import Path

from eventbus import Context, Event, EventBus, Reject, Retry, RetryLater
from eventbus.admin import Filter

DATABASE = Path(os.environ.get("SCENARIO_FOLDER", ".")) / "orders.sqlite3"
BANKS = ("steady", "busy", "flaky", "closed")
ATTEMPTS = 3


class BankUnreachable(Exception):
    """The bank does not answer."""


class OrderPlaced(Event, topic="orders", key="order_id"):
    order_id: str
    bank: str
    total: Decimal


bus = EventBus(os.environ.get("EVENTBUS_URL") or "embedded://", service="billing")


@bus.subscribe(OrderPlaced, group="charge", concurrency=4, retry=Retry(attempts=ATTEMPTS, backoff=[0.1, 0.2]))
def charge(order: OrderPlaced, ctx: Context) -> None:
    """Charge an order."""
    if order.bank not in BANKS:
        raise Reject(f"there is no bank {order.bank!r}")  # unrecoverable: a dead letter, now
    if order.bank == "busy" and ctx.attempt == 1:
        raise RetryLater(0.3)  # recoverable, and the bank said when to come back
    pay(order, ctx.attempt)  # raises BankUnreachable: handled again, up to three times; then a dead letter


# -- stands for the banks, in a database that outlives every worker


@contextmanager
def ledger() -> Generator[sqlite3.Connection]:
    """Open what the banks know, for one transaction."""
    with closing(sqlite3.connect(DATABASE, timeout=30, isolation_level="IMMEDIATE")) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS charges (order_id TEXT PRIMARY KEY, bank TEXT, total TEXT)")
        db.execute("CREATE TABLE IF NOT EXISTS mended (bank TEXT PRIMARY KEY)")
        yield db


def pay(order: OrderPlaced, attempt: int) -> None:
    """Have the bank charge an order, once for each order id."""
    with ledger() as db:
        open_again = db.execute("SELECT 1 FROM mended WHERE bank = ?", (order.bank,)).fetchone()
        if (order.bank == "flaky" and attempt < ATTEMPTS) or (order.bank == "closed" and not open_again):
            raise BankUnreachable(f"bank {order.bank!r} does not answer")
        row = (order.order_id, order.bank, str(order.total))
        db.execute("INSERT INTO charges VALUES (?, ?, ?) ON CONFLICT (order_id) DO NOTHING", row)
    time.sleep(0.02)  # the way back from the bank


def mend(bank: str) -> None:
    """Open a bank again."""
    with ledger() as db:
        db.execute("INSERT INTO mended VALUES (?)", (bank,))


def charges() -> list[tuple[str, str, Decimal]]:
    """List what was charged: orders, banks and totals."""
    with ledger() as db:
        return [(order_id, bank, Decimal(total)) for order_id, bank, total in db.execute("SELECT * FROM charges")]


# -- the orders


def orders(count: int, *, first: int = 1) -> list[OrderPlaced]:
    """Orders for every bank, and for one that does not exist."""
    banks = (*BANKS, "unheard-of")
    return [
        OrderPlaced(order_id=f"o-{number}", bank=banks[number % len(banks)], total=Decimal(number) / 4)
        for number in range(first, first + count)
    ]


async def redrive(bus: EventBus) -> int:
    """Hand back what died of banks that did not answer; what was rejected stays where it is. Returns how many."""
    return (await bus.admin.dead_letters("orders", "charge").redrive(Filter(error="BankUnreachable"))).done


async def seen_through(bus: EventBus, ids: set[str]) -> None:
    """Wait until all of these events are charged or dead, and say what became of them."""
    letters = bus.admin.dead_letters("orders", "charge").letters
    while len(reasons := [letter.reason async for letter in letters() if letter.event_id in ids]) + len(charges()) < len(ids):
        await asyncio.sleep(0.1)
    for bank, number in Counter(bank for _, bank, _ in charges()).items():
        print(f"   {bank:10} {number:3} charged")
    for reason, number in Counter(reasons).items():
        print(f"   {reason:10} {number:3} dead letters")


async def main() -> None:
    DATABASE.unlink(missing_ok=True)
    async with bus.consuming():
        placed = {published.event_id for published in await bus.publish_many(orders(50))}
        print(f"{len(placed)} orders, one bank closed:")
        await seen_through(bus, placed)
        mend("closed")
        print(f"the bank is mended, {await redrive(bus)} orders are redriven:")
        await seen_through(bus, placed)


if __name__ == "__main__":
    logging.disable()  # each failure would be logged with its traceback, as it is by `eventbus run`
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
