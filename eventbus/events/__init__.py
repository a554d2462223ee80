"""What an event is: classes, topics, envelope, codec. No I/O."""

from eventbus.events.checks import is_count, is_seconds, is_text
from eventbus.events.codec import check_size, decode, encode, entry_parts
from eventbus.events.envelope import Envelope, age, is_attribute
from eventbus.events.event import BigInt, Event, EventInfo, Value, adopt, descendants, identity, info
from eventbus.events.foreign import Debezium, Flat, Foreign, ForeignReader, JsonField, read_foreign, readers_of
from eventbus.events.identity import Identity
from eventbus.events.names import check_name
from eventbus.events.topic import NORMAL, Topic

__all__ = [
    "NORMAL",
    "BigInt",
    "Debezium",
    "Envelope",
    "Event",
    "EventInfo",
    "Flat",
    "Foreign",
    "ForeignReader",
    "Identity",
    "JsonField",
    "Topic",
    "Value",
    "adopt",
    "age",
    "check_name",
    "check_size",
    "decode",
    "descendants",
    "encode",
    "entry_parts",
    "identity",
    "info",
    "is_attribute",
    "is_count",
    "is_seconds",
    "is_text",
    "read_foreign",
    "readers_of",
]
