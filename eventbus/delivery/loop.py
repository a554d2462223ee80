"""What a supervised loop is given, and how it is."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

Alive: TypeAlias = Callable[[], None]
"""A loop calls it after each pass that went well; its supervisor then forgets earlier failures."""


class Health(StrEnum):
    """How a loop is."""

    STARTING = "starting"
    """Its first pass has not ended yet, and did not fail."""
    RUNNING = "running"
    FAILING = "failing"
    """It failed since its last pass that went well, and is started again."""
    STOPPED = "stopped"
