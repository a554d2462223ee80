"""4. Types: one topic carries many, and a subscription says which it wants.

A type's name and version travel with the event. The class's name is the type, unless `type=` says otherwise.
"""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import BaseModel

from eventbus import ConfigurationError, Event, EventBus, Value
from eventbus.testing import running


class AccountEvent(Event, topic="accounts", key="user"):
    """A base: its topic and key are inherited."""

    user: str


class SignedUp(AccountEvent):
    at: datetime


class Left(AccountEvent, version=2):  # raised when the data changed; older readers leave newer versions alone
    reason: str = ""


async def test_a_base_class_stands_for_all_that_derive_from_it():
    """One handler for the whole family."""
    bus = EventBus("embedded://", service="audit")

    @bus.subscribe(AccountEvent, group="audit")
    async def note(event: AccountEvent) -> None: ...

    async with running(bus) as run:
        await bus.publish_many([SignedUp(user="ann", at=datetime.now(UTC)), Left(user="ben")])
        await run.idle()

    assert {type(event) for event in run.handled(AccountEvent)} == {SignedUp, Left}


async def test_a_union_stands_for_its_members_and_other_types_are_passed_over():
    """What no handler of a group names is not this group's work: acknowledged, counted, not handled."""

    class Renamed(AccountEvent):
        name: str

    bus = EventBus("embedded://", service="mail")

    @bus.subscribe(SignedUp | Left, group="mail")
    async def write(event: SignedUp | Left) -> None: ...

    async with running(bus) as run:
        await bus.publish_many([Renamed(user="ann", name="Anna"), Left(user="ann")])
        await run.idle()

    assert run.handled(AccountEvent) == [Left(user="ann")]


async def test_times_keep_their_moment_and_lose_their_zone():
    """A time without a zone is refused; on the wire all are UTC."""
    bus = EventBus("embedded://", service="audit")

    @bus.subscribe(SignedUp, group="audit")
    async def note(event: SignedUp) -> None: ...

    noon = datetime(2026, 11, 21, 12, tzinfo=timezone(timedelta(hours=2)))
    async with running(bus) as run:
        await bus.publish(SignedUp(user="ann", at=noon))
        await run.idle()

    [handled] = run.handled(SignedUp)
    assert handled.at == noon
    assert handled.at.tzinfo == UTC


def test_parts_of_an_event_follow_its_rules():
    """`Value` is the base of the parts. Another model is refused if it could hold what an event must not hold."""

    class Line(Value):
        article: str
        price: float

    class OrderCreated(Event, topic="orders"):
        lines: list[Line]

    class LooseLine(BaseModel):
        price: float  # might be NaN, which JSON does not have

    assert OrderCreated(lines=[Line(article="tea", price=4.5)]).lines[0].article == "tea"
    with pytest.raises(ConfigurationError, match=r"derive LooseLine from eventbus\.Value"):

        class LooseOrder(Event, topic="orders"):
            lines: list[LooseLine]


async def test_two_handlers_of_one_group_for_one_type_are_refused():
    """An event goes to one handler of a group. Which one would be a guess, so the bus does not open."""
    bus = EventBus("embedded://", service="audit")

    @bus.subscribe(Left, group="audit")
    async def one(event: Left) -> None: ...

    @bus.subscribe(Left, group="audit")
    async def other(event: Left) -> None: ...

    with pytest.raises(ConfigurationError, match="give one of them another group="):
        await bus.open()
