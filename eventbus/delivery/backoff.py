"""How long to wait after a failure: pure, so that a test can ask for any failure."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double from `first` to `most`, each shortened at random by up to half.

    The jitter keeps a fleet that lost Redis at one moment from coming back at one moment (AWS
    Architecture Blog, "Exponential Backoff And Jitter", the "equal jitter" form).

    Attributes:
        first: Seconds after the first failure.
        most: Seconds that no delay exceeds.
    """

    first: float = 0.1
    most: float = 4.0

    @classmethod
    def within(cls, lease: float) -> Backoff:
        """Delays of at most a sixth of a lease: owners of entries are back before anyone may claim from them."""
        return cls(most=min(cls().most, lease / 6))

    def delay(self, failures: int, *, chance: float | None = None) -> float:
        """Seconds to wait after so many failures in a row.

        Args:
            failures: 1 for the first.
            chance: A number from 0 to 1 in place of a random one.
        """
        full = min(self.most, self.first * 2.0 ** min(failures - 1, 30))
        share = random.random() if chance is None else chance  # noqa: S311 - jitter, not a secret
        return full * (0.5 + share / 2)
