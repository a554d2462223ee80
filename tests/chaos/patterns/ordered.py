"""Order per key: one group waits for what failed, the other one lets it be overtaken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from tests.chaos.checkers import Complaints, Effects, Liveness
from tests.chaos.checkers.order import Order
from tests.chaos.faults import Fault
from tests.chaos.load import BACKOFF, ODDS, STREAM, Load, Times, make
from tests.chaos.patterns.pattern import Pattern
from tests.chaos.planted import Plant, rooms_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from eventbus import Context, EventBus
    from tests.chaos.checkers import Checker
    from tests.chaos.checkers.effects import EffectsVerdict
    from tests.chaos.hands import Handover
    from tests.chaos.rig import Setup
    from tests.chaos.run import Order as Run
    from tests.chaos.scenarios import Scenarios
    from tests.chaos.troubles import Troubles
    from tests.chaos.verdicts import Terms

KEYS: Final = 12
"""Fewer than there are slots, so that events of one key would run side by side if nothing kept them from it."""

RATE: Final = 500
"""Events a second: some forty a second of each key, whose handlers take ten milliseconds at most."""

LINE: Final = 10.0
"""Seconds more for the drain: of what waits in one line, each event waits for those before it, some of which take long."""


def key_of(number: int) -> str:
    """The key of an event."""
    return f"k{number % KEYS}"


class Lined(Load, topic=STREAM, key="k"):
    """An event that is to be handled after those before it with the same key."""

    k: str


class Ordered(Pattern):
    """Two ordered groups, "charge" by the policy "block" and "notify" by "overtake"."""

    known: ClassVar = (frozenset({b"Lined"}), frozenset({b"Lined"}))

    def setup(self, setup: Setup) -> Setup:
        """Less often than in the plain run: a key's events take turns."""
        odds = {what: share for what, share in ODDS.items() if what not in ("fresh", "nobody")}
        return replace(setup, odds=odds, rate=min(setup.rate or RATE, RATE), lag=2_000, all_newer=True)

    def events(self, *, newer: bool) -> Any:
        """Every worker knows the one class."""
        del newer
        return Lined

    def make(self, number: int, script: str, *, size: int) -> Load:
        """An event of one of the keys."""
        plain = make(number, script if script not in ("fresh", "nobody") else "", size=size)
        return Lined(n=plain.n, script=plain.script, body=plain.body, sum=plain.sum, k=key_of(number))

    def subscribe(self, bus: EventBus, events: Any, handle: Callable[[Load, Context], Awaitable[None]], **options: Any) -> None:
        """Subscribe by the policy of the group."""
        order = "overtake" if options["group"] == "notify" else "block"
        super().subscribe(bus, events, handle, ordered=order, **options)

    def checkers(self, troubles: Troubles, terms: Terms, plain: dict[str, Checker]) -> dict[str, Checker]:
        """The plain ones, but for "explained": nothing is beaten entry by entry, and starts wait for those before them."""
        kept = {name: checker for name, checker in plain.items() if name != "explained"}
        liveness = _Drained(troubles, sweep=terms.claim_interval, backoff=max(BACKOFF), allowance=terms.allowance + LINE)
        return {**kept, "liveness": liveness, "effects": _Counted(troubles, ()), "order": Order(troubles, key_of)}

    scenarios: ClassVar[Mapping[str, Callable[[Scenarios], Run]]]
    plants: ClassVar[Mapping[str, Plant]]


class _Drained(Liveness):
    """An owner takes over what is pending as fast as it handles it: when it came to each entry says nothing."""

    def _judge(self, handover: Handover) -> None:
        pass


class _Counted(Effects):
    """All but one process of a group stand by, so that many a fault meets nobody: it counts, and does not complain."""

    def verdict(self) -> EffectsVerdict:
        return replace(super().verdict(), complaints=Complaints())


# -- bugs


