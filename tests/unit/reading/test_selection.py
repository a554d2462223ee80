"""Which entries of a topic are read as which events."""

from __future__ import annotations

import pytest

from eventbus import ConfigurationError, Debezium, DecodeError, Event, Flat
from eventbus.events import encode, identity
from eventbus.reading.selection import Selection


class Base(Event):
    name: str


class Came(Base, topic="visits"):
    pass


class Went(Base, topic="visits"):
    pass


class Elsewhere(Base, topic="elsewhere"):
    pass


class Lonely(Event):
    name: str


def fields(event):
    return encode(event, source="/test")


def read(spec, event, **options):
    return Selection(spec, options.pop("topic", None), options.pop("foreign", None)).read(fields(event))


def test_an_event_comes_with_its_identity_and_its_envelope():
    """Publishing it again keeps its id."""
    sent = Came(name="x")
    found = read(Came, sent)
    assert found.event == sent
    assert identity(found.event) == identity(sent)
    assert found.envelope.id == identity(sent).id


def test_a_union_takes_each_of_its_classes_and_passes_over_the_rest():
    """As a subscription does, which would skip them."""
    assert isinstance(read(Came | Went, Went(name="x")).event, Went)
    assert read(Came, Went(name="x")) is None


def test_a_base_class_stands_for_what_is_derived_from_it_where_that_is_in_one_topic():
    """Places in two streams are not one."""
    with pytest.raises(ConfigurationError, match=r"Base has events in several topics \(elsewhere, visits\)"):
        Selection(Base, None, None)
    assert isinstance(read(Base, Went(name="x"), topic="visits").event, Went)


def test_what_names_no_topic_is_refused():
    """With the argument that names one."""
    with pytest.raises(ConfigurationError, match="Lonely names no topic.*topic="):
        Selection(Lonely, None, None)
    assert read(Lonely, Lonely(name="x"), topic="anywhere").event == Lonely(name="x")


def test_two_classes_of_one_type_are_refused():
    """Nobody could tell which of them is meant."""

    class Again(Event, topic="visits", type="Came"):
        pass

    with pytest.raises(ConfigurationError, match="both of type 'Came'"):
        Selection(Came | Again, None, None)


def test_what_is_no_event_class_is_refused():
    """By what it is."""
    with pytest.raises(ConfigurationError, match="is no event class"):
        Selection(str, None, None)


def test_entries_without_envelope_are_read_where_that_was_said():
    """Else they cannot be."""
    flat = [b"name", b"x"]
    with pytest.raises(DecodeError, match="foreign=Flat"):
        Selection(Came, None, None).read(flat)
    found = Selection(Came, None, Flat(Came)).read(flat)
    assert (found.event, found.envelope) == (Came(name="x"), None)


def test_an_entry_that_says_nothing_is_passed_over_like_one_of_another_type():
    """A tombstone of Debezium; what another reader can read is read."""
    selection = Selection(Came, None, [Debezium(Came), Flat(Came)])
    assert selection.read([b'{"id":1}', b"default"]) is None
    assert selection.read([b"name", b"x"]).event == Came(name="x")


@pytest.mark.parametrize("foreign", [Flat(Went), [Flat(Came), Flat(Went)], "Came"])
def test_foreign_entries_are_of_a_class_that_is_read(foreign):
    """Else they would be of a type nobody expects."""
    with pytest.raises(ConfigurationError, match="give a (Flat|reader of a class that is)"):
        Selection(Came, None, foreign)


def test_a_newer_version_is_not_read_as_if_it_were_known():
    """Its data may mean something else."""

    class Moved(Event, topic="visits", type="Moved", version=2):
        pass

    entry = fields(Moved())
    Moved.__eventbus_info__ = type(Moved.__eventbus_info__)(Moved.__eventbus_info__.topic, "Moved", 1, None)
    with pytest.raises(DecodeError, match="has version 2, this program knows up to 1"):
        Selection(Moved, None, None).read(entry)
