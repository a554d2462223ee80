"""Owning a group: what is given up, when, and what becomes of it."""

from __future__ import annotations

import asyncio
import math

import pytest

from eventbus.consuming.counts import Counts
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.ownership import SOONEST, Ownership
from eventbus.delivery import Health
from eventbus.errors import BackendUnavailable
from eventbus.streams import Ensured
from eventbus.streams.ownership import Taken
from tests.support.entries import SETTINGS, delivery, subscription

LEASE = SETTINGS.lease


class Commands:
    """A group that is free, until told otherwise."""

    def __init__(self):
        self.token, self.taken, self.asked, self.released, self.standing = "token", True, [], [], False
        self.left, self.owner = 0.0, "other"

    async def ensure(self, member, *, start, lost=""):
        return Ensured(self.token, created=False, known=True, lease=member.lease)

    async def announce(self, member, *, token):
        return member.lease if token == self.token else None

    async def take(self, epoch, *, lease, token, latest):
        self.asked.append((epoch, latest))
        if token != self.token:
            return Taken(taken=False, regrouped=True, owner="", left=0.0, now=1000.0)
        return Taken(taken=self.taken, regrouped=False, owner=self.owner, left=self.left, now=1000.0)

    async def release(self, epoch, *, silence):
        self.released.append(epoch)
        return True

    async def leave(self):
        return 0

    async def stands(self, entry_id, fields, *, private):
        return self.standing


class Place:
    """A member of an ordered group, with what it tells others."""

    def __init__(self, handler=None):
        self.commands, self.in_hand, self.counts = Commands(), InHand(10, 2), Counts()
        self.lost, self.rescued, self.taken, self.grace = [], [], 0, False
        self.own = Ownership(subscription(handler or handle, ordered=True), SETTINGS, self.commands, self.in_hand, self.counts)
        self.own.attach(lose=self.lost.append, rescue=self.rescue, grace=lambda: self.grace, taken=self.count)

    def count(self):
        self.taken += 1

    async def rescue(self, orphans):
        self.rescued += orphans

    async def owning(self):
        """It joined and owns the group."""
        await self.own.join()
        assert await self.own.take() is None
        return self

    def hold(self, token=None):
        held = delivery(token=self.own.token if token is None else token)
        self.in_hand.take(held)
        return held


async def handle(event): ...


@pytest.fixture
async def place():
    made = Place()
    yield made
    await made.own.leave(busy=True)


async def test_a_member_that_joined_stands_by(place):
    await place.own.join()
    assert (place.own.token, place.own.health) == ("", Health.STANDBY)


async def test_a_free_group_is_owned_under_a_new_epoch_each_time(place):
    await place.owning()
    first = place.own.token
    place.own.resign(first)
    await place.own.take()
    assert place.own.token not in ("", first, "token")
    assert (place.own.health, place.taken) == (Health.RUNNING, 2)


async def test_whoever_stands_by_asks_again_when_the_owners_lease_is_over_or_its_interval(place):
    await place.own.join()
    place.commands.taken, place.commands.left = False, 0.7
    assert await place.own.take() == 0.7
    place.commands.left = 1000.0
    assert 0 < await place.own.take() <= SETTINGS.claim_interval
    place.commands.left = 0.0
    assert await place.own.take() == SOONEST


async def test_an_owner_whose_lease_ran_out_is_taken_over_only_by_whoever_knows_the_time_and_gives_no_grace(place):
    """As a claim: what was held up while owners could not renew is not executed."""
    await place.own.join()
    place.commands.taken = False
    await place.own.take()
    await place.own.take()
    place.grace = True
    await place.own.take()
    assert [latest for _, latest in place.commands.asked][::2] == [0.0, 0.0]
    assert place.commands.asked[1][1] == pytest.approx(1000.0 + LEASE / 6, abs=1.0)


async def test_everything_is_given_up_in_one_step(place):
    """All of it is lost before any that waits could start."""
    await place.owning()
    held, seen = [place.hold(), place.hold()], []
    place.own._lose = lambda each: seen.append([each.lost for each in held])
    place.own.resign(place.own.token)
    assert (seen, place.own.token, place.counts.lease_lost) == ([[True, True]] * 2, "", 2)


