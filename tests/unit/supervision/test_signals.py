"""Signals become a request while a service runs; afterwards they are what they were."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from eventbus.supervision import StopRequest, stop_on_signals

BOTH = (signal.SIGTERM, signal.SIGINT)


def handlers():
    return [signal.getsignal(number) for number in BOTH]


@pytest.fixture(autouse=True)
def _restored():
    before = handlers()
    yield
    for number, handler in zip(BOTH, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize(("first", "second"), [BOTH, BOTH[::-1]])
async def test_the_first_signal_asks_to_stop_and_the_second_to_hurry(first, second, caplog):
    """Whichever of the two comes first; both are said."""
    caplog.set_level("INFO")
    with stop_on_signals() as request:
        os.kill(os.getpid(), first)
        await request.stop.wait()
        assert not request.hurry.is_set()
        os.kill(os.getpid(), second)
        await request.hurry.wait()
    assert [record.getMessage() for record in caplog.records] == [
        f"{first.name}: finishing what is in hand",
        f"{second.name} again: ending without waiting for handlers",
    ]


@pytest.mark.parametrize(("name", "later", "hurries"), [("SIGTERM", 0.4, False), ("SIGTERM", 0.6, True), ("SIGINT", 0.0, True)])
async def test_the_same_signal_twice_in_a_moment_is_one_wish(name, later, hurries):
    """A service manager may signal a worker and its parent, who passes the signal on."""
    request = StopRequest()
    request.received("SIGTERM", 10.0)
    request.received(name, 10.0 + later)
    assert request.stop.is_set()
    assert request.hurry.is_set() is hurries


@pytest.mark.parametrize("raises", [False, True])
async def test_the_former_handlers_are_put_back_however_the_block_ends(raises):
    """Functions, the default and "ignore" alike."""
    seen = []
    signal.signal(signal.SIGTERM, lambda *_: seen.append("mine"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    before = handlers()
    try:
        with stop_on_signals():
            assert handlers() != before
            if raises:
                raise RuntimeError
    except RuntimeError:
        assert raises
    assert handlers() == before
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(0)
    assert seen == ["mine"]


def test_outside_of_the_main_thread_signals_are_left_alone_and_the_request_can_be_set_by_hand():
    """Python lets no other thread handle them."""
    before, seen = handlers(), []

    async def main():
        with stop_on_signals() as request:
            request.received("SIGTERM", 0.0)
            await request.stop.wait()
            seen.append(handlers())

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    assert seen == [before]
    assert handlers() == before
