"""eventbus: typed events over Redis Streams, with handlers that survive what happens in production."""

from eventbus.blocking import BlockingBus
from eventbus.bus import EventBus
from eventbus.delivery import Context, Middleware, Published, Retry
from eventbus.errors import (
    BackendError,
    BackendRefused,
    BackendUnavailable,
    CodecError,
    ConfigurationError,
    DecodeError,
    EncodeError,
    EventBusError,
    EventTooLarge,
    Failed,
    LifecycleError,
    PublishIncomplete,
)
from eventbus.events import BigInt, Event, Flat, Topic, Value
from eventbus.router import Router

__all__ = [
    "BackendError",
    "BackendRefused",
    "BackendUnavailable",
    "BigInt",
    "BlockingBus",
    "CodecError",
    "ConfigurationError",
    "Context",
    "DecodeError",
    "EncodeError",
    "Event",
    "EventBus",
    "EventBusError",
    "EventTooLarge",
    "Failed",
    "Flat",
    "LifecycleError",
    "Middleware",
    "PublishIncomplete",
    "Published",
    "Retry",
    "Router",
    "Topic",
    "Value",
]
