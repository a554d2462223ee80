"""Looks at streams and groups, and changes nothing."""

from eventbus.admin.admin import Admin
from eventbus.admin.follow import Followed, Follower
from eventbus.admin.lag import LAG_LIMIT
from eventbus.admin.records import (
    ConsumerInfo,
    Entry,
    GroupInfo,
    Lag,
    PendingEntry,
    PendingInfo,
    ServerInfo,
    TopicInfo,
    TopicSummary,
)
from eventbus.admin.replies import before

__all__ = [
    "LAG_LIMIT",
    "Admin",
    "ConsumerInfo",
    "Entry",
    "Followed",
    "Follower",
    "GroupInfo",
    "Lag",
    "PendingEntry",
    "PendingInfo",
    "ServerInfo",
    "TopicInfo",
    "TopicSummary",
    "before",
]
