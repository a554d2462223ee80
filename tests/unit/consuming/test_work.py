"""The queue between the fetcher and the executors."""

from __future__ import annotations

import asyncio

from eventbus.consuming.work import Work
from tests.support.entries import delivery


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_deliveries_come_out_in_the_order_they_were_put():
    """Also when nobody waited for them."""
    work, put = Work(), [delivery() for _ in range(4)]
    work.put(put[:3])
    work.put(put[3:])
    assert len(work) == 4
    assert [await work.get() for _ in put] == put
    assert len(work) == 0


async def test_as_many_readers_wake_as_there_is_work():
    """Waking all of them for each delivery would cost a turn each."""
    work, woken = Work(), []

    async def reader(number):
        woken.append((number, await work.get()))

    tasks = [asyncio.ensure_future(reader(number)) for number in range(4)]
    await turns()
    first, second, *rest = (delivery() for _ in range(4))
    work.put([first, second])
    assert len(work._idle) == 2
    await turns()
    assert woken == [(0, first), (1, second)]
    work.put(rest)
    await asyncio.gather(*tasks)
    assert [each for _, each in woken[2:]] == rest


async def test_a_reader_that_finds_its_work_taken_waits_again():
    """One that came by meanwhile was faster; nothing is handed out twice."""
    work, one = Work(), delivery()
    slow = asyncio.ensure_future(work.get())
    await turns()
    work.put([one])
    assert await work.get() is one
    await turns()
    assert not slow.done()
    another = delivery()
    work.put([another])
    assert await slow is another


async def test_a_reader_that_was_cancelled_takes_nothing_with_it():
    """Neither before nor after its turn was called."""
    work = Work()
    readers = [asyncio.ensure_future(work.get()) for _ in range(2)]
    await turns()
    readers[0].cancel()
    await turns()
    work.put(put := [delivery(), delivery()])
    readers[1].cancel()
    await turns()
    assert [reader.cancelled() for reader in readers] == [True, True]
    assert [await work.get() for _ in put] == put


async def test_clearing_gives_back_what_never_started():
    """In order, and once."""
    work = Work()
    work.put(put := [delivery(), delivery()])
    assert work.clear() == put
    assert work.clear() == []
    assert len(work) == 0
