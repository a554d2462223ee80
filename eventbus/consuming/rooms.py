"""The rooms a consumer is put together from, so that a test can put another one in a room's place."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from eventbus.consuming.batch_executors import BatchExecutors
from eventbus.consuming.batch_work import BatchWork
from eventbus.consuming.beat import Beat
from eventbus.consuming.claimer import Claimer
from eventbus.consuming.executors import Executors
from eventbus.consuming.fetcher import Fetcher
from eventbus.consuming.gate import Gate
from eventbus.consuming.idempotent_gate import IdempotentGate
from eventbus.consuming.idempotent_settler import IdempotentSettler
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.instance_place import InstanceFetcher, InstanceMembership
from eventbus.consuming.intake import Intake
from eventbus.consuming.levels import LevelExecutors, LevelWork
from eventbus.consuming.membership import Membership
from eventbus.consuming.mover import Mover
from eventbus.consuming.ordered import OrderedRooms
from eventbus.consuming.promoter import Promoter
from eventbus.consuming.recovery import Recovery
from eventbus.consuming.settler import Settler
from eventbus.consuming.work import Work
from eventbus.streams import EntryCommands, GroupCommands, GroupReader, OnceCommands

if TYPE_CHECKING:
    from eventbus.delivery import Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The class of each room; a subclass of it may stand in its place.

    What a subscription asks for beside the ordinary has rooms of its own, which stand in the places of the others.
    """

    group: type[GroupCommands] = GroupCommands
    entries: type[EntryCommands] = EntryCommands
    once: type[OnceCommands] = OnceCommands
    reader: type[GroupReader] = GroupReader
    work: type[Work] = Work
    level_work: type[LevelWork] = LevelWork
    batch_work: type[BatchWork] = BatchWork
    in_hand: type[InHand] = InHand
    intake: type[Intake] = Intake
    membership: type[Membership] = Membership
    recovery: type[Recovery] = Recovery
    fetcher: type[Fetcher] = Fetcher
    gate: type[Gate] = Gate
    idempotent_gate: type[IdempotentGate] = IdempotentGate
    executors: type[Executors] = Executors
    level_executors: type[LevelExecutors] = LevelExecutors
    batch_executors: type[BatchExecutors] = BatchExecutors
    beat: type[Beat] = Beat
    claimer: type[Claimer] = Claimer
    settler: type[Settler] = Settler
    idempotent_settler: type[IdempotentSettler] = IdempotentSettler
    mover: type[Mover] = Mover
    promoter: type[Promoter] = Promoter
    instance_membership: type[InstanceMembership] = InstanceMembership
    instance_fetcher: type[InstanceFetcher] = InstanceFetcher
    ordered: OrderedRooms = field(default_factory=OrderedRooms)

    def of(self, subscription: Subscription) -> Rooms:
        """Those of a subscription, by what it asks for."""
        if not subscription.order:
            return self
        return replace(self, **{each.name: getattr(self.ordered, each.name) for each in fields(self.ordered)})
