"""Where tasks live: opened in one task, closed in another."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import anyio

from eventbus.supervision.home import Home, finish


class Tenant:
    """A task that says when it began and how it ended."""

    def __init__(self):
        self.began, self.ended = asyncio.Event(), ""

    async def live(self):
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


async def test_a_home_may_be_opened_filled_and_closed_in_different_tasks():
    """As web frameworks and test fixtures do."""
    home, tenant = Home(), Tenant()

    async def fill():
        home.start(tenant.live)
        await tenant.began.wait()

    for step in (home.open(), fill(), home.close()):
        await asyncio.create_task(step)
    assert tenant.ended == "cancelled"


async def test_the_end_of_the_task_that_opened_it_ends_nothing():
    """It only opened the door."""
    home, tenant = Home(), Tenant()
    await asyncio.create_task(home.open())
    home.start(tenant.live)
    await tenant.began.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not tenant.ended
    await home.close()


async def test_closing_waits_for_the_last_step_of_each_task_even_when_it_is_cancelled_itself():
    """Nothing of a bus runs on after it was closed."""
    home, release, ended = Home(), asyncio.Event(), []

    async def slow():
        try:
            await asyncio.Event().wait()
        finally:
            with anyio.CancelScope(shield=True):
                await release.wait()
            ended.append("slow")

    await home.open()
    home.start(slow)
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(finish(home.close()))
    for _ in range(3):
        await asyncio.sleep(0)
        closing.cancel()
    assert not closing.done()
    release.set()
    await asyncio.gather(closing, return_exceptions=True)
    assert ended == ["slow"]


async def test_closing_twice_or_without_opening_is_nothing():
    """A close in `finally` need not ask."""
    home = Home()
    assert await home.close()
    await home.open()
    await home.close()
    await home.close()


async def test_a_home_can_be_opened_again():
    """A closed bus may be."""
    home = Home()
    for _ in range(2):
        tenant = Tenant()
        await home.open()
        home.start(tenant.live)
        await tenant.began.wait()
        await home.close()
        assert tenant.ended == "cancelled"


async def test_what_a_task_died_of_is_said_where_the_home_is_closed(caplog):
    """And not lost in a task that nobody looks at; whoever waits for the end hears of it."""
    home = Home()

    async def defect():
        raise KeyError("defect")

    await home.open()
    home.start(defect)
    await home.ended.wait()
    assert await home.close()
    assert "background tasks ended by an error" in caplog.text
    assert "KeyError: 'defect'" in caplog.text


async def test_a_task_that_ignores_its_cancel_is_left_behind_and_told(monkeypatch):
    """Nothing can end it but the end of the process; closing does not wait for that."""
    monkeypatch.setattr("eventbus.supervision.home.STUCK", 0.01)
    home, release = Home(), asyncio.Event()

    async def deaf():
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    await home.open()
    root = home._root
    home.start(deaf)
    await asyncio.sleep(0)
    assert not await home.close()
    release.set()
    await asyncio.wait({root})
