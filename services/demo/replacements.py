"""Kills workers in the middle of their work: whom, when, and what was seen of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.demo.looks import Look
from services.demo.plan import Group
from services.demo.processes import Worker


@dataclass(frozen=True, slots=True)
class Replacement:
    """A worker that was killed while it held entries.

    Attributes:
        at: Seconds since the start.
        worker: Who was killed.
        held: Entries it held at that moment.
        successor: Who was started instead.
    """

    at: float
    worker: Worker
    held: int
    successor: Worker

    def __str__(self) -> str:
        """What happened, in a line."""
        held = f"{self.held} entr{'y' if self.held == 1 else 'ies'}"
        return f"{self.at:4.0f} s  {self.worker} killed (-9) while it held {held}; {self.successor} takes its place"


def held_by(worker: Worker, looks: Mapping[Group, Look]) -> int:
    """Entries a worker holds, over all its groups."""
    return sum(looks[group].held.get(worker.pid, 0) for group in worker.app.groups if group in looks)


def has_joined(worker: Worker, looks: Mapping[Group, Look]) -> bool:
    """Whether a worker reads all its groups."""
    return all(group in looks and worker.pid in looks[group].members for group in worker.app.groups)


def candidates(workers: Iterable[Worker], looks: Mapping[Group, Look], replaced: Iterable[Replacement]) -> list[Worker]:
    """Who could be replaced now: busy ones, first of the app that was longest left in peace, then the busiest."""
    last = {replacement.worker.app.name: replacement.at for replacement in replaced}
    busy = [worker for worker in workers if worker.told is None and held_by(worker, looks)]
    return sorted(busy, key=lambda worker: (last.get(worker.app.name, -1.0), -held_by(worker, looks)))
