"""From an event to its place in a stream."""

from eventbus.publishing.publisher import PublishCounts, Publisher

__all__ = ["PublishCounts", "Publisher"]
