"""From an entry to its handler: whatever stands in the entry, there is an answer, and it shows no payload."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import model_validator

from eventbus.delivery import Declarations, Ended, Ending, Policy, Ready, Settings, Topics, compile_subscriptions, refuse_early, resolve
from eventbus.events import Debezium, Event, Flat, ForeignReader, encode, identity

SECRET = "s3cret"


class Ordered(Event, topic="orders", version=2, key="order_id"):
    order_id: str
    count: int = 1
    extras: dict[str, int] | None = None


async def handler(event: Ordered): ...


def subscription(*, foreign=None):
    declarations = Declarations()
    declarations.declare(Ordered, group="g", topic=None, middleware=(), policy=Policy(foreign=foreign))(handler)
    (compiled,) = compile_subscriptions(declarations, Settings(url="redis://h", service="s"), topics=Topics())
    return compiled


class Shape(Event, topic="shapes"):
    """Its validator makes what it likes of it."""

    kind: str = ""

    @model_validator(mode="wrap")
    @classmethod
    def _chosen(cls, value, handler):
        made = handler(value)
        return made if cls is not Shape else MADE.get(made.kind, lambda: made)()


class Circle(Shape, topic="shapes"):
    pass


def defect():
    raise RuntimeError(SECRET)


class Panic(BaseException):
    """What a library of Rust that fails raises is no Exception."""


def panic():
    raise Panic(SECRET)


MADE = {"circle": Circle, "order": lambda: Ordered(order_id="o-1"), "nothing": lambda: None, "number": lambda: 3, "defect": defect}


async def shape_handler(event: Shape): ...


def shapes():
    declarations = Declarations()
    declarations.declare(Shape, group="g", topic=None, middleware=(), policy=Policy(foreign=Flat(Shape)))(shape_handler)
    (compiled,) = compile_subscriptions(declarations, Settings(url="redis://h", service="s"), topics=Topics())
    return compiled


def shape(kind, *, flat):
    return [b"kind", kind.encode()] if flat else encode(Shape.model_construct(kind=kind), source="/s")


@pytest.mark.parametrize("flat", [True, False])
def test_a_validator_may_choose_a_class_below_the_one_that_is_read(flat):
    """It goes to the handler that was subscribed to the one that is read."""
    subscription = shapes()
    found = resolve(subscription, shape("circle", flat=flat))
    assert isinstance(found, Ready)
    assert (type(found.event), found.route) == (Circle, subscription.routes["Shape"])


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("kind", ["order", "nothing", "number", "defect"])
def test_whatever_a_validator_makes_of_an_entry_there_is_an_answer(kind, flat):
    """A handler is given what its annotation says, or nothing."""
    found = resolve(shapes(), shape(kind, flat=flat))
    assert isinstance(found, Ended)
    assert found.ending is Ending.UNDECODABLE
    assert found.reason.startswith("Shape cannot be read: ")
    assert SECRET not in found.reason


def test_an_entry_that_says_nothing_is_skipped_as_one_that_nobody_handles():
    """Acknowledged without a run, and counted; see `ForeignReader.read`."""
    found = resolve(subscription(foreign=[Debezium(Ordered), Flat(Ordered)]), [b'{"id":1}', b"default"])
    assert found == Ended(Ending.NOBODY, "Debezium(Ordered) finds nothing in it to be handled")


def test_a_defect_in_reading_is_an_answer_too(monkeypatch):
    """One entry must not end what reads all of them."""
    monkeypatch.setattr("eventbus.delivery.resolution.decode", lambda *_: defect())
    found = resolve(PLAIN, entry())
    assert found == Ended(Ending.UNDECODABLE, "it cannot be read: RuntimeError", type="Ordered")


def test_what_no_exception_is_is_an_answer_too(monkeypatch):
    """In a batch it would fail all the others with it, again and again."""
    monkeypatch.setitem(MADE, "panic", panic)
    found = resolve(shapes(), shape("panic", flat=False))
    assert found == Ended(Ending.UNDECODABLE, "it cannot be read: Panic", type="Shape")


PLAIN, FOREIGN = subscription(), subscription(foreign=Flat(Ordered))


def entry(**changes):
    """A sound entry of our own, changed; None leaves a field out."""
    fields = encode(Ordered(order_id="o-1"), source="/shop", headers={"tenant": "acme"})
    found = {name.decode(): value for name, value in zip(fields[::2], fields[1::2], strict=True)} | changes
    return [part for name, value in found.items() if value is not None for part in (name.encode(), value)]


def test_an_entry_of_ours_is_ready_with_its_route_event_and_envelope():
    """The event has the id it arrived with, so that publishing it again keeps it."""
    found = resolve(PLAIN, entry(id=b"the-id"))
    assert isinstance(found, Ready)
    assert (found.route, found.event) == (PLAIN.routes["Ordered"], Ordered(order_id="o-1"))
    assert identity(found.event).id == found.envelope.id == "the-id"


@pytest.mark.parametrize(
    ("changes", "ending", "words"),
    [
        ({"type": b"Unheard"}, Ending.NOBODY, "no handler of this group names type 'Unheard'"),
        ({"dataversion": b"3"}, Ending.NEWER, "'Ordered' has version 3, this program knows up to 2"),
        ({"data": b'{"order_id": 1}'}, Ending.UNDECODABLE, "order_id: string_type"),
        ({"data": b"{"}, Ending.UNDECODABLE, "Ordered cannot be read"),
        ({"data": None}, Ending.UNDECODABLE, "no data"),
        ({"specversion": b"0.3"}, Ending.UNDECODABLE, "specversion is not 1.x"),
        ({"specversion": None}, Ending.UNDECODABLE, "foreign=Flat(…)"),
    ],
)
def test_what_is_not_given_to_a_handler_says_why(changes, ending, words):
    """In words for the log."""
    found = resolve(PLAIN, entry(**changes))
    assert isinstance(found, Ended)
    assert found.ending is ending
    assert words in found.reason


@pytest.mark.parametrize(
    ("changes", "event_type", "version"),
    [
        ({"type": b"Unheard", "dataversion": b"7"}, "Unheard", 7),
        ({"dataversion": b"3"}, "Ordered", 3),
        ({"data": b"{"}, "Ordered", 1),
        ({"type": b"\xff", "specversion": b"0.3"}, "\ufffd", 1),
        ({"type": None, "specversion": None}, "", 1),
    ],
)
def test_what_is_not_given_to_a_handler_keeps_the_type_it_says_it_has(changes, event_type, version):
    """The registry is asked about it, and its dead letter names it."""
    found = resolve(PLAIN, entry(**changes))
    assert (found.type, found.version) == (event_type, version)


@pytest.mark.parametrize("version", [None, b"1", b"2"])
def test_an_older_version_is_read(version):
    """Publishers are updated last."""
    assert isinstance(resolve(PLAIN, entry(dataversion=version)), Ready)


def test_an_unknown_type_is_nobodys_before_its_version_and_data_are_looked_at():
    """Other services' events may be anything."""
    found = resolve(PLAIN, entry(type=b"Unheard", dataversion=b"999", data=b"\xff"))
    assert found.ending is Ending.NOBODY


