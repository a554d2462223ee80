"""Reads what the ledgers of all processes have gained since the last look."""

import json
from pathlib import Path
from typing import Any

from services.demo.audit import Record


class Ledgers:
    """The files of one directory, each read on from where the last look ended."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, int] = {}

    def new(self) -> list[Record]:
        """What came in since the last call, in order within each file.

        A last line that is not complete yet is left for the next call.
        """
        return [record for path in sorted(self._directory.glob("*.jsonl")) for record in self._new_in(path)]

    def _new_in(self, path: Path) -> list[Record]:
        start = self._read.get(path, 0)
        with path.open("rb") as file:
            file.seek(start)
            gained = file.read()
        complete = gained[: gained.rfind(b"\n") + 1]
        self._read[path] = start + len(complete)
        return [parse(line) for line in complete.splitlines()]


def parse(line: bytes) -> Record:
    """Read one line as `services/ledger.py` writes it."""
    fields: dict[str, Any] = json.loads(line)
    return Record(**fields)
