"""Every key eventbus uses in Redis, spelled here and nowhere else.

A stream `t` and its `{t}:…` keys share a hash slot, so that one script may touch them all in a cluster.
Every function takes the stream's name, prefix included, not the topic's.
"""

from __future__ import annotations


def retry(stream: str, group: str) -> str:
    """The stream private to the group: what only this group is to handle again."""
    return f"{{{stream}}}:retry:{group}"


def group(stream: str, group: str) -> str:
    """A hash about the group: `token` (changes when the group is made anew), `service`."""
    return f"{{{stream}}}:group:{group}"


def groups(stream: str) -> str:
    """The set of every group ever created through eventbus on this stream."""
    return f"{{{stream}}}:groups"


def members(stream: str, group: str) -> str:
    """A hash of heartbeats: consumer name to JSON with `time`, `host`, `pid`, `lease`."""
    return f"{{{stream}}}:members:{group}"
