"""What an event is: classes, topics, envelope, codec. No I/O."""

from eventbus.events.checks import is_count, is_seconds, is_text
from eventbus.events.codec import Flat, check_size, decode, decode_flat, encode, entry_parts
from eventbus.events.envelope import Envelope, age, is_attribute
from eventbus.events.event import BigInt, Event, EventInfo, Value, adopt, descendants, identity, info
from eventbus.events.identity import Identity
from eventbus.events.names import check_name
from eventbus.events.topic import NORMAL, Topic

__all__ = [
    "NORMAL",
    "BigInt",
    "Envelope",
    "Event",
    "EventInfo",
    "Flat",
    "Identity",
    "Topic",
    "Value",
    "adopt",
    "age",
    "check_name",
    "check_size",
    "decode",
    "decode_flat",
    "descendants",
    "encode",
    "entry_parts",
    "identity",
    "info",
    "is_attribute",
    "is_count",
    "is_seconds",
    "is_text",
]
