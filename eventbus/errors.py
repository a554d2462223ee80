"""Every error eventbus raises, in one tree; each branch is a different reaction of the reader.

    EventBusError
    ├── ConfigurationError      change the program or its settings; nothing was written
    ├── LifecycleError          call in another order: before open, after close, twice
    ├── CodecError              change the value, or look at the entry
    │   ├── EncodeError         an event that cannot be published; nothing was written
    │   │   └── EventTooLarge
    │   └── DecodeError         an entry that is no event of this program
    ├── BackendError            Redis
    │   ├── BackendUnavailable  no answer: it may or may not have been executed
    │   ├── BackendRefused      Redis answered with an error: it was not executed
    │   │   └── EntryIdTooLow   an entry id that is not above the last one of its stream
    │   ├── DurabilityNotReached the event is written, and not (yet) as durable as was asked
    │   └── PublishIncomplete   some events of a batch are not known to be written
    ├── AdminError              what an operator asked for was not done; nothing was changed
    │   ├── NotFound            there is no such topic, group or dead letter, or what was asked for is not kept
    │   ├── GroupInUse          the group is served, or has something to do
    │   └── ReplayUnfinished    another replay of the group stands there
    └── Signal                  raised by a handler, to say what becomes of its event
        ├── RetryLater          handle it again after so many seconds
        └── Reject              dead-letter it now

No message holds a payload, a password or a whole url.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class EventBusError(Exception):
    """The root: `except EventBusError` catches whatever this library raises on purpose."""


class ConfigurationError(EventBusError):
    """The program, its settings or its environment must change before it can work. Nothing was written."""


class LifecycleError(EventBusError):
    """The bus was used before it was opened, after it was closed, or opened twice. Nothing was written."""


class CodecError(EventBusError):
    """A value could not become an entry, or an entry could not become an event."""


class EncodeError(CodecError):
    """The event or its headers cannot be published. Nothing was written."""


class EventTooLarge(EncodeError):
    """The entry would be larger than `max_event_bytes`. Nothing was written."""


class DecodeError(CodecError):
    """An entry is damaged, or is no event of this program."""


class BackendError(EventBusError):
    """Redis did not do what was asked."""


class BackendUnavailable(BackendError):
    """Redis gave no answer in time.

    Attributes:
        event_id: The id of the event that was being published, else None. Publishing the same event
            object again keeps this id, so that consumers can tell a second copy from a second event.
        maybe_executed: False where the command certainly never reached Redis; True where it may or may
            not have been executed.
    """

    def __init__(self, message: str, *, event_id: str | None = None, maybe_executed: bool = True) -> None:
        super().__init__(message)
        self.event_id = event_id
        self.maybe_executed = maybe_executed


class BackendRefused(BackendError):
    """Redis answered with an error: the command was not executed.

    Attributes:
        code: The first word of Redis's answer: `OOM`, `WRONGTYPE`, `NOGROUP`, `NOPERM`, …
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class EntryIdTooLow(BackendRefused):
    """An event was published with an entry id that is not above every one its stream ever had. It was not written.

    Attributes:
        last: The last id of the stream.
    """

    def __init__(self, message: str, *, last: str) -> None:
        super().__init__(message, code="IDTOOLOW")
        self.last = last


class DurabilityNotReached(BackendError):
    """The event was written, and did not become as durable as was asked in the time given.

    The primary confirmed it; if that server fails now, it may be gone. It was not taken back: consumers
    may see it. The same event object is safe to publish again, since its id stays the same.

    Attributes:
        event_id: The event's id.
        published: The primary's confirmation, a `Published`.
        wanted: What was asked for: "fsync", or a `Replicated`.
        reached: How many replicas are known to have it (for "fsync": disks, so 0); a lower bound.
    """

    def __init__(self, message: str, *, published: Any, wanted: Any, reached: int) -> None:
        super().__init__(message)
        self.event_id: str = published.event_id
        self.published = published
        self.wanted = wanted
        self.reached = reached


@dataclass(frozen=True, slots=True)
class Failed:
    """One event of a batch that is not known to be written.

    Attributes:
        index: Its place in the batch.
        event: The event object; publishing it again keeps its id.
        error: What happened to it.
    """

    index: int
    event: Any
    error: BackendError


class PublishIncomplete(BackendError):
    """Some events of a `publish_many` are not known to be written.

    Attributes:
        written: A `Published` for each event that Redis confirmed.
        refused: Events that were certainly not written: Redis refused them, or never got them in time, which the
            `.error` of each tells. They need publishing again as much as the others.
        unknown: Events that may or may not have been written; they are safe to publish again, since the
            event id stays the same.
    """

    def __init__(self, *, written: Sequence[Any], refused: Sequence[Failed], unknown: Sequence[Failed]) -> None:
        first = min((*refused, *unknown), key=lambda each: each.index)
        super().__init__(
            f"{len(written)} events were written, {len(refused)} were not, {len(unknown)} are unknown; "
            f"the first that failed is number {first.index}: {first.error}"
        )
        self.written = tuple(written)
        self.refused = tuple(refused)
        self.unknown = tuple(unknown)


class AdminError(EventBusError):
    """What was asked of `bus.admin` cannot be done as things are. Nothing was changed."""


class NotFound(AdminError):
    """There is no such topic, group or dead letter; or nothing of a range is kept any more."""


class GroupInUse(AdminError):
    """The group is served by somebody, or has something to do that the change would leave behind."""


class ReplayUnfinished(AdminError):
    """Another replay of the group was begun and is not done; or, while one runs, another was begun in its place."""


class Signal(EventBusError):
    """A handler raises one to say what becomes of its event; it is no failure of the handler."""


class RetryLater(Signal):
    """Handle the event again after some time, whatever the retry policy's delays are.

    Args:
        after: Seconds, or a timedelta, until the event is due; 0 for at once.
        count: Whether this run counts as an attempt. Default True: the policy's number of attempts still
            ends it in the dead letters. With False it may be put off for ever.

    Raises:
        ConfigurationError: `after` is no number of seconds from 0.
    """

    def __init__(self, after: float | timedelta, *, count: bool = True) -> None:
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        if not _is_span(seconds):
            raise ConfigurationError(f"RetryLater({after!r}): give seconds from 0, or a timedelta")
        super().__init__(f"handle again after {seconds:g} s")
        self.after = float(seconds)
        self.count = count


class Reject(Signal):
    """Dead-letter the event now: no retry will make it better.

    Args:
        reason: Why, for the dead letter. It is kept in Redis, and not logged.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "rejected by its handler")
        self.reason = reason


def _is_span(value: object) -> bool:
    """A finite number from 0; annotations promise nothing about what a program hands in."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
