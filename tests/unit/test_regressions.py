"""Schedules and inputs that once broke a promise, found in review: each stays mended."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from typing import Protocol

import pytest

from eventbus.consuming.in_hand import InHand
from eventbus.consuming.work import Work
from eventbus.delivery import Context, Delivery, Policy, Retry, Surroundings, check_arguments, resolve_settings
from eventbus.delivery.handlers import inspect_handler
from eventbus.errors import BackendUnavailable, ConfigurationError
from eventbus.streams import Address
from eventbus.supervision import Loop, stop_on_signals
from tests.support.entries import delivery
from tests.support.events import OrderCreated

SECRET = "s3cret"


@pytest.mark.parametrize(
    "url",
    [
        f"redis://shop:{SECRET}#x@host",  # not percent-encoded '#': the port's ValueError is the cause
        f"redis://:{SECRET}/x@host",  # '/'
        f"redis://:x/{SECRET}@host",  # '/': the rest becomes the database
        f"redis://:x?{SECRET}@host",  # '?': the rest becomes an option's name
        f"redis://:x?db={SECRET}@host",
        f"redis://:{SECRET}[x]@host",
        f"redis://:[{SECRET}]@host",
        f"redis://:{SECRET}\u2100@host",
        f"redis:/shop:{SECRET}@host",
        f"redis:shop:{SECRET}@host",
        f"shop:{SECRET}@redis://host",
    ],
)
def test_an_unencoded_password_shows_in_the_error_or_in_its_cause(url):
    try:
        Address.parse(url)
    except ConfigurationError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, lookup_lines=False).format())
        shown = "\n".join(line for line in shown.splitlines() if not line.startswith("    "))
        assert SECRET not in shown


async def test_a_reader_cancelled_after_its_turn_was_called_passes_the_turn_on():
    work = Work()
    first, second = (asyncio.ensure_future(work.get()) for _ in range(2))
    await asyncio.sleep(0)
    work.put([delivery()])
    first.cancel()
    async with asyncio.timeout(0.5):
        await second


async def test_readers_that_were_cancelled_while_waiting_take_no_turn():
    """Executors.run that failed and was started again: the first `concurrency` puts wake nobody."""
    work = Work()
    old = asyncio.ensure_future(work.get())
    await asyncio.sleep(0)
    old.cancel()
    await asyncio.gather(old, return_exceptions=True)
    new = asyncio.ensure_future(work.get())
    await asyncio.sleep(0)
    work.put([delivery()])
    try:
        async with asyncio.timeout(0.5):
            await new
    finally:
        new.cancel()
        await asyncio.gather(new, return_exceptions=True)


@pytest.mark.parametrize("name", ["PREFIX", "SERVICE"])
def test_a_bad_variable_is_named(name):
    with pytest.raises(ConfigurationError, match=f"EVENTBUS_{name}"):
        resolve_settings({"url": "redis://h", **({"service": "s"} if name == "PREFIX" else {})}, {f"EVENTBUS_{name}": "a b"})


@pytest.mark.parametrize("arguments", [{"max_event_bytes": float("inf")}, {"lease": 10**400}])
def test_numbers_out_of_range(arguments):
    with pytest.raises(ConfigurationError):
        check_arguments(arguments)


@pytest.mark.parametrize("start", [[], {}, "\uff11\uff17", "9" * 20, "1-" + "9" * 20])
def test_starts_that_are_none(start):
    with pytest.raises(ConfigurationError):
        Policy(start=start)


class HasOrderId(Protocol):
    order_id: str


def test_a_protocol_as_the_events_annotation():
    async def handler(event: HasOrderId): ...

    assert inspect_handler(handler, (OrderCreated,))


def test_a_context_annotation_quoted_under_future_annotations():
    namespace = {}
    exec("from __future__ import annotations\nasync def handler(event, ctx: 'Context'): ...", namespace)
    assert inspect_handler(namespace["handler"], (OrderCreated,))


async def test_the_loops_former_signal_handler_is_put_back():
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, heard.set)
    try:
        with stop_on_signals():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(0.5):
            await heard.wait()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def test_the_time_of_an_entry_with_an_id_that_is_no_time():
    ctx = Context(Surroundings("t", "g", None, None), Delivery(b"18446744073709551615-1", [], False, "t"), None, "X")
    assert ctx.time


async def test_what_an_old_groups_handler_still_holds_is_unknown_to_the_new_group():
    in_hand = InHand(5, 5)
    old = delivery(entry_id=b"1-0", token="old")
    in_hand.take(old)
    assert in_hand.unknown([b"1-0"], private=False, token="new") == [b"1-0"]
    in_hand.settled(old)
    assert in_hand.unknown([b"1-0"], private=False, token="new") == [b"1-0"]


async def test_an_outage_that_follows_a_defect_is_said(caplog):
    class NoDelay:
        def delay(self, failures):
            return 0.0

    steps = [ValueError("defect"), BackendUnavailable("gone")]

    async def body(alive):
        if steps:
            raise steps.pop(0)

    await Loop("x", body).supervise(NoDelay())
    assert "waits for Redis" in caplog.text


def test_port_0_is_refused():
    with pytest.raises(ConfigurationError):
        Address.parse("redis://host:0")


def test_7f_a_fragment_is_refused():
    with pytest.raises(ConfigurationError):
        Address.parse("redis://host/0#1")


def test_a_number_beyond_every_float_is_no_time():
    """Python compares it, and refuses to convert it."""
    with pytest.raises(ConfigurationError):
        Retry(backoff=[10**400])
