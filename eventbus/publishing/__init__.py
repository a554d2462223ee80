"""From an event to its place in a stream."""

from eventbus.publishing.counts import PublishCounts
from eventbus.publishing.publisher import Publisher, several

__all__ = ["PublishCounts", "Publisher", "several"]
