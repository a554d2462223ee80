"""What a subscription may ask for beside one event at a time: batches, order by key, idempotence, weights of priorities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, TypeAlias, cast

from eventbus.errors import ConfigurationError
from eventbus.events import is_count, is_seconds

Order: TypeAlias = Literal["block", "overtake"]
"""What happens to a key whose event failed: it waits until that one is settled, or the following ones overtake it."""

Weights: TypeAlias = Mapping[str, int] | Literal["strict"]
"""How often each priority is served while all of them have something to do; or always the most urgent first."""

WINDOW: Final = 86_400.0
"""Seconds for which a finished event is remembered, where a subscription is idempotent and does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """`subscribe(…, batch=Batch(max_size=100, max_wait=0.2))`: the handler takes a list of events.

    Attributes:
        max_size: Most events in one call. Default 100: that costs least per event, since what more of them are decoded into
            exceeds the processor's caches (lists of 500 take about a tenth longer, measured), and no handler that raises
            has more than that run again. A database may gain more by larger ones.
        max_wait: Seconds that the first of them waits for company at most; the wait ends early when the batch is full,
            when the bus drains, and well before the lease. Default 0.2.

    Raises:
        ConfigurationError: A value outside these bounds.
    """

    max_size: int = 100
    max_wait: float = 0.2

    def __post_init__(self) -> None:
        """Check the values, so that a wrong one is found where it is written."""
        if not is_count(self.max_size):
            raise ConfigurationError(f"Batch(max_size={self.max_size!r}): give a whole number of events, at least 1")
        if not is_seconds(self.max_wait, zero=True):
            raise ConfigurationError(f"Batch(max_wait={self.max_wait!r}): give seconds from 0")


def check_batch(value: object) -> None:
    """Refuse what is no batch."""
    if not isinstance(value, Batch):
        raise ConfigurationError(f"batch={value!r}: give a Batch(max_size=100, max_wait=0.2)")


def window_of(idempotent: object) -> float | None:
    """The window in seconds that `idempotent=` asks for; None for none.

    Raises:
        ConfigurationError: It is neither True, False, seconds above 0 nor a timedelta.
    """
    if isinstance(idempotent, bool):
        return WINDOW if idempotent else None
    seconds = idempotent.total_seconds() if isinstance(idempotent, timedelta) else idempotent
    if not is_seconds(seconds):
        raise ConfigurationError(f"idempotent={idempotent!r}: give True (a day), seconds above 0, or a timedelta")
    return float(cast("float", seconds))


def order_of(ordered: object) -> Order | None:
    """The policy that `ordered=` asks for; None for no order.

    Raises:
        ConfigurationError: It is neither True, False, "block" nor "overtake".
    """
    match ordered:
        case False:
            return None
        case True | "block":
            return "block"
        case "overtake":
            return "overtake"
        case _:
            raise ConfigurationError(f'ordered={ordered!r}: give True, or what a failed event does to its key: "block" or "overtake"')


def check_weights(value: object) -> None:
    """Refuse what are no weights; whether they name the topic's priorities is seen when the bus opens."""
    if value == "strict":
        return
    if not isinstance(value, Mapping) or not value or not all(is_count(each) for each in cast("Mapping[str, object]", value).values()):
        raise ConfigurationError(
            f"""weights={value!r}: give each priority of the topic a whole number from 1, {{"high": 6, "normal": 3}}, or "strict\""""
        )


def weights_of(weights: Weights | None, priorities: Sequence[str], where: str) -> Weights | None:
    """How the priorities of a topic share the handlers; None where it has none.

    Args:
        weights: What the subscription says; None for each twice as often as the next.
        priorities: The topic's, the most urgent first.
        where: The subscription, for messages.

    Raises:
        ConfigurationError: The weights do not name exactly the topic's priorities.
    """
    if not priorities:
        if weights is not None:
            raise ConfigurationError(f"{where}: weights={weights!r}, but the topic has no priorities: Topic(…, priorities=(…))")
        return None
    if weights is None:
        return {name: 1 << place for place, name in enumerate(reversed(priorities))}
    if weights != "strict" and set(weights) != set(priorities):
        raise ConfigurationError(f"{where}: weights={weights!r}: give one for each of the topic's priorities: {', '.join(priorities)}")
    return weights
