"""One connection: how long it is waited for, and what is left behind when it is given up."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import asynccontextmanager

import pytest

from eventbus import BackendRefused, BackendUnavailable
from eventbus.streams import Address, Connections, Wire, pack
from eventbus.streams.line import SECOND_LOOK, Silence


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

    def when(self):
        return self.due

    def cancel(self):
        self.due = None

    def pass_to(self, now):
        """Let time pass, and the timer look when it is due."""
        while self.due is not None and self.due <= now:
            self.now, self.due = max(self.now, self.due), None
            self.look()
        self.now = now


class Watched:
    """Something that answers are awaited from, for five seconds each."""

    def __init__(self):
        self.clock = Clock()
        self.awaited_from = None
        self.given_up = []
        self.silence = Silence(self.clock, self.due, lambda error: self.given_up.append(self.clock.now))

    def due(self):
        return math.inf if self.awaited_from is None else max(self.awaited_from, self.silence.since) + 5.0

    def ask(self, *, writing=0.0):
        self.awaited_from = self.clock.now + writing
        self.silence.expect()


@pytest.fixture
def watched():
    return Watched()


def test_silence_is_found_by_two_looks(watched):
    """The first may have come late itself."""
    watched.ask()
    watched.clock.pass_to(105.0)
    assert watched.given_up == []
    watched.clock.pass_to(105.0 + SECOND_LOOK)
    assert watched.given_up == [105.0 + SECOND_LOOK]
    assert watched.clock.due is None


def test_bytes_put_the_end_off(watched):
    """Also those that came between the two looks."""
    watched.ask()
    for now in (104.0, 108.0, 113.0 + SECOND_LOOK / 2):
        watched.clock.pass_to(now)
        watched.silence.heard()
    watched.clock.pass_to(118.0 + SECOND_LOOK / 2)
    assert watched.given_up == []
    watched.clock.pass_to(130.0)
    assert watched.given_up == [118.0 + 1.5 * SECOND_LOOK]


def test_a_long_write_has_time_of_its_own(watched):
    """So much as a slow link takes."""
    watched.ask(writing=20.0)
    watched.clock.pass_to(125.0)
    assert watched.given_up == []
    watched.clock.pass_to(130.0)
    assert watched.given_up == [125.0 + SECOND_LOOK]


def test_what_is_awaited_sooner_is_looked_at_sooner(watched):
    """A command with little patience behind an exchange with much."""
    watched.ask(writing=20.0)
    watched.ask()
    watched.clock.pass_to(105.0 + SECOND_LOOK)
    assert watched.given_up == [105.0 + SECOND_LOOK]


def test_while_nothing_is_awaited_nobody_looks(watched):
    """No timer is left in the loop, and the next question is watched again."""
    watched.ask()
    watched.awaited_from = None
    watched.clock.pass_to(200.0)
    assert (watched.clock.due, watched.given_up) == (None, [])
    watched.ask()
    watched.clock.pass_to(210.0)
    assert watched.given_up == [205.0 + SECOND_LOOK]


# -- many callers


async def test_calls_do_not_wait_for_each_other(tmp_path):
    """Fifteen subscriptions over a slow link would else queue up for round trips."""
    both = asyncio.Event()

    async def patient(reader, writer):
        await asked(reader, writer, b"FIRST")
        received = b""
        while b"SECOND" not in received:
            received += await reader.read(1 << 16)
        both.set()
        writer.write(b"+one\r\n+two\r\n")
        await reader.read()

    async with served_by(patient, tmp_path) as wire:
        first = asyncio.ensure_future(wire.one("FIRST"))
        await asyncio.sleep(0.05)
        assert await wire.one("SECOND") == b"two"
        assert await first == b"one"
        await wire.close()


async def test_a_cancelled_call_leaves_the_answers_to_those_they_are_for(redis_url):
    """Its own answer is thrown away when it comes."""
    wire = wire_to(redis_url)
    await wire.connect()
    given_up = asyncio.ensure_future(wire.one("BLPOP", "nothing", "0.1"))
    await asyncio.sleep(0.01)
    given_up.cancel()
    assert await wire.one("ECHO", "mine") == b"mine"
    assert wire.opened == 1
    await wire.close()


async def test_a_lost_connection_fails_all_calls_that_are_under_way(tmp_path):
    """Each of them may have been executed; what is called afterwards has a new connection."""
    let_go = asyncio.Event()

    async def brief(reader, writer):
        await asked(reader, writer, b"FIRST")
        if not let_go.is_set():
            await let_go.wait()
            return
        writer.write(b"+again\r\n")
        await reader.read()

    async with served_by(brief, tmp_path) as wire:
        calls = [asyncio.ensure_future(wire.one("FIRST", str(number))) for number in range(3)]
        await asyncio.sleep(0.05)
        let_go.set()
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in errors] == [BackendUnavailable] * 3
        assert all(error.maybe_executed for error in errors)
        assert await wire.one("FIRST") == b"again"
        await wire.close()


async def test_an_answer_that_nobody_asked_for_ends_the_connection(tmp_path):
    """Whose it is cannot be told; the next one would be taken for another's."""

    async def chatty(reader, writer):
        await asked(reader, writer, b"PING")
        writer.write(b"+PONG\r\n+what\r\n")
        await reader.read()

    async with served_by(chatty, tmp_path) as wire:
        assert await wire.one("PING") == b"PONG"
        while wire.connected:
            await asyncio.sleep(0.01)
        await wire.close()


# -- giving up


async def test_what_was_not_sent_when_a_connection_is_given_up_is_never_sent(tmp_path, monkeypatch):
    """It is sent again on another connection; the first copy must not follow later."""
    monkeypatch.setattr("eventbus.streams.line.SLOWEST_LINK", 1e12)
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


# -- answers of a server that cannot do the work


def answering(answers):
    """Serve those answers, one to a command."""

    async def serve(reader, writer):
        for answer in answers:
            await asked(reader, writer, b"GET")
            writer.write(answer)
        await reader.read()

    return serve


@pytest.mark.parametrize("code", ["BUSY", "CLUSTERDOWN", "LOADING", "MISCONF", "NOREPLICAS"])
async def test_a_server_that_cannot_do_the_work_now_is_told_at_once_and_since_when(tmp_path, code):
    """The second refusal is told with the time of the first; an answer is told when it comes."""
    refused, waited = [], []
    async with served_by(answering([b"-%s no\r\n" % code.encode()] * 2 + [b"+OK\r\n"]), tmp_path) as wire:
        wire.refused.append(refused.append)
        wire.waited.append(waited.append)
        since = asyncio.get_running_loop().time()
        for _ in range(2):
            with pytest.raises(BackendRefused):
                await wire.one("GET", "x")
            await asyncio.sleep(0.1)
        assert await wire.one("GET", "x") == b"OK"
        await wire.close()
    assert len(refused) == 2
    assert refused[0] == refused[1] >= since
    assert [seconds >= 0.2 for seconds in waited] == [True]


async def test_a_refusal_that_concerns_the_command_alone_is_an_answer(tmp_path):
    """The server does its work."""
    refused = []
    async with served_by(answering([b"-WRONGTYPE no\r\n"]), tmp_path) as wire:
        wire.refused.append(refused.append)
        with pytest.raises(BackendRefused):
            await wire.one("GET", "x")
        await wire.close()
    assert refused == []
