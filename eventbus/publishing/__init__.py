"""From an event to its place in a stream."""

from eventbus.publishing.publisher import Publisher
from eventbus.publishing.waiting import PublishCounts

__all__ = ["PublishCounts", "Publisher"]
