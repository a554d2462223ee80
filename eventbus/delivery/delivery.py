"""One handing-over of an entry to this process."""

from __future__ import annotations

from dataclasses import dataclass

from eventbus.delivery.carried import FRESH, Carried


@dataclass(slots=True, eq=False)
class Delivery:
    """An entry as it was read, with what is needed to settle it. Compared by identity.

    Attributes:
        entry_id: Its id in the stream it was read from.
        fields: Its original names and values.
        private: It stands in the group's private stream, not in the topic's.
        token: The group's token that was known when its read was sent.
        confirmed: When the read, claim, mark or beat was sent that renewed its lease last; the event loop's time.
        carried: What travelled with it in the private stream.
        count: Redis's delivery count when it came, before a mark of ours.
        claimed: It was taken over, read again after its reply was lost, or promoted to a member that knows its type: its
            start is marked.
        lost: Its lease was found to be another's.
        cut: Its entry was cut from the stream: what this process holds is all there is.
        settling: Its handler has ended, and what became of it is being written.
    """

    entry_id: bytes
    fields: list[bytes]
    private: bool
    token: str
    confirmed: float = 0.0
    carried: Carried = FRESH
    count: int = 1
    claimed: bool = False
    lost: bool = False
    cut: bool = False
    settling: bool = False

    @property
    def origin(self) -> str:
        """Its entry id in the topic, where it was first read."""
        return self.carried.entry or self.entry_id.decode()

    @property
    def marked_first(self) -> bool:
        """Whether its start is counted before it happens: it was claimed, or is a copy of one that was."""
        return self.claimed or self.carried.crashes is not None

    @property
    def crashes(self) -> int:
        """Starts that were lost, as far as they were counted."""
        return self.count - 1 + (self.carried.crashes or 0)
