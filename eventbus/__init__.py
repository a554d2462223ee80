"""eventbus: typed events over Redis Streams, with handlers that survive what happens in production."""

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
    "CodecError",
    "ConfigurationError",
    "Context",
    "DecodeError",
    "EncodeError",
    "Event",
    "EventBus",
    "EventBusError",
    "EventTooLarge",
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
