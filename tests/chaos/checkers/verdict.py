"""What a checker says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from tests.chaos.history import Record

SHOWN: Final = 20
"""Complaints of one kind that are kept in words; further ones are counted."""


@dataclass(slots=True)
class Complaints:
    """What was wrong, by kind."""

    counts: dict[str, int] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def add(self, kind: str, words: str) -> None:
        """Note a violation."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] <= SHOWN:
            self.words.append(f"{kind}: {words}")

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.counts)


class Verdict(Protocol):
    """Every verdict is a dataclass of its checker's numbers, and holds its complaints."""

    complaints: Complaints


class Checker(Protocol):
    """A pure function of a history, fed record by record in the order of their time."""

    def see(self, record: Record) -> None:
        """Look at the next record."""
        ...

    def verdict(self) -> Any:
        """Say what came out, after the last record."""
        ...
