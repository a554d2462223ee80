"""Turns the ledger's records into what the screen shows of topics and groups."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.demo.audit import Record
from services.demo.looks import Look
from services.demo.plan import Group
from services.demo.rates import Recent, percentile


@dataclass(frozen=True, slots=True)
class TopicRow:
    """A topic: events published, a second lately and since the start."""

    topic: str
    per_second: float
    total: int


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group on a topic: events handled and not (yet), what waits, and seconds from publish until handled."""

    group: Group
    per_second: float
    total: int
    missing: int
    look: Look
    p50: float | None
    p99: float | None


class Meters:
    """Counts per topic and group."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._groups = tuple(groups)
        self._published: dict[str, Recent] = {group.topic: Recent() for group in self._groups}
        self._handled: dict[tuple[str, str], Recent] = {(group.topic, group.name): Recent() for group in self._groups}
        self._took: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def take(self, record: Record) -> None:
        """Count one record."""
        if record.what == "published":
            self._published.setdefault(record.topic, Recent()).add(record.at)
        else:
            self._handled.setdefault((record.topic, record.group), Recent()).add(record.at, record.took)
            self._took[record.topic, record.group, record.priority].append(record.took)

    def topics(self, now: float) -> list[TopicRow]:
        """All topics by name."""
        return [TopicRow(topic, recent.rate(now), recent.total) for topic, recent in sorted(self._published.items())]

    def groups(self, now: float, missing: Mapping[Group, int], looks: Mapping[Group, Look]) -> list[GroupRow]:
        """All groups in the plan's order."""
        return [self._row(group, now, missing.get(group, 0), looks.get(group, Look())) for group in self._groups]

    def waits(self, group: Group) -> dict[str, float]:
        """The median of the seconds from publish until handled since the start, by priority."""
        found = {priority: percentile(0.5, self._took[group.topic, group.name, priority]) for priority in group.priorities}
        return {priority: median for priority, median in found.items() if median is not None}

    def _row(self, group: Group, now: float, missing: int, look: Look) -> GroupRow:
        recent = self._handled[group.topic, group.name]
        p50, p99 = recent.percentile(0.5, now), recent.percentile(0.99, now)
        return GroupRow(group, recent.rate(now), recent.total, missing, look, p50, p99)
