"""The rooms a consumer is put together from: chosen here, all of them, by what the subscription asks for.

A test can put another one in a room's place, a pattern's own rooms included.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from eventbus.consuming.batch_executors import BatchExecutors
from eventbus.consuming.batch_work import BatchWork
from eventbus.consuming.beat import Beat
from eventbus.consuming.claimer import Claimer
from eventbus.consuming.consumer import Consumer
from eventbus.consuming.executors import Executors
from eventbus.consuming.fetcher import Fetcher
from eventbus.consuming.gate import Gate
from eventbus.consuming.idempotent_gate import IdempotentGate
from eventbus.consuming.idempotent_settler import IdempotentSettler
from eventbus.consuming.in_hand import InHand
from eventbus.consuming.instance import Instance
from eventbus.consuming.instance_place import InstanceFetcher, InstanceMembership
from eventbus.consuming.intake import Intake
from eventbus.consuming.lanes import Lanes, LanesInHand
from eventbus.consuming.levels import LevelExecutors, LevelWork
from eventbus.consuming.membership import Membership
from eventbus.consuming.mover import Mover
from eventbus.consuming.ordered import OrderedConsumer, OwnedBeat, OwnedPromoter
from eventbus.consuming.ownership import Ownership
from eventbus.consuming.promoter import Promoter
from eventbus.consuming.recovery import Recovery
from eventbus.consuming.retaining import EagerIdempotentSettler, EagerSettler, Retainer
from eventbus.consuming.settler import Settler
from eventbus.consuming.succession import OwnedFetcher, TakeOver, Watch
from eventbus.consuming.work import Work
from eventbus.streams import (
    EntryCommands,
    GroupCommands,
    GroupReader,
    MarkCommands,
    OwnedEntryCommands,
    OwnedGroupCommands,
    OwnedMarkCommands,
    OwnedReader,
)

if TYPE_CHECKING:
    from eventbus.consuming.standing import Standing
    from eventbus.consuming.work import Queue
    from eventbus.delivery import Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotentRooms:
    """What stands in the places of others where finished events are remembered."""

    gate: type[IdempotentGate] = IdempotentGate
    settler: type[IdempotentSettler] = IdempotentSettler


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRooms:
    """What stands in the places of others where handlers take batches."""

    work: type[BatchWork] = BatchWork
    executors: type[BatchExecutors] = BatchExecutors


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityRooms:
    """What stands in the places of others where the topic has priorities."""

    work: type[LevelWork] = LevelWork
    executors: type[LevelExecutors] = LevelExecutors


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastRooms:
    """What stands in the places of others where every process is a group of its own."""

    consumer: type[Instance] = Instance
    membership: type[InstanceMembership] = InstanceMembership
    fetcher: type[InstanceFetcher] = InstanceFetcher


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedRooms:
    """What stands in the places of others where a group is ordered, and has one owner."""

    consumer: type[OrderedConsumer] = OrderedConsumer
    group: type[OwnedGroupCommands] = OwnedGroupCommands
    entries: type[OwnedEntryCommands] = OwnedEntryCommands
    marks: type[OwnedMarkCommands] = OwnedMarkCommands
    reader: type[OwnedReader] = OwnedReader
    work: type[Lanes] = Lanes
    in_hand: type[LanesInHand] = LanesInHand
    membership: type[Ownership] = Ownership
    recovery: type[TakeOver] = TakeOver
    fetcher: type[OwnedFetcher] = OwnedFetcher
    beat: type[OwnedBeat] = OwnedBeat
    claimer: type[Watch] = Watch
    settler: type[EagerSettler] = EagerSettler
    mover: type[Retainer] = Retainer
    promoter: type[OwnedPromoter] = OwnedPromoter
    idempotent: IdempotentRooms = field(default_factory=lambda: IdempotentRooms(settler=EagerIdempotentSettler))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The class of each room; a subclass of it may stand in its place.

    What a subscription asks for beside the ordinary has rooms of its own, the last five here, which `of` puts in the places
    of the others.
    """

    consumer: type[Consumer] = Consumer
    group: type[GroupCommands] = GroupCommands
    entries: type[EntryCommands] = EntryCommands
    marks: type[MarkCommands] = MarkCommands
    reader: type[GroupReader] = GroupReader
    work: type[Queue[Any]] = Work
    in_hand: type[InHand] = InHand
    intake: type[Intake] = Intake
    membership: type[Membership] = Membership
    recovery: type[Recovery] = Recovery
    fetcher: type[Fetcher] = Fetcher
    gate: type[Gate] = Gate
    executors: type[Standing[Any]] = Executors
    beat: type[Beat] = Beat
    claimer: type[Claimer] = Claimer
    settler: type[Settler] = Settler
    mover: type[Mover] = Mover
    promoter: type[Promoter] = Promoter
    ordered: OrderedRooms = field(default_factory=OrderedRooms)
    idempotent: IdempotentRooms = field(default_factory=IdempotentRooms)
    batches: BatchRooms = field(default_factory=BatchRooms)
    priorities: PriorityRooms = field(default_factory=PriorityRooms)
    broadcast: BroadcastRooms = field(default_factory=BroadcastRooms)

    def of(self, subscription: Subscription) -> Rooms:
        """Those of a subscription, by what it asks for."""
        rooms = self
        if subscription.order is not None:  # first: it has idempotent rooms of its own
            rooms = _put(rooms.ordered, rooms)
        if subscription.window is not None:
            rooms = _put(rooms.idempotent, rooms)
        if subscription.batch is not None:
            rooms = _put(rooms.batches, rooms)
        if subscription.priorities:
            rooms = _put(rooms.priorities, rooms)
        if subscription.broadcast:
            rooms = _put(rooms.broadcast, rooms)
        return rooms


def _put(own: OrderedRooms | IdempotentRooms | BatchRooms | PriorityRooms | BroadcastRooms, rooms: Rooms) -> Rooms:
    return replace(rooms, **{each.name: getattr(own, each.name) for each in fields(own)})
