"""The notifier, a service in TypeScript, beside the bus: one wire, one group, whoever works in it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from eventbus import Context, EventBus
from eventbus.streams import keys
from services.demo.plan import NOTIFIER, PLAN
from services.notifications.events import NotificationSent
from services.orders.events import OrderCreated
from tests.support.redis_hands import until
from tests.support.workers import Worker

NODE = shutil.which("node")
GROUP = "notifier"
FOREVER = "3600"
SHORT = 1.0  # seconds of lease, where one is to run out

if NODE is None or not NOTIFIER.exists():
    pytest.skip("services/notifier is not built: make node, which needs Node.js", allow_module_level=True)


class Notifier(Worker):
    """The process; it speaks on stderr, of what happens and not of events."""

    async def listen(self):
        while raw := await self.process.stderr.readline():
            self.lines.append(raw.decode().rstrip("\n").split(" ", 1)[1])
            self._more.set()
        await self.process.wait()
        self._more.set()


@asynccontextmanager
async def notifier(url, *, mail="0.001", lease=30.0, drain=25.0):
    """The compiled service, which reads when the block begins."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")}
    times = {"LEASE": lease, "CLAIM_INTERVAL": 0.1, "DRAIN": drain}
    ours = {"EVENTBUS_URL": url, "NOTIFIER_MAIL_SECONDS": mail} | {f"EVENTBUS_{name}": str(value) for name, value in times.items()}
    process = await asyncio.create_subprocess_exec(NODE, str(NOTIFIER), env=clean | ours, stderr=asyncio.subprocess.PIPE)
    found = Notifier(process)
    listening = asyncio.ensure_future(found.listen())
    try:
        await found.said("info consuming orders")
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        await listening


async def end(service):
    service.process.send_signal(signal.SIGTERM)
    return await service.process.wait()


def order(number):
    return OrderCreated(order_id=f"o-{number}", customer_id="c-1", total=Decimal("9.99"))


def hearing(url, *, group="hearer"):
    """A bus that puts the notifications it gets into a queue."""
    bus, heard = EventBus(url, service="hearer", lease=SHORT, claim_interval=0.1), asyncio.Queue()

    @bus.subscribe(NotificationSent, group=group)
    async def hear(event: NotificationSent, ctx: Context) -> None:
        heard.put_nowait((event, ctx.id, ctx.correlation_id, ctx.causation_id))

    return bus, heard


async def owed(redis, stream):
    pending = [await redis.xpending(source, GROUP) for source in (stream, keys.retry(stream, GROUP))]
    return sum(each["pending"] for each in pending) + await redis.xlen(keys.parked(stream, GROUP))


async def owes_nothing(redis):
    return not await owed(redis, "orders")


async def held(redis, count):
    """Wait until so many orders are pending."""

    async def are():
        return (await redis.xpending("orders", GROUP))["pending"] >= count

    await until(are)


async def test_python_publishes_node_handles_and_python_consumes_the_answer_typed(redis_url, redis_client):
    """Of every priority, with the chain of the order; nothing is left behind."""
    bus, heard = hearing(redis_url)
    async with notifier(redis_url) as service, bus.consuming():
        published = [await bus.publish(order(n), priority="high" if n % 2 else None) for n in range(10)]
        answers = [await heard.get() for _ in published]
        assert await end(service) == 0
    assert {event.order_id for event, *_ in answers} == {f"o-{n}" for n in range(10)}
    assert all((event.customer_id, event.channel) == ("c-1", "mail") for event, *_ in answers)
    causes = {event.order_id: (correlation, causation) for event, _, correlation, causation in answers}
    assert causes == {f"o-{n}": (each.event_id, each.event_id) for n, each in enumerate(published)}
    assert len({event_id for _, event_id, *_ in answers}) == 10
    for stream in ("orders", "{orders}:p:high"):
        assert await owed(redis_client, stream) == 0
        assert await redis_client.xinfo_consumers(stream, GROUP) == []
        assert await redis_client.exists(keys.members(stream, GROUP), keys.dead(stream, GROUP)) == 0


