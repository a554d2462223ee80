"""When a worker may sweep for stale entries after it started, and after Redis gave no answer. In ticks.

A lives, and holds an entry that it beats. B starts at some moment, and sweeps. Dead workers' entries wait for B. The
server answers or it does not: a tick at a time the adversary decides. Where two things happen in one tick, B is first.

One tick is a sixth of the lease, and a sweep is due in each: 5 s of 30.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model.engine import Step, Violation
from tests.model.properties import Property

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.rules import Rules

LEASE = 6
THIRD = LEASE // 3
BACKOFF = LEASE // 6
LONG_BACKOFF = LEASE // 2
"""More than a third of the lease."""

UP, DOWN, STUCK, FROZEN, REFUSING = "up", "down", "stuck", "frozen", "refusing"
# DOWN: whatever is tried fails. STUCK: B waits for an answer, and can try nothing else. FROZEN: the same, and what it
# tried is a claim, which is executed when the server goes on, however long ago it was sent. REFUSING: what only reads is
# answered, and all writes are refused, A's renewals and B's claims.

WAITS, SWEEPS, FAILS, LEFT = "", "; B sweeps", "; B tries to sweep, in vain", "; B sends a claim, which waits in the socket"


class Owner(NamedTuple):
    """A: ticks since its row was renewed, until it beats, and with an answering server until it has connected again."""

    idle: int = 0
    beat: int = THIRD
    connect: int = 0


class Sweeper(NamedTuple):
    """B: ticks without an answer, since a sweep was due, until its grace is over, with answers but without a sweep."""

    waited: int = 0
    overdue: int = 0
    grace: int = 0
    kept_off: int = 0
    sent: bool = False
    """A claim waits in a socket of the frozen server."""


class State(NamedTuple):
    """Everything there is. `outages`: how many more may begin; -1: any number."""

    server: str = UP
    outages: int = 1
    owner: Owner = Owner()
    sweeper: Sweeper | None = None
    stolen: bool = False


class Grace:
    """An owner, a sweeper, and a server that comes and goes.

    Args:
        name: Of this run.
        rules: Which are on.
        outages: How many there may be; None for any number. Then an owner may be cut off for ever, as good as dead,
            and it is only asked whether B sweeps.
        away: What the server is when it does not answer.
    """

    def __init__(self, name: str, rules: Rules, *, outages: int | None = 1, away: str = DOWN) -> None:
        self.name = f"grace: {name}"
        self._rules = rules
        self._outages = -1 if outages is None else outages
        self._away = away

    def initial(self) -> State:
        return State(outages=self._outages)

    def key(self, state: State) -> State:
        return state

    def drained(self, state: State) -> bool:
        return state.sweeper is not None and state.server == UP and not state.sweeper.kept_off

    def violation(self, state: State) -> Violation | None:
        if state.stolen and self._outages >= 0:
            return Violation(Property.KEPT_LEASE, "B sweeps up what A holds, before A could renew it")
        if state.sweeper and state.sweeper.kept_off > LEASE:
            return Violation(Property.TAKEN_OVER, f"the server answered in {state.sweeper.kept_off} ticks, and B did not sweep")
        return None

    # ------------------------------------------------------------------------------------ what may happen next

    def steps(self, state: State) -> Iterator[Step]:
        if state.sweeper is None and state.server == UP:  # its grace counts from when it joined its group
            started = Sweeper(grace=THIRD if self._rules.grace_at_start else 0)
            yield Step("B starts", state._replace(sweeper=started))
        yield self._tick(state, UP)
        if state.server != UP:
            yield self._tick(state, self._away)
        elif state.outages:
            yield self._tick(state._replace(outages=max(state.outages - 1, -1)), self._away)

    def _tick(self, state: State, server: str) -> Step:
        after, says = state._replace(server=server), f"a tick, the server is {server}"
        if state.sweeper:
            sweeper, tries = self._sweep(state.sweeper, server)
            after = after._replace(sweeper=sweeper, stolen=tries == SWEEPS and state.owner.idle >= LEASE)
            says += tries
        owner = self._beat(state.owner, server)
        says += "; A renews its row" if owner.idle == 0 else ""
        return Step(says, after._replace(owner=owner), fault=server != UP)

    def _beat(self, owner: Owner, server: str) -> Owner:
        idle = min(owner.idle + 1, LEASE)
        if server != UP:
            backoff = BACKOFF if self._rules.short_backoff else LONG_BACKOFF
            return Owner(idle, 0, connect=backoff if server in {DOWN, REFUSING} else 0)
        if owner.connect:
            rest = 0 if self._rules.beat_comes_first else THIRD
            return Owner(idle, rest, owner.connect - 1)
        return Owner(idle, owner.beat - 1) if owner.beat > 1 else Owner(0, THIRD)

    def _sweep(self, sweeper: Sweeper, server: str) -> tuple[Sweeper, str]:
        """What becomes of the sweeper in a tick, and what it does; `Sweeps` in eventbus/consuming decides the same."""
        grace = max(sweeper.grace - 1, 0)
        if server != UP:
            return self._fail(sweeper, server, grace)
        if sweeper.waited > THIRD and self._rules.grace_after_outage:
            grace = THIRD
        late = sweeper.sent and not self._rules.claims_expire
        spent = sweeper.overdue >= LEASE and self._rules.graces_are_bounded
        if late or not grace or spent:
            return Sweeper(grace=grace), SWEEPS
        return Sweeper(0, min(sweeper.overdue + 1, LEASE), grace, sweeper.kept_off + 1), WAITS

    def _fail(self, sweeper: Sweeper, server: str, grace: int) -> tuple[Sweeper, str]:
        """A tick without an answer."""
        tries = not grace and server != STUCK
        overdue = 0 if tries else min(sweeper.overdue + 1, LEASE)
        if self._rules.failures_count_for_nothing:
            overdue = sweeper.overdue
        sent = tries and server == FROZEN
        answered = server == REFUSING and not self._rules.refusals_count
        waited = 0 if answered else min(sweeper.waited + 1, THIRD + 1)
        following = Sweeper(waited, overdue, grace, sweeper.kept_off, sweeper.sent or sent)
        return following, LEFT if sent and not sweeper.sent else FAILS if tries and server in {DOWN, REFUSING} else WAITS
