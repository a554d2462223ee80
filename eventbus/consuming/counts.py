"""Plain counters of one consumer, read when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Counts:
    """What happened in this process since it started to consume.

    Attributes:
        fetched: Entries read.
        recovered: Entries read again after a reply was lost.
        handled: Handlers that returned.
        failed: Handlers that raised.
        skipped: Entries of a type no handler names; acknowledged.
        undecodable: Entries that are no event of this program; left pending.
        newer: Events of a version this program does not know yet; left pending.
        cut: Deliveries that the drain's deadline ended; left pending.
        acknowledged: Rows that Redis took out of the group's pending list.
        late_acks: Acknowledgements of rows that were no longer pending.
        orphaned: Settlements that were not written, because the group had begun anew.
        regrouped: Times the group was lost and made anew.
        trimmed: Entries that were cut from the stream while they were pending.
    """

    fetched: int = 0
    recovered: int = 0
    handled: int = 0
    failed: int = 0
    skipped: int = 0
    undecodable: int = 0
    newer: int = 0
    cut: int = 0
    acknowledged: int = 0
    late_acks: int = 0
    orphaned: int = 0
    regrouped: int = 0
    trimmed: int = 0

    def __str__(self) -> str:
        """What is not zero, in words."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return ", ".join(f"{name} {count}" for name, count in found.items() if count) or "nothing happened"
