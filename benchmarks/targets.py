"""What the bus is to reach, as data: musts and goals, mostly as ratios to another contender of the same heat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks import ratios
from benchmarks.results import measured

if TYPE_CHECKING:
    from benchmarks.ratios import Spread
    from benchmarks.results import Record


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to reach.

    Attributes:
        heat: Where both are measured.
        ours: What is to reach it, "case/contender".
        metric: A field of `Measured`.
        against: Whom the ratio is taken to; "" where the number itself counts.
        must: Less than this is a defect; None where there is only a goal.
        goal: What is aimed at; None where there is only a must.
    """

    heat: str
    ours: str
    metric: str
    against: str = ""
    must: float | None = None
    goal: float | None = None

    @property
    def more(self) -> bool:
        """Whether more is better."""
        return self.metric == "rate"

    def found(self, records: list[Record]) -> Spread | None:
        """What the records of its heat say; None where they do not."""
        ours = measured(records, self.ours)
        if not self.against:
            return ratios.of(ours, self.metric)
        return ratios.ratio(ours, measured(records, self.against), self.metric)

    def met(self, found: float) -> str:
        """What a number reaches: "goal", "must", or "no" of them."""
        if self.goal is not None and self._reaches(found, self.goal):
            return "goal"
        return "must" if self.must is None or self._reaches(found, self.must) else "no"

    def _reaches(self, found: float, wanted: float) -> bool:
        return found >= wanted if self.more else found <= wanted


TARGETS: Final = (
    Target("consume-once", "consume-once/ours", "rate", "consume-once/faststream", 10, 25),
    Target("consume-once", "consume-once/ours", "rate", goal=100_000),
    Target("consume-plain", "consume-plain/ours", "rate", "consume-plain/faststream", 25, 50),
    Target("consume-plain", "consume-plain/ours", "rate", "consume-plain/faststream-batch", 2, 3.5),
    Target("consume-plain", "consume-plain/ours", "rate", "consume-plain/hiredis", 0.6, 1.0),
    Target("consume-1ms", "consume-1ms/ours", "rate", "consume-1ms/bare", 0.6, 0.9),
    Target("publish-100", "publish-100/ours", "rate", "publish-100/faststream", 6, 12),
    Target("publish-100", "publish-100/ours", "rate", "publish-100/glide", 3, 6),
    Target("publish-100", "publish-gather/ours", "rate", "publish-100/redispy", 10, 20),
    Target("publish-many", "publish-many/ours", "rate", "publish-many/faststream", 4, 6),
    Target("publish-many", "publish-many/ours", "rate", "publish-many/hiredis", goal=0.9),
    Target("publish-each", "publish-each/ours", "rate", "publish-each/redispy", must=1.0),
    Target("publish-each", "publish-each/ours", "rate", "publish-each/hiredis", goal=0.8),
    Target("latency", "latency/ours", "p50_ms", "latency/redispy", must=1.0),
    Target("latency", "latency/ours", "p99_ms", "latency/faststream", must=1.0),
    Target("latency", "latency/ours", "p50_ms", "latency/faststream", goal=0.5),
    Target("both", "both/ours", "rate", "both/faststream", 10, 35),
    Target("consume-once", "consume-once/ours", "client_us", must=15, goal=7),
    Target("publish-100", "publish-gather/ours", "client_us", must=15, goal=7),
    Target("consume-plain", "consume-plain/ours", "server_us", "consume-plain/hiredis", 1.3, 1.1),
    Target("memory", "memory/ours", "grew_mb", must=25, goal=15),
)
