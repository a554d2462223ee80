"""Sums of plain counters that outlive the objects they are read from."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Series(NamedTuple):
    """One line of the metrics: a family's name and the values of its labels."""

    name: str
    labels: tuple[str, ...]


Numbers: TypeAlias = "Mapping[Series, int]"


class Source(NamedTuple):
    """Counters that are read when somebody asks.

    Attributes:
        origin: The object that counts; the same one is the same source.
        read: Reads them.
    """

    origin: object
    read: Callable[[], Numbers]


class Ledger:
    """Add up what sources have counted, those that are gone included.

    A bus that consumes again has new consumers, which begin at 0. A counter that falls looks like a restart of
    the process, so what the old ones had counted is kept.
    """

    def __init__(self) -> None:
        self._ended: Counter[Series] = Counter()
        self._live: dict[int, Source] = {}

    def total(self, live: Iterable[Source]) -> dict[Series, int]:
        """Add up; sources that are not named any more are read a last time and forgotten."""
        current = {id(source.origin): source for source in live}
        for key, source in self._live.items():
            if key not in current:
                self._ended.update(source.read())
        self._live = current
        total = Counter(self._ended)
        for source in current.values():
            total.update(source.read())
        return dict(total)
