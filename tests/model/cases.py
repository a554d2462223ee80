"""Which models are explored: of the protocol as it is built, and with one rule switched off at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from tests.model import crashes, delivery, grace, hops, lostgroup, order, trim
from tests.model.crashes import Crashes
from tests.model.delivery import Delivery
from tests.model.grace import Grace
from tests.model.hops import Hops
from tests.model.lostgroup import LostGroup
from tests.model.order import Order
from tests.model.properties import Property
from tests.model.rules import Rules
from tests.model.trim import Trim

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model.engine import Model

AS_BUILT = Rules()
ONE_LOSS = lostgroup.Faults(losses=1)


class Builder(NamedTuple):
    """A model that still needs its rules."""

    build: Callable[[Rules], Model]

    def __call__(self, rules: Rules = AS_BUILT) -> Model:
        """Build it."""
        return self.build(rules)


@dataclass(frozen=True, slots=True)
class Case:
    """A switch, where it is tried, and what comes of it.

    Attributes:
        rule: The switch's name in `Rules`.
        says: The rule, as a sentence.
        breaks: The property that does not hold without it.
        model: Where.
    """

    rule: str
    says: str
    breaks: Property
    model: Builder

    def switched(self, *, on: bool) -> Model:
        """Build the model with the protocol as it is built, but for this rule."""
        return self.model(replace(AS_BUILT, **{self.rule: on}))


def _delivery(name: str, *, workers: int = 2, **faults: int) -> Builder:
    return Builder(lambda rules: Delivery(name, rules, faults=delivery.Faults(**faults), workers=workers))


def _crashes(name: str, *, events: int, poison: int, **faults: int) -> Builder:
    return Builder(lambda rules: Crashes(name, rules, faults=crashes.Faults(**faults), events=events, poison=poison))


def _lost(
    name: str,
    *,
    losses: tuple[str, ...] = lostgroup.LOSSES,
    faults: lostgroup.Faults = ONE_LOSS,
    events: int = 1,
    later: int = 0,
    workers: int = 2,
    attempts: int = 1,
    watermarks: bool = False,
    latest: bool = False,
) -> Builder:
    sizes = {"events": events, "later": later, "workers": workers, "attempts": attempts}
    return Builder(lambda rules: LostGroup(name, rules, losses=losses, faults=faults, watermarks=watermarks, latest=latest, **sizes))


def _hops(name: str, **faults: int) -> Builder:
    return Builder(lambda rules: Hops(name, rules, faults=hops.Faults(**faults)))


def _trim(name: str, *, entries: int = 3, **faults: int) -> Builder:
    return Builder(lambda rules: Trim(name, rules, faults=trim.Faults(**faults), entries=entries))


def _grace(name: str, *, outages: int | None = 1, away: str = grace.DOWN) -> Builder:
    return Builder(lambda rules: Grace(name, rules, outages=outages, away=away))


def _order(name: str, **faults: int) -> Builder:
    none = {"deaths": 0, "freezes": 0, "cuts": 0, "lost": 0}
    return Builder(lambda rules: Order(name, rules, faults=order.Faults(**none | faults)))


ONE_DEATH = _delivery("a death", deaths=1)
ONE_PAUSE = _delivery("a pause", pauses=1)
NO_FAULT = _delivery("nothing goes wrong")
ONE_STOP = _delivery("a shutdown", stops=1)
RETRIED = _delivery("a death, an operator redrives", deaths=1, redrives=1)

POISON_OF_THREE = _crashes("three events, one poison", events=3, poison=1)
RELEASED_POISON = _crashes("a poison that is released three times", events=1, poison=1, releases=3)
INNOCENT_ALONE = _crashes("an innocent, two kills, a pause, a lost reply", events=1, poison=0, kills=2, pauses=1, lost_replies=1)

ANY_LOSS = _lost("any loss")
LOSS_AND_DEATH = _lost("any loss, a death", faults=lostgroup.Faults(losses=1, deaths=1))
LOSS_AND_EXIT = _lost("any loss, an exit", faults=lostgroup.Faults(losses=1, exits=1))
LOSS_AND_RETRIES = _lost("any loss, retries", attempts=2, workers=1)
WATERMARKS = _lost("any loss, a death, watermarks", events=2, workers=1, watermarks=True, faults=lostgroup.Faults(losses=1, deaths=1))
REUSED_IDS = _lost("a flush, ids used again", losses=(lostgroup.FLUSH,), events=2, later=1)
LATEST = _lost(
    "a flush, a death, new groups begin at the latest",
    losses=(lostgroup.FLUSH,),
    faults=lostgroup.Faults(losses=1, deaths=1),
    events=2,
    later=1,
    latest=True,
)

DEPLOYS = _hops("deploys, pauses, a flush, a type forgotten", deploys=3, pauses=2, flushes=1, forgets=1, deaths=1)
REGISTRY_LOST = _hops("deploys, a pause, the registry deleted", deploys=3, pauses=1, registries=1, deaths=1)
NEW_GROUP = _trim("a new group", creations=1)
SOUGHT = _trim("a group set back", seeks=1)
TRIMMED_LOSS = _trim("a lost group", losses=1)
TRIMMED_ALL = _trim("a new group, two lost ones, one set back", entries=2, creations=1, losses=2, seeks=1)
NEWCOMER_FIRST = _hops("a flush, and a new member comes first", deploys=1, flushes=1, joins=1)
OUTAGE = _grace("one outage")
FREEZE = _grace("a freeze", away=grace.FROZEN)
REFUSALS = _grace("writes are refused", away=grace.REFUSING)
OUTAGES = _grace("any number of outages", outages=None)
STALLS = _grace("any number of stalls", outages=None, away=grace.STUCK)
OWNER_DIES = _order("an owner dies", deaths=1)
OWNER_FREEZES = _order("an owner freezes", freezes=1)
OWNER_CUT_OFF = _order("an owner is cut off", cuts=1)
OWNER_LOSES_REPLY = _order("a lost reply, a death", deaths=1, lost=1)

SOUND: tuple[Builder, ...] = (
    NO_FAULT,
    ONE_DEATH,
    ONE_PAUSE,
    ONE_STOP,
    RETRIED,
    _delivery("two deaths, two lost replies, an operator redrives", deaths=2, lost_replies=2, redrives=1),
    _delivery("two pauses, two lost replies", pauses=2, lost_replies=2),
    _delivery("one of each", deaths=1, pauses=1, lost_replies=1, stops=1, redrives=1),
    _delivery("three workers, a death, a pause, a shutdown", workers=3, deaths=1, pauses=1, stops=1),
    POISON_OF_THREE,
    RELEASED_POISON,
    INNOCENT_ALONE,
    _crashes("two events, one poison, a release, a lost reply", events=2, poison=1, releases=1, lost_replies=1),
    _crashes("two events, one poison, a kill, a pause", events=2, poison=1, kills=1, pauses=1),
    _crashes("two poisons, a release", events=2, poison=2, releases=1),
    ANY_LOSS,
    LOSS_AND_DEATH,
    LOSS_AND_EXIT,
    LOSS_AND_RETRIES,
    WATERMARKS,
    REUSED_IDS,
    LATEST,
    _lost("any two losses", faults=lostgroup.Faults(losses=2)),
    _lost("the private stream is lost, retries, two workers", losses=(lostgroup.DELETE_PRIVATE,), attempts=2),
    DEPLOYS,
    REGISTRY_LOST,
    NEW_GROUP,
    SOUGHT,
    TRIMMED_LOSS,
    TRIMMED_ALL,
    NEWCOMER_FIRST,
    OUTAGE,
    FREEZE,
    REFUSALS,
    OUTAGES,
    STALLS,
    OWNER_DIES,
    OWNER_FREEZES,
    OWNER_CUT_OFF,
    OWNER_LOSES_REPLY,
    _order("a death, a freeze, a lost reply", deaths=1, freezes=1, lost=1),
    _order("a freeze, a cut", freezes=1, cuts=1),
    _order("two deaths, a cut", deaths=2, cuts=1),
)
"""The protocol as it is built, model by model: each is safe, and can always finish."""


RULES: tuple[Case, ...] = (
    Case("unique_names", "a process has a consumer name that no other ever had", Property.ONE_RUN, NO_FAULT),
    Case("fenced_move", "a move looks first whether the row is still its sender's", Property.ONE_COPY, ONE_PAUSE),
    Case("fenced_beat", "a beat renews only rows that are its sender's", Property.KEPT_LEASE, ONE_PAUSE),
    Case("atomic_move", "a move writes the copy and acknowledges the original in one step", Property.ONE_COPY, ONE_DEATH),
    Case("atomic_promote", "a promotion writes the copy and removes the parked one in one step", Property.PLACE, ONE_DEATH),
    Case("atomic_redrive", "a redrive writes the copy and removes the dead letter in one step", Property.ONE_COPY, RETRIED),
    Case("private_ack_deletes", "on the private stream an acknowledgement deletes the entry in the same step", Property.DRAINS, ONE_DEATH),
    Case("in_hand_until_answered", "a delivery is in hand, and beaten, until its settlement is answered", Property.NO_RERUN, NO_FAULT),
    Case("recover_between_reads", "own rows are recovered only while no read is in flight", Property.NO_RERUN, NO_FAULT),
    Case("claim_skips_in_hand", "what is in hand is not claimed", Property.ONE_RUN, ONE_PAUSE),
    Case("confirmed_start", "nothing starts on a lease that was not confirmed recently", Property.KEPT_LEASE, ONE_PAUSE),
    Case("cancel_is_no_success", "a handler that was asked to end has no success", Property.PLACE, ONE_PAUSE),
    Case("retire_only_empty", "a consumer is removed only in the step that saw it owe nothing", Property.PLACE, ONE_DEATH),
    Case("release_is_uncounted", "a release counts no attempt", Property.ATTEMPTS, ONE_STOP),
    Case("release_only_ended", "a handler that has not ended is not released", Property.ONE_RUN, ONE_STOP),
    # The crash budget.
    Case("claim_keeps_count", "a claim leaves the delivery count as it is", Property.INNOCENT, INNOCENT_ALONE),
    Case("starts_are_marked", "the start of what was ever claimed is marked first", Property.POISON, POISON_OF_THREE),
    Case("mark_once", "a mark that is sent again counts once", Property.INNOCENT, INNOCENT_ALONE),
    Case("crashes_travel", "lost starts travel in copies", Property.POISON, RELEASED_POISON),
    Case(
        "no_crashes_travel_too", "that something was claimed travels in copies, also without a lost start", Property.POISON, RELEASED_POISON
    ),
    Case("last_start_alone", "last allowed starts run one at a time in a process", Property.INNOCENT, POISON_OF_THREE),
    # A lost group.
    Case("private_at_zero", "the private stream is always made anew at 0", Property.PLACE, LOSS_AND_RETRIES),
    Case(
        "heal_before_watermark", "the topic is made anew just before the watermark, which may be pending itself", Property.PLACE, WATERMARKS
    ),
    Case("token_of_the_read", "a delivery carries the token that was known when its read was sent", Property.PLACE, ANY_LOSS),
    Case("token_in_ack", "an acknowledgement looks at the token", Property.PLACE, REUSED_IDS),
    Case("heal_first", "a lost group is healed first, settled afterwards", Property.FEW_COPIES, LOSS_AND_RETRIES),
    Case("heal_leaves_alone", "creating a group never touches the token of one that exists", Property.ONE_COPY, LOSS_AND_DEATH),
    Case("orphans_start", "an orphan starts without a confirmation: it has no lease to confirm", Property.DRAINS, ANY_LOSS),
    Case("orphans_are_rescued", "the failure of an orphan is written without a fence", Property.PLACE, ANY_LOSS),
    Case(
        "orphans_are_rescued_at_exit",
        "an orphan that still runs at exit is written again, not left to a lease",
        Property.PLACE,
        LOSS_AND_EXIT,
    ),
    Case("reused_ids_apart", "another event under the id of one in hand is taken in hand beside it", Property.PLACE, REUSED_IDS),
    Case(
        "newcomers_say_so",
        "a new group that does not begin at 0 keeps its first token for a lease: who knew another one sets it back",
        Property.PLACE,
        LATEST,
    ),
    # Unknown types.
    Case("registry_decides", "the registry, not the liveness of a member, decides that an event may go", Property.PLACE, DEPLOYS),
    Case("drop_looks_up", "the drop script itself looks into the registry", Property.PLACE, DEPLOYS),
    Case("fenced_drop", "a drop looks first whether the row is still its sender's", Property.PLACE, DEPLOYS),
    Case("lease_of_doubt", "for a lease after a heal every unknown type counts as declared", Property.PLACE, DEPLOYS),
    Case("hops_go_to_who_knows", "a copy that hopped is promoted only by a member that knows it", Property.SERVED, DEPLOYS),
    Case(
        "finders_set_back",
        "a member that finds its group made anew without its types sets it back to the beginning",
        Property.PLACE,
        NEWCOMER_FIRST,
    ),
    # Trimming.
    Case("trim_in_one_step", "a trim looks and cuts in one step", Property.PLACE, NEW_GROUP),
    Case("watermark_is_the_smaller", "a watermark is the smaller of the last id given and the smallest pending", Property.PLACE, SOUGHT),
    Case("missing_group_stops_trim", "while a group is missing nothing is trimmed", Property.PLACE, TRIMMED_LOSS),
    Case("seek_lowers_watermark", "setting a group back lowers its stored watermark in the same step", Property.PLACE, TRIMMED_ALL),
    Case("ids_are_numbers", "ids are compared as numbers", Property.PLACE, TRIMMED_LOSS),
    # Order per key.
    Case("walk_before_read", "a new owner takes over what is pending before it reads on", Property.ORDER, OWNER_DIES),
    Case("next_when_settled", "the next event of a key starts when the one before is settled in Redis", Property.ORDER, OWNER_DIES),
    Case("reads_check_epoch", "a read is executed under its epoch, or not at all", Property.DRAINS, OWNER_FREEZES),
    Case("replies_under_epoch", "a reply is taken in hand only under the epoch it was asked under", Property.ORDER, OWNER_FREEZES),
    Case("own_clock", "whoever cannot renew its ownership for a lease gives up by its own clock", Property.ORDER, OWNER_CUT_OFF),
    Case("empty_hands", "whoever still runs something does not take the group again", Property.ORDER, OWNER_CUT_OFF),
    Case("reads_check_reading", "a walk begins a reading, and reads of earlier ones are refused", Property.ORDER, OWNER_LOSES_REPLY),
    # Graces.
    Case("grace_at_start", "no sweep for a third of a lease after the start", Property.KEPT_LEASE, OUTAGE),
    Case("grace_after_outage", "no sweep for a third of a lease after as long without an answer", Property.KEPT_LEASE, OUTAGE),
    Case("graces_are_bounded", "all graces together postpone a sweep by no more than a lease", Property.TAKEN_OVER, STALLS),
    Case("short_backoff", "a reconnect waits for no more than a sixth of a lease", Property.KEPT_LEASE, OUTAGE),
    Case("beat_comes_first", "on a new connection the beat comes first", Property.KEPT_LEASE, OUTAGE),
    Case("claims_expire", "a claim that comes too late is not executed", Property.KEPT_LEASE, FREEZE),
    Case(
        "refusals_count", "a server that refuses writes counts as one without an answer until it takes one", Property.KEPT_LEASE, REFUSALS
    ),
    Case(
        "failures_count_for_nothing",
        "a sweep that got no answer does not begin the wait for the next one anew",
        Property.TAKEN_OVER,
        OUTAGES,
    ),
)
"""Each rule that is built: without it a property breaks."""

GAPS: tuple[Case, ...] = (
    Case(
        "watermark_knows_its_stream",
        "a watermark is not used for a stream that was made anew after it was stored",
        Property.PLACE,
        _lost("the topic is deleted, ids used again", losses=(lostgroup.DELETE_TOPIC,), events=4, later=2, workers=1, watermarks=True),
    ),
)
"""What is not built: a property breaks where the rule is off, as it is today, and holds where it is on."""
