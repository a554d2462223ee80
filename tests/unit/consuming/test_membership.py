"""Joining a group: what is said about a new one, and that saying it never keeps anybody from joining."""

from __future__ import annotations

import asyncio

import pytest

from eventbus.consuming.counts import Counts
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.membership import Membership
from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.streams import Ensured
from tests.support.entries import SETTINGS, subscription


class Commands:
    """A group that is new, on a topic with entries."""

    def __init__(self, *, waiting=3, failure=None):
        self.waiting = waiting
        self.failure = failure
        self.besides = None
        self.token, self.known, self.lease, self.ensured = "token", False, 0.0, []

    async def ensure(self, member, *, start, lost=""):
        self.ensured.append((start, lost, dict(member.types)))
        await asyncio.sleep(0)
        return Ensured(self.token, created=True, known=bool(lost) or self.known, lease=max(self.lease, member.lease))

    async def announce(self, member, *, token):
        return max(self.lease, member.lease) if token == self.token else None

    async def waiting_after(self, entry_id):
        if self.failure:
            raise self.failure
        return self.waiting

    async def unserved(self, service, *, silence, besides):
        self.besides = besides
        return sorted({"billing.old", "billing.second"} - set(besides))


async def handler(event): ...


def member(commands, **options):
    return Membership(subscription(handler), SETTINGS, commands, InHand(1, 1), Counts(), **options)


@pytest.mark.parametrize("failure", [BackendRefused("no permission", code="NOPERM"), BackendUnavailable("no answer")])
async def test_a_group_is_joined_although_nothing_can_be_said_about_it(failure, caplog):
    """The group is there; a user who may not read the topic by range still consumes it."""
    membership = member(Commands(failure=failure))
    await membership.join()
    assert membership.token == "token"
    assert f"the new group orders/charge was created; what waits in its topic is not known: {failure}" in caplog.text


async def test_groups_that_this_bus_is_about_to_serve_are_not_said_to_be_unserved(caplog):
    """At a first start none of them has a member yet."""
    commands = Commands()
    await member(commands, besides={"billing.second"}).join()
    assert commands.besides == {"billing.second"}
    assert "3 entries already in the topic; groups of this service that nobody serves now: billing.old" in caplog.text


@pytest.mark.parametrize(("waiting", "words"), [(1, "1 entry"), (2, "2 entries"), (10_001, "10000+ entries")])
async def test_a_new_group_says_with_how_much_it_begins(waiting, words, caplog):
    """Who renamed a function sees at once that everything is handled again."""
    await member(Commands(waiting=waiting)).join()
    assert f"begins with {words} already in the topic" in caplog.text


async def test_a_new_group_with_nothing_to_do_says_nothing(caplog):
    """The usual first start."""
    await member(Commands(waiting=0)).join()
    assert caplog.text == ""


async def test_a_group_that_was_found_lost_at_a_start_is_said_and_nothing_else(caplog):
    """What waits in the topic is handled again, perhaps: it is no new group."""
    commands = Commands()
    commands.known = True
    await member(commands).join()
    assert [record.getMessage() for record in caplog.records] == [
        "the group orders/charge had been lost in Redis and begins anew, before everything that may be unsettled"
    ]


async def test_joining_declares_the_types_of_the_subscription_and_begins_where_it_says():
    """Before the first read."""
    commands = Commands(waiting=0)
    await member(commands).join()
    assert commands.ensured == [("0", "", {"OrderCreated": 1})]


async def joined(commands):
    membership = member(commands)
    await membership.join()
    commands.ensured.clear()
    return membership


async def test_several_loops_that_find_a_group_lost_heal_it_once(caplog):
    """The others find the new token; the loss is counted and said once."""
    commands = Commands(waiting=0)
    membership = await joined(commands)
    commands.token = "new"
    await asyncio.gather(*(membership.heal("token") for _ in range(5)))
    await membership.heal("token")
    assert commands.ensured == [("0", "token", {"OrderCreated": 1})]
    assert (membership.token, membership._counts.regrouped) == ("new", 1)
    assert caplog.text.count("was lost in Redis and begins anew") == 1


async def test_healing_a_group_that_was_not_lost_after_all_changes_nothing(caplog):
    """A failover came back with it."""
    commands = Commands(waiting=0)
    membership = await joined(commands)
    await membership.heal("token")
    assert (membership.token, membership._counts.regrouped, caplog.text) == ("token", 0, "")


async def test_a_group_that_cannot_be_healed_now_is_healed_by_the_next_who_asks():
    """Redis is gone: the token stays the old one."""
    commands = Commands(waiting=0)
    membership = await joined(commands)
    ensure, commands.token = commands.ensure, "new"

    async def fails(*_, **__):
        raise BackendUnavailable("gone")

    commands.ensure = fails
    with pytest.raises(BackendUnavailable):
        await membership.heal("token")
    commands.ensure = ensure
    await membership.heal("token")
    assert (membership.token, membership._counts.regrouped) == ("new", 1)


async def test_the_largest_lease_of_the_members_counts_here_too_and_is_said_when_it_changes(caplog):
    """Who set two by accident sees it; its own is the least."""
    commands = Commands(waiting=0)
    membership = await joined(commands)
    leases = []
    for lease in (0.0, 60.0, 60.0, 45.0, 0.0):
        commands.lease = lease
        await membership.announce()
        leases.append(membership.lease)
    assert leases == [30, 60, 60, 45, 30]
    assert caplog.text.count("members of the group have different leases; the largest counts for all: 60 s (here 30 s is set)") == 1
    assert caplog.text.count("different leases") == 2 + (": 30 s (here 30 s" in caplog.text)


async def test_a_heartbeat_that_finds_the_group_lost_heals_it():
    """Nothing may be in hand that would find it, and its types are to be declared again."""
    commands = Commands(waiting=0)
    membership = await joined(commands)
    commands.token = "new"
    await membership.announce()
    assert (membership.token, commands.ensured, membership._counts.regrouped) == ("new", [("0", "token", {"OrderCreated": 1})], 1)
