"""How a consumer's working time ends: in order, within bounds, whatever a step does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from eventbus.errors import BackendUnavailable
from eventbus.supervision.shift import Shift, _first
from tests.support.entries import SETTINGS

STEPS = ["begin", "stop", "drained", "cancel", "idle", "flush", "loops end", "end", "rescue", "leave"]
AFTER_THE_DRAIN = ["idle", "flush", "rescue", "leave"]
LOOPS = 8


class Consumer:
    """A consumer whose steps are noted, and go as they are told."""

    def __init__(self, **going):
        self.log, self._going = [], going
        self.subscription, self.counts = "orders/charge", "counts"
        self.executors = SimpleNamespace(
            run=self._loop, running=0, cancel=lambda: self.log.append("cancel"), wait_until_idle=self._step("idle")
        )
        self.settler = self.mover = self.beat = SimpleNamespace(run=self._loop)
        self.fetcher = self.claimer = self.promoter = SimpleNamespace(run=self._loop, stopping=asyncio.Event())
        self.membership = SimpleNamespace(announce=self._announce)
        self.stop_taking, self.flush, self.rescue = self._step("stop"), self._step("flush"), self._step("rescue")
        self.in_hand = self
        self.wait_until_empty = self._step("drained")
        self.leave = self._step("leave")
        self.looping, self.threads = 0, {}

    def __len__(self):
        return 7

    def begin(self):
        self.log.append("begin")

    def end(self):
        self.log.append("end")

    async def _announce(self):
        await self._loop(None)

    def _step(self, name):
        async def step():
            error = self._going.get(name)
            if error is not None:
                await error() if callable(error) else None
                raise error
            self.log.append(name)

        return step

    async def _loop(self, alive):
        self.looping += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.looping -= 1
            if not self.looping:
                self.log.append("loops end")


async def never():
    await asyncio.Event().wait()


async def ended(consumer, settings=SETTINGS, *, hurry=False):
    """Begin a shift, end it, and return what happened."""
    shift, hurrying = Shift(consumer, settings), asyncio.Event()
    await shift.begin()
    while consumer.looping < LOOPS:
        await asyncio.sleep(0)
    if hurry:
        hurrying.set()
    await shift.end(hurrying)
    return consumer.log


async def test_a_shift_ends_step_by_step_in_this_order(caplog):
    """Reading first; the group is left when nothing runs any more."""
    assert await ended(Consumer()) == STEPS
    assert not [record for record in caplog.records if record.levelname != "INFO"]


@pytest.mark.parametrize("step", AFTER_THE_DRAIN)
async def test_a_step_without_redis_is_said_and_does_not_stop_the_others(step, caplog):
    """A process ends although Redis is gone."""
    assert await ended(Consumer(**{step: BackendUnavailable("Redis is gone")})) == [each for each in STEPS if each != step]
    assert "failed: Redis is gone" in caplog.text


@pytest.mark.parametrize("step", AFTER_THE_DRAIN)
async def test_a_step_that_hangs_is_given_up_after_the_grace_and_said(step, caplog, monkeypatch):
    """Orchestrators kill what does not end."""
    monkeypatch.setattr("eventbus.supervision.shift.GRACE", 0.01)
    monkeypatch.setattr("eventbus.supervision.shift.SHORTEST", 0.01)
    assert await ended(Consumer(**{step: never})) == [each for each in STEPS if each != step]
    assert "did not end within 0.0 s" in caplog.text


async def test_reading_that_does_not_end_is_part_of_the_drain(monkeypatch):
    """Its time is the drain's; everything after it still happens."""
    monkeypatch.setattr("eventbus.supervision.shift.GRACE", 0.02)
    assert await ended(Consumer(stop=never), replace(SETTINGS, drain=0.01)) == [each for each in STEPS if each != "stop"]


async def test_who_hurries_still_lets_go_of_what_never_started():
    """A second signal does not wait for handlers; what waits for one is released all the same."""
    letting_go = asyncio.Event()
    consumer = Consumer()

    async def stop():
        await asyncio.sleep(0.01)
        letting_go.set()
        consumer.log.append("stop")

    consumer.stop_taking = stop
    assert await ended(consumer, replace(SETTINGS, drain=3600), hurry=True) in (STEPS, [each for each in STEPS if each != "drained"])
    assert letting_go.is_set()


async def test_a_drain_whose_loops_are_gone_waits_for_nothing():
    """The program is being torn down: nobody would finish what is in hand."""
    consumer = Consumer(drained=never)
    shift = Shift(consumer, replace(SETTINGS, drain=3600))
    await shift.begin()
    shift.supervisor._home._root.cancel()
    assert await shift.end(asyncio.Event()) == 0
    assert consumer.log[-1] == "leave"


async def test_what_nothing_can_end_is_counted_and_named(caplog):
    """Threads cannot be cancelled."""
    consumer = Consumer()
    consumer.threads = {"app.charge": 2}
    shift = Shift(consumer, SETTINGS)
    await shift.begin()
    assert await shift.end(asyncio.Event()) == 2
    assert "2 threads of handler app.charge still run" in caplog.text


@pytest.mark.parametrize("hurry", [False, True])
async def test_handlers_are_cancelled_at_the_deadline_or_when_somebody_hurries(hurry, caplog):
    """What is still in hand then is counted; what ends by its cancel is released."""
    settings = replace(SETTINGS, drain=3600 if hurry else 0.01)
    assert await ended(Consumer(drained=never), settings, hurry=hurry) == [each for each in STEPS if each != "drained"]
    assert "the drain ended with 7 entries in hand" in caplog.text


async def happens():
    pass


@pytest.mark.parametrize(
    ("wanted", "other", "seconds", "expected"),
    [(happens, never, 3600, True), (never, happens, 3600, False), (never, never, 0.001, False), (happens, never, 0.001, True)],
)
async def test_waiting_for_the_first_of_two_within_a_time_tells_whether_it_was_the_wanted_one(wanted, other, seconds, expected):
    """The other and the clock are the same answer: no. Nothing of it runs on."""
    assert await _first(wanted, [other], seconds) is expected
