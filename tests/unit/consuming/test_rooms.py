"""What a consumer is put together from, by what its subscription asks for."""

from dataclasses import replace
from datetime import timedelta

import pytest

from eventbus import Batch, Event, Topic
from eventbus.consuming import Rooms
from eventbus.consuming.batch_executors import BatchExecutors
from eventbus.consuming.batch_work import BatchWork
from eventbus.consuming.idempotent_gate import IdempotentGate
from eventbus.consuming.idempotent_settler import IdempotentSettler
from eventbus.consuming.instance import Instance
from eventbus.consuming.lanes import Lanes
from eventbus.consuming.levels import LevelExecutors, LevelWork
from eventbus.consuming.ordered import OrderedConsumer
from eventbus.consuming.retaining import EagerIdempotentSettler, EagerSettler
from eventbus.consuming.rooms import IdempotentRooms, OrderedRooms
from eventbus.delivery import Declarations, Policy, Settings, Subscription, Topics, compile_subscriptions


class Paid(Event, topic="payments", key="order_id"):
    order_id: str


def subscription(topic=None, **policy) -> Subscription:
    async def handle(event: Paid) -> None: ...

    async def handle_all(events: list[Paid]) -> None: ...

    declarations = Declarations()
    declare = declarations.declare(Paid, group="charge", topic=topic, middleware=(), policy=Policy(**policy))
    declare(handle_all if "batch" in policy else handle)
    (found,) = compile_subscriptions(declarations, Settings(url="redis://localhost", service="billing"), topics=Topics())
    return found


def test_a_plain_subscription_has_the_ordinary_rooms():
    assert Rooms().of(subscription()) == Rooms()


@pytest.mark.parametrize(
    ("asked", "rooms"),
    [
        ({"idempotent": True}, {"gate": IdempotentGate, "settler": IdempotentSettler}),
        ({"batch": Batch()}, {"work": BatchWork, "executors": BatchExecutors}),
        ({"topic": Topic("payments", priorities=("high", "normal"))}, {"work": LevelWork, "executors": LevelExecutors}),
        ({"broadcast": True}, {"consumer": Instance}),
        ({"ordered": True}, {"consumer": OrderedConsumer, "work": Lanes, "settler": EagerSettler}),
    ],
)
def test_what_a_subscription_asks_for_has_rooms_of_its_own(asked, rooms):
    chosen = Rooms().of(subscription(**asked))
    assert {name: getattr(chosen, name) for name in rooms} == rooms


def test_what_goes_together_is_put_together():
    batches = Rooms().of(subscription(batch=Batch(), idempotent=timedelta(hours=1), broadcast=True))
    assert (batches.consumer, batches.work, batches.gate) == (Instance, BatchWork, IdempotentGate)


def test_an_ordered_group_that_remembers_has_idempotent_rooms_of_its_own():
    ordered = Rooms().of(subscription(ordered=True, idempotent=True))
    assert (ordered.gate, ordered.settler) == (IdempotentGate, EagerIdempotentSettler)


def test_a_room_of_a_pattern_can_be_replaced():
    class Own(EagerIdempotentSettler): ...

    rooms = replace(Rooms(), ordered=OrderedRooms(idempotent=IdempotentRooms(settler=Own)))
    assert rooms.of(subscription(ordered=True, idempotent=True)).settler is Own
    assert rooms.of(subscription(idempotent=True)).settler is IdempotentSettler
