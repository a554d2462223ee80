"""The floor between us and redis-py: connections, typed commands, the embedded server; keys and scripts are spelled here alone."""

from eventbus.streams import broadcasts, keys
from eventbus.streams.address import Address
from eventbus.streams.bookmarks import Bookmark, Gap, StreamFacts
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
from eventbus.streams.entry_ids import ZERO, EntryId, id_after, id_before, parse_id, written_id
from eventbus.streams.group import COUNT_LIMIT, Backlog, Ensured, Group, GroupCommands, Member
from eventbus.streams.levels import known_levels, note_levels
from eventbus.streams.marks import MarkCommands, Start
from eventbus.streams.ownership import ANOTHER_READING, OwnedEntryCommands, OwnedGroupCommands, OwnedMarkCommands, OwnedReader, TakenOver
from eventbus.streams.packing import MOST_VALUES
from eventbus.streams.probe import ServerFacts, dangers, probe
from eventbus.streams.ranges import END, Page, Range
from eventbus.streams.reader import Batch, GroupReader
from eventbus.streams.retention import UNSERVED, Trimmed, foreign_silences, silences, trim
from eventbus.streams.scheduled import Advanced, Schedule, ScheduledRow, load_store, store
from eventbus.streams.stream_reader import StreamReader
from eventbus.streams.wire import ANSWER_TIMEOUT, UNFIT, Turn, Wire, pack

__all__ = [
    "ANOTHER_READING",
    "ANSWER_TIMEOUT",
    "COUNT_LIMIT",
    "END",
    "MOST_VALUES",
    "UNFIT",
    "UNSERVED",
    "ZERO",
    "Address",
    "Advanced",
    "Backlog",
    "Batch",
    "Beaten",
    "Bookmark",
    "Claimed",
    "Connections",
    "Copy",
    "Destination",
    "Ensured",
    "EntryCommands",
    "EntryId",
    "Gap",
    "Group",
    "GroupCommands",
    "GroupReader",
    "HandedOver",
    "MarkCommands",
    "Member",
    "Moved",
    "OwnedEntryCommands",
    "OwnedGroupCommands",
    "OwnedMarkCommands",
    "OwnedReader",
    "Page",
    "Promoted",
    "Range",
    "RawEntry",
    "Schedule",
    "ScheduledRow",
    "ServerFacts",
    "Start",
    "StreamFacts",
    "StreamReader",
    "TakenOver",
    "Trimmed",
    "Turn",
    "Wire",
    "broadcasts",
    "dangers",
    "foreign_silences",
    "id_after",
    "id_before",
    "keys",
    "known_levels",
    "load_store",
    "note_levels",
    "pack",
    "parse_id",
    "probe",
    "server_time",
    "silences",
    "store",
    "trim",
    "written_id",
]
