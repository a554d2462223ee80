"""From declarations to subscriptions: grouped by topic and group, with every conflict named."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from eventbus.delivery import Batch, Declarations, Policy, Retry, Settings, Topics, compile_subscriptions
from eventbus.errors import ConfigurationError
from eventbus.events import Event, Flat, Topic


class Account(Event):
    user: str = "ada"


class SignedUp(Account, topic="accounts"):
    pass


class Left(Account, topic="departures", version=3):
    pass


class Other(Event, topic="accounts", type="SignedUp"):
    pass


class Alone(Event):
    pass


SETTINGS = Settings(url="redis://localhost", service="billing", prefix="test:", concurrency=4)


async def one(event: Event): ...
async def two(event: Event): ...


def declared(*uses, settings=SETTINGS, middleware=()):
    """Compile uses of `subscribe`: spec, function, and its arguments."""
    declarations = Declarations()
    for spec, function, arguments in uses:
        given = {"group": None, "topic": None, "middleware": (), **arguments}
        policy = Policy(**{name: given.pop(name) for name in tuple(given) if name in Policy.__dataclass_fields__})
        assert declarations.declare(spec, policy=policy, **given)(function) is function
    return compile_subscriptions(declarations, settings, middleware=middleware, topics=Topics())


def test_a_subscription_has_the_prefixed_stream_and_the_services_own_group():
    """The default group is the service's and the function's name."""
    (subscription,) = declared((SignedUp, one, {}))
    assert (subscription.topic, subscription.stream, subscription.group) == ("accounts", "test:accounts", "billing.one")
    assert str(subscription) == "accounts/billing.one"
    assert list(subscription.routes) == ["SignedUp"]


def test_the_default_group_of_a_partial_is_that_of_its_function():
    """What is bound does not change what it is."""
    (subscription,) = declared((SignedUp, functools.partial(one), {}))
    assert subscription.group == "billing.one"


def test_a_nameless_handler_must_name_its_group():
    """`billing.<lambda>` would be shared by every other one."""
    nameless = lambda event: None  # noqa: E731 - what it is about
    with pytest.raises(ConfigurationError, match=r"no name to call its group by; pass group="):
        declared((SignedUp, nameless, {}))
    assert declared((SignedUp, nameless, {"group": "g"}))


def test_what_a_subscription_leaves_open_comes_from_the_settings_and_then_from_defaults():
    """Read ahead: twice the concurrency, unless somebody said otherwise."""
    (plain,) = declared((SignedUp, one, {}))
    assert (plain.start, plain.concurrency, plain.prefetch, plain.retry, plain.foreign) == ("0", 4, None, Retry(), ())
    (chosen,) = declared((SignedUp, one, {"start": "latest", "concurrency": 2, "retry": Retry(attempts=1)}))
    assert (chosen.start, chosen.concurrency, chosen.prefetch, chosen.retry) == ("$", 2, None, Retry(attempts=1))
    (fixed,) = declared((SignedUp, one, {"start": "5-1", "prefetch": 1}))
    assert (fixed.start, fixed.prefetch) == ("5-1", 1)
    (everywhere,) = declared((SignedUp, one, {}), settings=Settings(url="redis://h", service="s", prefetch=7))
    assert (everywhere.concurrency, everywhere.prefetch) == (32, 7)


def test_a_base_class_subscribes_to_the_topics_of_its_descendants():
    """One subscription for each topic, each with its own types."""
    found = {subscription.topic: subscription for subscription in declared((Account, one, {"group": "audit"}))}
    assert {topic: list(each.routes) for topic, each in found.items()} == {"accounts": ["SignedUp"], "departures": ["Left"]}
    assert found["departures"].routes["Left"].version == 3


def test_handlers_of_one_group_share_a_subscription_and_divide_its_types():
    """By topic: with `topic=` events of other topics' classes may come in one stream."""
    (subscription,) = declared((SignedUp, one, {"group": "g"}), (Left, two, {"group": "g", "topic": "accounts", "concurrency": 9}))
    assert {name: route.handler.function for name, route in subscription.routes.items()} == {"SignedUp": one, "Left": two}
    assert subscription.concurrency == 9


