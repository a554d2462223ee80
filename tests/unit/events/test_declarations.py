"""What an event class says about itself, and which classes a subscription stands for."""

from __future__ import annotations

import gc
from typing import Generic, TypeVar, Union

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from eventbus.errors import ConfigurationError
from eventbus.events import Event, EventInfo, Topic, descendants, info

T = TypeVar("T")


class OrderEvent(Event, topic=Topic("orders", max_len=100), key="order_id"):
    order_id: str


class OrderCreated(OrderEvent, type="shop.created", version=3):
    total: int = 0


class OrderPaid(OrderCreated, topic="payments", key="total"):
    pass


class Changed(Event, Generic[T], topic="changes", type="changed", version=2):
    new: T


def test_topic_and_key_are_inherited_type_and_version_are_not():
    """A subclass is another type of event, in the same place."""
    assert info(OrderEvent) == EventInfo(Topic("orders", max_len=100), "OrderEvent", 1, "order_id")
    assert info(OrderCreated) == EventInfo(Topic("orders", max_len=100), "shop.created", 3, "order_id")
    assert info(OrderPaid) == EventInfo(Topic("payments"), "OrderPaid", 1, "total")


def test_a_class_without_a_topic_is_abstract():
    """It has a type all the same, since it may be published to a named topic."""

    class Something(Event):
        pass

    assert info(Something) == EventInfo(None, "Something", 1, None)
    assert info(Event).topic is None


def test_a_type_may_have_letters_of_any_script():
    """Class names may, so types do."""

    class Größe(Event, topic="t"):  # noqa: PLC2401 - that is the point
        pass

    assert info(Größe).type == "Größe"


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a\x00", "a\u00a0b", "\ud800", "ü" * 101, 5])
def test_a_type_is_visible_and_at_most_200_bytes(name):
    """It is shown in logs and typed into commands."""
    with pytest.raises(ConfigurationError, match=r"Wrong: type=.*: give a text of visible characters"):

        class Wrong(Event, type=name):
            pass


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None, 10**9])
def test_a_version_is_a_whole_number_from_one(version):
    """And one that every language can read."""
    with pytest.raises(ConfigurationError, match=r"Wrong: version=.*: give a whole number from 1 to 999999999"):

        class Wrong(Event, version=version):
            pass


@pytest.mark.parametrize("key", ["oder_id", "", 5, ["a"]])
def test_a_key_names_a_field(key):
    """The message lists those there are."""
    with pytest.raises(ConfigurationError, match=r"Wrong: key=.* is none of its fields: order_id, n"):

        class Wrong(Event, key=key):
            order_id: str
            n: int


def test_a_key_of_a_class_without_fields_says_so():
    """An empty list of fields would read like a cut message."""
    with pytest.raises(ConfigurationError, match="key='a' is none of its fields: it has none"):

        class Wrong(Event, key="a"):
            pass


def test_a_wrong_topic_is_refused_where_the_class_is_written():
    """As wherever a topic's name may stand."""
    with pytest.raises(ConfigurationError, match="topic 'a b' has ' ' in it"):

        class Wrong(Event, topic="a b"):
            pass


def test_a_class_argument_that_does_not_exist_is_an_error():
    """A typing error must not become an abstract class."""
    with pytest.raises(TypeError, match="takes no keyword arguments"):

        class Wrong(Event, topik="orders"):
            pass


def test_pydantics_own_class_arguments_and_config_still_work():
    """They are merged with the rules of events."""

    class Stripped(Event, topic="t", str_strip_whitespace=True):
        model_config = ConfigDict(title="A title")
        name: str

    assert Stripped(name=" a ").name == "a"
    assert Stripped.model_config["title"] == "A title"
    with pytest.raises(ValidationError):
        Stripped(name="a", other=1)


def test_a_parametrized_generic_is_declared_as_its_generic_is():
    """Its parameters are part of the type, so that two of them are two types."""
    assert info(Changed[int]) == EventInfo(Topic("changes"), "changed[int]", 2, None)
    assert info(Changed[dict[str, int]]).type == "changed[dict[str,int]]"


def test_a_class_derived_from_a_parametrized_generic_has_its_own_type():
    """As every class the user writes."""

    class PriceChanged(Changed[float]):
        pass

    assert info(PriceChanged) == EventInfo(Topic("changes"), "PriceChanged", 1, None)


def test_a_class_stands_for_itself_and_all_below_it():
    """Each before those derived from it."""
    assert descendants(OrderEvent) == (OrderEvent, OrderCreated, OrderPaid)
    assert descendants(OrderPaid) == (OrderPaid,)


def test_abstract_classes_are_left_out():
    """Nothing of theirs is published."""

    class Account(Event):
        pass

    class Closing(Account):
        pass

    class SignedUp(Account, topic="accounts"):
        pass

    class Closed(Closing, topic="accounts"):
        pass

    assert descendants(Account) == (Closed, SignedUp)


def test_an_abstract_class_that_stands_alone_is_returned():
    """So that subscribing to it is an error, or works with a named topic; never nothing at all."""

    class Alone(Event):
        pass

    assert descendants(Alone) == (Alone,)


@pytest.mark.parametrize("spec", [OrderCreated | OrderPaid, Union[OrderCreated, OrderPaid]])  # noqa: UP007 - the old form is the point
def test_a_union_stands_for_its_members_each_once(spec):
    """In both spellings."""
    assert descendants(spec) == (OrderCreated, OrderPaid)


def test_a_class_that_is_reached_twice_counts_once():
    """By two bases."""

    class One(Event):
        pass

    class Two(Event):
        pass

    class Both(One, Two, topic="t"):
        pass

    assert descendants(One | Two) == (Both,)


class NoEvent(BaseModel):
    pass


@pytest.mark.parametrize("spec", [NoEvent, OrderPaid(order_id="1"), "OrderPaid", None, OrderPaid | None, OrderPaid | int, list[OrderPaid]])
def test_what_is_no_event_class_is_named(spec):
    """An instance, a name, another class."""
    with pytest.raises(ConfigurationError, match="is no event class: subscribe to a class derived from Event, or a union of such"):
        descendants(spec)


def test_a_class_whose_declaration_failed_is_nobodys_descendant():
    """Python keeps it until the next garbage collection."""

    class Shelf(Event, topic="t"):
        pass

    gc.disable()
    try:
        with pytest.raises(ConfigurationError):

            class Broken(Shelf, version=0):
                pass

        assert [each.__name__ for each in Shelf.__subclasses__()] == ["Broken"]
        assert descendants(Shelf) == (Shelf,)
    finally:
        gc.enable()