def test_a_flat_entry_is_read_where_the_subscription_says_so():
    """It has no envelope."""
    found = resolve(FOREIGN, [b"order_id", b"o-1", b"count", b"3", b"customer", b"c-1"])
    assert found == Ready(FOREIGN.routes["Ordered"], Ordered(order_id="o-1", count=3), None)


names = st.sampled_from(
    [b"specversion", b"id", b"type", b"source", b"time", b"data", b"dataversion", b"partitionkey", b"order_id", b"count", b"ebx", b""]
) | st.binary(max_size=8)
values = (
    st.sampled_from([b"1.0", b"Ordered", b"2", b"0", b"-1", b"", b"null", b"[]", b"2026-11-21T07:16:59.123Z", b"2026-02-30T25:61:61Z"])
    | st.binary(max_size=40)
    | st.text(max_size=20).map(lambda text: text.encode(errors="surrogatepass"))
)
any_fields = st.lists(st.tuples(names, values), max_size=12).map(lambda pairs: [part for pair in pairs for part in pair])


class Raises(ForeignReader):
    """Ends by what no `except Exception` catches: a library of Rust that panics, a loop of somebody else's that was cancelled."""

    def read(self, fields):
        raise ENDS[int(fields[1])]


class Takes(ForeignReader):
    """Takes the fields apart as it reads them."""

    def read(self, fields):
        while fields:
            fields.pop()


ENDS = dict(enumerate((Panic(SECRET), asyncio.CancelledError(SECRET), GeneratorExit(SECRET))))


@pytest.mark.parametrize("at", ENDS)
def test_whatever_a_reader_of_somebodys_raises_the_next_one_looks_at_the_entry_or_it_is_a_dead_letter(at):
    """In a batch it would fail all the others with it, again and again."""
    entry = [b"order_id", str(at).encode()]
    found = resolve(subscription(foreign=Raises(Ordered)), entry)
    assert found == Ended(Ending.UNDECODABLE, f"Raises(Ordered) failed: {type(ENDS[at]).__name__}")
    assert isinstance(resolve(subscription(foreign=[Raises(Ordered), Flat(Ordered)]), entry), Ready)


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_who_ends_the_program_while_an_entry_is_read_is_obeyed(end, monkeypatch):
    """It is no answer about the entry."""
    monkeypatch.setitem(ENDS, 0, end())
    with pytest.raises(end):
        resolve(subscription(foreign=Raises(Ordered)), [b"order_id", b"0"])


