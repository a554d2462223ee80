"""Reading again what a lost reply brought: all of it, and nothing that is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from eventbus.consuming.counts import Counts
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.intake import Intake
from eventbus.consuming.recovery import Recovery
from eventbus.consuming.work import Work
from eventbus.errors import BackendRefused
from tests.support.entries import delivery, subscription


async def handler(event): ...


class Server:
    """Own pending rows of both streams, told in pages of two."""

    def __init__(self, topic=(), private=()):
        self.rows = {False: list(topic), True: list(private)}
        self.asked, self.fails, self.cut = [], None, set()

    async def held(self, *, private, after):
        rest = [each for each in self.rows[private] if after is None or each > after]
        return rest[:2]

    async def recover(self, ids, *, private):
        self.asked.append((list(ids), private))
        if self.fails:
            raise self.fails
        return len(ids), [(each, None if each in self.cut else [b"a", b"1"], 1) for each in ids]


class Office:
    """A recovery with everything around it."""

    def __init__(self, server):
        self.server, self.in_hand, self.work, self.counts = server, InHand(10, 10), Work(), Counts()
        self.membership = SimpleNamespace(token="token", about={})
        intake = Intake(subscription(handler), self.in_hand, self.work, self.counts)
        self.recovery = Recovery(server, self.membership, self.in_hand, intake, self.counts)


async def test_everything_this_consumer_holds_and_does_not_know_is_taken_in_hand(caplog):
    """In pages, of both streams; its start is counted first, since it may have been lost before."""
    office = Office(Server([b"1-0", b"2-0", b"3-0", b"4-0"], [b"5-0"]))
    office.in_hand.take(delivery(entry_id=b"2-0"))
    await office.recovery.run_once()
    assert office.server.asked == [([b"1-0"], False), ([b"3-0", b"4-0"], False), ([b"5-0"], True)]
    assert sorted(each.entry_id for each in office.work.clear()) == [b"1-0", b"3-0", b"4-0", b"5-0"]
    assert office.counts.recovered == 4
    assert all(each.marked_first for each in office.in_hand if each.entry_id != b"2-0")
    assert "entries whose reply was lost were read again" in caplog.text


async def test_where_everything_is_known_nothing_is_asked_and_nothing_said(caplog):
    """After each reconnect of an idle consumer."""
    office = Office(Server([b"1-0"]))
    office.in_hand.take(delivery(entry_id=b"1-0"))
    await office.recovery.run_once()
    assert (office.server.asked, office.counts.recovered, caplog.text) == ([], 0, "")


async def test_what_is_in_hand_under_an_older_token_is_read_again_and_adopted():
    """Its row is there: the delivery goes on, and none is added."""
    office = Office(Server([b"1-0"]))
    held = delivery(entry_id=b"1-0", token="old")
    held.fields = [b"a", b"1"]
    office.in_hand.take(held)
    await office.recovery.run_once()
    assert (held.token, len(office.in_hand), len(office.work), office.counts.recovered) == ("token", 1, 0, 0)


async def test_what_was_cut_meanwhile_is_counted_and_the_rest_taken():
    """Its tombstone is written by whoever claims it."""
    server = Server([b"1-0", b"2-0"])
    server.cut = {b"1-0"}
    office = Office(server)
    await office.recovery.run_once()
    assert (office.counts.trimmed, office.counts.recovered) == (1, 1)


async def test_a_lost_group_is_raised_to_who_heals_it():
    """Nothing may be taken for settled."""
    server = Server([b"1-0"])
    server.fails = BackendRefused("gone", code="NOGROUP")
    with pytest.raises(BackendRefused):
        await Office(server).recovery.run_once()
