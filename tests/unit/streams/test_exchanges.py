"""Whose the replies are that come on a line."""

from __future__ import annotations

import pytest

from eventbus.errors import BackendUnavailable
from eventbus.streams import Address, Connections, Wire, pack
from eventbus.streams.line import Exchange


def exchange(wanted):
    taken = []
    return Exchange(wanted, taken.append, patience=1.0, due=0.0), taken


async def test_each_takes_its_own_of_what_came_together():
    """Commands of many callers are answered in one packet."""
    (first, of_first), (second, of_second) = exchange(2), exchange(1)
    rest = first.hand_out([b"a", b"b", b"c"])
    assert (rest, second.hand_out(rest)) == ([b"c"], [])
    assert (of_first, of_second) == ([[b"a", b"b"]], [[b"c"]])
    assert first.awaited.done()
    assert second.awaited.done()


async def test_it_takes_what_comes_as_it_comes():
    """It is over with the last reply."""
    one, taken = exchange(3)
    assert one.hand_out([b"a"]) == []
    assert (one.complete, one.awaited.done()) == (False, False)
    assert one.hand_out([b"b", b"c"]) == []
    assert (one.complete, one.awaited.done()) == (True, True)
    assert taken == [[b"a"], [b"b", b"c"]]


async def test_replies_to_a_caller_that_was_cancelled_are_not_another_callers():
    """They come all the same."""
    cancelled, taken = exchange(2)
    cancelled.awaited.cancel()
    assert cancelled.hand_out([b"a", b"b", b"c"]) == [b"c"]
    assert (cancelled.complete, taken) == (True, [[b"a", b"b"]])


async def test_without_a_connection_nothing_is_sent():
    """Whoever cannot wait is told at once."""
    wire = Wire(Connections(Address.parse("redis://nowhere"), name="test"), "writing")
    with pytest.raises(BackendUnavailable, match="writing at .*: there is no connection") as caught:
        wire.send([pack("PING")], lambda _: None)
    assert not caught.value.maybe_executed
