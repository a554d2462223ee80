"""Probes over real HTTP, on a real Redis: a process is alive and ready exactly when it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from eventbus import EventBus
from eventbus.observe.health import readiness
from tests.servers import GIVEN
from tests.support.commands import Command
from tests.support.events import OrderCreated

one_server = pytest.mark.parametrize("shared_server", ["given" if os.environ.get(GIVEN) else "embedded"], indirect=True)


async def until(condition):
    """Wait for something to become true; the test's timeout bounds it."""
    while not (found := condition()):
        await asyncio.sleep(0.005)
    return found


def billing(url, handler=None):
    bus = EventBus(url, service="billing")

    @bus.subscribe(OrderCreated, group="charge")
    async def charge(event: OrderCreated) -> None:
        if handler is not None:
            await handler(event)

    return bus


# -- readiness of a bus


async def test_a_bus_is_ready_while_it_consumes_and_not_before_or_after(redis_url):
    """From the first look on, without any event."""
    bus = billing(redis_url)
    assert not readiness(bus).ready
    async with bus:
        assert not readiness(bus).ready
        async with bus.consuming():
            assert readiness(bus).ready
        assert not readiness(bus).ready
    assert readiness(bus).reason == "the bus is not open"


async def test_a_bus_that_drains_is_not_ready(redis_url):
    """While its handlers still run."""
    go, begun = asyncio.Event(), asyncio.Event()

    async def hold(event):
        begun.set()
        await go.wait()

    bus = billing(redis_url, hold)

    async def consume(stop):
        async with bus, bus.consuming():
            await stop.wait()

    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(stop))
        await until(lambda: readiness(bus).ready)
        await bus.publish(OrderCreated(order_id="1"))
        await begun.wait()
        stop.set()
        await until(lambda: readiness(bus).reason == "draining")
        go.set()


# -- eventbus run --metrics-port

APP = """
import time
from eventbus import Event, EventBus

class Said(Event, topic="said"):
    word: str

bus = EventBus(service="shop")

@bus.subscribe(Said, group="hear")
async def hear(event: Said) -> None:
    print("heard", event.word, flush=True)
    if event.word == "block":
        time.sleep(9)
"""


@pytest_asyncio.fixture
async def start(tmp_path):
    """Starts `eventbus run app:bus …` in a directory with that program."""
    commands = []

    async def start(*arguments, app=APP, **options):
        (tmp_path / "app.py").write_text(app)
        commands.append(await Command.start("run", "app:bus", *arguments, cwd=tmp_path, **options))
        return commands[-1]

    yield start
    for command in commands:
        await command.kill()


async def get(url):
    """Status and body, as a probe gets them."""

    def ask():
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


async def until_answered(url, status):
    while True:
        found = await get(url)
        if found[0] == status:
            return found[1]
        await asyncio.sleep(0.02)


async def address(service):
    said = await service.error("/livez and /readyz at")
    return re.search(r"(http://\S+)/metrics", said)[1]


def neighbours(count):
    """The first of so many ports in a row that are free now, where nobody is given one who asks for any."""
    while True:
        port = random.randrange(20_000, 32_000)
        with ExitStack() as stack, contextlib.suppress(OSError):
            for step in range(count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + step))
            return port


async def say(client, word):
    await client.xadd("said", {"specversion": "1.0", "id": word, "type": "Said", "source": "/t", "data": json.dumps({"word": word})})


