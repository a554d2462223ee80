"""Looks at streams and groups; replays, settles dead letters, renames and gives up groups, trims by hand."""

from eventbus.admin.admin import Admin
from eventbus.admin.census import Census
from eventbus.admin.counting import GroupCensus, Unserved
from eventbus.admin.dead_letters import DeadLetters, Discarded, Redriven
from eventbus.admin.follow import Followed, Follower
from eventbus.admin.group_changes import Owed
from eventbus.admin.lag import LAG_LIMIT
from eventbus.admin.letters import DeadEntry, DeadLetter, Filter
from eventbus.admin.ranges import Moment
from eventbus.admin.records import (
    ConsumerInfo,
    DeadGroup,
    Entry,
    GroupInfo,
    Lag,
    PendingEntry,
    PendingInfo,
    ServerInfo,
    TopicInfo,
    TopicSummary,
)
from eventbus.admin.replays import Replayed
from eventbus.admin.replies import before
from eventbus.admin.scheduled import ScheduledEvent, ScheduledInfo

__all__ = [
    "LAG_LIMIT",
    "Admin",
    "Census",
    "ConsumerInfo",
    "DeadEntry",
    "DeadGroup",
    "DeadLetter",
    "DeadLetters",
    "Discarded",
    "Entry",
    "Filter",
    "Followed",
    "Follower",
    "GroupCensus",
    "GroupInfo",
    "Lag",
    "Moment",
    "Owed",
    "PendingEntry",
    "PendingInfo",
    "Redriven",
    "Replayed",
    "ScheduledEvent",
    "ScheduledInfo",
    "ServerInfo",
    "TopicInfo",
    "TopicSummary",
    "Unserved",
    "before",
]
