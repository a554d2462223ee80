"""What a supervised loop is given, and how it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Health(StrEnum):
    """How a loop is."""

    STARTING = "starting"
    """Its first pass has not ended yet, and did not fail."""
    RUNNING = "running"
    STANDBY = "standby"
    """It is well, and would take over at once: another process owns its group."""
    FAILING = "failing"
    """It failed since its last pass that went well, and is started again."""
    STOPPED = "stopped"


class Alive(Protocol):
    """A loop calls it after each pass that went well; its supervisor then forgets earlier failures."""

    def __call__(self, health: Health = Health.RUNNING, /) -> None:
        """Say so, and how it is."""
        ...
