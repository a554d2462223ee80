"""How far a stream was read, and whether something after that place is gone unread. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from eventbus.streams.entry_ids import ZERO, EntryId, id_before


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What a stream says about itself at one moment.

    Attributes:
        last: The last id it ever gave; `ZERO` where it is not there.
        first: Its oldest entry; None where it has none.
        added: How many entries were ever added; None where the server does not say (before 7.0).
        length: How many there are.
        deleted: The largest id that was deleted by name; `ZERO` where the server does not say.
    """

    last: EntryId
    first: EntryId | None
    added: int | None
    length: int
    deleted: EntryId

    @property
    def edge(self) -> EntryId:
        """What is not after it is gone."""
        return self.last if self.first is None else id_before(self.first)

    @property
    def gone(self) -> int | None:
        """How many entries came before the oldest one, or ever where there is none; None where that is not known."""
        if self.added is None or (self.first is not None and self.deleted >= self.first):
            return None
        return self.added - self.length


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries that are gone, or may be, before they were read.

    Attributes:
        after: The id after which they stood.
        first: The oldest entry that is there now; None for none.
        missed: How many; None where the server cannot tell.
        anew: The stream was deleted, or the server flushed: it began anew, and is read from its beginning.
    """

    after: EntryId
    first: EntryId | None
    missed: int | None
    anew: bool = False


@dataclass(slots=True)
class Bookmark:
    """A place in one stream, for who reads without a group.

    Attributes:
        at: It is read on after this id.
        known: That id, or a later one, has been there: a stream that ends before it is another one by now.
        added: How many entries had been added up to there; None where that is not known.
    """

    at: EntryId
    known: bool = False
    added: int | None = None

    def begin(self, facts: StreamFacts) -> None:
        """Begin here, or where the stream begins now: nobody misses what was gone before."""
        edge = facts.edge
        if edge > self.at:
            self.at, self.added = edge, facts.gone
        self.known = self.at <= facts.last

    def passed(self, entry_id: EntryId, count: int = 1) -> None:
        """The next entries were read, up to this one."""
        self.at, self.known = entry_id, True
        if self.added is not None:
            self.added += count

    def at_end(self, facts: StreamFacts) -> None:
        """Everything there was at that moment was read."""
        self.added = facts.added
        self.known = self.known or self.at <= facts.last

    def look(self, facts: StreamFacts) -> Gap | None:
        """Tell what is gone between this place and what can be read now, once; the place moves behind it."""
        if self.known and self._is_another(facts):
            before, self.at, self.added = self.at, ZERO, 0
            return Gap(before, facts.first, None, anew=True)
        if not self.known or facts.edge <= self.at:
            return None
        gap = self._behind(facts)
        self.at, self.added = facts.edge, facts.gone
        return gap

    def _is_another(self, facts: StreamFacts) -> bool:
        if facts.last < self.at:
            return True
        if self.added is None or facts.added is None:
            return False
        # Where all up to here is gone, at least so many are.
        kept = 0 if facts.edge <= self.at else facts.length
        return facts.added - kept < self.added

    def _behind(self, facts: StreamFacts) -> Gap | None:
        # What was deleted by name further on makes it a number that may be too large; 0 is certain all the same.
        most = None if facts.added is None or self.added is None else facts.added - facts.length - self.added
        missed = most if most == 0 or facts.gone is not None else None
        if missed == 0 or (missed is None and self.at == ZERO):
            return None
        return Gap(self.at, facts.first, missed)
