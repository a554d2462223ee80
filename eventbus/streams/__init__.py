"""The only floor that speaks Redis: connections, keys, typed commands, scripts, the embedded server."""

from eventbus.streams import keys
from eventbus.streams.address import Address
from eventbus.streams.connections import Connections
from eventbus.streams.entries import (
    Beaten,
    Claimed,
    Copy,
    Destination,
    EntryCommands,
    Moved,
    Promoted,
    RawEntry,
    Recovered,
)
from eventbus.streams.group import COUNT_LIMIT, Backlog, Ensured, Group, GroupCommands, Member
from eventbus.streams.probe import ServerFacts, dangers, probe
from eventbus.streams.reader import Batch, GroupReader
from eventbus.streams.retention import Trimmed, trim
from eventbus.streams.wire import ANSWER_TIMEOUT, Wire, pack

__all__ = [
    "ANSWER_TIMEOUT",
    "COUNT_LIMIT",
    "Address",
    "Backlog",
    "Batch",
    "Beaten",
    "Claimed",
    "Connections",
    "Copy",
    "Destination",
    "Ensured",
    "EntryCommands",
    "Group",
    "GroupCommands",
    "GroupReader",
    "Member",
    "Moved",
    "Promoted",
    "RawEntry",
    "Recovered",
    "ServerFacts",
    "Trimmed",
    "Wire",
    "dangers",
    "keys",
    "pack",
    "probe",
    "trim",
]
