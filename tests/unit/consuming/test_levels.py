"""The handlers of one subscription, shared by the priorities of its topic."""

from __future__ import annotations

import asyncio

from eventbus.consuming.levels import LevelWork, Slots
from eventbus.consuming.turns import Turns
from tests.support.entries import delivery

LEVELS = ("high", "normal", "low")
WEIGHTS = {"high": 4, "normal": 2, "low": 1}


async def turn():
    for _ in range(3):
        await asyncio.sleep(0)


class Room:
    """Levels whose readers stand, and which say what they took."""

    def __init__(self, number, weights=None):
        self.slots = Slots(number, Turns(LEVELS, weights))
        self.works = {name: LevelWork(self.slots, name) for name in LEVELS}
        self.taken = []
        for work in self.works.values():
            work.open()

    def put(self, name, count=1):
        made = [delivery() for _ in range(count)]
        self.works[name].put(made)
        return made

    def read(self, name):
        """A reader that takes one and keeps its slot."""

        async def reader():
            taken = await self.works[name].get()
            self.taken.append(name)
            return taken

        return asyncio.ensure_future(reader())

    def work_off(self):
        """Let the slots be used one after the other, as executors that never suspend do."""
        order = []
        while any(len(work) for work in self.works.values()):
            for name, work in self.works.items():
                if work.pop():
                    order.append(name)
                    work.ended()
                    break
        return order


async def test_there_are_never_more_at_work_than_slots():
    """Of all priorities together; a slot that is free goes to whose turn it is."""
    room = Room(2)
    readers = [room.read(name) for name in LEVELS for _ in range(2)]
    await turn()
    for name in reversed(LEVELS):
        room.put(name, 2)
    await turn()
    assert room.taken == ["low", "low"]
    room.works["low"].ended()
    await turn()
    assert room.taken == ["low", "low", "high"]
    room.works["low"].ended()
    room.works["high"].ended()
    await turn()
    assert room.taken == ["low", "low", "high", "high", "normal"]
    readers[3].cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def test_one_alone_may_use_them_all():
    """Nothing is reserved."""
    room = Room(3)
    readers = [room.read("low") for _ in range(3)]
    room.put("low", 3)
    await asyncio.gather(*readers)
    assert room.taken == ["low"] * 3


async def test_strict_empties_the_urgent_first():
    """Though they came last, and their readers are between two deliveries when a slot becomes free."""
    room = Room(1)
    room.put("low", 2)
    assert room.works["low"].pop()
    room.put("normal", 2)
    room.put("high", 3)
    room.works["low"].ended()
    assert room.work_off() == ["high"] * 3 + ["normal"] * 2 + ["low"]


async def test_the_weights_hold_under_saturation():
    """One slot or many."""
    room = Room(1, WEIGHTS)
    for work in room.works.values():
        work.close()
    for name in LEVELS:
        room.put(name, 70)
    for work in room.works.values():
        work.open()
    first = room.work_off()[1:71]  # the first to stand had the first slot
    assert {name: first.count(name) for name in LEVELS} == {"high": 40, "normal": 20, "low": 10}


async def test_a_slot_of_what_is_taken_out_goes_to_another():
    """Its lease was lost, or it is released: it never started."""
    room = Room(1)
    (lost,) = room.put("high")
    (other,) = room.put("low")
    assert room.works["low"].pop() is None
    assert room.works["high"].remove(lost)
    assert not room.works["high"].remove(lost)
    assert room.works["low"].pop() is other
    room.works["low"].ended()
    released = room.put("high", 2)
    room.put("low")
    assert room.works["high"].clear() == released
    assert room.works["low"].pop()


async def test_a_lost_one_leaves_its_slot_to_the_next_of_its_priority():
    """A slot is not a delivery's own."""
    room = Room(1)
    lost, other = room.put("high", 2)
    assert room.works["high"].remove(lost)
    assert room.works["high"].pop() is other
    assert room.works["high"].pop() is None


async def test_executors_that_fell_keep_no_slot_from_the_others_and_take_new_ones_when_they_stand_again():
    """Else a handler that takes them down would stop every priority."""
    room = Room(1)
    (waiting,) = room.put("high")
    (other,) = room.put("low")
    room.works["high"].close()
    assert room.works["low"].pop() is other
    room.works["low"].ended()
    assert room.works["high"].pop() is None
    room.works["high"].open()
    assert room.works["high"].pop() is waiting


async def test_a_reader_that_is_cancelled_when_it_was_woken_wakes_another():
    """A slot that nobody comes for would be lost for ever."""
    room = Room(1)
    first, second = room.read("high"), room.read("high")
    await turn()
    (one,) = room.put("high")  # wakes the first
    first.cancel()
    assert await second is one
    await asyncio.gather(first, return_exceptions=True)


async def test_a_reader_that_is_cancelled_while_it_waits_is_not_woken():
    """Its place is gone."""
    room = Room(1)
    first, second = room.read("high"), room.read("high")
    await turn()
    first.cancel()
    await turn()
    (one,) = room.put("high")
    assert await second is one
    await asyncio.gather(first, return_exceptions=True)
