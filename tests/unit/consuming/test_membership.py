"""Joining a group: what is said about a new one, and that saying it never keeps anybody from joining."""

from __future__ import annotations

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

    async def ensure(self, member, *, start, lost=False):
        return Ensured("token", created=True, known=False, lease=member.lease)

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
