"""Shows a run's history to every checker, once, and keeps what they say."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.checkers import Accounting, Checker, Effects, Explained, LeaseSafety, Liveness, TotalQueue
from tests.chaos.history import faults_of, records_of
from tests.chaos.load import BACKOFF
from tests.chaos.patterns import pattern_of
from tests.chaos.troubles import Troubles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Terms:
    """What the checkers have to know about a run.

    Attributes:
        groups: Those that every event must reach.
        lease: In seconds, as the claim interval.
        concurrency: Handlers at a time in each process and group.
        expected: Kinds of faults that must have bitten.
        forgetful: The server may lose what it had confirmed just before it was killed.
        allowance: Seconds that the drain may take beyond its limit, for a backlog.
        pattern: What was run; empty for the plain run.
    """

    groups: Sequence[str]
    lease: float
    claim_interval: float
    concurrency: int
    expected: Sequence[str] = ()
    allowance: float = 0.0
    forgetful: bool = False
    pattern: str = ""


@dataclass
class Verdicts:
    """What every checker said, by its name."""

    found: dict[str, Any] = field(default_factory=dict)

    @property
    def complaining(self) -> list[str]:
        """The checkers that complain."""
        return [name for name, verdict in self.found.items() if verdict.complaints]

    @property
    def words(self) -> list[str]:
        """What they say."""
        return [f"{name}: {words}" for name, verdict in self.found.items() for words in verdict.complaints.words]

    def numbers(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {name: asdict(verdict) for name, verdict in self.found.items()}


def checkers(troubles: Troubles, terms: Terms) -> dict[str, Checker]:
    """Every checker, by the name it goes by."""
    plain: dict[str, Checker] = {
        "total-queue": TotalQueue(terms.groups),
        "accounting": Accounting(terms.groups, troubles),
        "lease safety": LeaseSafety(troubles),
        "explained": Explained(troubles, terms.concurrency, terms.forgetful),
        "liveness": Liveness(troubles, sweep=terms.claim_interval, backoff=max(BACKOFF), allowance=terms.allowance, room=terms.concurrency),
        "effects": Effects(troubles, terms.expected),
    }
    return pattern_of(terms.pattern).checkers(troubles, terms, plain)


def judge(folder: Path, terms: Terms) -> Verdicts:
    """Check the history in a folder."""
    all_ = checkers(Troubles(faults_of(folder), lease=terms.lease), terms)
    sees = [checker.see for checker in all_.values()]
    for record in records_of(folder):
        for see in sees:
            see(record)
    return Verdicts({name: checker.verdict() for name, checker in all_.items()})
