"""A loop under supervision: started again after each failure, with delays that begin anew after a pass that went well."""

from __future__ import annotations

import asyncio
import logging

import pytest

from eventbus.delivery import Backoff, Health
from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.supervision import Loop, Supervisor

GONE = BackendUnavailable("Redis is gone")


class NoDelay:
    """A backoff that is asked and does not wait."""

    def __init__(self):
        self.asked = []

    def delay(self, failures):
        self.asked.append(failures)
        return 0.0


class Body:
    """A loop's body that goes through a script: an exception is raised, True is a pass that went well."""

    def __init__(self, *script):
        self.script = list(script)
        self.runs = 0

    async def __call__(self, alive):
        self.runs += 1
        while self.script:
            step = self.script.pop(0)
            if step is not True:
                raise step
            alive()
            await asyncio.sleep(0)


async def supervised(*script):
    loop, backoff = Loop("fetching orders/charge", Body(*script)), NoDelay()
    await loop.supervise(backoff)
    return loop, backoff


async def test_a_body_that_returns_has_ended():
    """It is not started again."""
    loop, backoff = await supervised(True)
    assert (loop.body.runs, loop.health, backoff.asked) == (1, Health.STOPPED, [])


async def test_a_body_that_fails_is_started_again_after_longer_and_longer_delays():
    """Whatever it raised."""
    loop, backoff = await supervised(GONE, GONE, ValueError("defect"), BackendRefused("no", code="OOM"), True)
    assert (loop.body.runs, backoff.asked) == (5, [1, 2, 3, 4])


async def test_a_pass_that_went_well_makes_the_delays_begin_anew():
    """The next outage is another one."""
    _, backoff = await supervised(GONE, GONE, True, GONE, True, True, GONE)
    assert backoff.asked == [1, 2, 1, 1]


async def test_an_outage_is_said_once_and_its_end_once(caplog):
    """Not at every try: a fleet would fill the logs exactly then."""
    caplog.set_level(logging.INFO)
    await supervised(GONE, GONE, GONE, True, True, GONE, True)
    assert [record.getMessage() for record in caplog.records] == [
        "fetching orders/charge waits for Redis: Redis is gone",
        "fetching orders/charge goes on after 3 failures",
        "fetching orders/charge waits for Redis: Redis is gone",
        "fetching orders/charge goes on after 1 failures",
    ]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


async def test_a_defect_is_said_every_time_with_its_traceback(caplog):
    """It is not Redis's, and somebody has to mend it."""
    await supervised(ValueError("defect"), GONE, ValueError("defect"))
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 2
    assert all(record.exc_info[0] is ValueError and record.exc_info[2] for record in errors)


async def test_health_tells_how_it_is_and_the_last_error_why():
    """For readiness checks."""
    seen, goes_on = [], asyncio.Event()

    async def body(alive):
        seen.append((loop.health, loop.failures, loop.last_error))
        if len(seen) == 1:
            raise GONE
        alive()
        seen.append((loop.health, loop.failures, loop.last_error))
        goes_on.set()

    loop = Loop("x", body)
    await loop.supervise(NoDelay())
    said = "BackendUnavailable: Redis is gone"
    assert seen == [(Health.STARTING, 0, ""), (Health.FAILING, 1, said), (Health.RUNNING, 0, said)]
    assert loop.health is Health.STOPPED


async def test_a_loop_that_is_asked_to_stop_while_it_waits_does_not_start_again():
    """And does not wait any longer: the delay is a day."""
    failed = asyncio.Event()

    async def body(alive):
        failed.set()
        raise GONE

    loop = Loop("x", body)
    running = asyncio.ensure_future(loop.supervise(Backoff(first=86_400, most=86_400)))
    await failed.wait()
    loop.stopping.set()
    await running
    assert (loop.health, loop.failures) == (Health.STOPPED, 1)


async def test_a_loop_that_is_to_stop_before_it_began_does_not_begin():
    """Its connections are not opened for nothing."""
    loop = Loop("x", Body(True))
    loop.stopping.set()
    await loop.supervise(NoDelay())
    assert loop.body.runs == 0


async def test_a_cancellation_is_never_taken_for_a_failure():
    """Neither in the body nor while it waits."""
    began = asyncio.Event()

    async def body(alive):
        began.set()
        await asyncio.Event().wait()

    loop = Loop("x", body)
    running = asyncio.ensure_future(loop.supervise(NoDelay()))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert loop.failures == 0


async def test_a_failing_loop_leaves_the_others_alone_and_all_end_together():
    """One task group, and no loop's failure is another's."""
    supervisor, ended, beats = Supervisor(lease=30), [], asyncio.Semaphore(0)
    failed = asyncio.Event()

    async def healthy(alive):
        try:
            while True:
                alive()
                beats.release()
                await asyncio.sleep(0)
        finally:
            ended.append("healthy")

    async def failing(alive):
        failed.set()
        raise ValueError("defect")

    await supervisor.open()
    supervisor.start("failing", failing)
    await failed.wait()
    supervisor.start("healthy", healthy)
    for _ in range(3):
        await beats.acquire()
    assert {loop.name: loop.health for loop in supervisor.loops} == {"failing": Health.FAILING, "healthy": Health.RUNNING}
    await supervisor.close()
    assert (ended, supervisor.loops) == (["healthy"], [])


@pytest.mark.parametrize(("lease", "most"), [(30, 4.0), (12, 2.0), (3, 0.5)])
def test_no_delay_exceeds_a_sixth_of_the_lease(lease, most):
    """Owners of entries are back before anyone may claim from them."""
    assert Supervisor(lease=lease)._backoff.most == most


async def test_a_loop_may_be_started_again_sooner_than_the_others():
    """With delays of its own, whatever the lease is."""
    supervisor, often, tries = Supervisor(lease=3_600), asyncio.Event(), []

    async def fails(alive):
        tries.append(alive)
        if len(tries) == 100:
            often.set()
        raise BackendUnavailable("no answer")

    await supervisor.open()
    supervisor.start("promoting", fails, backoff=Backoff(first=0.0, most=0.0))
    await often.wait()
    await supervisor.close()