async def test_what_is_held_under_another_epoch_is_let_alone(place):
    await place.owning()
    place.hold("earlier")
    place.own.resign("earlier")
    assert (place.own.token != "", place.lost) == (True, [])


async def test_a_renewal_confirms_everything_that_is_held_under_it(place):
    await place.owning()
    ours, other = place.hold(), place.hold("earlier")
    sent = asyncio.get_running_loop().time()
    place.own.confirm(place.own.token, sent)
    assert (place.own.confirmed, ours.confirmed, other.confirmed) == (sent, sent, 0.0)


async def test_an_ownership_that_was_not_renewed_for_a_lease_is_given_up_by_its_own_clock(place):
    """Redis lets nobody else have it before: its lease is counted from when the renewal came, and this from when it was sent."""
    await place.owning()
    held = place.hold()
    given_up = asyncio.Event()
    place.own._lose = lambda each: given_up.set()
    place.own.confirm(place.own.token, asyncio.get_running_loop().time() - LEASE)
    await given_up.wait()
    assert (held.lost, place.own.token) == (True, "")


async def test_a_renewal_of_an_earlier_epoch_renews_nothing(place):
    await place.owning()
    before = place.own.confirmed
    place.own.confirm("earlier", math.inf)
    assert place.own.confirmed == before


async def test_what_was_given_up_is_rescued_where_the_group_was_lost_and_its_entry_with_it(place):
    """Nothing in Redis knows it any more."""
    await place.owning()
    held = place.hold()
    place.commands.token = "another"
    await place.own.heal(place.own.token)
    assert (place.rescued, place.own.group_token, place.counts.regrouped) == ([held], "another", 1)
    await place.own.heal("")
    assert place.rescued == [held]


@pytest.mark.parametrize("why", ["another owns it", "its entry stands"])
async def test_what_is_pending_for_the_next_owner_is_not_rescued(place, why):
    await place.owning()
    place.hold()
    if why == "its entry stands":
        place.commands.token, place.commands.standing = "another", True
    await place.own.heal(place.own.token)
    assert (len(place.lost), place.rescued) == (1, [])


async def test_a_rescue_that_fails_is_made_again(place):
    await place.owning()
    held = place.hold()
    fails = [BackendUnavailable("no answer")]

    async def rescue(orphans):
        if fails:
            raise fails.pop()
        place.rescued += orphans

    place.own._rescue = rescue
    place.commands.token = "another"
    with pytest.raises(BackendUnavailable):
        await place.own.heal(place.own.token)
    await place.own.announce()
    assert place.rescued == [held]


async def test_a_heartbeat_that_is_answered_does_not_tell_that_the_group_stands(place):
    """Where only the topic was deleted its hash still has the token."""
    await place.owning()
    held = place.hold()
    place.own.resign(place.own.token)
    await place.own.announce()
    place.commands.token = "another"
    await place.own.heal("")
    assert place.rescued == [held]


async def test_what_was_given_up_is_forgotten_once_the_group_was_seen_to_stand(place):
    await place.owning()
    place.hold()
    place.own.resign(place.own.token)
    place.own.stands()
    place.commands.token = "another"
    await place.own.heal("")
    assert place.rescued == []


async def test_a_lost_group_is_found_by_the_heartbeat_too_and_is_not_owned_any_more(place):
    await place.owning()
    held = place.hold()
    place.commands.token = "another"
    await place.own.announce()
    assert (place.own.token, place.lost, place.rescued) == ("", [held], [held])


async def test_a_lost_group_that_is_to_be_taken_is_made_anew_first(place):
    await place.own.join()
    place.commands.token = "another"
    assert await place.own.take() == SOONEST
    assert await place.own.take() is None


async def test_a_group_is_given_up_at_the_end_but_not_beside_a_handler_that_runs_on():
    for busy, released in ((False, 1), (True, 0)):
        place = await Place().owning()
        await place.own.leave(busy=busy)
        assert (len(place.commands.released), place.own.token) == (released, "")
