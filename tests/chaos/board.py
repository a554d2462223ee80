"""A few numbers of every process, in memory that all of them share, for whoever watches a run."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS: Final = ("published", "started", "ended", "settled", "redelivered", "hold", "stop", "ready")
WIDTH: Final = len(COLUMNS)
NAME: Final = "board"


class Row:
    """The numbers of one place. Each is written by one process at a time."""

    def __init__(self, cells: memoryview) -> None:
        self._cells = cells

    def __getitem__(self, column: str) -> int:
        """A number."""
        return self._cells[COLUMNS.index(column)]

    def __setitem__(self, column: str, value: int) -> None:
        """Write one."""
        self._cells[COLUMNS.index(column)] = value

    def add(self, column: str, value: int = 1) -> None:
        """Count."""
        self._cells[COLUMNS.index(column)] += value

    @property
    def running(self) -> int:
        """Handlers that run now."""
        return max(0, self["started"] - self["ended"])


class Board:
    """All rows, in a file that processes map into their memory.

    Args:
        folder: Where the run's files are.
        rows: How many places there are; the file is made when it is not there.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        size = rows * WIDTH * 8
        file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(file, size)
        self._memory = mmap.mmap(file, size)
        os.close(file)
        self._cells = memoryview(self._memory).cast("Q")
        self.rows = [Row(self._cells[number * WIDTH : (number + 1) * WIDTH]) for number in range(rows)]

    def total(self, column: str) -> int:
        """A number summed over all places."""
        return sum(row[column] for row in self.rows)
