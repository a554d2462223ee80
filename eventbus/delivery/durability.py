"""How durable an event is to be before its publish returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from eventbus.errors import ConfigurationError
from eventbus.events import is_count


@dataclass(frozen=True, slots=True)
class Replicated:
    """`publish(…, durability=Replicated(2))`: wait until so many replicas have the event too.

    It narrows the window in which a failover loses a confirmed event, and does not close it: a replica
    that has it not may still be promoted.

    Attributes:
        replicas: How many replicas have to confirm it. Default 1.

    Raises:
        ConfigurationError: It is no whole number from 1.
    """

    replicas: int = 1

    def __post_init__(self) -> None:
        """Check the number, so that a wrong one is found where it is written."""
        if not is_count(self.replicas):
            raise ConfigurationError(f"Replicated({self.replicas!r}): give a whole number of replicas, at least 1")


Durability: TypeAlias = Literal["fsync"] | Replicated
"""What `publish(durability=)` takes: "fsync", or a number of replicas."""


def check_durability(value: object) -> None:
    """Refuse what is no durability.

    Raises:
        ConfigurationError: It is neither "fsync" nor a `Replicated`. Nothing was written.
    """
    if value != "fsync" and not isinstance(value, Replicated):
        raise ConfigurationError(f'durability={value!r}: give "fsync" or Replicated(1)')
