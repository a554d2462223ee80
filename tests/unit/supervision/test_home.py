"""Where tasks live: opened in one task, closed in another."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from eventbus.supervision.home import Home


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
    closing = asyncio.ensure_future(home.close())
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
    await home.close()
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


async def test_what_a_task_died_of_is_raised_where_the_home_is_closed():
    """And not lost in a task that nobody looks at."""
    home = Home()

    async def defect():
        raise KeyError("defect")

    await home.open()
    home.start(defect)
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.raises(ExceptionGroup) as caught:
        await home.close()
    assert caught.group_contains(KeyError)
