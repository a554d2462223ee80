"""What probes are told."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from eventbus.delivery import Health
from eventbus.observe.health import Pulse, readiness
from eventbus.supervision import Loop


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


async def body(alive):
    alive()


def loop(name="fetching", health=Health.RUNNING, **about):
    return Loop(name, body, health=health, **about)


def bus(*loops, consumers=1, subscriptions=1, each=1):
    return SimpleNamespace(loops=loops, consumers=[None] * consumers, subscriptions=[SimpleNamespace(consumers=each)] * subscriptions)


# -- liveness


async def test_a_loop_that_turns_has_a_pulse():
    """It answers whenever it is asked."""
    clock = Clock()
    pulse = Pulse(clock=clock)
    pulse.attach(asyncio.get_running_loop())
    for _ in range(3):
        pulse.feel()
        await asyncio.sleep(0)
        clock.now += 60
        assert pulse.turning
    assert pulse.silent_for == 0


async def test_a_loop_that_does_not_answer_is_blocked_after_some_seconds_and_well_again_when_it_does():
    """Asking again and again does not make the silence younger."""
    clock = Clock()
    pulse = Pulse(blocked=5, clock=clock)
    pulse.attach(asyncio.get_running_loop())
    for _ in range(10):
        pulse.feel()
        clock.now += 0.49
    assert pulse.turning
    clock.now += 0.2
    assert not pulse.turning
    assert pulse.silent_for == pytest.approx(5.1)
    await asyncio.sleep(0)
    assert pulse.turning


async def test_a_blocked_loop_is_seen_from_another_thread():
    """Which is the only place from which it can be."""
    pulse, seen, go = Pulse(blocked=0.05), [], threading.Event()
    pulse.attach(asyncio.get_running_loop())

    def watch():
        pulse.feel()
        while pulse.turning:
            go.wait(0.01)
        seen.append(pulse.silent_for)
        go.set()

    thread = threading.Thread(target=watch)
    thread.start()
    assert go.wait(10)  # blocks the loop
    thread.join()
    await asyncio.sleep(0)
    assert seen[0] >= 0.05
    assert pulse.turning


def test_before_and_after_its_loop_a_process_lives():
    """It imports, or it ends; both take the time they take."""
    pulse = Pulse(blocked=0)
    pulse.feel()
    ended = asyncio.new_event_loop()
    ended.close()
    pulse.attach(ended)
    pulse.feel()
    assert pulse.silent_for == 0


# -- readiness


def test_a_bus_whose_loops_all_run_is_ready():
    """Each is shown."""
    found = readiness(bus(loop("publishing"), loop("fetching")))
    assert (found.ready, found.reason) == (True, "ready")
    assert [(each.name, each.health, each.failures, each.last_error) for each in found.loops] == [
        ("publishing", "running", 0, ""),
        ("fetching", "running", 0, ""),
    ]


@pytest.mark.parametrize(
    ("unready", "reason"),
    [
        (bus(), "not open"),
        (bus(loop(), consumers=0), "not consuming"),
        (bus(loop(), consumers=1, subscriptions=2), "not consuming"),
        (bus(loop(), consumers=2, subscriptions=1, each=3), "not consuming"),
        (bus(loop(), loop("settling", Health.STOPPED)), "not running: settling"),
        (bus(loop(), loop("settling", Health.FAILING, failures=2)), "failing: settling"),
    ],
    ids=["not open", "joining", "joining the second", "joining a third priority", "stopped", "failing"],
)
def test_one_thing_that_is_not_so_is_enough(unready, reason):
    """And it is named."""
    found = readiness(unready)
    assert not found.ready
    assert reason in found.reason


def test_a_loop_that_waits_for_its_first_work_keeps_nobody_waiting():
    """Publishing is starting until something is published; a service that only consumes is ready all the same."""
    found = readiness(bus(loop("publishing", Health.STARTING), loop()))
    assert (found.ready, found.loops[0].health) == (True, "starting")


def test_a_bus_that_drains_is_not_ready():
    """As soon as a loop was told to stop, though it still runs."""
    draining = loop()
    draining.stopping.set()
    found = readiness(bus(draining))
    assert (found.ready, found.reason) == (False, "draining")


def test_a_bus_without_subscriptions_is_ready_when_it_can_publish():
    """There is nothing it could join."""
    assert readiness(bus(loop("publishing"), consumers=0, subscriptions=0)).ready


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("BackendUnavailable: no answer at redis://redis:6379", "BackendUnavailable: no answer at redis://redis:6379"),
        ("ValueError: card 4711 is wrong", "ValueError"),
        ("ExceptionGroup: unhandled errors (1 sub-exception)", "ExceptionGroup"),
        ("", ""),
    ],
)
def test_only_errors_of_ours_are_shown_with_their_text(error, shown):
    """That of others may hold a payload or a password."""
    found = readiness(bus(loop(health=Health.FAILING, last_error=error)))
    assert found.loops[0].last_error == shown
