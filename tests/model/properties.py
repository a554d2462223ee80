"""What must hold, whatever happens."""

from enum import Enum


class Property(Enum):
    """A promise that every state of a model is held against."""

    PLACE = "an event has a place until it is handled"
    """In a stream where it will be read, pending, parked, a dead letter, or handled. Else it is lost."""
    ONE_COPY = "an event has one copy in a group"
    """A second one would run it twice. Only the loss of a group by the server may make one."""
    FEW_COPIES = "the loss of a group makes no copies without end"
    """One more for each delivery that was in hand."""
    ONE_RUN = "an event runs in one place at a time"
    """Except where a worker that was paused has not found out yet."""
    NO_RERUN = "what succeeded does not run again"
    """Except after a death or a pause."""
    KEPT_LEASE = "what a living worker holds is not taken from it"
    """Living: it turns, and reaches the server whenever anybody does."""
    TAKEN_OVER = "what a dead worker held is taken over in time"
    ATTEMPTS = "only runs that failed count as attempts"
    INNOCENT = "an event that kills nobody is not dead-lettered for crashes"
    POISON = "an event that kills its process is stopped by its budget"
    SERVED = "an event is not given up beside a member that knows it"
    ORDER = "events of a key start one at a time, and none after a later one"
    """Except beside a process that is frozen in the midst of one."""
    DRAINS = "everything can be settled from everywhere"
    """Without a further fault. Else something is stranded."""
