"""How a subscription is to be run, as its handlers say it; checked for each value, and for all of them together."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from eventbus.delivery.patterns import Batch, Order, Weights, check_batch, check_weights, order_of, window_of
from eventbus.delivery.retry import Retry
from eventbus.errors import ConfigurationError
from eventbus.events import Foreign, is_count, is_seconds, readers_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

_STARTS: Final = {"earliest": "0", "latest": "$"}
_ENTRY_ID: Final = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")

_CONTRADICTIONS: Final = (
    ({"batch", "priorities"}, "batch= and the topic's priorities do not go together: each of them would wait for a batch of its own"),
    ({"ordered", "priorities"}, "ordered= and the topic's priorities do not go together: order does not hold between them"),
    ({"ordered", "batch"}, "ordered= handles a key's events one at a time, batch= many in one call"),
    ({"ordered", "broadcast"}, "ordered= has one process handle the events, broadcast= every process"),
)
"""What contradicts each other, and why: of one slot for many events, and of order, priorities would keep neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a subscription is run; None is "not said here".

    Attributes:
        start: Where a new group begins: "earliest" (default), "latest" (default of a broadcast) or an entry id.
        concurrency: Handlers at a time. Default: the bus's; of batches one.
        prefetch: Entries read ahead. Default: the bus's, else it adapts.
        retry: What happens after a handler raised. Default `Retry()`.
        timeout: Seconds after which a run of the handler is cancelled. Default: never.
        foreign: How entries without envelope are read. Default: not at all.
        batch: The handler takes lists of events. Default: one event.
        idempotent: What was finished is not started again: True, or for how long. Default False.
        broadcast: Every process is a group of its own. Default False.
        ordered: Events with one key one at a time and in order: True, "block" or "overtake". Default False.
        weights: How the topic's priorities share the handlers. Default: each twice as often as the next.
    """

    start: str | None = None
    concurrency: int | None = None
    prefetch: int | None = None
    retry: Retry | None = None
    timeout: float | None = None
    foreign: Foreign | None = None
    batch: Batch | None = None
    idempotent: bool | float | timedelta | None = None
    broadcast: bool | None = None
    ordered: bool | Order | None = None
    weights: Weights | None = None

    def __post_init__(self) -> None:
        """Check the values, so that a wrong one is found where it is written."""
        if self.start is not None and not _is_start(self.start):
            raise ConfigurationError(
                f"start={self.start!r}: write 'earliest', 'latest' or an entry id such as '1700000000000-0', both numbers below 2^64"
            )
        for name in ("concurrency", "prefetch"):
            value = getattr(self, name)
            if value is not None and not is_count(value):
                raise ConfigurationError(f"{name}={value!r}: give a whole number, at least 1")
        if self.retry is not None and not isinstance(self.retry, Retry):
            raise ConfigurationError(f"retry={self.retry!r}: give a Retry(attempts=…, backoff=[…])")
        if self.timeout is not None and not is_seconds(self.timeout):
            raise ConfigurationError(f"timeout={self.timeout!r}: give a number of seconds above 0")
        readers_of(self.foreign)
        self._check_patterns()

    def _check_patterns(self) -> None:
        if self.batch is not None:
            check_batch(self.batch)
        if self.idempotent is not None:
            window_of(self.idempotent)
        if self.broadcast is not None and not isinstance(self.broadcast, bool):
            raise ConfigurationError(f"broadcast={self.broadcast!r}: give True or False")
        if self.ordered is not None:
            order_of(self.ordered)
        if self.weights is not None:
            check_weights(self.weights)

    def merged(self, other: Policy, where: str) -> Policy:
        """Join the policies of two handlers of one subscription; each may say what the other leaves open."""
        values: dict[str, Any] = {}
        for name in (each.name for each in fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is not None and theirs is not None and mine != theirs:
                raise ConfigurationError(
                    f"{where}: its handlers say {name}={mine!r} and {name}={theirs!r}; they share one "
                    f"subscription, so say it once, or use another group"
                )
            values[name] = theirs if mine is None else mine
        return Policy(**values)


def _is_start(value: object) -> bool:
    if not isinstance(value, str):
        return False
    # Redis keeps both parts of an id in 64 bits.
    return value in _STARTS or (bool(_ENTRY_ID.fullmatch(value)) and all(int(part) < 1 << 64 for part in value.split("-")))


def start_of(policy: Policy) -> str:
    """Where a new group begins, in Redis's words."""
    # A process that comes wants to know what happens from now on: what it needs of before, it loads from elsewhere.
    start = policy.start or ("latest" if policy.broadcast else "earliest")
    return _STARTS.get(start, start)


def check_together(policy: Policy, priorities: Sequence[str], where: str) -> None:
    """Refuse what contradicts each other.

    Args:
        policy: What all handlers of the subscription say.
        priorities: Those of its topic.
        where: The subscription, for messages.

    Raises:
        ConfigurationError: Says why, and that one of them is to be given up.
    """
    asked = {name for name in ("batch", "broadcast", "ordered") if getattr(policy, name)}
    if priorities:
        asked.add("priorities")
    for pair, why in _CONTRADICTIONS:
        if pair <= asked:
            raise ConfigurationError(f"{where}: {why}; give up one of them")