def _any_epoch(base: Any) -> Any:
    """Nothing that settles looks whose epoch it is."""

    class AnyEpoch(base):
        async def _now(self):
            return (await self._wire.one("HGET", self.group.owner, "token") or b"").decode()

        async def ack(self, ids, *, private, token):
            return await super().ack(ids, private=private, token=await self._now())

        async def move(self, copies, destination, *, private, token):
            return await super().move(copies, destination, private=private, token=await self._now())

        async def mark(self, entries, *, private, token):
            return frozenset(entry_id for entry_id, _ in entries)

        async def renew(self, epoch):
            return True

    return AnyEpoch


def _never_resigns(base: Any) -> Any:
    class Stubborn(base):
        def resign(self, lost):
            pass

    return Stubborn


def _no_lanes(base: Any) -> Any:
    """Every event is a lane of its own."""

    class NoLanes(base):
        def put(self, deliveries):
            deliveries = list(deliveries)
            self._waiting.extend(deliveries)
            self._wake(1)

        def put_first(self, deliveries):
            self._waiting.extendleft(reversed(list(deliveries)))
            self._wake(1)

        def remove(self, delivery):
            if delivery in self._held:
                del self._held[delivery]
                return True
            if waits := delivery in self._waiting:
                self._waiting.remove(delivery)
            return waits

        def clear(self):
            self.closed = True
            found = [*self._waiting, *self._held]
            self._waiting.clear()
            self._held.clear()
            return found

        def hold(self, delivery):
            self._held[delivery] = [delivery]

        def settled(self, deliveries):
            pass

    return NoLanes


def _reads_first(base: Any) -> Any:
    """What is pending is taken over a while after the group was, when new entries have been read."""

    class ReadsFirst(base):
        seen = ""

        async def run_once(self):
            if self.seen == self._own.token:
                await super().run_once()
                return
            self.seen = self._own.token
            page = await self._owned.take_over(self.seen, "first", private=False, after=b"9" * 18 + b"-0", most=1, now="", begins=True)
            if page is not None:
                self._own.reading = "first"

    return ReadsFirst


def _ordered(scenarios: Scenarios, **rest: Any) -> Setup:
    return replace(scenarios.setup, pattern="ordered", **rest)


def _pauses(scenarios: Scenarios) -> Run:
    """Workers are stopped for more than a lease while they own the groups, and wake with work in hand."""
    setup = _ordered(scenarios, times=Times(0.1, 0.3, slices=False), rate=40, workers=2)
    faults = [
        Fault(scenarios.at(1.2, 1.5), "pause", ("w0",), 2.2 * setup.lease),
        Fault(scenarios.at(7.2, 7.5), "pause", ("w1",), 2.2 * setup.lease),
        Fault(scenarios.at(13.2, 13.5), "pause", ("w0",), 2.2 * setup.lease),
    ]
    return scenarios.order(setup, 19, *faults, patience=60, allowance=40)


def _busy(scenarios: Scenarios) -> Run:
    """Handlers take their time, and nothing happens."""
    return scenarios.order(_ordered(scenarios, times=Times(0.02, 0.1), rate=150), 4, patience=40, allowance=30)


def _deaths(scenarios: Scenarios) -> Run:
    """Every worker is killed, one after the other, with work in hand."""
    setup = _ordered(scenarios, times=Times(0.05, 0.1), rate=100)
    kills = [Fault(scenarios.at(1.2 + 3 * number, 1.5 + 3 * number), "kill", (f"w{number}",)) for number in range(3)]
    return scenarios.order(setup, 10, *kills, patience=60, allowance=40)


Ordered.plants = {
    "epoch not checked": Plant("lease safety", rooms_of("ordered", entries=_any_epoch, membership=_never_resigns)),
    "lanes ignore the key": Plant("order", rooms_of("ordered", work=_no_lanes)),
    "reads before it took over": Plant("order", rooms_of("ordered", recovery=_reads_first)),
}
Ordered.scenarios = {
    "epoch not checked": _pauses,
    "lanes ignore the key": _busy,
    "reads before it took over": _deaths,
}
