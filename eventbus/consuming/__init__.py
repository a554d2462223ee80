"""The loops of one subscription in this process."""

from eventbus.consuming.consumer import Consumer
from eventbus.consuming.counts import Counts

__all__ = ["Consumer", "Counts"]
