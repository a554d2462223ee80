"""Reading topics without a group: what comes, and what is there."""

from eventbus.reading.history import History
from eventbus.reading.reading import Reading
from eventbus.reading.readings import Readings
from eventbus.reading.tail import Tail

__all__ = [
    "History",
    "Reading",
    "Readings",
    "Tail",
]
