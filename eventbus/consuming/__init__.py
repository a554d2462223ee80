"""The loops of one subscription in this process."""

from eventbus.consuming.alone import Alone
from eventbus.consuming.consumer import Consumer
from eventbus.consuming.counts import Counts
from eventbus.consuming.instance import Instance
from eventbus.consuming.levels import Slots, levels
from eventbus.consuming.rooms import Rooms

__all__ = ["Alone", "Consumer", "Counts", "Instance", "Rooms", "Slots", "levels"]
