"""The floor between us and redis-py: connections, typed commands, the embedded server; keys and scripts are spelled here alone."""

from eventbus.streams import keys
from eventbus.streams.address import Address
from eventbus.streams.clock import server_time
from eventbus.streams.connections import Connections
from eventbus.streams.entries import (
    Beaten,
    Claimed,
    Copy,
    Destination,
    EntryCommands,
    HandedOver,
    Moved,
    Promoted,
    RawEntry,
)
from eventbus.streams.group import COUNT_LIMIT, Backlog, Ensured, Group, GroupCommands, Member
from eventbus.streams.levels import known_levels, note_levels
from eventbus.streams.ownership import ANOTHER_READING, OwnedEntryCommands, OwnedGroupCommands, OwnedReader, TakenOver
from eventbus.streams.probe import ServerFacts, dangers, probe
from eventbus.streams.reader import Batch, GroupReader
from eventbus.streams.retention import UNSERVED, Trimmed, silences, trim
from eventbus.streams.wire import ANSWER_TIMEOUT, UNFIT, Wire, pack

__all__ = [
    "ANOTHER_READING",
    "ANSWER_TIMEOUT",
    "COUNT_LIMIT",
    "UNFIT",
    "UNSERVED",
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
    "HandedOver",
    "Member",
    "Moved",
    "OwnedEntryCommands",
    "OwnedGroupCommands",
    "OwnedReader",
    "Promoted",
    "RawEntry",
    "ServerFacts",
    "TakenOver",
    "Trimmed",
    "Wire",
    "dangers",
    "keys",
    "known_levels",
    "note_levels",
    "pack",
    "probe",
    "server_time",
    "silences",
    "trim",
]
