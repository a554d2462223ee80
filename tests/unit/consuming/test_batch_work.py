"""The queue of batches: a full one at once, others when their first has waited long enough."""

from __future__ import annotations

import asyncio

import pytest

from eventbus.consuming.batch_work import SHARE, BatchWork
from eventbus.delivery import CRASHES, Batch
from tests.support.entries import delivery

LEASE = 30.0


def work_of(max_size=3, max_wait=10.0, lease=LEASE, hopeless=lambda: False):
    return BatchWork(Batch(max_size=max_size, max_wait=max_wait), lease, hopeless)


def some(count):
    return [delivery() for _ in range(count)]


def last():
    """An entry at its last allowed start."""
    return delivery(claimed=True, count=CRASHES)


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


def waits_for(work):
    """Seconds from now until the timer goes off; None without one."""
    return None if work._timer is None else work._timer.when() - asyncio.get_running_loop().time()


async def test_a_full_batch_is_given_away_at_once_and_the_rest_waits():
    """In order."""
    work, put = work_of(), some(7)
    work.put(put)
    assert [list(work.pop()), list(work.pop())] == [put[:3], put[3:6]]
    assert work.pop() is None
    assert len(work) == 1


async def test_a_batch_that_is_not_full_is_given_away_when_its_first_has_waited_long_enough():
    """The timer is that of the first; nothing is asked of the others."""
    work, (one, two) = work_of(max_wait=0.01), some(2)
    reader = asyncio.ensure_future(work.get())
    await turns()
    work.put([one])
    timer = work._timer
    work.put([two])
    assert work._timer is timer
    await turns()
    assert not reader.done()
    assert list(await reader) == [one, two]
    assert work._timer is None


async def test_what_is_left_behind_by_a_full_batch_waits_anew():
    """One timer at a time."""
    work, put = work_of(), some(4)
    work.put(put[:2])
    first = work._timer
    work.put(put[2:])
    assert list(work.pop()) == put[:3]
    assert first.cancelled()
    assert 9 < waits_for(work) <= 10


async def test_while_nobody_is_free_a_batch_that_waited_long_enough_still_grows():
    """It is taken as it is when an executor is free."""
    work, put = work_of(max_wait=0), some(4)
    work.put(put[:1])
    await asyncio.sleep(0.001)
    assert work._timer is None
    work.put(put[1:2])
    assert list(work.pop()) == put[:2]
    work.put(put[2:])
    assert work.pop() is None


@pytest.mark.parametrize(("max_wait", "waits"), [(60.0, LEASE * SHARE), (0.2, 0.2)])
async def test_the_wait_ends_well_before_the_lease(max_wait, waits):
    """After a third of it what was read still starts without a question."""
    work = work_of(max_wait=max_wait)
    work.put(some(1))
    assert waits_for(work) == pytest.approx(waits, abs=0.1)


async def test_nobody_waits_for_what_cannot_come():
    """Where the bytes in hand allow no full batch, say."""
    hopeless = False
    work, put = work_of(hopeless=lambda: hopeless), some(2)
    work.put(put[:1])
    assert work.pop() is None
    hopeless = True
    work.put(put[1:])
    assert list(work.pop()) == put


async def test_an_entry_at_its_last_start_is_a_batch_of_its_own():
    """At once, whether it stands first or not; those around it are batches, too."""
    work, put, (one, two) = work_of(max_size=6), some(4), (last(), last())
    work.put([*put[:2], one, *put[2:]])
    work.put_first([two])
    assert list(work.pop()) == [two]
    assert work.pop() is None
    work._ripen()
    assert list(work.pop()) == put[:2]
    assert list(work.pop()) == [one]
    assert work.pop() is None


async def test_what_waits_can_be_taken_out_at_any_time():
    """Of an empty queue nothing is given away, and no timer is left."""
    work, (one, two, three) = work_of(), some(3)
    work.put([one, two])
    assert work.remove(one)
    assert not work.remove(one)
    assert waits_for(work) is not None
    assert work.remove(two)
    assert waits_for(work) is None
    work.put([three])
    work._ripen()
    assert work.clear() == [three]
    work.put([one])
    assert work.pop() is None


async def test_each_complete_batch_wakes_one_reader():
    """And none is woken for a batch that is not complete."""
    work, put = work_of(), some(8)
    readers = [asyncio.ensure_future(work.get()) for _ in range(3)]
    await turns()
    work.put(put)
    await turns()
    assert [reader.done() for reader in readers] == [True, True, False]
    assert [list(reader.result()) for reader in readers[:2]] == [put[:3], put[3:6]]
    work._ripen()
    assert list(await readers[2]) == put[6:]
