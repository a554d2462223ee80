"""The queue between the fetcher and the executors."""

from __future__ import annotations

import asyncio

from eventbus.consuming.work import NEXT, Work
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
    """One after the other; none for nothing."""
    work, woken = Work(), []

    async def reader(number):
        woken.append((number, await work.get()))

    tasks = [asyncio.ensure_future(reader(number)) for number in range(4)]
    await turns()
    first, second, *rest = (delivery() for _ in range(4))
    work.put([first, second])
    await turns()
    assert len(work._idle) == 2
    assert woken == [(0, first), (1, second)]
    work.put(rest)
    await asyncio.gather(*tasks)
    assert [each for _, each in woken[2:]] == rest


async def test_where_one_reader_sees_to_everything_few_others_wake():
    """Handlers that do not suspend leave nothing for the rest of the readers."""
    work = Work()

    async def greedy():
        await work.get()
        while work.pop():
            pass

    readers = [asyncio.ensure_future(greedy()) for _ in range(32)]
    await turns()
    work.put([delivery() for _ in range(100)])
    await asyncio.sleep(0)
    assert (len(work), len(work._idle)) == (0, 31 - NEXT)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def test_all_readers_wake_in_a_few_turns_where_each_takes_one():
    """Handlers that suspend run side by side."""
    work = Work()
    readers = [asyncio.ensure_future(work.get()) for _ in range(32)]
    await turns()
    work.put(put := [delivery() for _ in range(40)])
    await turns(7)
    assert sum(reader.done() for reader in readers) == 32
    assert len(work) == len(put) - 32


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


async def test_what_is_put_first_comes_out_before_all_others_in_its_own_order():
    """Also while somebody waits for it."""
    work = Work()
    early = asyncio.ensure_future(work.get())
    await turns()
    first, second, third, *backlog = (delivery() for _ in range(5))
    work.put_first([third])
    work.put(backlog)
    work.put_first([first, second])
    assert await early is first
    assert [await work.get() for _ in range(4)] == [second, third, *backlog]


async def test_putting_first_wakes_as_many_readers_as_there_is_work():
    """As `put`."""
    work = Work()
    readers = [asyncio.ensure_future(work.get()) for _ in range(3)]
    await turns()
    work.put_first(iter(put := [delivery(), delivery()]))
    await turns()
    assert [reader.done() for reader in readers] == [True, True, False]
    assert [readers[0].result(), readers[1].result()] == put
    readers[2].cancel()
    await asyncio.gather(readers[2], return_exceptions=True)


async def test_one_delivery_may_be_taken_out_and_the_others_stay_in_order():
    """Its lease was lost while it waited."""
    work = Work()
    work.put(put := [delivery() for _ in range(3)])
    assert work.remove(put[1])
    assert not work.remove(put[1])
    assert not work.remove(delivery(entry_id=put[0].entry_id))  # a delivery is itself, not its place
    assert work.clear() == [put[0], put[2]]


async def test_a_reader_whose_delivery_was_taken_out_after_its_turn_was_called_waits_on():
    """It would start what is another's."""
    work = Work()
    reader = asyncio.ensure_future(work.get())
    await turns()
    work.put([gone := delivery()])
    assert work.remove(gone)
    await turns()
    assert not reader.done()
    work.put([there := delivery()])
    assert await reader is there
