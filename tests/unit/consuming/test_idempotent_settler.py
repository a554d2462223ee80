"""Acknowledging what is remembered in the same step."""

from __future__ import annotations

import pytest

from eventbus.consuming.counts import Counts
from eventbus.consuming.idempotent_settler import IdempotentSettler
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.marks import Marks
from eventbus.errors import BackendRefused
from eventbus.events import identity
from tests.support.entries import delivery
from tests.support.events import OrderCreated


class Server:
    """What it asks of Redis."""

    def __init__(self):
        self.token, self.calls, self.refuses = "token", [], False

    async def finish(self, entries, *, private, token, window):
        if self.refuses:
            raise BackendRefused("no memory", code="OOM")
        self.calls.append((entries, private, token, window))
        return len(entries) if token == self.token else None

    async def heal(self, lost):
        self.token = "new"


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def settler(server):
    marks = Marks(server, topic="orders", window=60.0, lease=30.0)
    return IdempotentSettler(server, server, InHand(100, 0), Counts(), marks)


def taken(settler, **facts):
    event = OrderCreated(order_id="o-1")
    one = delivery(event, **facts)
    settler._in_hand.take(one)
    settler.add(one)
    return one, identity(event).id


async def test_it_acknowledges_and_remembers_in_one_call_each_stream_apart(server, settler):
    """With the id of each event, and this member's window."""
    (one, first), (two, second) = taken(settler), taken(settler, private=True)
    await settler.run_once()
    assert server.calls == [([(one.entry_id, first)], False, "token", 60.0), ([(two.entry_id, second)], True, "token", 60.0)]
    assert settler._counts.acknowledged == 2
    assert not len(settler._in_hand)


async def test_what_belongs_to_a_lost_group_is_remembered_and_let_go_of(server, settler):
    """There is nothing to acknowledge."""
    taken(settler, token="old")
    await settler.run_once()
    assert settler._counts.orphaned == 1
    assert not len(settler._in_hand)


async def test_what_cannot_be_remembered_stays_in_hand(server, settler):
    """Its lease goes on being renewed; the next pass sends it again."""
    server.refuses = True
    taken(settler)
    with pytest.raises(BackendRefused):
        await settler.run_once()
    assert len(settler._in_hand) == 1
    server.refuses = False
    await settler.run_once()
    assert not len(settler._in_hand)
