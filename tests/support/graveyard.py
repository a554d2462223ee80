"""Groups and dead letters as eventbus leaves them in Redis, written by hand."""

from __future__ import annotations

import json

from eventbus.delivery import Carried
from eventbus.events import encode
from eventbus.streams import keys
from tests.support.events import OrderCreated

FAILED = "2026-11-21T07:16:59.123Z"


async def make_group(redis, group="charge", *, stream="orders", start="0", lease=30.0, token="token-1", served=None):
    """A group as its first member makes it, and leaves it when it goes."""
    await redis.xgroup_create(stream, group, start, mkstream=True)
    await redis.xgroup_create(keys.retry(stream, group), group, "0", mkstream=True)
    await redis.sadd(keys.groups(stream), group)
    seconds, _ = await redis.time()
    facts = {"token": token, "service": "billing", "lease": int(lease * 1000), "served": served or seconds * 1000}
    await redis.hset(keys.group(stream, group), mapping=facts)
    await redis.hset(keys.types(stream, group), "OrderCreated", 1)


async def heartbeat(redis, group="charge", *, stream="orders", name="billing.host.1.abc", age=0.0, lease=30.0):
    """A member, whose heartbeat is so many seconds old."""
    seconds, _ = await redis.time()
    record = {"time": int((seconds - age) * 1000), "host": "host", "pid": 1, "lease": lease, "service": "billing"}
    await redis.hset(keys.members(stream, group), name, json.dumps(record))


def block(entry="7-0", *, group="charge", reason="attempts", attempts=5, **fields):
    """What eventbus writes behind the original fields."""
    about = {
        "reason": reason,
        "group": group,
        "deliveries": "1",
        "error": "app.errors.CardDeclined",
        "message": "declined by the bank",
        "traceback": "Traceback (most recent call last):\napp.errors.CardDeclined: declined by the bank\n",
        "consumer": "billing.host.1.abc",
        "failed": FAILED,
        "type": "OrderCreated",
    } | fields
    carried = Carried(entry=entry, attempts=attempts).fields()
    return [*carried, *(part for name, value in about.items() if value for part in (b"eb" + name.encode(), value.encode()))]


def letter(number=1, **fields):
    """The names and values of a dead letter of an order."""
    return [*encode(OrderCreated(order_id=f"o-{number}"), source="/shop"), *block(f"{number}-0", **fields)]


async def bury(redis, *letters, group="charge", stream="orders", ids=None):
    """Write dead letters; returns their ids."""
    pipeline = redis.pipeline(transaction=False)
    for index, fields in enumerate(letters):
        pipeline.execute_command("XADD", keys.dead(stream, group), ids[index] if ids else "*", *fields)
    return [entry_id if isinstance(entry_id, str) else entry_id.decode() for entry_id in await pipeline.execute()]


TOMBSTONE = block(reason="trimmed", attempts=0, error="", message="", traceback="", type="")