@one_server
async def test_the_command_line_serves_metrics_and_probes(start, redis_url, redis_client):
    """What was handled is what Prometheus's own parser reads."""
    service = await start("--metrics-port", "0", url=redis_url)
    where = await address(service)
    found = json.loads(await until_answered(f"{where}/readyz", 200))
    assert (found["ready"], found["reason"]) == (True, "ready")
    assert {loop["health"] for loop in found["loops"]} <= {"starting", "running"}
    assert len(found["loops"]) > 5
    assert json.loads((await get(f"{where}/livez"))[1])["alive"] is True

    await say(redis_client, "hello")
    await service.line("heard")
    labels = {"topic": "said", "group": "hear"}
    while True:
        status, text = await get(f"{where}/metrics")
        samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        if samples["eventbus_handled_total", frozenset((labels | {"outcome": "ack"}).items())] == 1:
            break
    assert status == 200
    assert samples["eventbus_handler_duration_seconds_count", frozenset((labels | {"type": "Said"}).items())] == 1
    assert "process_resident_memory_bytes" in text
    assert await get(f"{where}/elsewhere") == (404, "/metrics /livez /readyz\n")
    service.terminate()
    assert (await service.ended()).code == 0


@one_server
async def test_a_blocked_event_loop_is_told_and_told_to_be_well_again(start, redis_url, redis_client):
    """From outside, while the handler that blocks it still runs; metrics go on."""
    service = await start("--metrics-port", "0", url=redis_url)
    where = await address(service)
    await until_answered(f"{where}/readyz", 200)
    await say(redis_client, "block")
    await service.line("heard")
    assert (await get(f"{where}/livez"))[0] == 200  # not for a moment's work
    said = json.loads(await until_answered(f"{where}/livez", 503))
    assert said["alive"] is False
    assert said["silent_for"] >= 5
    status, text = await get(f"{where}/readyz")
    assert status == 503
    assert "the event loop has not turned for" in json.loads(text)["reason"]
    assert (await get(f"{where}/metrics"))[0] == 200
    await until_answered(f"{where}/livez", 200)
    await until_answered(f"{where}/readyz", 200)


async def test_readyz_says_503_while_redis_is_frozen_and_200_when_it_is_back(start, redis_server):
    """The process itself lives all the while, and shows no password."""
    service = await start("--metrics-port", "0", url=redis_server.url)
    where = await address(service)
    await until_answered(f"{where}/readyz", 200)
    redis_server.pause()
    found = json.loads(await until_answered(f"{where}/readyz", 503))
    assert found["reason"].startswith("failing: ")
    assert any(loop["failures"] and "BackendUnavailable: " in loop["last_error"] for loop in found["loops"])
    assert (await get(f"{where}/livez"))[0] == 200
    assert "eventbus_handled_total" in (await get(f"{where}/metrics"))[1]
    redis_server.resume()
    await until_answered(f"{where}/readyz", 200)


@one_server
async def test_workers_have_a_port_each_and_a_successor_takes_over_its_predecessor_s(start, redis_url):
    """The first free one of as many as there are workers."""
    port = neighbours(2)
    parent = await start("--workers", "2", "--metrics-port", str(port), url=redis_url)
    pid = int(re.search(r"pid (\d+)", await parent.error("worker 1 started"))[1])
    where = {await address(parent), await address(parent)}
    assert where == {f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"}
    for each in where:
        await until_answered(f"{each}/readyz", 200)
    os.kill(pid, signal.SIGKILL)
    assert await address(parent) in where
    for each in where:
        await until_answered(f"{each}/readyz", 200)
    parent.terminate()
    assert (await parent.ended()).code == 0


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["alone", "workers"])
async def test_a_port_that_is_taken_is_said_in_one_sentence(start, redis_server, workers):
    """Exit code 2, before anything is consumed; with workers also where only the last port is taken."""
    first = neighbours(2)
    port = first + 1 if workers else first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        ended = await (await start("--metrics-port", str(first), *workers, url=redis_server.url)).ended()
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert f"--metrics-port {port}: cannot serve at 127.0.0.1: Address already in use" in ended.err


async def test_without_the_extra_the_command_says_how_to_install_it(start, tmp_path):
    """Exit code 2, one sentence."""
    (tmp_path / "prometheus_client.py").write_text("raise ModuleNotFoundError(name='prometheus_client')")
    ended = await (await start("--metrics-port", "0", url="redis://localhost:1")).ended()
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "pip install 'eventbus[prometheus]'" in ended.err