def test_a_class_without_topic_needs_one_in_the_subscription():
    """Else it would wait for events that come nowhere."""
    with pytest.raises(
        ConfigurationError, match=r"one subscribes to Alone, but neither .* names a topic: write class Alone\(Event, topic="
    ):
        declared((Alone, one, {}))
    (subscription,) = declared((Alone, one, {"topic": "somewhere"}))
    assert subscription.topic == "somewhere"


def test_one_function_twice_in_a_group_is_a_conflict_as_two_functions_are():
    """An event goes to one handler of a group."""
    for second in (one, two):
        with pytest.raises(
            ConfigurationError, match=rf"group 'g' on topic 'accounts': .*one and .*{second.__name__} both handle 'SignedUp'"
        ):
            declared((SignedUp, one, {"group": "g"}), (SignedUp, second, {"group": "g"}))
    assert len(declared((SignedUp, one, {"group": "g"}), (SignedUp, two, {"group": "h"}))) == 2


def test_two_classes_of_one_type_are_a_conflict_in_one_group_only():
    """Another group may read the same entries as another class."""
    with pytest.raises(ConfigurationError, match=r"SignedUp and .*Other are both of type 'SignedUp'"):
        declared((SignedUp, one, {"group": "g"}), (Other, two, {"group": "g"}))
    assert len(declared((SignedUp, one, {}), (Other, two, {}))) == 2


def test_options_of_one_group_that_differ_are_a_conflict_that_names_the_place():
    """Whose concurrency would hold?"""
    with pytest.raises(ConfigurationError, match=r"group 'g' on topic 'accounts': .*concurrency=1 and concurrency=2"):
        declared((SignedUp, one, {"group": "g", "concurrency": 1}), (Left, two, {"group": "g", "topic": "accounts", "concurrency": 2}))


def test_two_declarations_of_one_topic_are_a_conflict():
    """Also where one is a class's and the other a subscription's."""
    with pytest.raises(ConfigurationError, match="declared twice"):
        declared((SignedUp, one, {"topic": Topic("t", max_len=1)}), (Left, two, {"topic": Topic("t", max_len=2)}))


def test_foreign_entries_can_be_read_only_as_a_class_that_is_handled():
    """Else nobody would take them."""
    (subscription,) = declared((SignedUp, one, {"foreign": Flat(SignedUp)}))
    assert subscription.foreign == (Flat(SignedUp),)
    for foreign in (Left, Other):  # Other has the same type
        with pytest.raises(ConfigurationError, match=rf"foreign=Flat\({foreign.__name__}\), but none of its handlers"):
            declared((SignedUp, one, {"foreign": Flat(foreign)}))


@pytest.mark.parametrize("spec", [3, str, None, SignedUp | None, SignedUp | str, "SignedUp", SignedUp()])
def test_what_is_no_event_class_cannot_be_subscribed_to(spec):
    """By what was written."""
    with pytest.raises(ConfigurationError, match="is no event class"):
        declared((spec, one, {}))


@pytest.mark.parametrize("name", ["", "a b", "{a}", "a#b", "a\n", 3])
@pytest.mark.parametrize("argument", ["group", "topic"])
def test_names_that_cannot_be_part_of_a_key_are_refused_where_they_are_written(argument, name):
    """By the decorator, before there is a bus."""
    with pytest.raises(ConfigurationError, match=argument):
        declared((SignedUp, one, {argument: name}))


async def test_the_middleware_of_the_bus_is_outside_that_of_the_subscription():
    """In the order they are written."""
    log = []

    def layer(name):
        async def middleware(event, ctx, call_next):
            log.append(name)
            await call_next(event, ctx)

        return middleware

    (subscription,) = declared((SignedUp, one, {"middleware": [layer("c"), layer("d")]}), middleware=[layer("a"), layer("b")])
    await subscription.routes["SignedUp"].invoke(SignedUp(), None)
    assert log == ["a", "b", "c", "d"]


class Ticket(Event, topic=Topic("tickets", priorities=("high", "normal", "low"))):
    number: int = 1


def test_priorities_are_shared_by_halves_unless_somebody_said_otherwise():
    """Strict, or weights of one's own; a topic without priorities has none."""
    assert declared((SignedUp, one, {}))[0].weights is None
    (halves,) = declared((Ticket, one, {}))
    assert (halves.priorities, halves.weights) == (("high", "normal", "low"), {"high": 4, "normal": 2, "low": 1})
    (strict,) = declared((Ticket, one, {"weights": "strict"}))
    assert strict.weights == "strict"
    (own,) = declared((Ticket, one, {"weights": {"low": 5, "high": 1, "normal": 1}}))
    assert own.weights == {"low": 5, "high": 1, "normal": 1}


