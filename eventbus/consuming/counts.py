"""Plain counters of one consumer, read when somebody asks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields

from eventbus.delivery import Reason


@dataclass(slots=True)
class Counts:
    """What happened in this process since it started to consume.

    Attributes:
        fetched: Entries read.
        recovered: Entries read again after a reply was lost.
        claimed: Entries taken over from consumers that fell silent.
        handled: Handlers that returned.
        failed: Handlers that raised.
        timed_out: Handlers that were cancelled at their timeout.
        rejected: Events that their handler rejected.
        deferred: Events that their handler put off.
        retried: Copies written to be run again.
        released: Copies written so that others start them at once.
        finished: Entries whose event the group had finished before; acknowledged without a run.
        twins: Deliveries put off because another one of their event was in progress.
        skipped: Entries of a type that no member of the group ever declared; acknowledged.
        hopped: Copies parked until a member that knows their type takes them.
        undecodable: Entries that are no event of this program.
        newer: Events of a version this program does not know yet.
        promoted: Copies that became due.
        acknowledged: Rows that Redis took out of the group's pending list.
        late_acks: Acknowledgements of rows that were no longer pending.
        lease_lost: Deliveries whose lease was found to be another's.
        late_beats: Heartbeats of the leases that came too late, since the event loop was blocked.
        orphaned: Successes that were not written, because the group had begun anew.
        rescued: Copies written for events whose group was lost with everything it knew.
        regrouped: Times the group was lost and made anew.
        missed: Entries of a broadcast that were trimmed while its group was gone, as far as the server can tell.
        trimmed: Entries that were cut from the stream before they were settled.
        dead: Dead letters written, by reason.
    """

    fetched: int = 0
    recovered: int = 0
    claimed: int = 0
    handled: int = 0
    failed: int = 0
    timed_out: int = 0
    rejected: int = 0
    deferred: int = 0
    retried: int = 0
    released: int = 0
    finished: int = 0
    twins: int = 0
    skipped: int = 0
    hopped: int = 0
    undecodable: int = 0
    newer: int = 0
    promoted: int = 0
    acknowledged: int = 0
    late_acks: int = 0
    lease_lost: int = 0
    late_beats: int = 0
    orphaned: int = 0
    rescued: int = 0
    regrouped: int = 0
    missed: int = 0
    trimmed: int = 0
    dead: Counter[Reason] = field(default_factory=Counter[Reason])

    def __str__(self) -> str:
        """What is not zero, in words."""
        found = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "dead"}
        words = [f"{name} {count}" for name, count in found.items() if count]
        words += [f"dead {reason} {count}" for reason, count in self.dead.items()]
        return ", ".join(words) or "nothing happened"
