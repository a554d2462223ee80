"""Every key eventbus uses in Redis, spelled here and nowhere else.

A stream `t` and its `{t}:…` keys share a hash slot, so that one script may touch them all in a cluster.
Every function takes the stream's name, prefix included, not the topic's. The stream of a priority, `{t}:p:high`, is a
stream like any other: what belongs to it begins with its name.
"""

from __future__ import annotations

from eventbus.events import NORMAL


def level(stream: str, priority: str) -> str:
    """The stream of one priority of a topic; the topic's own for `NORMAL`."""
    return stream if priority == NORMAL else f"{{{stream}}}:p:{priority}"


def _of(stream: str) -> str:
    """What the keys that belong to a stream begin with. No topic's name has a brace."""
    return stream if stream.startswith("{") else f"{{{stream}}}"


def topic(stream: str) -> str:
    """The topic's own stream, given that of any of its priorities."""
    return stream[1 : stream.index("}")] if stream.startswith("{") else stream


def retry(stream: str, group: str) -> str:
    """The stream private to the group: what only this group is to handle again."""
    return f"{_of(stream)}:retry:{group}"


def parked(stream: str, group: str) -> str:
    """The stream of copies that wait for their time; `due` holds the times."""
    return f"{_of(stream)}:parked:{group}"


def due(stream: str, group: str) -> str:
    """A sorted set: the id of a parked copy to the server's milliseconds at which it is due."""
    return f"{_of(stream)}:due:{group}"


def dead(stream: str, group: str) -> str:
    """The stream of the group's dead letters."""
    return f"{_of(stream)}:dead:{group}"


def replay(stream: str, group: str) -> str:
    """A hash: the group's replay, one at a time.

    `id` (random) · `from`, `to` (as asked) · `begin`, `until` (the ids it covers) · `cursor` (the next entry to copy) ·
    `copied`, `pending`, `large`, `cutfrom`, `cutto` (what became of the entries so far) · `first`, `removed`, `unread` (what
    was seen when it began) · `begun`, `at`, `done` (milliseconds: when it began, went on, was done).
    """
    return f"{_of(stream)}:replay:{group}"


def types(stream: str, group: str) -> str:
    """A hash: each event type a member of the group ever declared, to its highest version."""
    return f"{_of(stream)}:types:{group}"


def done(stream: str, group: str) -> str:
    """A sorted set: the id of each event that the group has finished, to the server's milliseconds until which that counts.

    One for all priorities of a topic: an event is finished in all of them.
    """
    return f"{{{topic(stream)}}}:done:{group}"


def doing(stream: str, group: str) -> str:
    """A hash: the id of each event in progress, to where its delivery stands: stream, entry id, consumer. As `done`, one for all."""
    return f"{{{topic(stream)}}}:doing:{group}"


def group(stream: str, group: str) -> str:
    """A hash about the group.

    `token` (changes when the group is made anew) · `service` · `lease` (milliseconds, the largest of the
    living members; `loweredat`: from when on it may be lowered) · `watermark` (everything before this id was
    settled, as the last trim saw it) · `healed` (milliseconds: when something of the group was last found
    lost) · `begun` (for its first lease: the token with which a new group began elsewhere than at 0;
    `begunat`: milliseconds, when) · `served` (milliseconds: the last heartbeat of any member) · `cut` (entries a
    hard cap cut before they were settled) · `broadcast` (of a group that is one process of a broadcast: the name they share)
    · `ordered` ("1" where one member owns the group).
    """
    return f"{_of(stream)}:group:{group}"


def once(stream: str, key: str) -> str:
    """What remembers an idempotency key: the entry id, the due time and the event id of what was stored with it."""
    return f"{{{topic(stream)}}}:once:{key}"


def scheduled(stream: str) -> str:
    """The stream of a topic's events that are not due yet, of all its priorities; each names its own in our block."""
    return f"{{{topic(stream)}}}:scheduled"


def scheduled_due(stream: str) -> str:
    """A sorted set: the id of a scheduled entry, its second number with ten digits, to the server's milliseconds of its due time."""
    return f"{{{topic(stream)}}}:scheduled:due"


def scheduled_ids(stream: str) -> str:
    """A hash: the event id of a scheduled entry to its id, as in `scheduled_due`."""
    return f"{{{topic(stream)}}}:scheduled:ids"


def scheduled_wake(stream: str) -> str:
    """A stream of one entry, written when something is scheduled before all else: those who promote wait for it.

    It goes a day after the last; while it stands, or `scheduled_due` does, the topic is one that is listened to.
    """
    return f"{{{topic(stream)}}}:scheduled:wake"


def owner(stream: str, group: str) -> str:
    """A hash: the one consumer of an ordered group that reads and settles.

    `consumer` · `token` (the epoch: random, another one at each change) · `lease` (milliseconds) · `until`, `since` (the
    server's milliseconds) · `reader` (the reading whose reads are executed). It goes with the group's token.
    """
    return f"{_of(stream)}:owner:{group}"


def free(stream: str, group: str) -> str:
    """A list with one element for a moment after an ordered group was given up: it wakes who stands by."""
    return f"{_of(stream)}:free:{group}"


def attempts(stream: str, group: str) -> str:
    """A hash: the ids of a stream's entries that an ordered group waits for, to the runs of their handler that failed."""
    return f"{_of(stream)}:attempts:{group}"


def groups(stream: str) -> str:
    """The set of every group ever created through eventbus on this stream."""
    return f"{_of(stream)}:groups"


def levels(stream: str) -> str:
    """A sorted set: the priorities of the topic, by their urgency. Of the topic's own stream only."""
    return f"{_of(stream)}:levels"


def members(stream: str, group: str) -> str:
    """A hash of heartbeats: consumer name to JSON with `time`, `service`, `host`, `pid`, `lease`."""
    return f"{_of(stream)}:members:{group}"