async def test_the_notifier_declares_what_the_plan_says(redis_url, redis_client):
    """Its group, streams and types; a mistake there would never be missed by the demo."""
    (app,) = (app for app in PLAN if app.run)
    (planned,) = app.groups
    async with notifier(redis_url):
        for stream in planned.streams:
            assert set(await redis_client.hkeys(keys.types(stream, planned.name))) == planned.types
        assert await redis_client.zrange(keys.levels("orders"), 0, -1) == ["high", "normal"]


async def test_python_takes_over_what_a_killed_node_process_held(redis_url, redis_client):
    """Its start was not counted as an attempt: the handler of the heir sees a first one."""
    bus, attempts = EventBus(redis_url, service="heir", lease=SHORT, claim_interval=0.1), asyncio.Queue()

    @bus.subscribe(OrderCreated, group=GROUP)
    async def take(event: OrderCreated, ctx: Context) -> None:
        attempts.put_nowait((event.order_id, ctx.attempt))

    async with notifier(redis_url, mail=FOREVER, lease=SHORT) as victim, EventBus(redis_url, service="shop") as shop:
        for n in range(3):
            await shop.publish(order(n))
        await held(redis_client, 3)
        await victim.kill()
        async with bus.consuming():
            taken = [await attempts.get() for _ in range(3)]
            await until(lambda: owes_nothing(redis_client))
    assert sorted(taken) == [("o-0", 1), ("o-1", 1), ("o-2", 1)]


async def test_node_takes_over_what_a_killed_python_worker_held(redis_url, redis_client):
    """The rows of a dead consumer in another language are claimed like any other."""
    script = (
        "import asyncio; from eventbus import EventBus; from services.orders.events import OrderCreated\n"
        f"bus = EventBus({redis_url!r}, service='victim', lease={SHORT})\n"
        f"@bus.subscribe(OrderCreated, group={GROUP!r})\n"
        "async def wait(event: OrderCreated) -> None: await asyncio.Event().wait()\n"
        "asyncio.run(bus.run())"
    )
    bus, heard = hearing(redis_url)
    async with bus.consuming():
        for n in range(3):
            await bus.publish(order(n))
        victim = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
        try:
            await until(lambda: redis_client.exists(keys.group("orders", GROUP)))
            await held(redis_client, 3)
        finally:
            victim.kill()
            await victim.wait()
        async with notifier(redis_url, lease=SHORT) as service:
            answers = [await heard.get() for _ in range(3)]
            assert await end(service) == 0
    assert {event.order_id for event, *_ in answers} == {"o-0", "o-1", "o-2"}
    assert await owed(redis_client, "orders") == 0


async def test_an_order_that_node_cannot_read_is_a_dead_letter_that_the_command_line_shows(redis_url, redis_client, run):
    """With its raw fields, and a reason without them."""
    fields = {"specversion": "1.0", "id": "1", "type": "OrderCreated", "source": "/x", "data": '{"order_id":7}'}
    await redis_client.xadd("orders", fields)
    async with notifier(redis_url):
        await until(lambda: redis_client.exists(keys.dead("orders", GROUP)))
    shown = await run("dead", "show", "orders", GROUP)
    assert "reason       undecodable" in shown.out
    assert "OrderCreated cannot be read: order_id: no text, customer_id: no text, total: no text" in shown.out
    assert '{"order_id":7}' in shown.out


async def test_sigterm_in_the_middle_of_a_mail_hands_the_order_on_at_once(redis_url, redis_client):
    """It is released, not left to its lease of half a minute, and no attempt is counted."""
    async with notifier(redis_url, mail=FOREVER, drain=0.1) as service, EventBus(redis_url, service="shop") as shop:
        await shop.publish(order(1))
        await held(redis_client, 1)
        assert await end(service) == 0
    assert await redis_client.xlen(keys.retry("orders", GROUP)) == 1
    assert (await redis_client.xpending(keys.retry("orders", GROUP), GROUP))["pending"] == 0
