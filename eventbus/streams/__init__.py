"""The only floor that speaks Redis: connections, keys, typed commands, scripts, the embedded server."""

from eventbus.streams import keys
from eventbus.streams.address import Address
from eventbus.streams.border import mapped
from eventbus.streams.connections import Connections
from eventbus.streams.group import COUNT_LIMIT, Backlog, Batch, Ensured, Group, GroupCommands, GroupReader, RawEntry
from eventbus.streams.probe import ServerFacts, dangers, probe
from eventbus.streams.wire import Wire, pack

__all__ = [
    "COUNT_LIMIT",
    "Address",
    "Backlog",
    "Batch",
    "Connections",
    "Ensured",
    "Group",
    "GroupCommands",
    "GroupReader",
    "RawEntry",
    "ServerFacts",
    "Wire",
    "dangers",
    "keys",
    "mapped",
    "pack",
    "probe",
]
