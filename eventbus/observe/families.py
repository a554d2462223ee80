"""Every metric by its name: what it means, its labels, where its number comes from. Nothing here needs Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventbus.delivery import Reason
from eventbus.events import NORMAL
from eventbus.observe.ledger import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventbus.consuming import Consumer
    from eventbus.observe.ledger import Numbers
    from eventbus.observe.views import CensusView, GroupView
    from eventbus.streams import Wire

GROUP: Final = ("topic", "group")
PRIORITY: Final = "priority"
"""A label behind all others, of topics that have priorities; series of other topics do not have it."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric.

    Attributes:
        name: As it is exposed; a counter's ends in `_total`.
        help: What it counts or shows.
        labels: Their names.
    """

    name: str
    help: str
    labels: tuple[str, ...] = GROUP

    def at(self, *labels: str) -> Series:
        """One series of it."""
        return Series(self.name, labels)

    @property
    def counts(self) -> bool:
        """Whether it is a counter; else a gauge."""
        return self.name.endswith("_total")


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter that is a field of what is counted.

    Attributes:
        family: The metric.
        field: The field's name.
    """

    family: Family
    field: str


OUTCOMES: Final = {"handled": "ack", "retried": "retry", "released": "release", "hopped": "park", "skipped": "skip", "finished": "finished"}
"""Fields of `Counts` that are outcomes; `dead_letter` is the sum of `dead`."""

REASONS: Final = tuple(Reason)
"""Why entries become dead letters. Each is shown as 0 from the start: a series that begins at 1 has no increase."""

HANDLED: Final = Family("eventbus_handled_total", "Deliveries that left this process's hands, by outcome.", (*GROUP, "outcome"))
DEAD_LETTERS: Final = Family("eventbus_dead_letters_total", "Entries this process put among the dead letters.", (*GROUP, "reason"))


def _of_consumer(field: str, name: str, text: str) -> Counted:
    return Counted(Family(f"eventbus_{name}_total", text), field)


OF_CONSUMERS: Final = (
    _of_consumer("fetched", "fetched", "Entries read."),
    _of_consumer("recovered", "recovered", "Entries read again after a reply was lost."),
    _of_consumer("failed", "handler_failures", "Runs of a handler that raised."),
    _of_consumer("rejected", "rejected", "Events that a handler rejected."),
    _of_consumer("timed_out", "handler_timeouts", "Runs of a handler that its timeout ended."),
    _of_consumer("deferred", "deferred", "Events that a handler put off."),
    _of_consumer("twins", "twins", "Deliveries put off because another one of their event was in progress."),
    _of_consumer("promoted", "promoted", "Parked entries that were due and came back."),
    _of_consumer("claimed", "claims", "Entries taken over from a silent consumer."),
    _of_consumer("lease_lost", "lease_lost", "Deliveries in hand whose lease was lost."),
    _of_consumer("late_beats", "late_beats", "Beats that were late because the event loop was blocked."),
    _of_consumer("late_acks", "late_acks", "Acknowledgements of entries that were not pending any more."),
    _of_consumer("trimmed", "trimmed_pending", "Entries that were cut from the stream while they were pending."),
    _of_consumer("regrouped", "regrouped", "Times the group was lost in Redis and made anew."),
    _of_consumer("missed", "broadcast_missed", "Entries that were trimmed while this process's group of a broadcast was gone."),
    _of_consumer("orphaned", "orphaned", "Settlements not written because the group had begun anew."),
    _of_consumer("rescued", "rescued", "Entries of a lost group that were written again so as not to be lost."),
)

OF_PUBLISHER: Final = (
    Counted(Family("eventbus_published_total", "Events that Redis confirmed.", ()), "published"),
    Counted(Family("eventbus_publish_retries_total", "Writes of events that had to be tried again.", ()), "retries"),
    Counted(Family("eventbus_publish_refused_total", "Events that Redis refused.", ()), "refused"),
    Counted(Family("eventbus_publish_given_up_total", "Publishes given up, in time or at the close; they may be there.", ()), "given_up"),
)

OF_JANITOR: Final = (
    Counted(Family("eventbus_trimmed_total", "Settled entries this process trimmed from topics.", ()), "trimmed"),
    Counted(Family("eventbus_trimmed_unsettled_total", "Entries this process cut by a hard cap before they were settled.", ()), "cut"),
)

OF_PROMOTION: Final = (
    Counted(Family("eventbus_scheduled_promoted_total", "Scheduled events this process put into their topics.", ()), "promoted"),
    Counted(Family("eventbus_scheduled_missing_total", "Scheduled events that were deleted by another hand.", ()), "missing"),
    Counted(Family("eventbus_scheduled_mended_total", "Scheduled events that had lost their due times.", ()), "mended"),
)

RECONNECTS: Final = Family("eventbus_reconnects_total", "Times the command connection was made again.", ())
STUCK: Final = Family("eventbus_stuck_handlers", "Handlers that nothing could end when consuming ended; only the process's end does.", ())
RUNNING: Final = Family("eventbus_handlers_running", "Handlers that run now.")
IN_HAND: Final = Family("eventbus_in_hand", "Deliveries in hand: read and not settled yet.")

