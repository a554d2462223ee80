"""The settler of an idempotent subscription: what it acknowledges is remembered as finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventbus.consuming.settler import Settler

if TYPE_CHECKING:
    from eventbus.consuming.counts import Counts
    from eventbus.consuming.in_hand import InHand
    from eventbus.consuming.marks import Marks
    from eventbus.consuming.membership import Membership
    from eventbus.delivery import Delivery
    from eventbus.streams import EntryCommands


class IdempotentSettler(Settler):
    """Acknowledge entries in batches, and remember their events in the same step.

    Guarantees:
        As `Settler`; and no entry is acknowledged whose event is not remembered. It is remembered whatever became of
        the entry's lease and group: the work is done.
    Survives:
        As `Settler`. At maxmemory nothing is acknowledged: what was handled stays in hand, its lease renewed, until
        there is memory.
    Redis cost:
        One script for up to 500 entries.

    Args:
        commands: As `Settler`.
        membership: As `Settler`.
        in_hand: As `Settler`.
        counts: As `Settler`.
        marks: The group's.
    """

    def __init__(self, commands: EntryCommands, membership: Membership, in_hand: InHand, counts: Counts, marks: Marks) -> None:
        super().__init__(commands, membership, in_hand, counts)
        self._marks = marks

    async def _write(self, batch: list[Delivery], *, private: bool, token: str) -> int | None:
        return await self._marks.finish(batch, private=private, token=token)
