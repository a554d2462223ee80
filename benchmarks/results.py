"""What was measured: one line of JSON a measurement, written at once, so that a run which was interrupted goes on where it was."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Measured

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Record:
    """A measurement, or a try of one.

    Attributes:
        heat: With whom it took turns.
        key: Everything that the numbers of the heat depend on; records of different keys are never compared.
        round: Its turn, from 0.
        entrant: What was measured, "case/contender".
        machine: Where.
        version: Of the library.
        measured: The numbers; None where it failed.
        error: Why it failed.
        took: Seconds, starting processes included.
        at: When it ended, UTC.
    """

    heat: str
    key: str
    round: int
    entrant: str
    machine: dict[str, str]
    version: str
    measured: Measured | None
    error: str = ""
    took: float = 0.0
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


class Results:
    """The records of one file.

    Args:
        path: The file; made when the first record is added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = list(_read(path)) if path.exists() else []

    def add(self, record: Record) -> None:
        """Write a record down, in one write."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, _line(record).encode())
        finally:
            os.close(file)
        self.records.append(record)

    def forget(self, heats: set[str]) -> None:
        """Drop what was measured in these heats."""
        self.records = [record for record in self.records if record.heat not in heats]
        if self.path.exists():
            self.path.write_text("".join(map(_line, self.records)))

    def done(self, key: str) -> set[tuple[int, str]]:
        """The rounds and entrants that need not be measured again. What failed is tried again."""
        return {(record.round, record.entrant) for record in self.records if record.key == key and record.measured}

    def latest(self, heat: str) -> list[Record]:
        """The records of a heat that belong together: those with the key of the last one."""
        of_heat = [record for record in self.records if record.heat == heat]
        return [record for record in of_heat if record.key == of_heat[-1].key]


def measured(records: Iterable[Record], entrant: str) -> dict[int, Measured]:
    """The numbers of an entrant, by round."""
    return {record.round: record.measured for record in records if record.entrant == entrant and record.measured}


def _line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


def _read(path: Path) -> Iterable[Record]:
    for line in path.read_text().splitlines():
        try:
            row: dict[str, Any] = json.loads(line)
        except ValueError:
            continue  # the line that was being written when somebody pulled the plug
        found = row.pop("measured")
        yield Record(**row, measured=Measured(**found) if found else None)