@pytest.mark.parametrize("weights", [{"high": 2, "low": 1}, {"high": 3, "normal": 2, "low": 1, "lowest": 1}])
def test_weights_name_exactly_the_priorities_of_the_topic(weights):
    """One that is left out would never be served."""
    with pytest.raises(ConfigurationError, match="'g' on topic 'tickets'.*give one for each of the topic's priorities: high, normal, low"):
        declared((Ticket, one, {"group": "g", "weights": weights}))


@pytest.mark.parametrize("weights", ["strict", {"high": 1}])
def test_weights_need_a_topic_with_priorities(weights):
    """Said with what to declare."""
    with pytest.raises(ConfigurationError, match="the topic has no priorities"):
        declared((SignedUp, one, {"weights": weights}))


def test_priorities_hold_wherever_their_topic_is_declared():
    """A subscription that only names the topic has them, too."""

    class Plain(Event, topic="tickets"):
        pass

    for uses in (
        [(Plain, one, {"group": "a"}), (Ticket, two, {"group": "b"})],
        [(Ticket, two, {"group": "b"}), (Plain, one, {"group": "a"})],
    ):
        assert [each.priorities for each in declared(*uses)] == [("high", "normal", "low")] * 2


def test_a_priority_is_named_behind_the_group():
    """In logs and the names of loops."""
    (subscription,) = declared((Ticket, one, {"group": "g"}))
    assert str(subscription) == "tickets/g"
    assert str(replace(subscription, priority="high")) == "tickets/g (high)"


async def tickets(events: list[Ticket]): ...


@pytest.mark.parametrize(("option", "value", "handler"), [("batch", Batch(), tickets), ("ordered", True, one)])
def test_what_priorities_would_not_keep_is_refused(option, value, handler):
    """Named with the reason."""
    with pytest.raises(ConfigurationError, match=f"{option}= and the topic's priorities do not go together"):
        declared((Ticket, handler, {option: value}))


async def many(events: list[Account]): ...
async def as_many(events: list[Account]): ...


def compiled(*declared, batch):
    declarations = Declarations()
    for spec, handler in declared:
        declarations.declare(spec, group="store", topic=None, middleware=(), policy=Policy(batch=batch))(handler)
    return compile_subscriptions(declarations, SETTINGS, topics=Topics())


def test_one_batch_at_a_time_is_handled_unless_it_is_said_otherwise():
    """Several at a time would share out what comes; what they hold is counted in events."""
    (found,) = compiled((SignedUp, many), batch=Batch(max_size=50))
    assert (found.concurrency, found.at_once) == (1, 50)
    declarations = Declarations()
    policy = Policy(batch=Batch(max_size=50), concurrency=3)
    declarations.declare(SignedUp, group="store", topic=None, middleware=(), policy=policy)(many)
    (found,) = compile_subscriptions(declarations, SETTINGS, topics=Topics())
    assert (found.concurrency, found.at_once) == (3, 150)


def test_a_batch_goes_to_one_handler():
    """Else events of one type would wait for others of it."""

    class Renamed(Account, topic="accounts"):
        pass

    (found,) = compiled((SignedUp | Renamed, many), batch=Batch())
    assert sorted(found.routes) == ["Renamed", "SignedUp"]
    with pytest.raises(ConfigurationError, match=r"as_many and .*many share a group that takes batches.*union of the classes"):
        compiled((SignedUp, many), (Renamed, as_many), batch=Batch())


def test_a_group_takes_batches_or_not():
    """One handler cannot say so for another."""
    declarations = Declarations()
    declarations.declare(SignedUp, group="store", topic=None, middleware=(), policy=Policy(batch=Batch()))(many)

    class Renamed(Account, topic="accounts"):
        pass

    declarations.declare(Renamed, group="store", topic=None, middleware=(), policy=Policy())(one)
    with pytest.raises(ConfigurationError, match="share a group that takes batches"):
        compile_subscriptions(declarations, SETTINGS, topics=Topics())
