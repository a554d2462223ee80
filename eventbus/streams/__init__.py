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
from eventbus.streams.once import OnceCommands, Start
from eventbus.streams.packing import MOST_VALUES
from eventbus.streams.probe import ServerFacts, dangers, probe
from eventbus.streams.reader import Batch, GroupReader
from eventbus.streams.retention import UNSERVED, Trimmed, silences, trim
from eventbus.streams.scheduled import Advanced, Schedule, ScheduledRow, load_store, store
from eventbus.streams.wire import ANSWER_TIMEOUT, UNFIT, Turn, Wire, pack

__all__ = [
    "ANSWER_TIMEOUT",
    "COUNT_LIMIT",
    "MOST_VALUES",
    "UNFIT",
    "UNSERVED",
    "Address",
    "Advanced",
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
    "OnceCommands",
    "Promoted",
    "RawEntry",
    "Schedule",
    "ScheduledRow",
    "ServerFacts",
    "Start",
    "Trimmed",
    "Turn",
    "Wire",
    "dangers",
    "keys",
    "known_levels",
    "load_store",
    "note_levels",
    "pack",
    "probe",
    "server_time",
    "silences",
    "store",
    "trim",
]
