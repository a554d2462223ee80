"""The policy for a handler that raised."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from eventbus.errors import ConfigurationError
from eventbus.events import is_count, is_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

Errors: TypeAlias = "type[BaseException] | tuple[type[BaseException], ...]"


@dataclass(frozen=True, slots=True)
class Exponential:
    """Delays that grow by a factor; made by `exponential`."""

    first: float
    factor: float
    most: float

    def __call__(self, attempt: int) -> float:
        """Seconds after so many failed runs."""
        try:
            return min(self.most, self.first * float(self.factor) ** (attempt - 1))
        except OverflowError:
            return self.most


def exponential(first: float = 1.0, *, factor: float = 2.0, most: float = 300.0) -> Exponential:
    """Delays that grow: `Retry(backoff=exponential(1, factor=2, most=60))` waits 1, 2, 4, … 60, 60 s.

    Args:
        first: Seconds after the first failed run. Default 1.
        factor: By what each delay grows, at least 1. Default 2.
        most: Seconds that no delay exceeds. Default 300.

    Raises:
        ConfigurationError: A value outside these bounds.
    """
    if not is_seconds(first) or not is_seconds(most) or not is_seconds(factor) or factor < 1:
        raise ConfigurationError(f"exponential({first!r}, factor={factor!r}, most={most!r}): give seconds above 0 and a factor from 1")
    return Exponential(first, factor, most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and when an event is handled again after its handler raised.

    The delays are kept in Redis: a restart of every worker changes nothing about them. An event whose
    attempts are spent, or whose error is not to be retried, goes to the group's dead letters.

    Attributes:
        attempts: Runs of the handler, the first included. Default 5.
        backoff: Seconds before the second run, the third, …, the last one repeating; or `exponential(…)`.
            Default 1, 5, 30, 120.
        jitter: Share by which each delay varies at random, from 0 to 1. Default 0.2 (±20 %).
        on: Exceptions that are retried. Default every Exception; a timeout of the handler is a TimeoutError.
        never_on: Exceptions that are not, though `on` names them. Default none.

    Raises:
        ConfigurationError: A value outside these bounds.
    """

    attempts: int = 5
    backoff: Sequence[float] | Exponential = (1.0, 5.0, 30.0, 120.0)
    jitter: float = 0.2
    on: Errors = (Exception,)
    never_on: Errors = ()

    def __post_init__(self) -> None:
        """Check the values, so that a wrong policy is found where it is written."""
        if not is_count(self.attempts):
            raise ConfigurationError(f"Retry(attempts={self.attempts!r}): give a whole number of runs, at least 1")
        if not is_seconds(self.jitter, zero=True) or self.jitter > 1:
            raise ConfigurationError(f"Retry(jitter={self.jitter!r}): give a share from 0 to 1")
        if not isinstance(self.backoff, Exponential):
            object.__setattr__(self, "backoff", _delays(self.backoff))
        for name in ("on", "never_on"):
            object.__setattr__(self, name, _errors(name, getattr(self, name)))

    def delay(self, attempt: int, *, chance: float | None = None) -> float:
        """Seconds to wait after so many failed runs.

        Args:
            attempt: 1 after the first.
            chance: A number from 0 to 1 in place of a random one.
        """
        backoff = self.backoff
        seconds = backoff(attempt) if isinstance(backoff, Exponential) else backoff[min(attempt, len(backoff)) - 1]
        share = random.random() if chance is None else chance  # noqa: S311 - jitter, not a secret
        return seconds * (1 + self.jitter * (2 * share - 1))

    def covers(self, error: BaseException) -> bool:
        """Whether this error is retried. What is no Exception (a cancelled handler) always is, unless named."""
        if isinstance(error, self.never_on):
            return False
        return isinstance(error, self.on) or not isinstance(error, Exception)


def _delays(delays: Any) -> tuple[float, ...]:
    found: tuple[Any, ...] = tuple(delays) if _is_list(delays) else ()
    if not found or not all(is_seconds(delay, zero=True) for delay in found):
        raise ConfigurationError(f"Retry(backoff={delays!r}): give a list of seconds from 0, for example [1, 5, 30], or exponential(…)")
    return found


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _errors(name: str, errors: Any) -> tuple[type[BaseException], ...]:
    kinds = tuple(cast("Iterable[Any]", errors if isinstance(errors, tuple | list) else (errors,)))
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise ConfigurationError(f"Retry({name}={errors!r}): give exception classes, for example ({name}=(TimeoutError, ConnectionError))")
    return kinds