def test_no_reader_can_take_away_what_stands_in_the_entry():
    """The next reader sees all of it, and so does who opens the dead letter."""
    entry = [b"order_id", b"o-1"]
    found = resolve(subscription(foreign=[Takes(Ordered), Flat(Ordered)]), entry)
    assert isinstance(found, Ready)
    assert entry == [b"order_id", b"o-1"]


@given(fields=any_fields | st.lists(st.binary(max_size=10), max_size=15))
def test_whatever_bytes_stand_in_an_entry_there_is_an_answer(fields):
    """An entry from outside never raises into the loop."""
    for each in (PLAIN, FOREIGN):
        assert isinstance(resolve(each, fields), Ready | Ended)


@given(fields=any_fields | st.lists(st.binary(max_size=10), max_size=15), changed=st.dictionaries(names, values, max_size=2))
def test_what_is_refused_from_the_envelope_alone_is_what_resolving_would_refuse(fields, changed):
    """And nothing raises: it is asked before anything is caught."""
    for each in (PLAIN, FOREIGN):
        for candidate in (fields, entry(**{name.decode(errors="replace"): value for name, value in changed.items()})):
            refused = refuse_early(each, candidate)
            assert refused is None or refused == resolve(each, candidate)


@pytest.mark.parametrize(
    ("changes", "early"), [({"type": b"Unheard"}, True), ({"dataversion": b"3"}, True), ({"data": b"{"}, False), ({}, False)]
)
def test_only_what_is_for_no_handler_here_is_refused_early(changes, early):
    """Whatever stands in the data: it is not looked at."""
    found = refuse_early(PLAIN, entry(**{"data": b"\xff", **changes}))
    assert (found is not None) is early


ATTRIBUTES = ("specversion", "id", "type", "source", "time", "dataversion", "partitionkey", "order_id")


@given(changed=st.dictionaries(st.sampled_from(ATTRIBUTES), st.none() | values, max_size=3), data=st.none() | values)
def test_a_damaged_entry_of_ours_has_an_answer_too(changed, data):
    """Nearly right is what finds the gaps."""
    fields = entry(**changed, **({} if data is None else {"data": data}))
    for each in (PLAIN, FOREIGN):
        assert isinstance(resolve(each, fields), Ready | Ended)


deep = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(SECRET),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([SECRET, "order_id", "count", "extras"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(value=deep, how=st.sampled_from(["data", "flat", "cut", "attribute"]))
def test_no_reason_shows_what_stood_in_the_entry(value, how):
    """Reasons go to the log, which others read."""
    data = json.dumps(value).encode()
    fields = {
        "data": entry(data=data),
        "flat": [b"count", data, SECRET.encode(), data],
        "cut": entry(data=data[:-1] + SECRET.encode()),
        "attribute": entry(time=data, dataversion=data, specversion=data),
    }[how]
    for each in (PLAIN, FOREIGN):
        found = resolve(each, fields)
        assert isinstance(found, Ready) or SECRET not in found.reason


def test_no_reason_shows_a_key_of_the_data():
    """Keys are payload as much as values are: addresses, names, tokens."""
    found = resolve(PLAIN, entry(data=b'{"order_id": "o-1", "extras": {"s3cret": "many"}}'))
    assert found == Ended(Ending.UNDECODABLE, "Ordered cannot be read: extras.…: int_parsing", type="Ordered")


@pytest.mark.parametrize("depth", [100, 1_000, 100_000])
def test_deep_nesting_is_undecodable_and_nothing_worse(depth):
    """No recursion error reaches the loop."""
    for data in (b"[" * depth + b"]" * depth, b'{"order_id":' * depth + b"1" + b"}" * depth):
        assert resolve(PLAIN, entry(data=data)).ending is Ending.UNDECODABLE


@pytest.mark.parametrize("name", ["\x00", "Order\nCreated", "\x1b[2JOrderCreated", "Order\x9b"])
def test_a_type_with_control_characters_is_damaged_and_not_somebody_elses(name):
    """No class can be of it, in no deployment: to wait for one, or to skip it, would hide a mistake."""
    fields = [b"specversion", b"1.0", b"id", b"1", b"type", name.encode(), b"source", b"/s", b"data", b"{}"]
    expected = Ended(Ending.UNDECODABLE, "the entry's type has control characters", type=name)
    assert resolve(subscription(), fields) == refuse_early(subscription(), fields) == expected
