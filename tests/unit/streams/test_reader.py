"""When what was read is handed over."""

from __future__ import annotations

import pytest

from eventbus.errors import BackendRefused
from eventbus.streams import Address, Batch, Connections, Group, GroupReader


def part(stream, number):
    return [stream.encode(), [[b"%d-1" % each, [b"a", b"b"]] for each in range(number)]]


class Answering:
    """A wire to which one reply comes."""

    def __init__(self, reply):
        self.reply = reply
        self.handed_over_on_arrival = None

    async def one(self, *words, timeout, arrived):
        arrived([self.reply])
        self.handed_over_on_arrival = self.taken.copy()
        if isinstance(self.reply, BackendRefused):
            raise self.reply
        return self.reply


@pytest.fixture
def reader():
    return GroupReader(Connections(Address.parse("redis://nowhere"), name="test"), Group("orders", "billing"), "me")


async def read(reader, reply, *, few=2):
    taken = []
    reader._wire = Answering(reply)
    reader._wire.taken = taken
    return await reader.read(3, taken.append, few=few), taken, reader._wire.handed_over_on_arrival


async def test_few_entries_are_handed_over_on_arrival(reader):
    """The handlers' turn comes before the next read."""
    reply = [part("orders", 2), part("{orders}:retry:billing", 1)]
    number, taken, early = await read(reader, reply)
    assert number == 3
    assert taken == early == [Batch(False, reply[0][1]), Batch(True, reply[1][1])]


async def test_many_entries_are_handed_over_when_the_next_read_can_be_sent(reader):
    """So that it is under way while these are handled; each batch comes once."""
    reply = [part("orders", 3), part("{orders}:retry:billing", 1)]
    number, taken, early = await read(reader, reply)
    assert number == 4
    assert [batch.private for batch in early] == [True]
    assert [batch.private for batch in taken] == [True, False]


async def test_nothing_in_time_is_nothing(reader):
    """Redis says null."""
    assert await read(reader, None) == (0, [], [])


async def test_a_refusal_hands_over_nothing(reader):
    """It is raised."""
    with pytest.raises(BackendRefused):
        await read(reader, BackendRefused("gone", code="NOGROUP"))