CUT: Final = Family("eventbus_group_cut_total", "Entries a hard cap cut before the group had settled them, by any process, ever.")
LENGTH: Final = Family("eventbus_topic_length", "Entries in the topic's stream.", ("topic",))
SCHEDULED: Final = Family("eventbus_topic_scheduled", "Events of the topic that are not due yet.", ("topic",))
UNSERVED: Final = Family("eventbus_group_unserved_seconds", "Seconds since anybody served a group that nobody served for a day.")

OF_GROUPS: Final[tuple[tuple[Family, Callable[[GroupView], float | None]], ...]] = (
    (
        Family("eventbus_group_lag", "Entries of the topic the group was not given yet; absent where that is not known."),
        lambda group: group.lag.entries if group.lag.exact else None,
    ),
    (
        Family("eventbus_group_lag_at_least", "The lag where it is known, else the number at which counting stopped."),
        lambda group: group.lag.entries,
    ),
    (
        Family("eventbus_group_lag_unknown", "1 where Redis does not know the lag and it is too long to be counted."),
        lambda group: float(not group.lag.exact),
    ),
    (Family("eventbus_group_pending", "Entries given to a consumer and not settled."), lambda group: group.pending),
    (
        Family("eventbus_group_oldest_pending_age_seconds", "Seconds since the oldest pending entry was written; 0 without any."),
        lambda group: group.oldest_pending,
    ),
    (
        Family("eventbus_group_retry_entries", "Entries in the group's retry stream: released, redriven or due again."),
        lambda group: group.retry_entries,
    ),
    (Family("eventbus_group_parked", "Entries that wait for their time."), lambda group: group.parked),
    (Family("eventbus_group_due", "Parked entries whose time has come."), lambda group: group.due),
    (Family("eventbus_group_dead_letters", "The group's dead letters."), lambda group: group.dead_letters),
    (CUT, lambda group: group.cut),
)

FAMILIES: Final = (
    *(each.family for each in (*OF_PUBLISHER, *OF_CONSUMERS, *OF_JANITOR, *OF_PROMOTION)),
    *(HANDLED, DEAD_LETTERS, RECONNECTS, STUCK, RUNNING, IN_HAND),
    *(family for family, _ in OF_GROUPS),
    *(LENGTH, SCHEDULED, UNSERVED),
)


def count_consumer(consumer: Consumer) -> Numbers:
    """What one consumer has counted."""
    counts, subscription = consumer.counts, consumer.subscription
    place, level = (subscription.topic, subscription.label), _level(subscription.priority)
    dead = dict(counts.dead)  # one step of the interpreter: another thread asks while the event loop counts
    found = _fields(OF_CONSUMERS, counts, (*place, *level))
    found |= {HANDLED.at(*place, outcome, *level): getattr(counts, field) for field, outcome in OUTCOMES.items()}
    found[HANDLED.at(*place, "dead_letter", *level)] = sum(dead.values())
    found |= {DEAD_LETTERS.at(*place, reason, *level): number for reason, number in (dict.fromkeys(REASONS, 0) | dead).items()}
    return found


def count_publisher(counts: object) -> Numbers:
    """What a publisher has counted."""
    return _fields(OF_PUBLISHER, counts, ())


def count_janitor(counts: object) -> Numbers:
    """What a janitor has counted."""
    return _fields(OF_JANITOR, counts, ())


def count_promotion(counts: object) -> Numbers:
    """What the promotion of scheduled events has counted."""
    return _fields(OF_PROMOTION, counts, ())


def count_reconnects(wire: Wire) -> Numbers:
    """How often a connection was made again."""
    return {RECONNECTS.at(): max(0, wire.opened - 1)}


def gauge_consumer(consumer: Consumer) -> Iterator[tuple[Series, int]]:
    """What one consumer does now."""
    place = (consumer.subscription.topic, consumer.subscription.label, *_level(consumer.subscription.priority))
    yield RUNNING.at(*place), consumer.executors.running
    yield IN_HAND.at(*place), len(consumer.in_hand)


def gauge_census(census: CensusView) -> Iterator[tuple[Series, float]]:
    """What groups owe, as this process counted it."""
    for group in census.groups:
        level = _level(group.priority)
        yield LENGTH.at(group.topic, *level), group.length
        if group.priority in (None, NORMAL):  # what is scheduled belongs to the topic, whatever its priority
            yield SCHEDULED.at(group.topic), group.scheduled
        for family, read in OF_GROUPS:
            value = read(group)
            if value is not None:
                yield family.at(group.topic, group.group, *level), value
    for unserved in census.unserved:
        yield UNSERVED.at(unserved.topic, unserved.group, *_level(unserved.priority)), unserved.seconds


def _level(priority: str | None) -> tuple[str, ...]:
    return () if priority is None else (priority,)


def _fields(counted: Sequence[Counted], counts: object, place: tuple[str, ...]) -> dict[Series, int]:
    return {each.family.at(*place): getattr(counts, each.field) for each in counted}
