"""One connection: how long it is waited for, and what is left behind when it is given up."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from eventbus import BackendUnavailable
from eventbus.streams import Address, Connections, Wire, pack
from eventbus.streams.wire import SECOND_LOOK, Silence


async def asked(reader, writer, command):
    """Answer the handshake, then wait for a command."""
    while command not in await reader.read(1 << 16):
        writer.write(b"+OK\r\n")


def wire_to(url):
    return Wire(Connections(Address.parse(url), name="test"), "commands")


@asynccontextmanager
async def served_by(behave, tmp_path):
    """A wire to a server that behaves as the test wants."""
    ended = asyncio.Event()

    async def serve(reader, writer):
        try:
            await behave(reader, writer)
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_unix_server(serve, str(tmp_path / "server.sock"))
    wire = wire_to(f"unix://{tmp_path}/server.sock")
    try:
        yield wire
    finally:
        await wire.close()
        server.close()
        await ended.wait()


# -- connecting


async def test_a_server_that_accepts_and_never_answers_is_given_up_while_connecting(tmp_path, monkeypatch):
    """Nothing was executed, and the half-open connection is closed."""
    monkeypatch.setattr("eventbus.streams.wire.CONNECT_TIMEOUT", 0.05)
    closed = asyncio.Event()

    async def silent(reader, writer):
        while await reader.read(1 << 16):
            pass
        closed.set()

    async with served_by(silent, tmp_path) as wire:
        with pytest.raises(BackendUnavailable) as caught:
            await wire.one("PING")
        assert not caught.value.maybe_executed
        await closed.wait()
        assert not wire.connected


# -- silence


async def test_a_reply_that_takes_long_is_read_as_long_as_bytes_come(tmp_path):
    """A large reply on a slow link."""

    async def slow(reader, writer):
        await asked(reader, writer, b"GET")
        writer.write(b"$1000\r\n")
        for _ in range(10):
            await asyncio.sleep(0.02)
            writer.write(b"x" * 100)
        writer.write(b"\r\n")
        await reader.read()

    async with served_by(slow, tmp_path) as wire:
        assert await wire.one("GET", "large", timeout=0.1) == b"x" * 1000
        await wire.close()


async def test_a_server_that_falls_silent_in_the_middle_of_a_reply_is_given_up(tmp_path):
    """The reply will never be whole."""

    async def stuck(reader, writer):
        await asked(reader, writer, b"GET")
        writer.write(b"$1000\r\nxxx")
        await reader.read()

    async with served_by(stuck, tmp_path) as wire:
        with pytest.raises(BackendUnavailable) as caught:
            await wire.one("GET", "large", timeout=0.02)
        assert caught.value.maybe_executed
        assert not wire.connected


async def test_replies_that_came_while_the_event_loop_was_blocked_count(redis_url):
    """Else everything would be sent a second time because a handler blocked, or the machine was suspended."""
    wire = wire_to(redis_url)
    await wire.connect()
    task = asyncio.ensure_future(wire.call([pack("PING")] * 100, timeout=0.1))
    for _ in range(3):
        await asyncio.sleep(0)  # written
    time.sleep(0.3)
    assert await task == [b"PONG"] * 100
    await wire.close()


class Clock:
    """An event loop whose time stands still."""

    def __init__(self):
        self.now = 100.0
        self.due = None

    def time(self):
        return self.now

    def call_at(self, when, look):
        self.due, self.look = when, look
        return self

    def cancel(self):
        self.due = None

    def pass_to(self, now):
        """Let time pass, and the timer look when it is due."""
        while self.due is not None and self.due <= now:
            self.now, self.due = max(self.now, self.due), None
            self.look()
        self.now = now


class Limit:
    """Notes that it was made to expire."""

    expired = None

    def reschedule(self, when):
        self.expired = when


def silence(seconds, *, writing=0.0):
    clock, limit = Clock(), Limit()
    return clock, limit, Silence(clock, limit, seconds, writing)


def test_silence_is_found_by_two_looks():
    """The first may have come late itself."""
    clock, limit, _ = silence(5.0)
    clock.pass_to(105.0)
    assert limit.expired is None
    clock.pass_to(105.0 + SECOND_LOOK)
    assert limit.expired == 105.0 + SECOND_LOOK
    assert clock.due is None


def test_bytes_put_the_end_off():
    """Also those that came between the two looks."""
    clock, limit, watch = silence(5.0)
    for now in (104.0, 108.0, 113.0 + SECOND_LOOK / 2):
        clock.pass_to(now)
        watch.heard()
    clock.pass_to(118.0 + SECOND_LOOK / 2)
    assert limit.expired is None
    clock.pass_to(130.0)
    assert limit.expired == 118.0 + 1.5 * SECOND_LOOK


def test_a_long_write_has_time_of_its_own():
    """So much as a slow link takes."""
    clock, limit, _ = silence(5.0, writing=20.0)
    clock.pass_to(125.0)
    assert limit.expired is None
    clock.pass_to(130.0)
    assert limit.expired == 125.0 + SECOND_LOOK


def test_after_the_exchange_nobody_looks():
    """No timer is left in the loop."""
    clock, limit, watch = silence(5.0)
    watch.stop()
    clock.pass_to(200.0)
    assert (clock.due, limit.expired) == (None, None)


# -- giving up


async def test_what_was_not_sent_when_a_connection_is_given_up_is_never_sent(tmp_path, monkeypatch):
    """It is sent again on another connection; the first copy must not follow later."""
    monkeypatch.setattr("eventbus.streams.wire.SLOWEST_LINK", 1e12)
    given_up, received, seen = asyncio.Event(), 0, asyncio.Event()

    async def busy(reader, writer):
        nonlocal received
        await asked(reader, writer, b"SET\r\n")
        await given_up.wait()
        try:
            while data := await reader.read(1 << 20):
                received += len(data)
        except ConnectionError:
            pass
        seen.set()

    async with served_by(busy, tmp_path) as wire:
        with pytest.raises(BackendUnavailable):
            await wire.one("SET", "key", b"x" * 8_000_000, timeout=0.02)
        given_up.set()
        await seen.wait()
    assert received < 4_000_000


async def test_a_close_that_is_cancelled_closes_all_the_same(redis_url):
    """It may be cancelled while it waits for its turn; nobody else would close the connection."""
    wire = wire_to(redis_url)
    await wire.connect()
    closing = asyncio.ensure_future(wire.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert not wire.connected


async def test_a_close_that_is_cancelled_ends_the_call_it_waited_for(redis_url):
    """The caller hears that its connection is gone."""
    wire = wire_to(redis_url)
    await wire.connect()
    call = asyncio.ensure_future(wire.one("BLPOP", "nothing", 0, timeout=30))
    await asyncio.sleep(0.01)
    closing = asyncio.ensure_future(wire.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(BackendUnavailable):
        await call
    assert not wire.connected
